"""Shards that are LMDB files: raw uint8 images under the numbers 00000000, 00000001, … as keys, and their shape."""

import json
import math
import os
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb
import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data.containers.lmdb_env import environment
from ganformer.errors import DataError

SUFFIX = ".mdb"
META = b"meta"  # key of the count and shape; sorts behind all numbers
TRANSACTION_BYTES = 1 << 24  # bytes of images in one transaction, at most, unless one image has more
PAGE = 1 << 12  # of LMDB


class Writer:
    """Writes a shard: `append(images)` with uint8 [n, C, H, W], as a context."""

    def __init__(self, path: Path, image: ImageSpec) -> None:
        self._path, self._count = path, 0
        self._shape = (image.channels, image.height, image.width)
        size = math.prod(self._shape)
        # Of a fixed length, so that the bytes do not depend on the batches that images come in.
        self._transaction_images = max(1, TRANSACTION_BYTES // size)
        self._room = 2 * self._transaction_images * (size + 2 * PAGE) + TRANSACTION_BYTES
        path.unlink(missing_ok=True)  # LMDB would keep its content
        # Flushing is left to the caller, who does it once, not after every transaction.
        self._file = lmdb.open(str(path), subdir=False, lock=False, sync=False, map_size=self._room)
        self._transaction = self._file.begin(write=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing(self._file):
            if error is not None:
                self._transaction.abort()
                return
            self._transaction.put(META, _meta(self._count, self._shape), append=True)
            self._transaction.commit()
            os.truncate(self._path, self._size())  # pages that came free at the end are counted, but not written

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images."""
        assert images.dtype == np.uint8 and images.shape[1:] == self._shape
        for image in images:
            self._transaction.put(b"%08d" % self._count, image.tobytes(), append=True)
            self._count += 1
            if self._count % self._transaction_images == 0:
                self._transaction.commit()
                self._file.set_mapsize(self._size() + self._room)  # the file grows with its content, not with this
                self._transaction = self._file.begin(write=True)

    def _size(self) -> int:
        """Return bytes up to the last page."""
        return int((self._file.info()["last_pgno"] + 1) * self._file.stat()["psize"])


class Reader:
    """A shard of `count` images; raises OSError or ValueError if the file is not that. Threads may share it."""

    def __init__(self, path: Path, count: int, image: ImageSpec) -> None:
        self._path, self._shape = path, (image.channels, image.height, image.width)
        self._file: lmdb.Environment | None = None
        with self._opened().begin() as transaction:
            found, expected = transaction.get(META), _meta(count, self._shape)
        if found != expected:
            raise ValueError(f"holds {(found or b'other things').decode()} instead of {expected.decode()}")

    def read(self, index: int, image: NDArray[np.uint8]) -> None:
        """Put an image into `image`, uint8 [C, H, W]. Raises DataError if it is missing."""
        with self._opened().begin(buffers=True) as transaction:
            value = transaction.get(b"%08d" % index)
            if value is None:
                raise DataError(f"{self._path}: image {index} of this shard is missing; pack the data set again")
            image[:] = np.frombuffer(value, np.uint8).reshape(self._shape)

    def forget(self) -> None:
        """Close the file, which takes its pages out of this process; reading opens it again."""
        self._file = None

    def _opened(self) -> lmdb.Environment:
        opened = self._file or environment(self._path)  # of its own: another thread may forget it
        self._file = opened
        return opened


def _meta(count: int, shape: tuple[int, ...]) -> bytes:
    return json.dumps({"count": count, "dtype": "uint8", "shape": shape}).encode()
