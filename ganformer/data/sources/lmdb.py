"""Encoded images in an LMDB environment, as LSUN is distributed."""

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import lmdb

from ganformer.config import ImageSpec, Source
from ganformer.data import decoding
from ganformer.data.containers import datums, lmdb_env
from ganformer.data.containers.datums import Colours, Datum
from ganformer.data.containers.limits import Limits
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import Picture, read_image
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError, listed

LENGTH = b"length"  # key of the number of pictures where each is there in several sizes
MAX_LISTED_DATABASES = 20  # named databases that a message names
BOOKKEEPING = "bookkeeping keys"
SMALLER = "smaller sizes of the same pictures"
OTHER_NAMES, BESIDE_NAMES = "other named databases", "keys beside the named databases"

# What programs that write LMDBs of pictures note beside them.
_BOOKKEEPING = re.compile(
    rb"length|len|num[-_]samples|num[-_]images|__(len|keys|shape|dtype|meta|classes|labels)__|keys|meta|metadata|"
    rb"classes|(label|labels|caption|text)[-_]\d+"
)
_SIZED = re.compile(rb"(\d{1,5})-(\d+)")


class Config(Source):
    """All values of an LMDB environment, each an encoded image or a Datum of Caffe, in the order of their keys.

    Of pictures that are there in several sizes (keys SIZE-NUMBER, and `length`) the largest are taken. Keys of other
    things that programs are known to write beside images, as `num-samples`, are left out.
    """

    kind: Literal["lmdb"] = "lmdb"
    path: Path
    """The folder with data.mdb, or the file itself; a relative path starts at the working directory."""
    database: str | None = None
    """Name of the database in the environment, where it has named ones. An empty name: the one without a name."""
    colours: Colours | None = None
    """Order of the channels of Datums that hold three channels of numbers: BGR, as Caffe's own tools write, or RGB."""
    limits: Limits | None = None
    """The values of black and white of pictures of floats, or of integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file with the images."""
        return (self.path / "data.mdb" if self.path.is_dir() else self.path,)

    @property
    def name(self) -> bytes | None:
        """Name of the database as LMDB has it."""
        return self.database.encode() if self.database else None


@dataclass
class Contents:
    """Findings of a pass through the keys."""

    images: int = 0
    side: int | None = None
    """The largest of several sizes."""
    left_out: Counter[str] = field(default_factory=Counter)


class LmdbImages(ImageSource[bytes]):
    """Keys are the environment's own."""

    def __init__(self, config: Config, image: ImageSpec) -> None:
        self.config, self.path, self.image = config, config.path, image

    def __reduce__(self) -> tuple[type["LmdbImages"], tuple[Config, ImageSpec]]:
        return LmdbImages, (self.config, self.image)  # another process opens the environment itself

    @cached_property
    def names(self) -> list[bytes]:
        """Names of the databases that have one."""
        with _explained(self.path):
            return lmdb_env.names(self.path)

    @cached_property
    def contents(self) -> Contents:
        """Found by going through the keys once. Raises DataError if pictures of one of several sizes are missing."""
        contents, sizes = Contents(), Counter[int]()
        has_length = self._value(LENGTH) is not None
        for key, kind in self._kinds():
            if match := has_length and kind is None and _SIZED.fullmatch(key):
                sizes[int(match[1])] += 1
            elif kind is None:
                contents.images += 1
            else:
                contents.left_out[kind] += 1
        if sizes:
            self._check_sizes(sizes)
            contents.side = max(sizes)
            contents.images += sizes.pop(contents.side)
            contents.left_out.update({SMALLER: sizes.total()} if sizes else {})
        contents.left_out.update(self._beside())
        return contents

    @property
    def left_out(self) -> Mapping[str, int]:
        """Keys that are no pictures, by kind."""
        return self.contents.left_out

    @cached_property
    def classes(self) -> int:
        """One more than the highest label of the Datums; 0 if the images are none."""
        highest = -1
        for key in self.keys():
            datum = datums.parse(self._value(key) or b"")
            if datum is None and highest < 0:
                return 0
            if datum is not None and datum.label is not None:
                if datum.label < 0:
                    raise DataError(
                        f"{self.path}: '{_shown(key)}' has the label {datum.label}, but classes count from 0"
                    )
                highest = max(highest, datum.label)
        return highest + 1

    def __len__(self) -> int:
        return self.contents.images

    def keys(self) -> Iterator[bytes]:
        side = self.contents.side
        for key, kind in self._kinds():
            match = _SIZED.fullmatch(key) if side is not None else None
            if kind is None and (match is None or int(match[1]) == side):
                yield key

    def load(self, keys: Sequence[bytes]) -> Iterator[Sample | Rejection]:
        # Opened for these only: pages of a map that were read count as memory until it is closed.
        with _explained(self.path), lmdb_env.reading(self.path, self.config.name) as transaction:
            for key in keys:
                try:
                    picture, label = self._read(bytes(transaction.get(key, b"")))
                    yield Sample.of(_shown(key), picture, label if self.image.classes else None)
                except UnreadableImageError as error:
                    yield Rejection(_shown(key), str(error))
                except lmdb.Error as error:
                    yield Rejection(_shown(key), f"cannot be read from the environment ({error})")

    def _read(self, value: bytes) -> tuple[Picture, int | None]:
        if decoding.recognise(value[: decoding.START]):
            return read_image(io.BytesIO(value), self.image, self.config.limits), None
        datum: Datum | None = datums.parse(value)
        if datum is None:
            raise UnreadableImageError(f"is no picture, but {_what(value)}")
        return datum.picture(self.image, self.config.limits, self.config.colours), datum.label

    def _kinds(self) -> Iterator[tuple[bytes, str | None]]:
        """Yield all keys, each with the kind that it is left out as; None: not left out."""
        named = set() if self.config.name else {*self.names}
        with _explained(self.path):
            for key, _ in lmdb_env.sizes(self.path, self.config.name):
                if key in named:
                    yield key, OTHER_NAMES
                elif _BOOKKEEPING.fullmatch(key) and not self._is_picture(key):
                    yield key, BOOKKEEPING
                else:
                    yield key, None

    def _is_picture(self, key: bytes) -> bool:
        value = self._value(key) or b""
        return decoding.recognise(value[: decoding.START]) is not None or datums.parse(value) is not None

    def _value(self, key: bytes) -> bytes | None:
        with _explained(self.path), lmdb_env.reading(self.path, self.config.name) as transaction:
            value = transaction.get(key)
            return None if value is None else bytes(value)

    def _check_sizes(self, sizes: Mapping[int, int]) -> None:
        """Raise DataError if there are not as many pictures of each size as `length` says."""
        text = self._value(LENGTH) or b""
        expected = int(text) if text.isdigit() else max(sizes.values())
        wrong = [f"{count:,} of {side} pixels" for side, count in sorted(sizes.items()) if count != expected]
        if wrong:
            raise DataError(
                f"{self.path}: is to have {expected:,} pictures in each of {len(sizes)} sizes (keys SIZE-NUMBER), but "
                f"has {', '.join(wrong)}; make it again"
            )

    def _beside(self) -> Mapping[str, int]:
        """Count what the environment has beside the database that was chosen by its name."""
        if not self.config.name:
            return {}
        with _explained(self.path):
            entries = lmdb_env.environment(self.path).stat()["entries"]
        counts = {OTHER_NAMES: len(self.names) - 1, BESIDE_NAMES: entries - len(self.names)}
        return {kind: count for kind, count in counts.items() if count}


def open_source(config: Config, image: ImageSpec) -> LmdbImages:
    """Open an environment.

    Raises DataError if it is missing, damaged or empty, has named databases of which none is chosen, or several values
    for a key.
    """
    source = LmdbImages(config, image)
    with _explained(config.path):
        lmdb_env.check(config.path)
        _check_database(config, source.names)
        if lmdb_env.has_several_values(config.path, config.name):
            raise DataError(
                f"{config.path}: may have several values for one key (dupsort), which are not read; make it again "
                "without"
            )
        if config.name:
            lmdb_env.check(config.path, config.name)
    if not len(source):
        others = ", ".join(f"{count:,} {kind}" for kind, count in source.left_out.items())
        raise DataError(
            f"{config.path}: this LMDB environment is empty; choose one with encoded images"
            + (f". It has {others}" if others else "")
        )
    return source


def _check_database(config: Config, names: Sequence[bytes]) -> None:
    """Raise DataError if there are named databases and none is chosen, or an unknown one."""
    there = listed((f"'{_shown(name)}'" for name in names), MAX_LISTED_DATABASES)
    if config.database is None and names:
        raise DataError(
            f"{config.path}: has named databases ({there}); name the one with the images in database, or an empty "
            "name for the one without a name"
        )
    if config.name and config.name not in names:
        raise DataError(
            f"{config.path}: has no database '{config.database}'; correct database. There is {there or 'none'}"
        )


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _what(value: bytes) -> str:
    """Name the kind of a value that is no picture."""
    if not value:
        return "nothing at all"
    if value[:1] == b"\x80" and 2 <= value[1] <= 5:
        return "a pickle, which is never loaded"
    for start, what in ((b"\x93NUMPY", "an array of numpy (npy)"), (b"PK\3\4", "a zip or npz"), (b"\x1f\x8b", "gzip")):
        if value.startswith(start):
            return f"{what}, which is not read here"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{len(value):,} bytes of no known format"
    return f"text ('{text[:20]}')" if text.isprintable() else f"{len(value):,} bytes of no known format"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no LMDB environment, a folder with data.mdb; correct the source's path"
        ) from error
    except (OSError, ValueError, lmdb.Error) as error:
        raise DataError(f"{path}: cannot be read as an LMDB environment ({error}); get or make it again") from error
