"""Image files below a folder, at any depth."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data import labels
from ganformer.data.images import UnreadableImageError, read_image
from ganformer.data.labels import FolderLabels, Labels, LabelTable
from ganformer.data.source import ImageFiles, Rejection, Sample
from ganformer.errors import DataError

SHOWN = 5  # kinds of other files that a message names
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")

_Place = tuple[int, int]


class Config(Source):
    """All image files below a folder, in the order of their relative paths; hidden files and folders are left out."""

    path: Path
    """The folder; a relative path starts at the working directory."""
    labels: Path | None = None
    """Labels: a csv with the columns `path` and `label`, or a json in the form of StyleGAN2-ADA's `dataset.json`. None:
    `dataset.json` in the folder where there is one, else the folders right below it, in the order of their names."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder and those in it: their times change when a file is added, removed or renamed; and the labels."""
        folders = sorted(_folders(self.path)) if self.path.is_dir() else [self.path]
        return (*folders, *filter(None, [self.table]))

    @property
    def table(self) -> Path | None:
        """The file of labels; None where folders are the labels."""
        usual = self.path / labels.DATASET_JSON
        return self.labels or (usual if usual.is_file() else None)


class Key(NamedTuple):
    """One file: its path relative to the folder, with forward slashes, and its label where those are asked for."""

    path: str
    label: int | None


class Folder(ImageFiles[Key]):
    """Labels travel with the keys, so that no other process needs all of them."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.image = config, image

    def __reduce__(self) -> tuple[type["Folder"], tuple[Config, ImageSpec]]:
        return Folder, (self.config, self.image)

    @cached_property
    def labels(self) -> Labels:
        """Labels of the files; DataError where what should hold them does not."""
        if table := self.config.table:
            return labels.read(table)
        return FolderLabels(name[:-1] for name in _list(self.config.path) if name.endswith("/"))

    @property
    def classes(self) -> int:
        """Number of classes of the labels."""
        return self.labels.classes

    def __len__(self) -> int:
        return sum(1 for _ in self.paths(ordered=False))

    def paths(self, ordered: bool = True) -> Iterator[str]:
        """Relative paths of the image files, in their order unless that is not asked for."""
        return (path for path in _walk(self.config.path, ordered) if path.lower().endswith(EXTENSIONS))

    def keys(self) -> Iterator[Key]:
        find = self.labels.find if self.image.classes else lambda path: None
        return (Key(path, find(path)) for path in self.paths())

    def load(self, keys: Sequence[Key]) -> Iterator[Sample | Rejection]:
        for key in keys:
            try:
                # Not by its path: Pillow reads some formats another way then, which an archive of them cannot follow.
                with self.content(key) as file:
                    pixels = read_image(file, self.image)
                yield Sample(shown(key.path), pixels, label=key.label)
            except UnreadableImageError as error:
                yield Rejection(shown(key.path), str(error))

    @contextmanager
    def content(self, key: Key) -> Iterator[IO[bytes]]:
        """The file of an image; UnreadableImageError where it cannot be opened."""
        path = self.config.path / key.path
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # the reader of a pipe would wait for ever
                raise UnreadableImageError("is not a regular file")
            file = path.open("rb")
        except OSError as error:
            raise UnreadableImageError(f"cannot be opened ({error.strerror})") from error
        with file:
            yield file


def open_source(config: Config, image: ImageSpec) -> Folder:
    """Raises DataError where the folder is missing, is a file, or holds no images, and where the labels do not fit."""
    looked_for = f"looked for {', '.join(EXTENSIONS)} at any depth"
    if not config.path.is_dir():
        what = "is not a folder" if config.path.exists() else "does not exist"
        raise DataError(f"{config.path}: this folder of images {what}; correct the source's path ({looked_for})")
    folder = Folder(config, image)
    if next(folder.paths(ordered=False), None) is None:
        raise DataError(f"{config.path}: no images below this folder; {looked_for}. {_what_is_there(config.path)}")
    if (config.labels or image.classes) and isinstance(folder.labels, LabelTable):
        folder.labels.must_name_one_of(folder.paths(ordered=False))
    return folder


def _what_is_there(folder: Path) -> str:
    """What kinds of files there are, of which one may be what was meant."""
    found = Counter(Path(path).suffix.lower() or "no suffix" for path in _walk(folder, ordered=False))
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in found.most_common(SHOWN))
    return (
        f"It has other files ({kinds}); a file that holds images is named by its own path" if kinds else "It is empty"
    )


def shown(path: str) -> str:
    """The path as text, whatever bytes it has."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _walk(folder: Path, ordered: bool = True, prefix: str = "", above: tuple[_Place, ...] = ()) -> Iterator[str]:
    """Relative paths of all files, in their order unless that is not asked for; one folder's names are in memory."""
    here = _place(folder)
    if here in above:
        return
    names = _list(folder)
    if ordered:
        names.sort()
    for name in names:
        if name.endswith("/"):
            yield from _walk(folder / name, ordered, prefix + name, (*above, here))
        else:
            yield prefix + name


def _folders(folder: Path, above: tuple[_Place, ...] = ()) -> Iterator[Path]:
    """The folder and all in it, at a cost of little more than listing them."""
    here = _place(folder)
    if here in above:
        return
    yield folder
    with _listable(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_folder(entry) and entry.name[0] != "."]
    for name in names:
        yield from _folders(folder / name, (*above, here))


def _list(folder: Path) -> list[str]:
    """Visible names in a folder. With its slash a folder sorts among files as the paths in it do."""
    with _listable(folder), os.scandir(folder) as entries:
        return [entry.name + "/" * is_folder(entry) for entry in entries if entry.name[0] != "."]


def _place(folder: Path) -> _Place:
    """What tells a folder from others, by whatever path; it breaks circles of links."""
    with _listable(folder):
        status = folder.stat()
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself is a file that cannot be read
            return False
        raise


@contextmanager
def _listable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); make it readable or move it away") from error
