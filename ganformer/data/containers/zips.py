"""Zip files as long lists of members: the directory stays in the file, and a member is read by its place alone.

Python's zipfile keeps 600 bytes of every member, here nothing is. After PKWARE's APPNOTE.TXT 6.3, sections 4.3 to 4.5.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

MAX_MEMBER_BYTES = 1 << 30  # bytes of one member, packed or not
STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")  # of the directory, at the end of the file
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")  # says where _END64 is
_ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory
_HEADER = struct.Struct("<4s5H3L2H")  # in front of a member's bytes
_COMMENT = 0xFFFF  # longest comment after _END, in bytes
_FULL32 = 0xFFFFFFFF  # the number is in an extra field, in 64 bits
_ENCRYPTED, _UTF8 = 1 << 0, 1 << 11
_SIZES64 = 0x0001  # extra field
_UNIX = 3


class Place(NamedTuple):
    """Location of a member's bytes, with their size and checksum."""

    header: int
    packed: int
    size: int
    crc: int
    method: int


class Member(NamedTuple):
    """An entry of the directory."""

    name: str
    place: Place
    problem: str | None
    """Reason why it cannot be read, as far as the directory shows."""


class Directory(NamedTuple):
    """The part of the file that lists the members."""

    start: int
    end: int

    def members(self, file: IO[bytes]) -> Iterator[tuple[int, Member]]:
        """Yield every member and the offset of its entry, in the directory's order; ValueError if that is damaged."""
        at = self.start
        file.seek(at)
        while at < self.end:
            found = read_entry(file)
            yield at, found
            at = file.tell()
        if at != self.end:
            raise ValueError("its directory is damaged")


def find_directory(file: IO[bytes]) -> Directory:
    """Look at the end of a zip file; ValueError with the reason where it has none that can be read."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - _END.size - _COMMENT)
    file.seek(tail_start)
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    while place >= 0:
        if len(tail) >= place + _END.size and place + _END.size + _comment(tail, place) == len(tail):
            return _directory(file, tail_start + place)
        place = tail.rfind(b"PK\5\6", 0, place)
    raise ValueError("its directory, the end of a zip file, is missing")


def read_entry(file: IO[bytes]) -> Member:
    """Read the entry of the directory that the file stands at; ValueError if there is none."""
    fixed = file.read(_ENTRY.size)
    if len(fixed) < _ENTRY.size or not fixed.startswith(b"PK\1\2"):
        raise ValueError("its directory is damaged")
    _, made_by, _, flags, method, _, _, crc, packed, size, *lengths, _, _, attributes, header = _ENTRY.unpack(fixed)
    variable = file.read(sum(lengths))
    if len(variable) < sum(lengths):
        raise ValueError("its directory is damaged")
    name, extra = variable[: lengths[0]], variable[lengths[0] : lengths[0] + lengths[1]]
    if _FULL32 in (size, packed, header):
        size, packed, header = _in_64_bits((size, packed, header), dict(_fields(extra)).get(_SIZES64, b""))
    mode = attributes >> 16 if made_by >> 8 == _UNIX else 0
    place = Place(header, packed, size, crc, method)
    return Member(_text(name, flags), place, _problem(place, flags, mode))


def read_member(file: IO[bytes], place: Place) -> bytes:
    """Return the bytes of a member, never more than it is said to have; ValueError if they are others."""
    _seek(file, place)
    contents = file.read(place.packed)
    if place.method == DEFLATED:
        try:
            contents = zlib.decompressobj(-zlib.MAX_WBITS).decompress(contents, place.size + 1)
        except zlib.error as error:
            raise ValueError(f"is damaged in the archive ({error})") from error
    if len(contents) != place.size or zlib.crc32(contents) != place.crc:
        raise ValueError("is damaged in the archive (its size or checksum is another)")
    return contents


def read_start(file: IO[bytes], place: Place, count: int) -> bytes:
    """Return the first `count` bytes of a member, or all; ValueError if they cannot be read."""
    _seek(file, place)
    # What deflate makes of bytes is never longer than this.
    packed = file.read(min(place.packed, count + 512))
    if place.method != DEFLATED:
        return packed[:count]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, count)
    except zlib.error as error:
        raise ValueError(f"is damaged in the archive ({error})") from error


def _seek(file: IO[bytes], place: Place) -> None:
    """Go to the bytes of a member; ValueError if there is none."""
    file.seek(place.header)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
        raise ValueError("is not where the archive's directory says; the archive is damaged")
    file.seek(sum(_HEADER.unpack(header)[-2:]), os.SEEK_CUR)


def _comment(tail: bytes, place: int) -> int:
    length: int = _END.unpack_from(tail, place)[-1]
    return length


def _directory(file: IO[bytes], end: int) -> Directory:
    """Return the location of the directory from the record at `end`, or from the larger zip64 record before it."""
    _, disk, first_disk, _, _, size, start, _ = _record(file, end, _END, b"PK\5\6")
    locator = _record(file, end - _LOCATOR64.size, _LOCATOR64, b"PK\6\7") if end >= _LOCATOR64.size else ()
    if locator:
        end = locator[2]
        record = _record(file, end, _END64, b"PK\6\6")
        if not record:
            raise ValueError("its directory is damaged")
        _, _, _, _, disk, first_disk, _, _, size, start = record
    if disk or first_disk:
        raise ValueError("it is one part of an archive in several; join them")
    if start + size > end:
        raise ValueError("its directory is damaged")
    return Directory(start, start + size)


def _record(file: IO[bytes], place: int, layout: struct.Struct, signature: bytes) -> tuple[Any, ...]:
    """Return fields of the record at a place; none if there is no such record."""
    file.seek(place)
    contents = file.read(layout.size)
    return layout.unpack(contents) if len(contents) == layout.size and contents.startswith(signature) else ()


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and contents of the extra fields of a member."""
    while len(extra) >= 4:
        number, length = struct.unpack_from("<2H", extra)
        yield number, extra[4 : 4 + length]
        extra = extra[4 + length :]


def _in_64_bits(values: Sequence[int], field: bytes) -> list[int]:
    """Return the values; those beyond 32 bits come from the extra field, in turn."""
    larger = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
    return [next(larger, value) if value == _FULL32 else value for value in values]


def _text(name: bytes, flags: int) -> str:
    """Return a member's name. Files that do not say it is UTF-8 have it all the same, or the IBM PC's characters."""
    if flags & _UTF8:
        return name.decode("utf-8", "surrogateescape")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _problem(place: Place, flags: int, mode: int) -> str | None:
    if stat.S_ISLNK(mode):
        return "is a symbolic link, not a file; make the archive again with its target"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device or another special file"
    if flags & _ENCRYPTED:
        return "is encrypted; make an archive without a password"
    if place.method not in (STORED, DEFLATED):
        return f"is compressed by method {place.method}; only deflate is known, make the archive again with that"
    return too_large(max(place.size, place.packed))


def too_large(size: int, limit: int = MAX_MEMBER_BYTES) -> str | None:
    """Return why a member of this size is not read; None if it is."""
    return f"is said to have {size} bytes, more than the {limit} that an image may have" if size > limit else None
