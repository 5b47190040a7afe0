"""Images in an array of a npy or npz file, at most one of them in memory."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data import layouts
from ganformer.data.layouts import ArrayImages, ArrayKey, ArraySettings, Labels, Stack
from ganformer.data.source import Rejection, Sample
from ganformer.errors import DataError

MEMBER = ".npy"  # what members of a npz end with
LABELS_BESIDE = "-labels.npy"
PORTION = 1 << 16  # labels read in one go
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member, in front of its name and extra field

# What damaged files of either kind make numpy and zipfile raise; RuntimeError where a member is encrypted.
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


class Config(ArraySettings):
    """An array in a npy or npz file: a batch of images or one image, of 1, 3 or 4 channels, or a batch of grey ones.

    Labels are an array of the same npz, `labels` where none is named; for a npy they are another npy in its folder,
    NAME-labels.npy beside NAME.npy where none is named. Compressed arrays are read from front to back.
    """

    array: str | None = None
    """Name of the array in a npz. None: the only one that can be images."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file, and for a npy that of its labels."""
        beside = None if _is_npz(self.path) else _file_beside(self)
        return (self.path,) if beside is None else (self.path, beside)


@dataclass(frozen=True)
class Place:
    """Where an array lies in a file: at `offset`, or compressed in a member of a zip where that is None."""

    path: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_columns: bool
    """Whether the first axis changes fastest (Fortran's order)."""
    offset: int | None

    @property
    def where(self) -> str:
        """Names the array in messages."""
        return str(self.path) if self.member is None else f"{self.path}: array '{self.member.removesuffix(MEMBER)}'"

    def map(self) -> NDArray[Any]:
        """The array, mapped into memory."""
        assert self.offset is not None
        order: Literal["C", "F"] = "F" if self.in_columns else "C"
        with _explained(self.path):
            return np.memmap(self.path, self.dtype, mode="r", offset=self.offset, shape=self.shape, order=order)

    def portions(self, rows: int) -> Iterator[NDArray[Any]]:
        """The array in portions of up to `rows` along its first axis."""
        if self.offset is None:
            yield from self._stream(rows)
        else:
            array = self.map()
            yield from (array[start : start + rows] for start in range(0, len(array), rows))

    def _stream(self, rows: int) -> Iterator[NDArray[Any]]:
        assert self.member is not None
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        with _explained(self.path), zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
            _read_header(stream)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                content = stream.read(count * size)
                if len(content) < count * size:
                    raise ValueError(f"{self.member} is cut short")
                yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            stream.read(1)  # the end, where the checksum is compared


class Arrays(ArrayImages):
    """Images of an array; other processes map the file themselves."""

    def __init__(self, place: Place, layout: Stack, labels: Place | None, image: ImageSpec) -> None:
        super().__init__(layout, image)
        self._place, self._labels = place, labels

    def __reduce__(self) -> tuple[type["Arrays"], tuple[Place, Stack, Place | None, ImageSpec]]:
        return Arrays, (self._place, self.stack, self._labels, self.image)

    @cached_property
    def labels(self) -> Labels | None:
        if self._labels is None:
            return None
        return layouts.read_labels(self._labels, self._labels.portions(PORTION), len(self), self._labels.where)

    def keys(self) -> Iterator[ArrayKey]:
        if self._place.offset is not None:
            return super().keys()
        items = self._place.portions(1)
        return (key._replace(content=item.tobytes()) for key, item in zip(super().keys(), items, strict=True))

    def load(self, keys: Sequence[ArrayKey]) -> Iterator[Sample | Rejection]:
        if self._place.offset is not None:
            self._values = self._place.map()  # anew: what was touched of the last map counts as memory
        return super().load(keys)

    def item(self, key: ArrayKey) -> NDArray[Any]:
        if key.content is None:
            return np.asarray(self._values[key.number])
        return np.frombuffer(key.content, self._place.dtype).reshape(self._place.shape[1:])


def open_source(config: Config, image: ImageSpec) -> Arrays:
    """Raises DataError where the file is missing or damaged, or has no array of images as described.

    Labels are looked at when they are first asked for, and then may be a DataError.
    """
    places = _places(config.path)
    name = layouts.choose(places, config.array, "array", str(config.path))
    place = places[name]
    layout = layouts.stack(place, name, config, place.where)
    labels = _labels_inside(config, places) if _is_npz(config.path) else _labels_beside(config)
    for array in (place, labels):
        if array is not None and array.offset is None and array.in_columns:
            raise DataError(
                f"{array.where}: is compressed in Fortran's order, so that no part can be read without all others; "
                "save it with numpy.savez, or pass numpy.ascontiguousarray(array) to numpy.savez_compressed"
            )
    batch = replace(place, shape=(1, *place.shape)) if layout.is_single else place
    return Arrays(batch, layout, labels, image)


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _labels_inside(config: Config, places: Mapping[str, Place]) -> Place | None:
    if config.labels is None:
        return places.get(layouts.LABELS)
    return places[layouts.choose(places, config.labels, "labels", str(config.path))] if config.labels else None


def _labels_beside(config: Config) -> Place | None:
    path = _file_beside(config)
    return None if path is None else next(iter(_places(path).values()))


def _file_beside(config: Config) -> Path | None:
    """File of the labels of a npy, where one is named or there is one."""
    if config.labels is not None:
        return config.path.parent / config.labels if config.labels else None
    beside = config.path.with_name(config.path.stem + LABELS_BESIDE)
    return beside if beside.is_file() else None


def _places(path: Path) -> dict[str, Place]:
    """The arrays of a file by their names; that of a npy is called like the file."""
    with _explained(path):
        if _is_npz(path):
            with zipfile.ZipFile(path) as archive, path.open("rb") as file:
                members = [member for member in archive.infolist() if member.filename.endswith(MEMBER)]
                return {
                    member.filename[: -len(MEMBER)]: _place_inside(path, archive, member, file) for member in members
                }
        with path.open("rb") as file:
            return {path.stem: _place(file, path, None, 0, path.stat().st_size)}


def _place_inside(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: IO[bytes]) -> Place:
    with archive.open(member) as stream:
        start = None
        if member.compress_type == zipfile.ZIP_STORED:
            file.seek(member.header_offset)
            start = member.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
        return _place(stream, path, member.filename, start, member.file_size)


def _place(stream: IO[bytes], path: Path, member: str | None, start: int | None, size: int) -> Place:
    """Reads the header of an array of `size` bytes with its header, that starts at `start` of the file."""
    shape, in_columns, dtype = _read_header(stream)
    # What objects take cannot be told, and they are refused anyway.
    needed = stream.tell() + math.prod(shape) * (0 if dtype.hasobject else dtype.itemsize)
    if size < needed:
        raise ValueError(f"{member or 'the array'} is cut short: {size} bytes of {needed}")
    return Place(path, member, shape, dtype, in_columns, None if start is None else start + stream.tell())


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis changes fastest, and type of the values; the stream then stands at the values."""
    if npy.read_magic(stream) == (1, 0):
        return npy.read_array_header_1_0(stream)
    return npy.read_array_header_2_0(stream)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: this file of arrays does not exist; correct the source's settings") from error
    except _DAMAGE as error:
        kind = "npz" if _is_npz(path) else "npy"
        raise DataError(f"{path}: is no whole {kind} file ({error}); get or save it again") from error
