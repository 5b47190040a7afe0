"""Images in an array of a npy or npz file, at most one of them in memory."""

import itertools
import math
import struct
import zipfile
from bisect import bisect_right
from collections import Counter
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
from ganformer.data.containers import layouts
from ganformer.data.containers.layouts import ArrayImages, ArrayKey, ArraySettings, Candidate, Labels, Stack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources.folder import kind_of_name
from ganformer.errors import DataError
from ganformer.records.npz import DAMAGED

MEMBER = ".npy"  # what members of a npz end with
LABELS_BESIDE = "-labels.npy"
BATCH_ROWS = 1 << 16  # labels read in one go
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member, in front of its name and extra field


class Config(ArraySettings):
    """An array in a npy or npz file: a batch of images or one image, of 1, 3 or 4 channels, or a batch of grey ones.

    Arrays of one type and shape of images that were saved to a npy one behind the other are one batch.
    Labels are an array of the same npz, `labels` where none is named; for a npy they are another npy in its folder,
    NAME-labels.npy beside NAME.npy where none is named. Compressed arrays are read from front to back.
    """

    kind: Literal["arrays"] = "arrays"
    array: str | None = None
    """Name of the array in a npz. None: the only one that can be images."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file, and the file of labels of a npy."""
        beside = None if _is_npz(self.path) else _file_beside(self)
        return (self.path,) if beside is None else (self.path, beside)


@dataclass(frozen=True)
class Place:
    """Location of an array in a file: at `offset`, or compressed in a member of a zip if that is None."""

    path: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_columns: bool
    """True if the first axis changes fastest (Fortran's order)."""
    offset: int | None

    @property
    def outline(self) -> Candidate:
        """The kind that it is taken for."""
        return Candidate(self.shape, self.dtype)

    @property
    def where(self) -> str:
        """Names the array in messages."""
        return str(self.path) if self.member is None else f"{self.path}: array '{self.member.removesuffix(MEMBER)}'"

    @property
    def size(self) -> int:
        """Bytes of the values; what objects take cannot be told, and they are refused anyway."""
        return math.prod(self.shape) * (0 if self.dtype.hasobject else self.dtype.itemsize)

    @property
    def end(self) -> int:
        """Position of the array's end in the file."""
        assert self.offset is not None
        return self.offset + self.size

    def map(self) -> NDArray[Any]:
        """Return the array, mapped into memory."""
        assert self.offset is not None
        order: Literal["C", "F"] = "F" if self.in_columns else "C"
        with _explained(self.path):
            return np.memmap(self.path, self.dtype, mode="r", offset=self.offset, shape=self.shape, order=order)

    def batches(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield the array in batches of up to `rows` along its first axis."""
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
    """Images of arrays of one shape and type; other processes map the file themselves."""

    def __init__(self, config: Config, places: Sequence[Place], layout: Stack, image: ImageSpec) -> None:
        super().__init__(layout, image)
        self.config, self._places = config, tuple(places)
        counts = [1 if layout.is_single else place.shape[layout.axes.index("N")] for place in places]
        self._ends = list(itertools.accumulate(counts))
        self._maps: dict[int, NDArray[Any]] = {}

    def __reduce__(self) -> tuple[type["Arrays"], tuple[Config, tuple[Place, ...], Stack, ImageSpec]]:
        return Arrays, (self.config, self._places, self.stack, self.image)

    def __len__(self) -> int:
        return self._ends[-1]

    @cached_property
    def labels(self) -> Labels | None:
        place = _labels(self.config)
        if place is None:
            return None
        _check_order(place)
        return layouts.read_labels(place.outline, place.batches(BATCH_ROWS), len(self), place.where)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Other arrays of a npz, and its members that are none, by suffix."""
        if not _is_npz(self.config.path):
            return {}
        with _explained(self.config.path), zipfile.ZipFile(self.config.path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
        used = {self._places[0].member}
        if self.image.classes and (labels := _labels(self.config)):
            used.add(labels.member)
        return Counter(
            layouts.OTHERS if name.endswith(MEMBER) else kind_of_name(name) for name in names if name not in used
        )

    def keys(self) -> Iterator[ArrayKey]:
        place = self._places[0]
        if place.offset is not None:
            return super().keys()
        batch = replace(place, shape=(1, *place.shape)) if self.stack.is_single else place
        items = batch.batches(1)
        return (key._replace(content=item.tobytes()) for key, item in zip(super().keys(), items, strict=True))

    def load(self, keys: Sequence[ArrayKey]) -> Iterator[Sample | Rejection]:
        self._maps = {}  # opened again: pages of the last maps that were read count as memory
        return super().load(keys)

    def item(self, key: ArrayKey) -> NDArray[Any]:
        if key.content is not None:
            shape = self._places[0].shape
            return np.frombuffer(key.content, self._places[0].dtype).reshape(
                shape if self.stack.is_single else shape[1:]
            )
        number = bisect_right(self._ends, key.number)
        if number not in self._maps:
            self._maps[number] = self._places[number].map()
        before = self._ends[number - 1] if number else 0
        return np.asarray(self._maps[number][self.stack.at(key.number - before)])


def open_source(config: Config, image: ImageSpec) -> Arrays:
    """Return the images; DataError if the file is missing or damaged, or has no array of images as described.

    Labels are looked at when they are first asked for, and then may be a DataError.
    """
    arrays = _places(config.path)
    outlines = {name: places[0].outline for name, places in arrays.items()}
    name = layouts.choose(outlines, config, config.array, "array", str(config.path))
    first, *others = arrays[name]
    layout = layouts.stack(first.outline, name, config, first.where)
    for place in others:
        _check_alike(first, place, layout)
    _check_order(first)
    if first.offset is None and layout.axes.find("N") > 0:
        raise DataError(
            f"{first.where}: is compressed, so that images which do not lie along the first axis cannot be read one by "
            "one; save it with numpy.savez, or with N as its first axis"
        )
    return Arrays(config, (first, *others), layout, image)


def _check_alike(first: Place, place: Place, layout: Stack) -> None:
    """Raise DataError if an array behind the first one has other images."""
    shapes = [
        [size for axis, size in zip(layout.axes, one.shape, strict=False) if axis != "N"] for one in (first, place)
    ]
    if len(place.shape) != len(first.shape) or shapes[0] != shapes[1] or place.dtype != first.dtype:
        assert place.offset is not None
        left = place.path.stat().st_size - first.end
        raise DataError(
            f"{first.where}: {left} bytes are left behind the array {layouts.describe(first.outline)}, and in them an "
            f"array {layouts.describe(place.outline)} that has other images or none; save each to a file of its own"
        )


def _check_order(place: Place) -> None:
    """Raise DataError if an array cannot be read in batches."""
    if place.offset is None and place.in_columns:
        raise DataError(
            f"{place.where}: is compressed in Fortran's order, so that no part can be read without all others; "
            "save it with numpy.savez, or pass numpy.ascontiguousarray(array) to numpy.savez_compressed"
        )


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _labels(config: Config) -> Place | None:
    """Return the array of labels, if one is named or there is one. Raises DataError if the named one is missing."""
    if not _is_npz(config.path):
        path = _file_beside(config)
        if path is None:
            return None
        ((place, *others),) = _places(path).values()
        if others:
            raise DataError(f"{path}: several arrays are in this file of labels; save the labels alone")
        return place
    arrays = {name: places[0] for name, places in _places(config.path).items()}
    if config.labels is None:
        return arrays.get(layouts.LABELS)
    if not config.labels:
        return None
    outlines = {name: place.outline for name, place in arrays.items()}
    return arrays[layouts.choose(outlines, config, config.labels, "labels", str(config.path))]


def _file_beside(config: Config) -> Path | None:
    """Return file of the labels of a npy, where one is named or there is one."""
    if config.labels is not None:
        return config.path.parent / config.labels if config.labels else None
    beside = config.path.with_name(config.path.stem + LABELS_BESIDE)
    return beside if beside.is_file() else None


def _places(path: Path) -> dict[str, list[Place]]:
    """Return the arrays of a file by name; arrays of a npy are named after the file, in their order."""
    with _explained(path):
        if _is_npz(path):
            with zipfile.ZipFile(path) as archive, path.open("rb") as file:
                members = [member for member in archive.infolist() if member.filename.endswith(MEMBER)]
                return {
                    member.filename[: -len(MEMBER)]: [_place_inside(path, archive, member, file)] for member in members
                }
        with path.open("rb") as file:
            return {path.stem: _chain(path, file)}


def _place_inside(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: IO[bytes]) -> Place:
    with archive.open(member) as stream:
        start = None
        if member.compress_type == zipfile.ZIP_STORED:
            file.seek(member.header_offset)
            start = member.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
        place = _place(stream, path, member.filename, start, member.file_size)
        left = member.file_size - stream.tell() - place.size
        if left and not place.dtype.hasobject:
            raise ValueError(f"{left} bytes are left behind the array in {member.filename}")
        return place


def _chain(path: Path, file: IO[bytes]) -> list[Place]:
    """Return arrays one behind the other, as several calls of numpy.save with an open file leave them."""
    size, places = path.stat().st_size, list[Place]()
    while not places or (file.tell() < size and not places[-1].dtype.hasobject):
        start = file.tell()
        if places and file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise ValueError(f"{size - start} bytes are left behind its {len(places)} arrays, and are no array")
        file.seek(start)
        place = _place(file, path, None, 0, size)
        file.seek(place.end)
        places.append(place)
    return places


def _place(stream: IO[bytes], path: Path, member: str | None, start: int | None, size: int) -> Place:
    """Read the header of an array where a stream of `size` bytes, which starts at `start` of the file, stands."""
    shape, in_columns, dtype = _read_header(stream)
    place = Place(path, member, shape, dtype, in_columns, None if start is None else start + stream.tell())
    if size < stream.tell() + place.size:
        raise ValueError(f"{member or 'the array'} is cut short: {size} bytes of {stream.tell() + place.size}")
    return place


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, whether the first axis changes fastest, and type of the values; the stream is then at the values."""
    if npy.read_magic(stream) == (1, 0):
        return npy.read_array_header_1_0(stream)
    return npy.read_array_header_2_0(stream)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: this file of arrays does not exist; correct the source's settings") from error
    except DAMAGED as error:
        kind = "npz" if _is_npz(path) else "npy"
        raise DataError(f"{path}: is no whole {kind} file ({error}); get or save it again") from error
