"""Shards that are zip files of PNGs, laid out like a data set of StyleGAN2-ADA: small, and any viewer opens them."""

import json
import mmap
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data.packing import png_rows
from ganformer.data.packing.png_rows import encode
from ganformer.errors import DataError

__all__ = ["SUFFIX", "Reader", "Writer", "encode"]

SUFFIX = ".zip"
LABELS = "dataset.json"  # the name StyleGAN2-ADA looks for
LOCAL_HEADER = 30  # bytes of a zip member's header in front of its name and extra field


class Writer:
    """Writes a shard: `append(images)` with uint8 [n, C, H, W], as a context."""

    def __init__(self, path: Path, image: ImageSpec) -> None:
        self._zip, self._count = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED), 0
        self._shape = (image.channels, image.height, image.width)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images."""
        assert images.dtype == np.uint8 and images.shape[1:] == self._shape
        for image in images:
            self.append_encoded([encode(image)])

    def append_encoded(self, images: Sequence[bytes]) -> None:
        """Add images that `encode` has made PNGs of, in whichever process."""
        for image in images:
            self._zip.writestr(_member(_name(self._count)), image)
            self._count += 1

    def write_labels(self, labels: NDArray[np.int32]) -> None:
        """Add the numbers of the images' classes, one for each image, where StyleGAN2-ADA looks for them."""
        assert len(labels) == self._count
        pairs = [[_name(number), label] for number, label in enumerate(labels.tolist())]
        self._zip.writestr(_member(LABELS), json.dumps({"labels": pairs}))


class Reader:
    """A shard of `count` images; raises ValueError if the file is not that.

    Only the places of the members are kept: reading needs no file position, so threads and forked processes may share
    a reader.
    """

    def __init__(self, path: Path, count: int, image: ImageSpec) -> None:
        self._path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._bytes = memoryview(self._map)
            try:
                members = [member for member in zipfile.ZipFile(file).infolist() if member.filename != LABELS]
            except zipfile.BadZipFile as error:
                raise ValueError(f"is not a whole zip file ({error})") from error
        if len(members) != count:
            raise ValueError(f"holds {len(members)} images instead of {count}")
        self._places = np.array([(member.header_offset, member.file_size) for member in members], np.int64)

    def read(self, index: int, image: NDArray[np.uint8]) -> None:
        """Put an image into `image`, uint8 [C, H, W]. Raises DataError if it is damaged."""
        try:
            image[:] = png_rows.decode(self._png(index), image.shape).transpose(2, 0, 1)
        except ValueError as error:
            raise DataError(
                f"{self._path}: image {index} of this shard is damaged ({error}); pack the data set again"
            ) from error

    def forget(self) -> None:
        """Take the pages of the file out of this process; the system may keep them."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _png(self, index: int) -> memoryview:
        start, size = self._places[index].tolist()
        start += LOCAL_HEADER + sum(struct.unpack_from("<HH", self._bytes, start + LOCAL_HEADER - 4))
        return self._bytes[start : start + size]


def _name(number: int) -> str:
    name = f"{number:08d}"
    return f"{name[:5]}/img{name}.png"


def _member(name: str) -> zipfile.ZipInfo:
    """Return attributes that do not depend on the time or the system."""
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3  # Unix
    member.external_attr = 0o644 << 16
    return member
