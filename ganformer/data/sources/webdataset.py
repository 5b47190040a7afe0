"""WebDataset: tars in which files of a common stem, as `0001.jpg` and `0001.cls`, are one sample."""

import itertools
import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import StringConstraints

from ganformer.config import ImageSpec, Source
from ganformer.data.containers.labels import MAX_LABEL, LabelTable
from ganformer.data.containers.limits import Limits
from ganformer.data.containers.shards import beside, check_complete
from ganformer.data.source import ImageFiles, Rejection, Sample
from ganformer.data.sources import archive
from ganformer.data.sources.archive import PICTURE, REPLACED, Archive, Key
from ganformer.data.sources.folder import has_suffix_of_picture, kind_of_name, shown
from ganformer.errors import DataError

SUFFIXES = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
CLS, JSON = "cls", "json"  # parts that may hold labels
NAMES = ("label", "cls", "class")  # of labels in a JSON
PROBED_MEMBERS = 200  # members by which a tar is taken for one of these
MAX_SHARDS = 1_000_000  # that a pattern may stand for

_WHOLE = re.compile(rb"\s*(\d{1,10})\s*", re.ASCII)
_RANGE = re.compile(r"(\d+)\.\.(\d+)", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")


# Parts are compared whatever the case of their letters.
Part = Annotated[str, StringConstraints(to_lower=True)]


class Config(Source):
    """Pictures in one tar or several, plain or compressed, which have labels beside them under the same stem.

    The stem is the path up to the first dot of the file's name, and what follows is the part: `0001.input.png` is the
    part `input.png` of the sample `0001`.
    """

    kind: Literal["webdataset"] = "webdataset"
    path: Path
    """A tar, a folder of tars, or a pattern as train-{000000..000009}.tar or {train,val}.tar, which may have several
    braces; a relative path starts at the working directory."""
    part: Part | None = None
    """The part that is the picture, where samples have several, e.g. input.png."""
    labels: str | None = None
    """The part with the label: cls, say, for a whole number as text, or json:label for the number `label` of a JSON.
    None: cls if there is one, else the number label, cls or class of json."""
    limits: Limits | None = None
    """The values of black and white of pictures of floats, or of integers of more than 8 bits, e.g. [0, 4095]."""

    @property
    def shards(self) -> tuple[Path, ...]:
        """The tars in their order, whether they are there or not."""
        if self.path.is_dir():
            return tuple(sorted(file for file in self.path.iterdir() if _is_tar(file)))
        return (self.path,) if self.path.exists() else tuple(expand(str(self.path)))

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The tars, and the folder of them."""
        return (self.path, *self.shards) if self.path.is_dir() else self.shards


class ShardKey(NamedTuple):
    """One picture: the key in its tar, and the number of that."""

    name: str
    place: Any
    problem: str | None
    label: int | None
    page: int | None
    shard: int

    @property
    def key(self) -> Key:
        """The key in the tar."""
        return Key(*self[:5])


@dataclass
class Contents:
    """Findings of a pass through all tars."""

    images: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    """Number of pictures of each part."""
    others: Counter[str] = field(default_factory=Counter)
    """Number of other files of each part."""
    left_out: Counter[str] = field(default_factory=Counter)
    json: str | None = None
    """Name of the number in the first JSON that is a label."""


class WebDataset(ImageFiles[ShardKey]):
    """Labels travel with the keys, so that no other process needs all of them."""

    def __init__(self, config: Config, shards: Sequence[Path], image: ImageSpec) -> None:
        self.config, self.shards, self.image = config, tuple(shards), image
        self._archives: dict[int, Archive] = {}

    def __reduce__(self) -> tuple[type["WebDataset"], tuple[Config, tuple[Path, ...], ImageSpec]]:
        return WebDataset, (self.config, self.shards, self.image)

    @cached_property
    def contents(self) -> Contents:
        """Raises DataError if a sample has several pictures, or a tar is damaged."""
        contents = Contents()
        if self.config.path.is_dir():
            contents.left_out.update(beside([self.config.path], self.shards))
        for number in range(len(self.shards)):
            self._look_at(number, contents)
        if self.config.part is not None and not contents.parts[self.config.part]:
            found = ", ".join(sorted(contents.parts)) or "none"
            raise DataError(f"{self.config.path}: has no pictures '{self.config.part}'; correct part. There is {found}")
        return contents

    @cached_property
    def labels(self) -> LabelTable | None:
        """Labels by the number of the tar and the stem; None if there are none. DataError if one is invalid."""
        if not self._label:
            return None
        part, name = self._label
        if not self.contents.others[part]:
            found = ", ".join(sorted(self.contents.others)) or "none"
            raise DataError(f"{self.config.path}: has no files '{part}' of labels; correct labels. There is {found}")
        return LabelTable(lambda: self._pairs(part, name), str(self.config.path))

    @property
    def classes(self) -> int:
        """One more than the highest label."""
        return self.labels.classes if self.labels else 0

    @property
    def left_out(self) -> Mapping[str, int]:
        """Files that are no pictures, by suffix, and pictures of other parts."""
        left_out = Counter(self.contents.left_out)
        if self.image.classes and self._label:
            part, _ = self._label
            left_out[kind_of_name(f"x.{part}")] -= self.contents.others[part]
        return +left_out

    def __len__(self) -> int:
        return self.contents.images

    def keys(self) -> Iterator[ShardKey]:
        labels = self.labels if self.image.classes else None
        for number in range(len(self.shards)):
            for member in self._archive(number).members():
                stem, part = _split(member.key.name)
                if member.kind == PICTURE and self.config.part in (None, part):
                    label = labels.find(f"{number}/{stem}") if labels else None
                    yield from (ShardKey(*key, number) for key in member.keys(label))

    def load(self, keys: Sequence[ShardKey]) -> Iterator[Sample | Rejection]:
        for number, those in itertools.groupby(keys, key=lambda key: key.shard):
            for loaded in self._archive(number).load([key.key for key in those]):
                yield replace(loaded, name=self._named(number, loaded.name))

    @contextmanager
    def content(self, key: ShardKey) -> Iterator[IO[bytes]]:
        """Yield the file of an image; UnreadableImageError if it cannot be read."""
        with self._archive(key.shard).content(key.key) as file:
            yield file

    def _archive(self, number: int) -> Archive:
        if number not in self._archives:
            config = archive.Config(kind="archive", path=self.shards[number], limits=self.config.limits)
            opened = archive.open_archive(config, self.image.model_copy(update={"classes": 0}))
            opened.wanted = self._may_be_label
            self._archives[number] = opened
        return self._archives[number]

    def _named(self, number: int, name: str) -> str:
        return name if len(self.shards) == 1 else f"{self.shards[number].name}/{name}"

    def _may_be_label(self, name: str) -> bool:
        """Return whether the bytes of a member may be asked for."""
        wanted = (self.config.labels.partition(":")[0].lower(),) if self.config.labels else (CLS, JSON)
        return self.image.classes > 0 and _split(name)[1] in wanted

    def _look_at(self, number: int, contents: Contents) -> None:
        """Add the members of one of the tars."""
        opened, stems = self._archive(number), array("q")
        for member in opened.members():
            stem, part = _split(member.key.name)
            if member.kind != PICTURE:
                contents.left_out[member.kind] += 1
                contents.others[part] += 1
                if part == JSON and contents.json is None and self._may_be_label(member.key.name):
                    contents.json = self._number_in(member.key, number)
                continue
            contents.parts[part] += 1
            if self.config.part in (None, part):
                contents.images += member.pages
                stems.append(hash(stem))
            else:
                contents.left_out[f".{part}"] += 1
        if replaced := opened.left_out.get(REPLACED):
            contents.left_out[REPLACED] += replaced
        if len(np.unique(np.array(stems, np.int64))) < len(stems):
            parts = ", ".join(sorted(contents.parts))
            raise DataError(
                f"{self.shards[number]}: samples have several pictures ({parts}); choose with part, e.g. part: "
                f"{min(contents.parts)}, or take all files as single pictures with kind: archive"
            )

    @property
    def _label(self) -> tuple[str, str] | None:
        """The part that has labels, and the name of the number in it where it is a JSON, else nothing."""
        if self.config.labels:
            part, _, name = self.config.labels.partition(":")
            return part.lower(), name
        if self.contents.others[CLS]:
            return CLS, ""
        return (JSON, self.contents.json) if self.contents.json else None

    def _number_in(self, key: Key, number: int) -> str | None:
        """Return name of the first number in a JSON that is called like a label."""
        values = self._parsed(self._content(key, number), key, number)
        return next((name for name in NAMES if type(values.get(name)) is int), None)

    def _pairs(self, part: str, name: str) -> Iterator[tuple[str, int]]:
        """Yield the stem of each sample with its label, the number of the tar in front."""
        for number in range(len(self.shards)):
            for member in self._archive(number).members():
                stem, found = _split(member.key.name)
                if member.kind != PICTURE and found == part:
                    content = self._content(member.key, number)
                    label = self._labelled(content, name, member.key, number)
                    if label is not None:
                        yield f"{number}/{stem}", label

    def _labelled(self, content: bytes, name: str, key: Key, number: int) -> int | None:
        """Return the label in a member. None if a JSON has none of that name; DataError if it is no label."""
        if name:
            value = self._parsed(content, key, number).get(name)
            if value is None:
                return None
            label = value if type(value) is int else None
        else:
            match = _WHOLE.fullmatch(content)
            value, label = content[:40], int(match[1]) if match else None
        if label is None or not 0 <= label <= MAX_LABEL:
            raise DataError(
                f"{self._where(key, number)}: {value!r} is no label, which is a whole number from 0; name another part "
                "in labels"
            )
        return label

    def _parsed(self, content: bytes, key: Key, number: int) -> Mapping[str, Any]:
        try:
            values = json.loads(content)
        except ValueError as error:
            raise DataError(f"{self._where(key, number)}: is not valid JSON ({error}); fix it") from error
        return values if isinstance(values, dict) else {}

    def _content(self, key: Key, number: int) -> bytes:
        try:
            return self._archive(number).content_of(key)
        except ValueError as error:
            raise DataError(f"{self._where(key, number)}: {error}; make the tar again") from error

    def _where(self, key: Key, number: int) -> str:
        return f"{self.shards[number]}: {shown(key.name)}"


def open_source(config: Config, image: ImageSpec) -> WebDataset:
    """Open the tars of a folder.

    Raises DataError if tars are missing, damaged or without pictures, or if a sample has several and none is chosen.
    """
    shards = config.shards
    if not shards:
        raise DataError(f"{config.path}: no tars in this folder; looked for {', '.join(SUFFIXES)}")
    missing = [str(path) for path in shards if not path.is_file()]
    if len(shards) == 1 and missing:
        raise DataError(f"{config.path}: this tar does not exist; correct the source's path")
    check_complete(config.path, missing, len(shards))
    source = WebDataset(config, shards, image)
    if not len(source):
        raise DataError(f"{config.path}: no images in these tars; correct the source's path")
    return source


def looks_like(path: Path) -> bool:
    """Return whether a path is of this kind: a folder with tars, a pattern, or a tar of samples.

    Of a tar the first members are looked at: there are labels beside pictures, or all of several samples have the same
    parts that are pictures, as input.png and mask.png. A JSON in a folder usually describes the content of a picture.
    """
    if path.is_dir():
        return _has_tars(path)
    if not path.exists():
        return _BRACES.search(str(path)) is not None
    try:
        opened = archive.open_archive(archive.Config(kind="archive", path=path), ImageSpec(height=1, width=1))
        names = [member.key.name for member in itertools.islice(opened.first_members(), PROBED_MEMBERS)]
    except DataError:  # what reads it says it better
        return False
    if isinstance(opened, archive.Zip):
        return False
    pictures: dict[str, set[str]] = {}
    for name in filter(has_suffix_of_picture, names):
        stem, part = _split(name)
        pictures.setdefault(stem, set()).add(part)
    has_labels = any(
        stem in pictures and (part == CLS or (part == JSON and "/" not in stem)) for stem, part in map(_split, names)
    )
    whole = list(pictures.values())
    if len(names) == PROBED_MEMBERS and len(whole) > 1:
        whole.pop()  # which may continue beyond the bytes read
    return has_labels or bool(len(whole) > 1 and len(whole[0]) > 1 and all(parts == whole[0] for parts in whole))


def _has_tars(folder: Path) -> bool:
    """Return whether a tar is right in a folder; its names are not kept."""
    try:
        with os.scandir(folder) as entries:
            return any(_is_tar(Path(entry.path)) for entry in entries)
    except OSError:  # what reads the folder says it better
        return False


def expand(pattern: str) -> list[Path]:
    """Return the paths that a pattern with braces stands for, in order, as a shell has them: {000..010}, {a,b}.

    Raises DataError if braces do not fit, or if there are too many paths.
    """
    pieces = _BRACES.split(pattern)  # text and the content of braces by turns
    if any("{" in text or "}" in text for text in pieces[::2]):
        raise DataError(f"{pattern}: braces do not fit; write {{000000..000009}} or {{a,b}}")
    choices = [_choices(piece, pattern) if place % 2 else [piece] for place, piece in enumerate(pieces)]
    if np.prod([len(choice) for choice in choices], dtype=object) > MAX_SHARDS:
        raise DataError(f"{pattern}: stands for more than {MAX_SHARDS:,} files; write a smaller range")
    return [Path("".join(parts)) for parts in itertools.product(*choices)]


def _choices(inside: str, pattern: str) -> Sequence[str]:
    """Return texts that one pair of braces stands for."""
    match = _RANGE.fullmatch(inside)
    if match is None:
        return inside.split(",")
    first, last = int(match[1]), int(match[2])
    if abs(last - first) >= MAX_SHARDS:
        raise DataError(f"{pattern}: stands for more than {MAX_SHARDS:,} files; write a smaller range")
    width = max(len(text) if text[0] == "0" else 0 for text in match.groups())
    step = 1 if first <= last else -1
    return [f"{number:0{width}d}" if width else str(number) for number in range(first, last + step, step)]


def _is_tar(path: Path) -> bool:
    return path.name[0] != "." and path.name.lower().endswith(SUFFIXES) and path.is_file()


def _split(name: str) -> tuple[str, str]:
    """Return stem and part of a file, the part in small letters."""
    folder, slash, file = name.rpartition("/")
    stem, _, part = file.partition(".")
    return folder + slash + stem, part.lower()
