"""Shards that are HDF5 files with one data set, `images`: nearly as fast as plain arrays, and read in any language."""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec

SUFFIX = ".h5"
NAME = "images"


class Disk(io.FileIO):
    """A file that HDF5 writes to and never hears that there is no more room; `error` then has what the system said.

    A failed write leaves the library (1.14) in a state in which closing fails too, and the process at its end.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or keeps the error."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self.error is None:
            try:
                rest = rest[super().write(rest) or 0 :]
            except OSError as error:
                self.error = error
        return size


class Writer:
    """Writes a shard: `append(images)` with uint8 [n, C, H, W], as a context.

    A chunk is an image, so that reading one reads nothing else. Chunks are not compressed: lzf makes photographs of
    256 × 256 pixels only 7% smaller, and reading them ten times slower.
    """

    def __init__(self, path: Path, image: ImageSpec) -> None:
        shape = (image.channels, image.height, image.width)
        self._disk = Disk(path, "w+")
        self._file = h5py.File(self._disk, "w")
        self._images = self._file.create_dataset(
            NAME, (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape), track_times=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._disk.close()
        if kind is None:
            self._check()

    def _check(self) -> None:
        if self._disk.error is not None:
            raise self._disk.error

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images. OSError if there is no room for them."""
        assert images.dtype == np.uint8 and images.shape[1:] == self._images.shape[1:]
        for image in images:  # one by one, so that the bytes do not depend on the batches they come in
            count = len(self._images)
            self._images.resize(count + 1, axis=0)
            self._images[count] = image
            self._check()


class Reader:
    """A shard of `count` images; raises OSError or ValueError if the file is not that.

    Threads may share a reader: h5py lets one at a time into HDF5. A forked process opens the file anew.
    """

    def __init__(self, path: Path, count: int, image: ImageSpec) -> None:
        self._path = path
        self._images, self._process = self._opened(), os.getpid()
        shape = (count, image.channels, image.height, image.width)
        if self._images.shape != shape or self._images.dtype != np.uint8:
            raise ValueError(f"holds {self._images.dtype} {self._images.shape} instead of uint8 {shape}")

    def read(self, index: int, image: NDArray[np.uint8]) -> None:
        """Put an image into `image`, uint8 [C, H, W]."""
        if self._process != os.getpid():
            self._images, self._process = self._opened(), os.getpid()
        image[:] = self._images[index]

    def forget(self) -> None:
        """Do nothing: the file is not mapped, and its chunks are not cached."""

    def _opened(self) -> h5py.Dataset:
        # Nobody writes here, and file systems without locks are common. The cache would only copy once more.
        file = h5py.File(self._path, "r", locking=False, rdcc_nbytes=0)
        images = file.get(NAME)
        if not isinstance(images, h5py.Dataset):
            raise ValueError(f"holds no data set '{NAME}'")
        return images
