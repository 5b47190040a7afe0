"""Image files below a folder, at any depth."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ganformer.config import ImageSpec, Source
from ganformer.data.images import UnreadableImageError, read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class Config(Source):
    """All image files below a folder, in the order of their relative paths; hidden files and folders are left out.

    The classes are the folders right below it, in the order of their names.
    """

    path: Path
    """The folder; a relative path starts at the working directory."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder and those in it: their times change when a file is added, removed or renamed."""
        if not self.path.is_dir():
            return (self.path,)
        return (self.path, *(self.path / name for name in _walk(self.path) if name.endswith("/")))


class Folder(ImageSource[str]):
    """A key is a path relative to the folder, with forward slashes."""

    def __init__(self, root: Path, image: ImageSpec) -> None:
        self.root, self.image = root, image

    @cached_property
    def labels(self) -> dict[str, int]:
        """Number of the class of each folder right below the root."""
        names = sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and entry.name[0] != ".")
        return {name: number for number, name in enumerate(names)}

    @property
    def classes(self) -> int:
        """One for every folder right below the root."""
        return len(self.labels)

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def keys(self) -> Iterator[str]:
        return (name for name in _walk(self.root) if name.lower().endswith(EXTENSIONS))

    def load(self, keys: Sequence[str]) -> Iterator[Sample | Rejection]:
        for key in keys:
            name = os.fsencode(key).decode("utf-8", "backslashreplace")
            try:
                label = self.labels.get(key.partition("/")[0])
                yield Sample(name, read_image(self.root / key, self.image), label=label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))


def open_source(config: Config, image: ImageSpec) -> Folder:
    """Raises DataError where the folder is missing, is a file, or holds no images."""
    looked_for = f"looked for {', '.join(EXTENSIONS)} at any depth"
    if not config.path.is_dir():
        what = "is not a folder" if config.path.exists() else "does not exist"
        raise DataError(f"{config.path}: this folder of images {what}; correct the source's path ({looked_for})")
    folder = Folder(config.path, image)
    if next(folder.keys(), None) is None:
        raise DataError(f"{config.path}: no images below this folder; {looked_for}")
    return folder


def _walk(folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Relative paths of all files and folders, the latter with a slash at their end, in sorted order.

    One folder's entries are in memory at a time; `above` names the folders around it, to break circles of links.
    """
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            # With its slash a folder sorts among files as the paths in it do.
            found = sorted(entry.name + "/" * entry.is_dir() for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); make it readable or move it away") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for name in found:
        yield prefix + name
        if name.endswith("/"):
            yield from _walk(folder / name, prefix + name, (*above, here))
