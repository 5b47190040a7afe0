"""Image files below a folder, at any depth."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Literal, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data import decoding, generated
from ganformer.data.containers import labels
from ganformer.data.containers.labels import FolderLabels, Labelled, Labels, LabelTable
from ganformer.data.containers.limits import Limits
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import read_image
from ganformer.data.source import ImageFiles, Rejection, Sample, printable
from ganformer.errors import DataError
from ganformer.records import manifest
from ganformer.records.generated import GENERATED_FILE

HIDDEN, OF_PACKS = "hidden", "files of packs"  # kinds of files that are left out

_TEXTS = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".html", ".cls", ".caption")
_PLAIN_SUFFIX = re.compile(r"\.[a-z][a-z0-9_]{0,9}")

_Place = tuple[int, int]


class Config(Source):
    """All pictures below a folder, in the order of their relative paths.

    A file is a picture by its suffix, or else by its first bytes, but not files with suffixes of texts (.txt, .json …).
    Hidden files and folders are left out, and so are the files of packs. Of a TIFF of several pictures all are taken.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    """The folder; a relative path starts at the working directory."""
    labels: Path | None = None
    """Labels: a csv with the columns `path` and `label`, or a json in the form of StyleGAN2-ADA's `dataset.json`. None:
    `dataset.json` in the folder if there is one, else the folders right below it that hold pictures, in the order of
    their names, numbers by their size."""
    limits: Limits | None = None
    """The values of black and white where pictures hold floats or integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder and those in it: their times change when a file is added, removed or renamed; and the labels."""
        folders = sorted(_folders(self.path)) if self.path.is_dir() else [self.path]
        return (*folders, *filter(None, [self.table]))

    @property
    def table(self) -> Path | None:
        """The file of labels; None if folders are the labels."""
        usual = self.path / labels.DATASET_JSON
        return self.labels or (usual if usual.is_file() else None)


class Key(NamedTuple):
    """One picture of a folder.

    `path` is relative to the folder, with forward slashes; `label` is set if labels are asked for; `page` is its number
    in a TIFF of several.
    """

    path: str
    label: int | None
    page: int | None = None

    @property
    def name(self) -> str:
        """The picture in messages, whatever bytes its path has."""
        return shown(self.path, self.page)


@dataclass
class Contents:
    """Findings of one pass through a folder."""

    images: int = 0
    folders: set[str] = field(default_factory=set)
    """Folders right below the top that hold pictures."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of files that are no pictures, by kind."""
    has_odd_names: bool = False
    """Tells whether some picture has a suffix that is none of pictures."""


class Folder(Labelled, ImageFiles[Key]):
    """Labels travel with the keys, so that no other process needs all of them."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.image = config, image

    def __reduce__(self) -> tuple[type["Folder"], tuple[Config, ImageSpec]]:
        return type(self), (self.config, self.image)

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the folder once; nothing is kept of single files."""
        found = Contents()
        for path in _walk(self.config.path, ordered=False, left_out=found.left_out):
            if path == labels.DATASET_JSON and self.config.table is not None:
                continue
            if path.rpartition("/")[2] == GENERATED_FILE:
                generated.check((self.config.path / path).parent)
                continue
            pictures = self._count(path)
            if not pictures:
                found.left_out[kind_of_name(path)] += 1
            elif not self.is_meant(path):
                found.left_out["pictures that are not meant"] += pictures
            else:
                found.has_odd_names |= not has_suffix_of_picture(path)
                found.images += pictures
                top, slash, _ = path.partition("/")
                if slash:
                    found.folders.add(top)
        return found

    def is_meant(self, path: str) -> bool:
        """Return whether a picture is one of the data set, by its relative path."""
        return True

    @cached_property
    def labels(self) -> Labels:
        """Labels of the files; DataError if what should hold them does not."""
        if table := self.config.table:
            return labels.read(table)
        return FolderLabels(self.contents.folders, f"set the source's path to {self.config.path}/{{}}")

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of files that are no pictures, by their suffixes."""
        return self.contents.left_out

    def __len__(self) -> int:
        return self.contents.images

    def paths(self, ordered: bool = True) -> Iterator[tuple[str, int]]:
        """Yield relative paths of files that hold pictures, with their number of pictures; in order if asked for."""
        for path in _walk(self.config.path, ordered):
            if (has_suffix_of_picture(path) or self.contents.has_odd_names) and self.is_meant(path):
                count = self._count(path)
                if count:
                    yield path, count

    def keys(self) -> Iterator[Key]:
        find = self.labels.find if self.image.classes else lambda path: None
        for path, count in self.paths():
            label = find(path)
            yield from (Key(path, label, page if count > 1 else None) for page in range(count))

    def load(self, keys: Sequence[Key]) -> Iterator[Sample | Rejection]:
        for key in keys:
            try:
                # Not by its path: Pillow reads some formats another way then, which an archive of them cannot follow.
                with self.content(key) as file:
                    picture = read_image(file, self.image, self.config.limits, key.page)
                yield Sample.of(key.name, picture, key.label)
            except UnreadableImageError as error:
                yield Rejection(key.name, str(error))

    @contextmanager
    def content(self, key: Key) -> Iterator[IO[bytes]]:
        """Yield the file of a picture; UnreadableImageError if it cannot be opened."""
        with self._opened(key.path) as file:
            yield file

    @contextmanager
    def _opened(self, path: str) -> Iterator[IO[bytes]]:
        whole = self.config.path / path
        try:
            if not stat.S_ISREG(whole.stat().st_mode):  # the reader of a pipe would wait for ever
                raise UnreadableImageError("is not a regular file")
            file = whole.open("rb")
        except OSError as error:
            raise UnreadableImageError(f"cannot be opened ({error.strerror})") from error
        with file:
            yield file

    def _count(self, path: str) -> int:
        """Return number of pictures in a file, by its suffix or its first bytes; 0: it is none.

        A damaged file that is called a picture, or begins as one, counts as 1: `load` says what is wrong.
        """
        is_named = has_suffix_of_picture(path)
        if is_named and not path.lower().endswith(decoding.PAGED):
            return 1
        if has_suffix_of_text(path):
            return 0
        try:
            with self._opened(path) as file:
                if not is_named and decoding.recognise(file.read(decoding.START)) is None:
                    return 0
                is_named = True
                return decoding.count(file)
        except (UnreadableImageError, OSError):  # what cannot be read and is not called a picture is none
            return int(is_named)


def open_source(config: Config, image: ImageSpec) -> Folder:
    """Return the images; DataError if the folder is missing, a file, or without images, or labels do not fit."""
    if not config.path.is_dir():
        what = "is not a folder" if config.path.exists() else "does not exist"
        raise DataError(f"{config.path}: this folder of images {what}; correct the source's path")
    folder = Folder(config, image)
    if not len(folder):
        raise DataError(f"{config.path}: no images below this folder at any depth. {_what_is_there(folder.left_out)}")
    if (config.labels or image.classes) and isinstance(folder.labels, LabelTable):
        folder.labels.must_name_one_of(path for path, _ in folder.paths(ordered=False))
    return folder


def _what_is_there(left_out: Mapping[str, int]) -> str:
    """Return the kinds of files there are, one of which may be the one meant."""
    return (
        f"It has {manifest.other_files(left_out)}; a file that holds images is named by its own path"
        if left_out
        else ("It is empty")
    )


def has_suffix_of_picture(name: str) -> bool:
    """Return whether a file is called a picture, of a format that is read."""
    return name.lower().endswith(decoding.EXTENSIONS)


def has_suffix_of_text(name: str) -> bool:
    """Return whether a file is called a text, as captions and labels beside pictures are: never a picture."""
    return name.lower().endswith(_TEXTS)


def kind_of_name(name: str) -> str:
    """Return kind that a file which is no picture counts as: its suffix where it is like one."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million paths, of which no Path need be made
    if not suffix:
        return "no suffix"
    return suffix if _PLAIN_SUFFIX.fullmatch(suffix) else "other suffixes"


def shown(path: str, page: int | None = None) -> str:
    """Return the path as text, whatever bytes it has, with the number of the picture in a file of several."""
    return printable(path) if page is None else f"{printable(path)}[{page}]"


def _walk(
    folder: Path,
    ordered: bool = True,
    prefix: str = "",
    above: tuple[_Place, ...] = (),
    left_out: Counter[str] | None = None,
) -> Iterator[str]:
    """Yield relative paths of all visible files, in their order unless that is not asked for.

    The names of one folder are in memory. `left_out` receives hidden files and files of packs.
    """
    here = _place(folder)
    if here in above:
        return
    names = _visible(folder, Counter() if left_out is None else left_out)
    if ordered:
        names.sort()
    for name in names:
        if name.endswith("/"):
            yield from _walk(folder / name, ordered, prefix + name, (*above, here), left_out)
        else:
            yield prefix + name


def _folders(folder: Path, above: tuple[_Place, ...] = ()) -> Iterator[Path]:
    """Yield the folder and all in it, at a cost of little more than listing them."""
    here = _place(folder)
    if here in above:
        return
    yield folder
    with _listable(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_folder(entry) and entry.name[0] != "."]
    for name in names:
        yield from _folders(folder / name, (*above, here))


def _visible(folder: Path, left_out: Counter[str]) -> list[str]:
    """Return the visible names in a folder except a pack's; a folder's name ends in a slash, to sort as its paths.

    `left_out` counts the others.
    """
    with _listable(folder), os.scandir(folder) as entries:
        names = [entry.name + "/" * is_folder(entry) for entry in entries]
    of_pack = (manifest.files_of_pack(folder) if manifest.NAME in names else None) or frozenset()
    visible = [name for name in names if name[0] != "." and name not in of_pack]
    if len(visible) < len(names):
        left_out.update(HIDDEN if name[0] == "." else OF_PACKS for name in set(names) - set(visible))
    return visible


def _place(folder: Path) -> _Place:
    """Return an identity of a folder that is the same by every path; it breaks cycles of links."""
    with _listable(folder):
        status = folder.stat()
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder or a link to one."""
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
