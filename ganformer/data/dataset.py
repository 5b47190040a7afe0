"""Reading packs: random access to images, and batches for training."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganformer import artifacts, plugins
from ganformer.config import ImageSpec
from ganformer.data import manifest
from ganformer.data.order import Order
from ganformer.errors import DataError


class Reader(Protocol):
    """Reads one shard (`ganformer/data/formats`)."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 [n, C, H, W] in the order of `indices`."""


class Images:
    """The images of a pack, named by its folder or its manifest. Threads and processes may share it.

    Raises DataError where the pack is missing or incomplete. Shards are opened when they are first read.
    """

    def __init__(self, pack: Path) -> None:
        self.folder, self.manifest = manifest.read(pack)
        self.digest = artifacts.file_digest(self.folder / manifest.NAME)
        """sha256 of the manifest, which names every byte of the pack by its shards' sums."""
        self._ends = np.cumsum([shard.count for shard in self.manifest.shards])
        self._readers: dict[int, Reader] = {}
        for shard in self.manifest.shards:
            if not (self.folder / shard.file).is_file():
                raise DataError(
                    f"{self.folder / shard.file}: this shard of the pack is missing; pack the data set again"
                )

    def __reduce__(self) -> tuple[type["Images"], tuple[Path]]:
        return Images, (self.folder,)  # another process opens its own shards

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def image(self) -> ImageSpec:
        """Shape of the images."""
        return self.manifest.image

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """One-hot labels [n, classes] of the images `indices`; without classes they have no columns."""
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
        """Images uint8 [n, C, H, W] in the order of `indices`, which lie in [0, len)."""
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"indices from {indices.min()} to {indices.max()} of {len(self)} images")
        shards = np.searchsorted(self._ends, indices, side="right")
        images = np.empty((len(indices), self.image.channels, self.image.height, self.image.width), np.uint8)
        for number in np.unique(shards).tolist():
            wanted = shards == number
            start = self._ends[number] - self.manifest.shards[number].count
            images[wanted] = self._reader(number).read(indices[wanted] - start)
        return images

    def _reader(self, number: int) -> Reader:
        if number not in self._readers:
            shard = self.manifest.shards[number]
            path = self.folder / shard.file
            layout = plugins.find("ganformer.data.formats", self.manifest.format)
            try:
                self._readers[number] = layout.Reader(path, shard.count, self.image)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{path}: is not the shard that was packed ({error}); pack the data set again"
                ) from error
        return self._readers[number]


def verify(pack: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    """Compares every file of a pack with its sha256; DataError names all that differ. `progress` is told bytes read."""
    folder, contents = manifest.read(pack)
    wrong = []
    for file in (*contents.shards, *contents.files):
        path = folder / file.file
        if not path.is_file():
            wrong.append(f"  {path}: missing")
        elif artifacts.file_digest(path, progress) != file.sha256:
            wrong.append(f"  {path}: not the bytes that were packed")
    if wrong:
        raise DataError("\n".join([f"{folder}: the pack is damaged; pack the data set again", *wrong]))


def batch(images: Images, order: Order, position: int, count: int, mirror: bool) -> tuple[Tensor, Tensor]:
    """Images at `position`, …, `position + count - 1` of an order, and their labels.

    Float32 [count, C, H, W] in [-1, 1], and one-hot [count, classes]. With `mirror` each image is flipped left to right
    on the coin of its position.
    """
    indices = order.indices(position, count)
    pixels = images.read(indices)
    if mirror:
        flipped = order.coins(position, count)
        pixels[flipped] = pixels[flipped, ..., ::-1]
    return torch.from_numpy(pixels).float().div_(127.5).sub_(1), torch.from_numpy(images.labels(indices))
