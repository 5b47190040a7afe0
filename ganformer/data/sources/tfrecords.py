"""TFRecords as StyleGAN and GANformer write them, read without TensorFlow: one image a record, as raw pixels.

A file is a row of records: length (uint64), its masked CRC-32C, the bytes, theirs. The bytes are a `tf.train.Example`
with the features `shape` (channels, height, width) and `data` (uint8 in that order).
"""

import math
import re
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, message_factory, text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ganformer.config import ImageSpec, Source
from ganformer.data.images import UnreadableImageError, read_array
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

PATTERNS = ("*.tfrecords*", "*/*.tfrecords*")
SHOWN = 20  # missing files that a message names
BLOCK = 1 << 16  # rows of labels looked at in one go

_NAME = re.compile(r"(?P<name>[^.].*)-r(?P<log2>\d\d)\.tfrecords((?P<number>\d+)of(?P<shards>\d+))?")
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
AGAIN = "copy or download the file again"


class Config(Source):
    """TFRecords in the layout of StyleGAN and GANformer: `{name}-r{log2 of the side}.tfrecords{i}of{n}`.

    Of several resolutions the highest is taken, its files in the order of their numbers. The classes are those of
    `{name}-rxx.labels` beside them (an npy file of one-hot rows or of numbers), where it is there: as the writer deals
    images to the files in turn, record j of file i has label (j - 1) n + i, all counted from 1.
    """

    path: Path
    """One of the files, or the folder of all, in which they may lie in one sub-folder."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files of every resolution with their labels, and the folders of them."""
        if not self.path.exists():
            return (self.path,)
        files = _found(self.path)
        labels = [labels for folder in {file.parent for file in files} for labels in folder.glob("*.labels")]
        return (self.path, *sorted({*files, *labels} - {self.path}))


class Record(NamedTuple):
    """Where a record is: number of its file, its number there, and its bytes there; and the class of its image."""

    file: int
    number: int
    offset: int
    length: int
    label: int | None


class _Extents(NamedTuple):
    """Where the bytes of all records of a file begin, and how many they are: int64 [records] each."""

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


class Records(ImageSource[Record]):
    """A key is the place of a record. Another process gets the names of the files, not the places of all records."""

    def __init__(self, files: Sequence[Path], image: ImageSpec) -> None:
        self.files, self.image = tuple(files), image

    def __reduce__(self) -> tuple[type["Records"], tuple[tuple[Path, ...], ImageSpec]]:
        return Records, (self.files, self.image)

    @cached_property
    def extents(self) -> tuple[_Extents, ...]:
        """Places of the records of each file. Raises DataError where a file is cut off."""
        return tuple(_extents(file) for file in self.files)

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], int] | None:
        """Number of the class of each image in the order of writing, and how many classes there are."""
        name = _NAME.fullmatch(self.files[0].name)
        path = self.files[0].with_name(f"{name['name']}-rxx.labels") if name else None
        return _labels(path, [len(extents.offsets) for extents in self.extents]) if path and path.exists() else None

    @property
    def classes(self) -> int:
        """Columns of the labels, or one more than the largest number among them."""
        return self.labels[1] if self.labels else 0

    def __len__(self) -> int:
        return sum(len(extents.offsets) for extents in self.extents)

    def keys(self) -> Iterator[Record]:
        labels = self.labels if self.image.classes else None
        for file, (offsets, lengths) in enumerate(self.extents):
            for number in range(len(offsets)):
                label = int(labels[0][number * len(self.files) + file]) if labels else None
                yield Record(file, number, int(offsets[number]), int(lengths[number]), label)

    def load(self, keys: Sequence[Record]) -> Iterator[Sample | Rejection]:
        with ExitStack() as stack:
            opened: dict[int, IO[bytes]] = {}
            for key in keys:
                if key.file not in opened:
                    opened[key.file] = stack.enter_context(self.files[key.file].open("rb"))
                name = f"{self.files[key.file].name}[{key.number}]"
                try:
                    yield Sample(name, read_array(_pixels(opened[key.file], key), self.image), label=key.label)
                except UnreadableImageError as error:
                    yield Rejection(name, str(error))


def open_source(config: Config, image: ImageSpec) -> Records:
    """Raises DataError where there are no such files, not all of a set, more than one set of the highest resolution,
    where a file is cut off or does not begin as TFRecords do, and where labels that are asked for do not fit.

    How many records a broken file has lost is not known, so it does not count as so many unusable images.
    """
    records = Records(_shards(config.path), image)
    if not len(records):
        raise DataError(f"{records.files[0]}: there are no records in it; {AGAIN}")
    if image.classes:
        _ = records.labels  # what is wrong with them is to be known before anything is packed
    return records


# ------------------------------------------------------------------------------------------------ which files


def _shards(path: Path) -> list[Path]:
    """The files of the set that `path` names, in the order of their numbers; DataError where some are missing."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder of TFRecords; correct the source's path")
    files = _found(path)
    if not files:
        looked_for = "{name}-r{log2 of the side}.tfrecords{i}of{n}"
        raise DataError(f"{path}: no TFRecords in this folder or those right below it; looked for {looked_for}")
    names = {file: name for file in files if (name := _NAME.fullmatch(file.name))}
    if not names:
        return files
    highest = max(int(name["log2"]) for name in names.values())
    side = 2**highest
    files = [file for file in names if int(names[file]["log2"]) == highest]
    sets = {(file.parent, names[file]["name"], int(names[file]["shards"] or 1)) for file in files}
    if len(sets) > 1:
        found = ", ".join(sorted(f"{folder / name} (of {count})" for folder, name, count in sets))
        raise DataError(f"{path}: several sets of TFRecords of {side}×{side} pixels: {found}; name one file")
    (_, _, count) = sets.pop()
    numbered = {int(names[file]["number"] or 1): file for file in files}
    _check_complete(files[0], numbered, count)
    return [numbered[number] for number in range(1, count + 1)]


def _found(path: Path) -> list[Path]:
    """All TFRecords that `path` can mean: a file stands for those of its set, if its name tells of one."""
    if path.is_dir():
        found = ([file for file in path.glob(pattern) if _NAME.fullmatch(file.name)] for pattern in PATTERNS)
        return sorted(next(filter(None, found), ()))
    name = _NAME.fullmatch(path.name)
    if name is None:
        return [path]
    others = ((file, _NAME.fullmatch(file.name)) for file in path.parent.iterdir())
    same = ("name", "log2", "shards")
    return sorted(file for file, other in others if other and other.group(*same) == name.group(*same))


def _check_complete(one: Path, numbered: dict[int, Path], count: int) -> None:
    missing = sorted(set(range(1, count + 1)) - set(numbered))
    if missing:
        stem = one.name.partition(".tfrecords")[0]
        names = [f"  {stem}.tfrecords{number}of{count}" for number in missing[:SHOWN]]
        more = [f"  … and {len(missing) - SHOWN} more"] if len(missing) > SHOWN else []
        raise DataError(
            "\n".join([f"{one.parent}: {len(missing)} of {count} files are missing; download them too", *names, *more])
        )


# ---------------------------------------------------------------------------------------------- what is in them


def _extents(path: Path) -> _Extents:
    """Walks from length to length: 12 bytes a record are read."""
    offsets, lengths = array("q"), array("q")
    size, position = path.stat().st_size, 0
    with path.open("rb", buffering=0) as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, None)
            if checksum != _masked(header[:8]) or position + _HEADER.size + length + _CHECKSUM.size > size:
                raise DataError(_broken(path, len(offsets), position, size))
            offsets.append(position + _HEADER.size)
            lengths.append(length)
            position += _HEADER.size + length + _CHECKSUM.size
    return _Extents(np.asarray(offsets, np.int64), np.asarray(lengths, np.int64))


def _broken(path: Path, records: int, position: int, size: int) -> str:
    if not records:
        return f"{path}: does not begin with a TFRecord (compressed ones are not read); {AGAIN}"
    return f"{path}: is cut off or damaged after {records:,} records, at byte {position:,} of {size:,}; {AGAIN}"


def _masked(data: bytes) -> int:
    """CRC-32C turned by 15 bits, plus a constant: a sum over bytes that have sums in them is no sum of its own then."""
    checksum: int = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _pixels(file: IO[bytes], key: Record) -> NDArray[np.uint8]:
    """The image [H, W, C] of a record. Raises UnreadableImageError where its bytes are not those that were written."""
    file.seek(key.offset)
    data = file.read(key.length)
    if file.read(_CHECKSUM.size) != _CHECKSUM.pack(_masked(data)):
        raise UnreadableImageError("its bytes do not match their checksum")
    try:
        features = _example().FromString(data).features.feature
    except DecodeError as error:
        raise UnreadableImageError("is not a tf.train.Example") from error
    shape, parts = list(features["shape"].int64_list.value), features["data"].bytes_list.value
    if len(shape) != 3 or min(shape) < 1 or len(parts) != 1 or len(parts[0]) != math.prod(shape):
        raise UnreadableImageError(f"has {list(map(len, parts))} bytes of data for a shape (CHW) of {shape}")
    return np.frombuffer(parts[0], np.uint8).reshape(shape).transpose(1, 2, 0)


# What images need of tensorflow/core/example/{example,feature}.proto.
_SCHEMA = """
name: "ganformer/example.proto" package: "ganformer" syntax: "proto3"
message_type { name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.Features" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".ganformer.Features.Entry" }
  nested_type { name: "Entry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.Feature" } } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.BytesList" }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.Int64List" } }
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
"""


@cache
def _example() -> Any:
    """The message `tf.train.Example`."""
    file = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    return message_factory.GetMessages([file])["ganformer.Example"]


# ------------------------------------------------------------------------------------------------------- labels


def _labels(path: Path, counts: Sequence[int]) -> tuple[NDArray[np.int64], int]:
    """Number of the class of each image in the order of writing, and how many classes there are."""
    dealt = [len(range(number, sum(counts), len(counts))) for number in range(len(counts))]
    if list(counts) != dealt:
        raise DataError(
            f"{path}: the files beside these labels were not dealt their images in turn ({list(counts)} records), so "
            "which label is whose is not known; move the labels away to do without them"
        )
    try:
        labels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no npy file of labels ({error}); {AGAIN}, or move it away") from error
    if labels.ndim not in (1, 2) or len(labels) != sum(counts) or labels.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: {labels.dtype} labels of shape {list(labels.shape)} for {sum(counts)} images; one number or "
            "one-hot row an image is needed, or move the labels away"
        )
    return _one_hot(path, labels) if labels.ndim == 2 else _numbers(path, labels)


def _numbers(path: Path, labels: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    if not ((labels >= 0) & (labels < 1 << 31)).all() or (labels % 1 != 0).any():
        raise DataError(f"{path}: labels must be whole numbers from 0, or one-hot rows; write them so")
    numbers = labels.astype(np.int64)
    return numbers, int(numbers.max()) + 1


def _one_hot(path: Path, labels: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    numbers = np.empty(len(labels), np.int64)
    for start in range(0, len(labels), BLOCK):
        rows = labels[start : start + BLOCK]
        wrong = (rows.max(axis=1) != 1) | (np.count_nonzero(rows, axis=1) != 1)
        if wrong.any():
            raise DataError(f"{path}: row {start + int(wrong.argmax())} is not one-hot (one 1 among 0s); write it so")
        numbers[start : start + BLOCK] = rows.argmax(axis=1)
    return numbers, labels.shape[1]
