"""Reading packs: random access to images."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganformer import artifacts, plugins
from ganformer.config import ImageSpec
from ganformer.errors import DataError
from ganformer.records import manifest

MAX_READ_BYTES = 1 << 28  # bytes that are read before readers forget them


class Reader(Protocol):
    """Reads one shard (`ganformer/data/formats`)."""

    def read(self, index: int, image: NDArray[np.uint8]) -> None:
        """Put an image into `image`, uint8 [C, H, W]."""

    def forget(self) -> None:
        """Release the memory that this process holds of images read before."""


class Images:
    """The images of a pack, named by its folder or its manifest. Threads and processes may share it.

    Raises DataError if the pack is missing or incomplete. Shards are opened when they are first read; with `check`
    every byte of a shard is compared then with its checksum, and DataError names a shard that differs.
    """

    def __init__(self, pack: Path, *, check: bool = False) -> None:
        self.folder, self.manifest = manifest.read(pack)
        self.is_checked = check
        self.digest = self.manifest.data_sha256
        """sha256 of shape, pixels and labels, by which data are told apart."""
        self._starts = np.cumsum([0, *(shard.count for shard in self.manifest.shards)])
        self._readers: dict[int, Reader] = {}
        self._remembered = 0
        for shard in self.manifest.shards:
            if not (self.folder / shard.file).is_file():
                raise DataError(
                    f"{self.folder / shard.file}: this shard of the pack is missing; pack the data set again"
                )

    def __reduce__(self) -> tuple[Callable[[], "Images"], tuple[()]]:
        return partial(Images, self.folder, check=self.is_checked), ()  # another process opens its own shards

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def image(self) -> ImageSpec:
        """Shape of the images."""
        return self.manifest.image

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return one-hot labels [n, classes] of the images `indices`; without classes they have no columns."""
        if not self.image.classes:
            return np.zeros((len(indices), 0), np.float32)
        return np.eye(self.image.classes, dtype=np.float32)[self._labels[indices]]

    @cached_property
    def _labels(self) -> NDArray[np.int32]:
        path = self.folder / manifest.LABELS
        try:
            labels: NDArray[np.int32] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: the labels of the pack cannot be read ({error}); pack again") from error
        if labels.shape != (len(self),) or not 0 <= labels.min() <= labels.max() < self.image.classes:
            raise DataError(f"{path}: does not hold labels of {len(self)} images of the pack; pack again")
        return labels

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images uint8 [n, C, H, W] in the order of `indices`, which are in [0, len)."""
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"indices from {indices.min()} to {indices.max()} of {len(self)} images")
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        places = indices - self._starts[shards]
        images = np.empty((len(indices), self.image.channels, self.image.height, self.image.width), np.uint8)
        for image, shard, place in zip(images, shards.tolist(), places.tolist(), strict=True):
            self._reader(shard).read(place, image)
        self._remembered += images.nbytes
        if self._remembered > MAX_READ_BYTES:  # otherwise mapped files would count as memory in the end
            self._remembered = 0
            for reader in list(self._readers.values()):
                reader.forget()
        return images

    def spread(self, count: int) -> NDArray[np.uint8]:
        """Return so many images, at most all, evenly spread over the pack: uint8 [count, C, H, W]."""
        return self.read(self.places(count))

    def places(self, count: int) -> NDArray[np.int64]:
        """Return numbers of the images that `spread` gives."""
        return np.arange(count) * len(self) // count

    def _reader(self, number: int) -> Reader:
        if number not in self._readers:
            shard = self.manifest.shards[number]
            path = self.folder / shard.file
            if self.is_checked and (wrong := _difference(path, shard.sha256)):
                raise DataError(f"{path}: {wrong}; pack the data set again")
            layout = plugins.find("ganformer.data.formats", self.manifest.format)
            try:
                self._readers[number] = layout.Reader(path, shard.count, self.image)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{path}: is not the shard that was packed ({error}); pack the data set again"
                ) from error
        return self._readers[number]


def verify(pack: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    """Compare every file of a pack with its sha256; DataError names all that differ. `progress` gets the bytes read."""
    folder, contents = manifest.read(pack)
    wrong = []
    for file in (*contents.shards, *contents.files):
        path = folder / file.file
        if problem := _difference(path, file.sha256, progress):
            wrong.append(f"  {path}: {problem}")
    if wrong:
        raise DataError("\n".join([f"{folder}: the pack is damaged; pack the data set again", *wrong]))


def _difference(path: Path, sha256: str, progress: Callable[[int], None] = lambda _: None) -> str | None:
    """Return the difference between a file and its record in the manifest; None if there is none."""
    if not path.is_file():
        return "missing"
    return None if artifacts.file_digest(path, progress) == sha256 else "not the bytes that were packed"
