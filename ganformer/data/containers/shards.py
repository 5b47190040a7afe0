"""Data sets in several files whose names say which of how many they are, as `train-00000-of-00010.parquet`."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ganformer.data.containers.labels import is_split
from ganformer.data.sources.folder import HIDDEN, kind_of_name
from ganformer.errors import DataError

MAX_LISTED_FILES = 20  # missing files that a message names

_NUMBERED = re.compile(r"(?P<stem>[^.].*)-(?P<number>\d{5,})-of-(?P<count>\d{5,})(?P<suffix>\.\w+)?", re.DOTALL)


class Shard(NamedTuple):
    """Place of a file in its set, by its name: it is file `number`, from 0, of the `total` files of `stem`."""

    stem: str
    number: int
    total: int
    suffix: str

    @classmethod
    def of(cls, name: str) -> "Shard | None":
        """Read a name; None if it has another form."""
        match = _NUMBERED.fullmatch(name)
        return cls(match["stem"], int(match["number"]), int(match["count"]), match["suffix"] or "") if match else None

    def sibling(self, number: int) -> str:
        """Return name of another file of the same set."""
        return f"{self.stem}-{number:05d}-of-{self.total:05d}{self.suffix}"


def in_order(files: Sequence[Path], setting: str) -> list[Path]:
    """Return the files of one data set in the order of their numbers, or of their names if they have no numbers.

    Raises DataError if some are missing, or if they belong to several sets: `setting` is the setting that chooses one.
    """
    named = {file: Shard.of(file.name) for file in files}
    numbered = {file: shard for file, shard in named.items() if shard}
    if not numbered:
        if len(files) > 1 and all(is_split(file.name.partition(".")[0]) for file in files):
            found = ", ".join(str(file) for file in sorted(files)[:MAX_LISTED_FILES])
            raise DataError(f"{files[0].parent}: holds several parts of a data set: {found}; {setting}")
        return sorted(files)
    sets = sorted({(str(file.parent / shard.stem), shard.total) for file, shard in numbered.items()})
    if len(sets) > 1 or len(numbered) < len(files):
        others = [str(file) for file, shard in named.items() if not shard]
        found = ", ".join([*(f"{stem} (of {count})" for stem, count in sets), *sorted(others)][:MAX_LISTED_FILES])
        raise DataError(f"{files[0].parent}: holds several data sets: {found}; {setting}")
    by_number = {shard.number: file for file, shard in numbered.items()}
    first = next(iter(numbered.values()))
    absent = [number for number in range(first.total) if number not in by_number]
    check_complete(files[0].parent, map(first.sibling, absent), first.total)
    return [by_number[number] for number in sorted(by_number)]


def check_complete(folder: Path, missing: Iterable[str], count: int) -> None:
    """Raise DataError with the names of missing files where some of `count` are missing."""
    names = list(missing)
    if names:
        lines = [f"  {name}" for name in names[:MAX_LISTED_FILES]]
        more = [f"  … and {len(names) - MAX_LISTED_FILES} more"] if len(names) > MAX_LISTED_FILES else []
        head = f"{folder}: {len(names)} of {count} files are missing; download them too"
        raise DataError("\n".join([head, *lines, *more]))


def beside(folders: Iterable[Path], used: Container[Path]) -> Counter[str]:
    """Return number of files right in these folders that are not used, by suffix."""
    others = (file.name for folder in folders for file in folder.iterdir() if file not in used and file.is_file())
    return Counter(HIDDEN if name[0] == "." else kind_of_name(name) for name in others)
