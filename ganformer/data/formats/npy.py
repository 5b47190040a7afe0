"""Shards that are plain uint8 arrays [n, C, H, W]: the fastest to read, three bytes a pixel."""

import mmap
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data.packing.arrays import ArrayFile

SUFFIX = ".npy"


class Writer(ArrayFile):
    """Writes a shard: `append(images)` with uint8 [n, C, H, W], as a context."""

    def __init__(self, path: Path, image: ImageSpec) -> None:
        super().__init__(path, (image.channels, image.height, image.width))


class Reader:
    """A shard of `count` images, mapped into memory; raises ValueError if the file is not that."""

    def __init__(self, path: Path, count: int, image: ImageSpec) -> None:
        mapped = npy.open_memmap(path, mode="r")
        self._map = cast(mmap.mmap, mapped.base)
        self._images = np.asarray(mapped)  # memmap's own indexing is slow
        shape = (count, image.channels, image.height, image.width)
        if self._images.shape != shape or self._images.dtype != np.uint8:
            raise ValueError(f"holds {self._images.dtype} {self._images.shape} instead of uint8 {shape}")

    def read(self, index: int, image: NDArray[np.uint8]) -> None:
        """Put an image into `image`, uint8 [C, H, W]."""
        image[:] = self._images[index]

    def forget(self) -> None:
        """Take the pages of the file out of this process; the system may keep them."""
        self._map.madvise(mmap.MADV_DONTNEED)
