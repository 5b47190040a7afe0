"""Pictures in a column of Parquet files, as Hugging Face's `datasets` publishes them."""

import importlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data.containers import shards
from ganformer.data.containers.labels import MAX_LABEL
from ganformer.data.containers.limits import Limits
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import Picture, read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

SUFFIX = ".parquet"
COLUMN, LABELS = "image", "label"  # columns where none are named
BYTES, PATH = "bytes", "path"  # of a picture
ROWS = 16  # in memory at a time
BUFFER = 1 << 20  # bytes of a column read in one go


class Config(Source):
    """A column of encoded pictures in a Parquet file, or in all of a folder.

    It is of bytes, or of `bytes` and `path` as Hugging Face's `datasets` writes it. Files are read page by page.
    """

    kind: Literal["parquet"] = "parquet"
    path: Path
    """The file, or the folder of files, in which they may be in one sub-folder."""
    column: str | None = None
    """Name of the column of pictures. None: `image`, or the only one that can hold pictures."""
    labels: str | None = None
    """Name of the column of whole numbers that are classes. None: `label`, where it is there."""
    split: str | None = None
    """Chooses among several sets of files in a folder: how their names begin, as train in
    `train-00000-of-00010.parquet`."""
    limits: Limits | None = None
    """The values of black and white of pictures of floats, or of integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files, and the folder of them."""
        return (self.path, *_found(self)) if self.path.is_dir() else (self.path,)


class Row(NamedTuple):
    """Place of a picture: numbers of its file, its group of rows, its row in that and in the file; and its label."""

    file: int
    group: int
    row: int
    number: int
    label: int | None


class Pictures(ImageSource[Row]):
    """Rows of files; every process reads the rows that it loads itself."""

    def __init__(self, config: Config, files: Sequence[Path], column: str, image: ImageSpec) -> None:
        self.config, self.files, self.column, self.image = config, tuple(files), column, image
        self._reader: _Reader | None = None

    def __reduce__(self) -> tuple[type["Pictures"], tuple[Config, tuple[Path, ...], str, ImageSpec]]:
        return Pictures, (self.config, self.files, self.column, self.image)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Number of rows in each group of each file. Raises DataError if a file is damaged."""
        return tuple(_groups(file, self.column) for file in self.files)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Pictures of other columns, and other files of a folder, by suffix."""
        schema = _schema(self.files[0])
        others = [name for name in schema.names if name != self.column and _can_be_pictures(schema.field(name).type)]
        left_out = Counter({f"in column {name}": len(self) for name in others})
        is_folder = self.config.path.is_dir()
        return left_out + (shards.beside({file.parent for file in self.files}, self.files) if is_folder else Counter())

    @property
    def class_names(self) -> Sequence[str]:
        """Names that `datasets` has noted in the first file."""
        return _class_names(self.files[0], self.config.labels or LABELS)

    @cached_property
    def classes(self) -> int:
        """Number of classes: of their names, else one more than the highest label."""
        if not self._labels:
            return 0
        named = len(self.class_names)
        highest = max((label for label in self._numbers() if label is not None), default=-1)
        return max(named, highest + 1)

    def __len__(self) -> int:
        return sum(map(sum, self.groups))

    def keys(self) -> Iterator[Row]:
        labels = self._numbers() if self.image.classes and self._labels else itertools.repeat(None)
        for file, groups in enumerate(self.groups):
            number = itertools.count()
            for group, rows in enumerate(groups):
                for row in range(rows):
                    yield Row(file, group, row, next(number), next(labels))

    def load(self, keys: Sequence[Row]) -> Iterator[Sample | Rejection]:
        for key in keys:
            name = f"{self.files[key.file].name}[{key.number}]"
            try:
                yield Sample.of(name, self._picture(self._value(key)), key.label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))

    @cached_property
    def _labels(self) -> str | None:
        """Column of the labels, None: there is none. Raises DataError if it is not one of whole numbers."""
        name = self.config.labels or LABELS
        for file in self.files:
            schema = _schema(file)
            if name not in schema.names:
                if self.config.labels:
                    raise DataError(f"{file}: has no column '{name}'; correct labels. There is {_listed(schema)}")
                return None
            kind = schema.field(name).type
            if not str(kind).startswith(("int", "uint")):
                raise DataError(
                    f"{file}: column '{name}' of {kind} has no labels, which are whole numbers; name another in labels"
                )
        return name

    def _numbers(self) -> Iterator[int | None]:
        """Yield the label of each row; None if it is empty or −1, as `datasets` writes missing ones."""
        assert self._labels is not None
        for file in self.files:
            with _explained(file):
                for batch in _open(file).iter_batches(batch_size=1 << 16, columns=[self._labels]):
                    yield from (self._number(file, value) for value in batch.column(0).to_pylist())

    def _number(self, file: Path, value: int | None) -> int | None:
        if value is not None and not -1 <= value <= MAX_LABEL:
            raise DataError(f"{file}: label {value}, but classes count from 0 to at most {MAX_LABEL}")
        return None if value == -1 else value

    def _value(self, key: Row) -> Any:
        reader = self._reader
        if reader is None or reader.place != (key.file, key.group) or key.row < reader.start:
            reader = self._reader = _Reader(self.files[key.file], self.column, (key.file, key.group))
        return reader.value(key.row)

    def _picture(self, value: Any) -> Picture:
        content = value.get(BYTES) if isinstance(value, dict) else value
        if content is None:
            path = value.get(PATH) if isinstance(value, dict) else None
            why = f" but the path '{path}', which leads out of this file" if path else ""
            raise UnreadableImageError(f"has no bytes of a picture{why}")
        return read_image(io.BytesIO(content), self.image, self.config.limits)


class _Reader:
    """Reads a group of rows from front to back, a few rows at a time, however large the group is."""

    def __init__(self, path: Path, column: str, place: tuple[int, int]) -> None:
        self.place, self.start, self._path = place, 0, path
        with _explained(path):
            self._batches = _open(path).iter_batches(batch_size=ROWS, row_groups=[place[1]], columns=[column])
        self._rows: list[Any] = []

    def value(self, row: int) -> Any:
        """Return the value of a row that is not before those read last."""
        while row >= self.start + len(self._rows):
            self.start += len(self._rows)
            with _explained(self._path):
                batch = next(self._batches, None)
                if batch is None:
                    raise ValueError("a group has fewer rows than it is said to have")
                self._rows = batch.column(0).to_pylist()
        return self._rows[row - self.start]


def open_source(config: Config, image: ImageSpec) -> Pictures:
    """Return the images; DataError if pyarrow or files are missing or damaged, or no column can hold pictures."""
    _parquet()
    if not config.path.exists():
        raise DataError(f"{config.path}: there is no such file or folder of Parquet; correct the source's path")
    files = [config.path]
    if config.path.is_dir():
        found = _found(config)
        if not found:
            names = f"{config.split or ''}*{SUFFIX}"
            raise DataError(
                f"{config.path}: no files {names} in this folder or those right below it; correct the source"
            )
        files = shards.in_order(found, "name in split how the files that are meant begin")
    pictures = Pictures(config, files, _column(files[0], config.column), image)
    if not len(pictures):
        raise DataError(f"{config.path}: has no rows; choose a file that is not empty")
    return pictures


def _found(config: Config) -> list[Path]:
    """Return the files of a folder, or of the folders right below it, of the split that is meant."""
    for pattern in (f"*{SUFFIX}", f"*/*{SUFFIX}"):
        names = (path for path in config.path.glob(pattern) if path.name[0] != "." and path.is_file())
        if found := sorted(path for path in names if path.name.startswith(config.split or "")):
            return found
    return []


def _column(file: Path, wanted: str | None) -> str:
    """Return name of the column of pictures. Raises DataError with what there is where it is not clear."""
    schema = _schema(file)
    possible = [name for name in schema.names if _can_be_pictures(schema.field(name).type)]
    if wanted is not None:
        if wanted not in schema.names:
            raise DataError(f"{file}: has no column '{wanted}'; correct column. There is {_listed(schema)}")
        if wanted not in possible:
            kind = schema.field(wanted).type
            raise DataError(
                f"{file}: column '{wanted}' of {kind} holds no pictures, which are binary or struct<bytes, path>"
            )
        return wanted
    if COLUMN in possible or len(possible) == 1:
        return COLUMN if COLUMN in possible else possible[0]
    what = "several columns can be pictures; name one in column" if possible else "no column can be pictures"
    raise DataError(f"{file}: {what}. There is {_listed(schema)}")


def _can_be_pictures(kind: Any) -> bool:
    text = str(kind)
    if text.startswith("dictionary<values="):
        text = text.removeprefix("dictionary<values=").partition(",")[0]
    is_binary = text in ("binary", "large_binary", "binary_view") or text.startswith("fixed_size_binary")
    return is_binary or (text.startswith("struct<") and f"{BYTES}: " in text)


def _listed(schema: Any) -> str:
    return ", ".join(f"'{name}' {schema.field(name).type}" for name in schema.names)


def _class_names(file: Path, column: str) -> list[str]:
    """Return names of the classes in the schema's metadata; none if there are none."""
    try:
        noted = json.loads((_schema(file).metadata or {}).get(b"huggingface", b"{}"))
        feature = noted.get("info", {}).get("features", {}).get(column, {})
        names = feature.get("names") if isinstance(feature, dict) else None
    except (ValueError, AttributeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _groups(file: Path, column: str) -> tuple[int, ...]:
    schema = _schema(file)
    if column not in schema.names or not _can_be_pictures(schema.field(column).type):
        raise DataError(
            f"{file}: has no pictures in column '{column}' as the first file has; {_listed(schema)} is there"
        )
    with _explained(file):
        metadata = _open(file).metadata
        return tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))


def _schema(file: Path) -> Any:
    with _explained(file):
        return _open(file).schema_arrow


def _open(file: Path) -> Any:
    # A column is read in batches then, not whole.
    return _parquet().ParquetFile(file, memory_map=False, pre_buffer=False, buffer_size=BUFFER)


def _parquet() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError("Parquet needs the package pyarrow, which is not installed; pip install pyarrow") from error


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{file}: this Parquet file does not exist; correct the source's path") from error
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError) as error:  # pyarrow's are kinds of these
        reason = str(error).partition("\n")[0]
        raise DataError(f"{file}: is no whole Parquet file ({reason}); copy or download it again") from error
