"""TFRecords read without TensorFlow: one image a record, raw as StyleGAN and GANformer write them, or encoded.

A file is a row of records: length (uint64), its masked CRC-32C, the bytes, theirs. The bytes are a `tf.train.Example`
with the features `shape` (channels, height, width) and `data` (uint8 in that order), or with an encoded picture.
"""

import io
import itertools
import math
import re
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, message_factory, text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ganformer.config import ImageSpec, Source
from ganformer.data import decoding
from ganformer.data.containers import shards
from ganformer.data.containers.limits import Limits
from ganformer.data.containers.shards import Shard
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import Picture, read_array, read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

SHAPE, DATA = "shape", "data"  # features of raw images
ENCODED = ("image/encoded", "image_raw", "image", "encoded")  # usual features of encoded ones
LABELS = ("image/class/label", "label")  # usual features of classes
LOWER = "files of lower resolutions"
BLOCK = 1 << 16  # rows of labels looked at in one go

_NAME = re.compile(r"(?P<name>[^.].*)-r(?P<log2>\d\d)\.tfrecords((?P<number>\d+)of(?P<shards>\d+))?")
_USUAL = re.compile(r"[^.].*(\.tfrec(ord)?s?(\d+of\d+|-\d+-of-\d+)?|-\d{5,}-of-\d{5,})", re.DOTALL)
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
AGAIN = "copy or download the file again"


class Config(Source):
    """TFRecords of images, raw in the layout of StyleGAN and GANformer, or encoded as other programs write them.

    Files `{name}-r{log2 of the side}.tfrecords{i}of{n}`: of several resolutions the highest is taken, in the order of
    their numbers. The classes are in `{name}-rxx.labels` beside them (an npy file of one-hot rows or of numbers),
    where it is there: as the writer deals images to the files in turn, record j of file i has label (j - 1) n + i, all
    counted from 1. Others, as `train-00000-of-01024` or `x.tfrecord`: all of a folder, with classes in the records.
    """

    kind: Literal["tfrecords"] = "tfrecords"
    path: Path
    """One of the files, or the folder of all, in which they may be in one sub-folder."""
    feature: str | None = None
    """Name of the feature with the encoded picture. None: a usual one, or the only one that begins as a picture."""
    labels: str | None = None
    """Name of the feature with the number of the class. None: image/class/label or label."""
    limits: Limits | None = None
    """The values of black and white of pictures of floats, or of integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files of every resolution with their labels, and the folders of them."""
        if not self.path.exists():
            return (self.path,)
        files = _found(self.path)
        labels = [labels for folder in {file.parent for file in files} for labels in folder.glob("*.labels")]
        return (self.path, *sorted({*files, *labels} - {self.path}))


class Record(NamedTuple):
    """Location of a record: number of its file, its number and offset in it; and the class of its image."""

    file: int
    number: int
    offset: int
    length: int
    label: int | None


class _Extents(NamedTuple):
    """Offsets and lengths in bytes of all records of a file: int64 [records] each."""

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


class Records(ImageSource[Record]):
    """A key is the place of a record. Another process gets the names of the files, not the places of all records."""

    def __init__(self, config: Config, files: Sequence[Path], image: ImageSpec) -> None:
        self.config, self.files, self.image = config, tuple(files), image

    def __reduce__(self) -> tuple[type["Records"], tuple[Config, tuple[Path, ...], ImageSpec]]:
        return Records, (self.config, self.files, self.image)

    @cached_property
    def extents(self) -> tuple[_Extents, ...]:
        """Places of the records of each file. Raises DataError if a file is cut off."""
        return tuple(_extents(file) for file in self.files)

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], int] | None:
        """Number of the class of each image in the order of writing, and how many classes there are."""
        path = self._file_of_labels
        return _labels(path, [len(extents.offsets) for extents in self.extents]) if path else None

    @property
    def _file_of_labels(self) -> Path | None:
        name = _NAME.fullmatch(self.files[0].name)
        path = self.files[0].with_name(f"{name['name']}-rxx.labels") if name else None
        return path if path and path.exists() else None

    @property
    def left_out(self) -> Mapping[str, int]:
        """Other files of a folder, by suffix, and files of lower resolutions."""
        if not self.config.path.is_dir():
            return {}
        lower = {file for file in _found(self.config.path) if file not in self.files}
        used = {*self.files, *lower, *([self._file_of_labels] if self.image.classes and self._file_of_labels else ())}
        others = shards.beside({file.parent for file in self.files}, used)
        return others + Counter({LOWER: len(lower)})

    @cached_property
    def classes(self) -> int:
        """Columns of the labels, or one more than the largest number among them or in the records."""
        return self.labels[1] if self.labels else self._highest() + 1

    def _highest(self) -> int:
        """Return the largest label in the records, -1 where they have none. Raises DataError if one is negative."""
        highest = -1
        for name, file, key in self._opened(self.keys()):
            try:
                label = self._label(_features(file, key))
            except UnreadableImageError:  # which is said when it is loaded
                continue
            if label is not None and label < 0:
                raise DataError(f"{self.files[0].parent}: {name} has the label {label}, but classes count from 0")
            highest = max(highest, -1 if label is None else label)
        return highest

    def __len__(self) -> int:
        return sum(len(extents.offsets) for extents in self.extents)

    def keys(self) -> Iterator[Record]:
        labels = self.labels if self.image.classes else None
        for file, (offsets, lengths) in enumerate(self.extents):
            for number in range(len(offsets)):
                label = int(labels[0][number * len(self.files) + file]) if labels else None
                yield Record(file, number, int(offsets[number]), int(lengths[number]), label)

    def load(self, keys: Sequence[Record]) -> Iterator[Sample | Rejection]:
        for name, file, key in self._opened(keys):
            try:
                features = _features(file, key)
                label = self._label(features) if self.image.classes and key.label is None else key.label
                yield Sample.of(name, self._picture(features), label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))

    def _opened(self, keys: Iterable[Record]) -> Iterator[tuple[str, IO[bytes], Record]]:
        """Yield each record with its name and its file; one file is open at a time."""
        for number, records in itertools.groupby(keys, key=lambda key: key.file):
            path = self.files[number]
            with path.open("rb") as file:
                yield from ((f"{path.name}[{key.number}]", file, key) for key in records)

    def _picture(self, features: Mapping[str, Any]) -> Picture:
        if self.config.feature is None and SHAPE in features and DATA in features:
            return read_array(_raw(features), self.image)
        name = self.config.feature or _encoded(features)
        values = list(features[name].bytes_list.value) if name in features else []
        if len(values) != 1:
            raise UnreadableImageError(f"has no picture in the feature '{name}'; it has {_listed(features)}")
        return read_image(io.BytesIO(values[0]), self.image, self.config.limits)

    def _label(self, features: Mapping[str, Any]) -> int | None:
        wanted: Sequence[str] = (self.config.labels,) if self.config.labels else LABELS
        for name in wanted:
            if name in features and len(values := features[name].int64_list.value) == 1:
                return int(values[0])
        return None


def open_source(config: Config, image: ImageSpec) -> Records:
    """Open the files of a set.

    Raises DataError if there are none, if some are missing, if there is more than one set of the highest resolution, if
    a file is truncated or does not begin as TFRecords do, or if labels that are asked for do not fit. The number of
    records that a truncated file lost is unknown, so they do not count as unusable images.
    """
    records = Records(config, _shards(config.path), image)
    if not len(records):
        raise DataError(f"{records.files[0]}: there are no records in it; {AGAIN}")
    if image.classes:
        _ = records.labels  # errors in them are raised before anything is packed
    return records


# ------------------------------------------------------------------------------------------------ which files


def is_name(name: str) -> bool:
    """Return whether a file is called as TFRecords usually are."""
    return _USUAL.fullmatch(name) is not None


def _shards(path: Path) -> list[Path]:
    """Return the files of the set that `path` names, in the order of their numbers; DataError if some are missing."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder of TFRecords; correct the source's path")
    files = _found(path)
    if not files:
        looked_for = "{name}-r{log2 of the side}.tfrecords{i}of{n}, *.tfrecord, *-00000-of-00010 and the like"
        raise DataError(f"{path}: no TFRecords in this folder or those right below it; looked for {looked_for}")
    names = {file: name for file in files if (name := _NAME.fullmatch(file.name))}
    if not names:
        return shards.in_order(files, "name one file of the set that is meant")
    if len(names) < len(files):
        others = ", ".join(str(file) for file in files if file not in names)
        raise DataError(f"{path}: several sets of TFRecords, as {others} are of another kind; name one file")
    return _highest_resolution(path, names)


def _highest_resolution(path: Path, names: Mapping[Path, re.Match[str]]) -> list[Path]:
    """Return files of the highest resolution, in the order of their numbers; DataError as for `_shards`."""
    highest = max(int(name["log2"]) for name in names.values())
    side = 2**highest
    files = [file for file in names if int(names[file]["log2"]) == highest]
    sets = {(file.parent, names[file]["name"], int(names[file]["shards"] or 1)) for file in files}
    if len(sets) > 1:
        found = ", ".join(sorted(f"{folder / name} (of {count})" for folder, name, count in sets))
        raise DataError(f"{path}: several sets of TFRecords of {side}×{side} pixels: {found}; name one file")
    (_, _, count) = sets.pop()
    numbered = {int(names[file]["number"] or 1): file for file in files}
    stem = files[0].name.partition(".tfrecords")[0]
    missing = [f"{stem}.tfrecords{number}of{count}" for number in range(1, count + 1) if number not in numbered]
    shards.check_complete(files[0].parent, missing, count)
    return [numbered[number] for number in range(1, count + 1)]


def _found(path: Path) -> list[Path]:
    """Return all TFRecords that `path` can mean: a file stands for all files of its set, if its name is of one."""
    if path.is_dir():
        folders = ("*", "*/*")
        found = ([file for file in path.glob(pattern) if is_name(file.name) and file.is_file()] for pattern in folders)
        return sorted(next(filter(None, found), ()))
    of_set = _set(path.name)
    if of_set is None:
        return [path]
    return sorted(file for file in path.parent.iterdir() if _set(file.name) == of_set)


def _set(name: str) -> tuple[Any, ...] | None:
    """Return part that the names of all files of a set have in common; None if a name is of no set."""
    if match := _NAME.fullmatch(name):
        return match.group("name", "log2", "shards")
    shard = Shard.of(name)
    return (shard.stem, shard.total, shard.suffix) if shard and is_name(name) else None


# ---------------------------------------------------------------------------------------------- content


def _extents(path: Path) -> _Extents:
    """Walk from length to length: 12 bytes a record are read."""
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
        if program := _compressed(path):
            return f"{path}: is compressed as a whole ({program}), which is not read; decompress it"
        return f"{path}: does not begin with a TFRecord (compressed ones are not read); {AGAIN}"
    return f"{path}: is cut off or damaged after {records:,} records, at byte {position:,} of {size:,}; {AGAIN}"


def _compressed(path: Path) -> str | None:
    """Name the compression of a file, of the kinds that TensorFlow knows; None if there is none."""
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"\x1f\x8b":
        return "GZIP"
    return "ZLIB" if start[:1] == b"\x78" and int.from_bytes(start, "big") % 31 == 0 else None


def _masked(data: bytes) -> int:
    """Mask a CRC-32C (rotate by 15 bits, add a constant), so that data containing checksums can be checksummed."""
    checksum: int = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(file: IO[bytes], key: Record) -> Mapping[str, Any]:
    """Return the features of a record. Raises UnreadableImageError if its checksum differs."""
    file.seek(key.offset)
    data = file.read(key.length)
    if file.read(_CHECKSUM.size) != _CHECKSUM.pack(_masked(data)):
        raise UnreadableImageError("its bytes do not match their checksum")
    try:
        features: Mapping[str, Any] = _example().FromString(data).features.feature
    except DecodeError as error:
        raise UnreadableImageError("is not a tf.train.Example") from error
    return features


def _raw(features: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the image [H, W, C] of a record. Raises UnreadableImageError if its shape does not fit its bytes."""
    shape, parts = list(features[SHAPE].int64_list.value), features[DATA].bytes_list.value
    if len(shape) != 3 or min(shape) < 1 or len(parts) != 1 or len(parts[0]) != math.prod(shape):
        raise UnreadableImageError(f"has {list(map(len, parts))} bytes of data for a shape (CHW) of {shape}")
    return np.frombuffer(parts[0], np.uint8).reshape(shape).transpose(1, 2, 0)


def _encoded(features: Mapping[str, Any]) -> str:
    """Return the name of the feature with the picture. Raises UnreadableImageError unless there is exactly one."""
    single = {name: values[0] for name in features if len(values := features[name].bytes_list.value) == 1}
    pictures = sorted(name for name, value in single.items() if decoding.recognise(value[: decoding.START]))
    possible = pictures or [name for name in ENCODED if name in single]
    if len(possible) > 1:
        raise UnreadableImageError(f"has pictures in several features ({', '.join(possible)}); name one in feature")
    if not possible:
        raise UnreadableImageError(
            f"has neither raw pixels (shape and data) nor an encoded picture; it has {_listed(features)}"
        )
    return possible[0]


def _listed(features: Mapping[str, Any]) -> str:
    """Return the features in words."""
    kinds = {"bytes_list": "bytes", "int64_list": "int64", "float_list": "float"}
    found = [
        f"'{name}' {kinds[kind]} [{len(getattr(features[name], kind).value)}]"
        for name in sorted(features)
        for kind in kinds
        if features[name].HasField(kind)
    ]
    return ", ".join(found) or "no features"


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
  field { name: "float_list" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.FloatList" }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".ganformer.Int64List" } }
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
"""


@cache
def _example() -> Any:
    """Return the message `tf.train.Example`."""
    file = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    return message_factory.GetMessages([file])["ganformer.Example"]


# ------------------------------------------------------------------------------------------------------- labels


def _labels(path: Path, counts: Sequence[int]) -> tuple[NDArray[np.int64], int]:
    """Return number of the class of each image in the order of writing, and how many classes there are."""
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
