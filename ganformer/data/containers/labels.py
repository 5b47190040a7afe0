"""Labels of image files: from a table, from a `dataset.json` of StyleGAN2-ADA, or from the folders they are in.

Names are paths below the top of the data set, with forward slashes.
"""

import csv
import hashlib
import itertools
import json
import re
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ganformer.errors import DataError

DATASET_JSON = "dataset.json"
COLUMNS = ("path", "label")
MAX_LABEL = 2**31 - 1  # packs keep labels as int32

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)
# Parts of a data set, alone or with a year or an addition: train, train2017, val_256, train_extra, test-dev.
_SPLIT = re.compile(
    r"(train(ing|val)?|test(ing)?|val(id(ation)?)?|dev|eval|extra|unlabell?ed)([-_]?(\d+|set|images?|extra|dev|std))*",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t\n\r]*")
_RANGE = f"is no whole number from 0 to {MAX_LABEL}"
_EXPECTED = (
    'write {"labels": [["folder/image.png", 0], …]}, the same as a mapping, {"labels": {"folder/image.png": 0, …}}, '
    'or {"labels": null} for none'
)
_DECODER = json.JSONDecoder()


class Labels(Protocol):
    """Mapping of images to labels."""

    @property
    def classes(self) -> int:
        """Number of classes; 0: there are no labels."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the classes in the order of their numbers; empty if they have only numbers."""

    def find(self, name: str) -> int | None:
        """Return number of the class of an image, or None if it has none."""


class Labelled(ABC):
    """A source of images whose labels come from a table or from folders."""

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """Labels of the images; DataError if what should hold them does not."""

    @property
    def classes(self) -> int:
        """Number of classes of the labels."""
        return self.labels.classes

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, where they have some."""
        return self.labels.names

    @property
    def class_hint(self) -> str:
        """Advice where one folder holds all others."""
        return self.labels.hint if isinstance(self.labels, FolderLabels) else ""


class FolderLabels:
    """The class of an image is the folder right below the top that it is in.

    `folders`: folders that hold images at any depth. They count in the order of their names, numbers by their size.
    `choose` says how another folder is made the top, with {} for its name.
    """

    def __init__(self, folders: Iterable[str], choose: str = "choose the folder {}") -> None:
        self.names = ordered(folders)
        """The folders' names, in order."""
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._choose = choose

    @property
    def classes(self) -> int:
        """One for every folder. Raises DataError if they are splits of a data set rather than classes."""
        if len(self.names) > 1 and all(map(is_split, self.names)):
            raise DataError(
                f"the folders at the top ({', '.join(self.names)}) are splits of a data set, not classes; to have one "
                f"of them, with the folders in it as classes, {self._choose.format(self.names[-1])}"
            )
        return len(self.names)

    @property
    def hint(self) -> str:
        """Advice how to get at the classes where a single folder holds all images; else empty."""
        if len(self.names) != 1:
            return ""
        return f"if the classes are the folders in '{self.names[0]}', {self._choose.format(self.names[0])}"

    def find(self, name: str) -> int | None:
        """Return number of the folder; images that are in none have no label."""
        folder, slash, _ = name.partition("/")
        return self._numbers.get(folder) if slash else None


def is_split(name: str) -> bool:
    """Return whether a file or folder is called like a part of a data set, such as train or val2017."""
    return _SPLIT.fullmatch(name) is not None


def ordered(names: Iterable[str]) -> list[str]:
    """Return names of classes in their order: whole numbers first, by their size, then all others as text."""

    def rank(name: str) -> tuple[bool, int, str]:
        is_number = _WHOLE.fullmatch(name) is not None
        return not is_number, int(name) if is_number else 0, name

    return sorted(names, key=rank)


class LabelTable:
    """Labels by name. Only a 64-bit hash of each name is kept: 12 bytes a label, so that millions are few megabytes.

    That two of three million images share a hash has a probability of 2e-7. `pairs` gives names and labels, the same
    every time; `where` names their file; `names`: names of the classes; `classes`: their number, if known.
    Raises DataError if two labels contradict each other.
    """

    def __init__(
        self,
        pairs: Callable[[], Iterator[tuple[str, int]]],
        where: str,
        names: Sequence[str] = (),
        classes: int | None = None,
    ) -> None:
        hashes, labels = array("Q"), array("i")
        for name, label in pairs():
            hashes.append(_hash(name))
            labels.append(label)
        order = np.argsort(np.array(hashes), kind="stable")
        keys, values = np.array(hashes)[order], np.array(labels)[order]
        clashes = np.flatnonzero((keys[1:] == keys[:-1]) & (values[1:] != values[:-1]))
        if clashes.size:
            places = order[clashes[0] : clashes[0] + 2].tolist()
            (name, label), (_, other) = (next(itertools.islice(pairs(), place, None)) for place in places)
            raise DataError(f"{where}: '{name}' has the labels {label} and {other}; leave one of them")
        self.where, self._hashes, self._labels = where, array("Q", keys.tobytes()), array("i", values.tobytes())
        self._example = next(pairs(), ("", 0))[0]
        self.names = names
        """Names of the classes, in order; empty if they have none."""
        self.classes = classes or (int(values.max()) + 1 if len(values) else 0)
        """Number of classes: one more than the highest label where nothing else is known."""

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, name: str) -> int | None:
        """Return label of an image, or None if the table does not name it."""
        wanted = _hash(name)
        place = bisect_left(self._hashes, wanted)
        return self._labels[place] if place < len(self) and self._hashes[place] == wanted else None

    def must_name_one_of(self, images: Iterable[str]) -> None:
        """Raise DataError if there are labels, but none of them is one of these images'."""
        image = None
        for image in images:
            if self.find(image) is not None:
                return
        if len(self):
            raise DataError(
                f"{self.where}: none of its {len(self)} labels names an image; the first is "
                f"of '{self._example}', an image is called '{image}'; paths start at the top of the images"
            )


def read(path: Path) -> LabelTable:
    """Read the labels of a csv with columns `path` and `label`, or of a json like StyleGAN2-ADA's `dataset.json`.

    If all labels of a csv are numbers, these are the classes; otherwise the distinct labels are numbered
    alphabetically. Raises DataError if the file is missing or its contents are something else.
    """
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".json":
            with _readable(path):
                contents = path.read_bytes()
            return parse_json(contents, str(path))
        case _:
            raise DataError(f"{path}: a file of labels ends in .csv or .json; name one of these")


def parse_json(contents: bytes, where: str) -> LabelTable:
    """Return labels of a `dataset.json`; `where` names it. Raises DataError as `read` does."""
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is not valid JSON ({error}); write it as UTF-8") from error
    kind = _json_kind(text, where)
    return LabelTable(lambda: _json_pairs(text, where, kind), where, kind.names, kind.columns)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to read into a DataError that names `path`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: these labels cannot be read ({error.strerror}); correct the source's labels"
        ) from error


def _read_csv(path: Path) -> LabelTable:
    distinct = {label for _, label in _rows(path)}
    numbers = _numbers(distinct, path)
    names = () if all(map(_NUMBER.fullmatch, distinct)) else ordered(distinct)
    return LabelTable(lambda: ((name, numbers[label]) for name, label in _rows(path)), str(path), names)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield path and label of each row, without spaces around them. Bytes that are not UTF-8 are kept as they are."""
    with _readable(path), path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            if not {*COLUMNS} <= {*header}:
                found = ", ".join(header) or "nothing"
                raise DataError(f"{path}: the columns {' and '.join(COLUMNS)} were expected in line 1, found: {found}")
            columns = [header.index(column) for column in COLUMNS]
            for row in filter(None, rows):
                values = [row[column].strip() for column in columns if column < len(row)]
                if len(values) < len(columns) or not all(values):
                    raise DataError(f"{path}: line {rows.line_num} has no path or no label; add it or remove the line")
                yield values[0], values[1]
        except csv.Error as error:
            raise DataError(f"{path}: line {rows.line_num} is not csv ({error}); fix it") from error


def _numbers(labels: set[str], path: Path) -> dict[str, int]:
    """Return number of each label of a csv."""
    if not all(map(_NUMBER.fullmatch, labels)):
        return {label: number for number, label in enumerate(ordered(labels))}
    for label in sorted(labels):
        if not _WHOLE.fullmatch(label) or int(label) > MAX_LABEL:
            raise DataError(f"{path}: label {label} {_RANGE}; number the classes 0, 1, … or name them")
    return {label: int(label) for label in labels}


class _JsonKind(NamedTuple):
    """The form of the labels of a `dataset.json`: numbers, or names of these classes, or one-hot rows of `columns`."""

    names: Sequence[str] = ()
    columns: int | None = None


def _json_kind(text: str, where: str) -> _JsonKind:
    """Return the one form of all labels, by the first one; every name of a class is collected."""
    names: set[str] = set()
    columns = None
    for _, label in _json_labels(text, where):
        if isinstance(label, str):
            names.add(label)
        else:
            columns = len(label) if isinstance(label, list) else None
            break
    return _JsonKind(ordered(names), columns)


def _json_pairs(text: str, where: str, kind: _JsonKind) -> Iterator[tuple[str, int]]:
    """Yield names and numbers of the classes of a `dataset.json`, one after another."""
    numbers = {name: number for number, name in enumerate(kind.names)}
    for name, label in _json_labels(text, where):
        if kind.names:
            number = numbers.get(label) if isinstance(label, str) else None
        elif kind.columns:
            number = label.index(1) if _is_one_hot(label, kind.columns) else None
        else:
            number = label if type(label) is int and 0 <= label <= MAX_LABEL else None
        if number is None:
            expected = (
                "is no name like the first one"
                if kind.names
                else f"is no one-hot row of {kind.columns} numbers like the first one"
                if kind.columns
                else _RANGE
            )
            shown = json.dumps(label, ensure_ascii=False)[:40]
            raise DataError(
                f"{where}: label {shown} of '{name}' {expected}; number the classes 0, 1, …, name them, or write "
                "one-hot rows"
            )
        yield name, number


def _is_one_hot(label: Any, columns: int) -> bool:
    """Return whether it is a list with a single 1 among zeros."""
    return (
        isinstance(label, list)
        and len(label) == columns
        and all(type(value) in (int, float) for value in label)
        and sorted(label) == [0] * (columns - 1) + [1]
    )


def _json_labels(text: str, where: str) -> Iterator[tuple[str, Any]]:
    """Yield names and labels of a `dataset.json` as they stand there."""
    try:
        for entry in _json_entries(_Cursor(text), where):
            match entry:
                case [str(name), label]:
                    yield name, label
                case _:
                    raise DataError(f"{where}: {json.dumps(entry)[:80]} is no path with its label; {_EXPECTED}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not valid JSON ({error}); fix it") from error


def _json_entries(cursor: "_Cursor", where: str) -> Iterator[Any]:
    """Yield the entries of the lists or mappings called `labels`."""
    found = False
    if cursor.next == "{":
        for _ in cursor.members("}"):
            key = cursor.key()
            if key != "labels":
                cursor.value()
                continue
            found = cursor.next in "[{" or cursor.text.startswith("null", cursor.at)
            if cursor.next == "[":
                yield from (cursor.value() for _ in cursor.members("]"))
            elif cursor.next == "{":
                yield from ([cursor.key(), cursor.value()] for _ in cursor.members("}"))
            else:
                cursor.value()
    else:
        cursor.value()
    cursor.end()
    if not found:
        raise DataError(f"{where}: holds no list of labels; {_EXPECTED}")


class _Cursor:
    """Position in a JSON text. Values are read one after another, not all into memory as by `json.loads`.

    Raises ValueError if the text is not JSON.
    """

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self._skip()

    @property
    def next(self) -> str:
        """The next character, or nothing at the end."""
        return self.text[self.at : self.at + 1]

    def value(self) -> Any:
        """Read a value, whole."""
        value, self.at = _DECODER.raw_decode(self.text, self.at)
        self._skip()
        return value

    def key(self) -> Any:
        """Read the key of an item of a mapping, and its colon."""
        key = self.value()
        self._take(":")
        return key

    def members(self, closing: str) -> Iterator[None]:
        """Stop at each member of a list or mapping, which the caller has to read."""
        self.at += 1
        self._skip()
        if self.next != closing:
            yield
            while self.next != closing:
                self._take(",")
                yield
        self._take(closing)

    def end(self) -> None:
        """Raise ValueError if anything follows."""
        if self.next:
            raise json.JSONDecodeError("Extra data", self.text, self.at)

    def _take(self, character: str) -> None:
        if self.next != character:
            raise json.JSONDecodeError(f"Expecting '{character}'", self.text, self.at)
        self.at += 1
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
