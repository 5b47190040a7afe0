"""The directories of a TIFF, and which of them are pictures of their own (TIFF 6.0, section 2; Big TIFF).

This is read without tifffile, which would read all tags of all directories, and follow them in circles.
"""

from dataclasses import dataclass
from typing import IO, Literal

from ganformer.data.decoding.picture import UnreadableImageError

REDUCED, MASK = 1, 4  # bits of NewSubfileType

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _LENGTH, _SUB_DIRECTORIES = 254, 255, 256, 257, 330
_REDUCED_BEFORE = 2  # SubfileType of a smaller version, before there was NewSubfileType
_SIZES = {3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # bytes by type: SHORT, LONG, IFD, and types of 8 bytes of Big TIFF


@dataclass(frozen=True)
class Directory:
    """The `number`-th of the chain, or the `below`-th that this one has for SubIFDs.

    `kind`: its NewSubfileType; `pixels`: their number, 0 if it is not said.
    """

    number: int
    below: int | None
    kind: int
    pixels: int


@dataclass(frozen=True)
class _Layout:
    """Order of bytes; and how many bytes a place has, a number of entries, and an entry."""

    order: Literal["little", "big"]
    place: int
    counter: int
    entry: int

    def number(self, content: bytes) -> int:
        return int.from_bytes(content, self.order)


def pictures(file: IO[bytes]) -> tuple[list[Directory], dict[str, int]]:
    """Return the pictures in their order, and how many directories are something else, by kind.

    If all directories of the chain are smaller versions, the pictures are the directories below them, else the largest
    of the chain. Raises UnreadableImageError if there is none.
    """
    found = _directories(file)
    chain, below = [one for one in found if one.below is None], [one for one in found if one.below is not None]
    chosen = [one for one in chain if not one.kind & (REDUCED | MASK)]
    chosen = chosen or [one for one in below if not one.kind & (REDUCED | MASK)]
    chosen = chosen or _largest([one for one in chain if not one.kind & MASK])
    if not chosen:
        raise UnreadableImageError("holds transparency masks only, which are no pictures")
    others = set(found).difference(chosen)
    masks = sum(bool(one.kind & MASK) for one in others)
    reduced = sum(one.kind & (REDUCED | MASK) == REDUCED for one in others)
    kinds = {"reduced-resolution pages": reduced, "transparency masks": masks}
    kinds["pages below others"] = len(others) - masks - reduced
    return chosen, {kind: number for kind, number in kinds.items() if number}


def _largest(directories: list[Directory]) -> list[Directory]:
    most = max((one.pixels for one in directories), default=0)
    return [one for one in directories if one.pixels == most]


def _directories(file: IO[bytes]) -> list[Directory]:
    """Return all of a file, those below others behind these."""
    file.seek(0)
    start = file.read(16)
    order: Literal["little", "big"] = "little" if start[:2] == b"II" else "big"
    is_big = int.from_bytes(start[2:4], order) == 43
    layout = _Layout(order, 8, 8, 20) if is_big else _Layout(order, 4, 2, 12)
    place = layout.number(start[layout.place : 2 * layout.place])
    seen: set[int] = set()
    found = []
    while place:
        if place in seen:
            raise UnreadableImageError("is a damaged TIFF: its directories are a circle")
        number = len(seen)
        seen.add(place)
        kind, pixels, inner, place = _directory(file, place, layout)
        found.append(Directory(number, None, kind, pixels))
        found += [Directory(number, at, *_directory(file, one, layout)[:2]) for at, one in enumerate(inner)]
    if not found:
        raise UnreadableImageError("is a truncated or damaged TIFF: it has no directory")
    return found


def _directory(file: IO[bytes], place: int, layout: _Layout) -> tuple[int, int, list[int], int]:
    """Read NewSubfileType, number of pixels, offsets of subdirectories, and offset of the next directory (0: none)."""
    file.seek(place)
    count = layout.number(file.read(layout.counter))
    entries = file.read(layout.entry * count)
    following = file.read(layout.place)
    if not entries or len(entries) < layout.entry * count or len(following) < layout.place:
        raise UnreadableImageError("is a truncated or damaged TIFF: a directory is behind its end")
    tags = {
        layout.number(entries[at : at + 2]): entries[at : at + layout.entry]
        for at in range(0, len(entries), layout.entry)
    }
    kind = (_values(file, tags.get(_NEW_SUBFILE_TYPE), layout) or [0])[0]
    if kind == 0 and _values(file, tags.get(_SUBFILE_TYPE), layout) == [_REDUCED_BEFORE]:
        kind = REDUCED
    width, length = (sum(_values(file, tags.get(tag), layout)[:1]) for tag in (_WIDTH, _LENGTH))
    return kind, width * length, _values(file, tags.get(_SUB_DIRECTORIES), layout), layout.number(following)


def _values(file: IO[bytes], entry: bytes | None, layout: _Layout) -> list[int]:
    """Return whole numbers of an entry; none if it is missing or of another type."""
    size = 0 if entry is None else _SIZES.get(layout.number(entry[2:4]), 0)
    if entry is None or size == 0:
        return []
    length = size * layout.number(entry[4 : 4 + layout.place])
    content = entry[4 + layout.place :]
    if length > layout.place:
        file.seek(layout.number(content))
        content = file.read(length)
        if len(content) < length:
            raise UnreadableImageError("is a truncated or damaged TIFF: a tag is behind its end")
    return [layout.number(content[at : at + size]) for at in range(0, length, size)]
