"""npz files: arrays beside a JSON text of facts about them."""

import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from ganformer import artifacts
from ganformer.errors import UserError
from ganformer.records.base import Record
from ganformer.records.metrics import Recipe, Value
from ganformer.records.run import RunName

# What damaged files make numpy and zipfile raise; RuntimeError if a member is encrypted.
DAMAGED = (
    *(OSError, ValueError, EOFError, RuntimeError, SyntaxError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)
Arrays = Mapping[str, NDArray[Any]]


class UnreadableError(Exception):
    """A file is no npz of numbers or is damaged; the message is the reason alone."""


@contextmanager
def _opened(path: Path) -> Iterator["NpzFile[Any]"]:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, NpzFile):
                raise ValueError("it is a single array, no npz")
            with found:
                yield found
    except DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) else None
        if "load it unsafely" in str(
            error
        ):  # numpy takes every file that it does not know for a pickle, and advises to load it
            reason = "it is none of numpy's files of numbers"
        raise UnreadableError(reason or str(error)) from error


def names(path: Path) -> frozenset[str]:
    """Return the names of all arrays; `UnreadableError` if the file is no whole npz."""
    with _opened(path) as file:
        return frozenset(file.files)


def read_npz(path: Path, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return arrays by their names, `wanted` or all; `UnreadableError` if one is missing, damaged or not of numbers."""
    with _opened(path) as file:
        if missing := [name for name in wanted or () if name not in file.files]:
            raise UnreadableError(f"has no {missing[0]}")
        return {name: file[name] for name in (file.files if wanted is None else wanted)}


def write_npz(path: Path, arrays: Arrays, *, is_compressed: bool = True) -> None:
    """Write arrays atomically, the same bytes for the same arrays; DataError if the file cannot be written."""
    content: dict[str, Any] = dict(arrays)
    with artifacts.atomic(path) as temporary, temporary.open("wb") as file:
        (np.savez_compressed if is_compressed else np.savez)(file, **content)


class NpzRecord(Record):
    """Facts about the arrays of a npz file, in which they are a JSON text, the first array."""

    FACTS: ClassVar[str] = "provenance"
    """Name of that array."""
    ARRAYS: ClassVar[tuple[str, ...]] = ()
    """Names of arrays that every such file has."""
    IS_COMPRESSED: ClassVar[bool] = True

    @classmethod
    def read(cls, path: Path) -> tuple[Self, dict[str, NDArray[Any]]]:
        """Return the facts and the arrays of a file; `ERROR` if it is missing or no such file."""
        try:
            arrays = read_npz(path)
            if missing := [name for name in (cls.FACTS, *cls.ARRAYS) if name not in arrays]:
                raise UnreadableError(f"has no {missing[0]}")
            facts = _json(arrays.pop(cls.FACTS))
        except UnreadableError as error:
            raise cls.ERROR(f"{path}: is no readable {cls.KIND} ({error}); {cls.REMEDY}") from error
        return cls.parse(facts, path), arrays

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Read the facts of a file alone; None if there is no such file that can be read."""
        try:
            return cls.parse(_json(read_npz(path, [cls.FACTS])[cls.FACTS]), path)
        except (UnreadableError, UserError):
            return None

    def text(self) -> str:
        """Return the JSON text of the facts."""
        return artifacts.canonical(self.content())

    def write(self, path: Path, arrays: Arrays) -> None:
        """Write the facts and these arrays; DataError if the file cannot be written."""
        write_npz(path, {self.FACTS: np.array(self.text()), **arrays}, is_compressed=self.IS_COMPRESSED)


def _json(text: NDArray[Any]) -> Any:
    try:
        return json.loads(str(text))
    except ValueError as error:
        raise UnreadableError(f"its facts are no JSON: {error}") from error


class StoredImages(NpzRecord):
    """Facts about `images` uint8 [n, H, W, C], real or generated, which may have attention maps or scales beside them.

    `maps_0`, `maps_1`, …: attention of layers, coarse to fine; `scale_0`, `scale_1`, …: images of each scale.
    """

    KIND: ClassVar[str] = "file of images"

    run: RunName | None
    """Run that made the images; None: they are real."""
    spec_sha256: str | None = None
    weights_sha256: str | None = None
    kimg: float | None = None
    data_sha256: str | None
    """Data of the images, or of the training of the run."""
    classes: Sequence[str] = ()
    """Name of the class of each image, if there are classes."""
    code: Mapping[str, Any] = {}


class ShownImages(StoredImages):
    """Facts about a file with `images`, for figures."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("images",)


class Copies(StoredImages):
    """Facts about generated images and the training images nearest to them (`analysis.copies`)."""

    KIND: ClassVar[str] = "file of nearest training images"
    REMEDY: ClassVar[str] = "make it with `ganformer step analyse copies`"
    ARRAYS: ClassVar[tuple[str, ...]] = (
        *("nearest_samples", "nearest_training", "first_samples", "first_training"),
        "samples_to_training",
    )

    run: RunName
    kimg: float
    step: int = 0
    values: Mapping[str, Value]
    """Shares and distances; none without held-out images."""
    expected: Mapping[str, float]
    """Values without memorisation."""
    recipe: Mapping[str, Any]
    """Settings as they were written; see `how`."""
    training_data_sha256: str | None = None
    held_out_data_sha256: str | None = None

    @property
    def how(self) -> Recipe:
        """Recipe, checked."""
        return Recipe.model_validate(self.recipe)


class LatentsFile(StoredImages):
    """Facts about latents `w` float32 [n, layers, …, size] of a generator."""

    KIND: ClassVar[str] = "file of latents"
    REMEDY: ClassVar[str] = "make one with `ganformer look latents` or `ganformer project`"
    ARRAYS: ClassVar[tuple[str, ...]] = ("w",)

    run: RunName
    names: Sequence[str]
    """Name of each image, e.g. "seed 3"."""


class Projected(LatentsFile):
    """Facts about latents `w` whose pictures are like given ones, with `distances` float64 [n].

    `starts` [n, S]: distances of all starts; `pictures`, `targets` uint8 [n, H, W, 3]: those found and those wanted;
    `noise_0`, … [n, 1, h, w]: noise of the layers, if it was optimised.
    """

    KIND: ClassVar[str] = "file of projected pictures"
    REMEDY: ClassVar[str] = "make it with `ganformer project`"

    projection: Mapping[str, Any]
    """Settings as they were written."""
    identity: str
    """sha256 of settings, weights and pictures."""


class LookedAt(StoredImages):
    """Facts about `cells` uint8 [rows, columns, H, W, C]: pictures of what a model has learned.

    Other arrays are the numbers behind them; `frames` uint8 [n, H, W, C]: pictures of a film.
    """

    KIND: ClassVar[str] = "file of pictures"
    REMEDY: ClassVar[str] = "make it with `ganformer look`"
    ARRAYS: ClassVar[tuple[str, ...]] = ("cells",)

    run: RunName
    look: Mapping[str, Any]
    """Settings as they were written."""
    rows: Sequence[str]
    """Titles of the rows; so are `columns`."""
    columns: Sequence[str]
    caption: str


class ReferenceFacts(NpzRecord):
    """Facts about statistics of real images, which metrics compare with (`metrics.reference`)."""

    FORMAT: ClassVar[int] = 2
    KIND: ClassVar[str] = "file of reference statistics"
    REMEDY: ClassVar[str] = "delete it and run again"
    FACTS: ClassVar[str] = "about"
    IS_COMPRESSED: ClassVar[bool] = False

    title: str
    count: int
    extractor: Mapping[str, Any]
    mirrored: bool
    data_sha256: str
    code: Mapping[str, Any] = {}

    def text(self) -> str:
        """Return the JSON text of the facts, in the order of their definition."""
        return json.dumps(self.content())
