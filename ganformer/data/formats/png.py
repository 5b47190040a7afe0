"""Shards that are zip files of PNGs, laid out like a data set of StyleGAN2-ADA: small, and any viewer opens them."""

import io
import mmap
import struct
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.config import ImageSpec

SUFFIX = ".zip"
LOCAL_HEADER = 30  # bytes of a zip member's header in front of its name and extra field


class Writer:
    """Writes a shard: `append(images)` with uint8 [n, 3, H, W], as a context."""

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
        """Adds images."""
        assert images.dtype == np.uint8 and images.shape[1:] == self._shape
        for image in images:
            encoded = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(encoded, "png")
            self._zip.writestr(_member(self._count), encoded.getvalue())
            self._count += 1


class Reader:
    """A shard of `count` images; raises ValueError where the file is not that.

    Only the places of the members are kept: reading needs no file position, so threads and forked processes may share
    a reader.
    """

    def __init__(self, path: Path, count: int, image: ImageSpec) -> None:
        self._shape = (image.channels, image.height, image.width)
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            try:
                members = zipfile.ZipFile(file).infolist()
            except zipfile.BadZipFile as error:
                raise ValueError(f"is not a whole zip file ({error})") from error
        if len(members) != count:
            raise ValueError(f"holds {len(members)} images instead of {count}")
        self._places = np.array([(member.header_offset, member.file_size) for member in members], np.int64)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 [n, C, H, W] in the order of `indices`."""
        images = np.empty((len(indices), *self._shape), np.uint8)
        for image, (start, size) in zip(images, self._places[indices].tolist(), strict=True):
            name_and_extra = sum(struct.unpack_from("<HH", self._bytes, start + LOCAL_HEADER - 4))
            start += LOCAL_HEADER + name_and_extra
            with Image.open(io.BytesIO(self._bytes[start : start + size])) as picture:
                image[:] = np.asarray(picture).transpose(2, 0, 1)
        return images


def _member(number: int) -> zipfile.ZipInfo:
    """Name and attributes that do not depend on the time or the system."""
    name = f"{number:08d}"
    member = zipfile.ZipInfo(f"{name[:5]}/img{name}.png", date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3  # Unix
    member.external_attr = 0o644 << 16
    return member
