"""Tars, also compressed and one behind the other: nothing that is wrong with one passes.

By itself, tarfile takes a damaged header for the end, and reads nothing of what stands behind an end.
"""

import bz2
import copy
import gzip
import io
import lzma
import tarfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, Literal, Self

import numpy as np

from ganformer.data import decoding
from ganformer.data.containers.zips import too_large
from ganformer.data.sources.folder import shown

CHUNK = 1 << 20

_Decompressor = bz2.BZ2Decompressor | lzma.LZMADecompressor

_ABOUT_NEXT = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Tar(tarfile.TarFile):
    """A tar, or several one behind the other."""

    has_ended = False
    """Reader that knows whether the last bytes read are an end."""


class Header(tarfile.TarInfo):
    """Lets nothing pass that is neither a member nor an end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header."""
        assert isinstance(archive, Tar)
        place = archive.offset
        try:
            header = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the stubs do not have it
            archive.has_ended = True
            raise
        except tarfile.HeaderError as error:
            if archive.has_ended and isinstance(error, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
                raise
            if archive.has_ended:
                raise tarfile.ReadError(f"neither zeros nor another tar follow its end, at byte {place}") from error
            raise tarfile.ReadError(str(error)) from error
        archive.has_ended = False
        return header

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header. A long name or attributes of the next member, which are read into memory, must be short."""
        if len(buf) < tarfile.BLOCKSIZE and not any(buf):
            raise tarfile.EmptyHeaderError("empty header")  # type: ignore[attr-defined]
        header = super().frombuf(buf, encoding, errors)
        if header.type in _ABOUT_NEXT and header.size > CHUNK:
            raise tarfile.ReadError(f"{header.size} bytes of attributes of a member")
        return header


def opened(file: IO[bytes], mode: Literal["r:", "r|"]) -> Tar:
    """Open the tars in a file, with random access (`r:`) or as a stream (`r|`). Raises errors of tarfile."""
    return Tar.open(
        fileobj=file, mode=mode, tarinfo=Header, encoding="utf-8", errors="surrogateescape", ignore_zeros=True
    )


def files(archive: Tar) -> Iterator[tarfile.TarInfo]:
    """Yield all members that are no folders, none of which is kept."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # where tarfile would keep all of them
        if not member.isdir():
            yield member


def begins(start: bytes) -> bool:
    """Return whether a file with these first 512 bytes begins as a tar does."""
    try:
        Header.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def problem(member: tarfile.TarInfo) -> str | None:
    """Return why a member has no bytes of its own to read; None if it has, or is a hard link."""
    if member.issparse():
        return "is stored as a sparse file"
    if member.isreg() or member.islnk():
        return None
    if member.issym():
        return "is a symbolic link, not a file; make the archive again with its target (tar --dereference)"
    return "is a device or another special file"


def hashed(name: str) -> int:
    """Return 64 bits that stand for the name of a member, however its path is written, in this process."""
    return hash("/".join(parts_of(name)))


def parts_of(name: str) -> list[str]:
    """Return the folders and the file of a path, however it is written."""
    return [part for part in name.split("/") if part not in ("", ".")]


# ------------------------------------------------------------------------------------------------------ contents


class Content:
    """The bytes of a member of a tar; `problem` says why they are not to be had."""

    kept = 0
    """Number of bytes of memory that it takes to read it later."""

    def __init__(self, archive: Tar, member: tarfile.TarInfo) -> None:
        self.name, self._archive, self._member = member.name, archive, member
        self.problem = problem(member) or too_large(member.size)

    @cached_property
    def start(self) -> bytes:
        """The first bytes, by which a picture is recognised; none if there is a problem."""
        start: bytes = b"" if self.problem else self._stream.peek(decoding.START)[: decoding.START]
        return start

    def place(self, limit: int) -> Any:
        """Return key to read it by later; None if there is a problem, as with more than `limit` bytes in memory."""
        return None if self.problem else (self._member.offset_data, self._member.size)

    @cached_property
    def _stream(self) -> Any:
        return self._archive.extractfile(self._member)


class Streamed(Content):
    """Content of a member of a streamed tar, which has to be read before the next member is."""

    @property
    def kept(self) -> int:  # type: ignore[override]
        """All of it."""
        return self._member.size

    def place(self, limit: int) -> Any:
        """Read it."""
        self.problem = self.problem or too_large(self._member.size, limit)
        return None if self.problem else self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        _ = self.start  # of the member, before its bytes are read
        contents: bytes = self._stream.read()
        return contents


class Targets:
    """Targets of hard links, as far as a tar has been read; at most `limit` bytes are kept in memory for it."""

    def __init__(self, limit: int) -> None:
        self._contents: dict[int, Content | None] = {}
        self._limit = self._room = limit

    def keep(self, name: int, content: Content) -> None:
        """Remember a member, by the hash of its name; not where that takes more memory than links may take."""
        self._contents[name] = None
        if content.kept <= self._room:
            self._room -= content.kept
            content.place(self._limit)
            self._contents[name] = content

    def resolve(self, link: Content, target: str) -> Content:
        """Find the content that a hard link stands for; the link itself, with a problem, where that is not known."""
        name = hashed(target)
        content = self._contents.get(name)
        if content is not None:
            found = copy.copy(content)
            found.name = link.name
            return found
        why = "is not in the archive before it"
        if name in self._contents:
            why = f"would be more than {self._limit} bytes to keep in memory; unpack the archive first"
        link.problem = f"is a hard link to '{shown(target)}', which {why}"
        return link


@dataclass(frozen=True)
class Plan:
    """Facts that have to be known of a tar before it is read in its order."""

    replaced: Mapping[int, int] = field(default_factory=dict)
    """Number of members of a name that are replaced by later ones, by the hash of the name."""
    targets: frozenset[int] = frozenset()
    """Hashes of the names that hard links lead to."""


@dataclass
class Survey:
    """Notes about the members of a tar to make a plan: a hash of each name, of 64 bits."""

    names: "array[int]" = field(default_factory=lambda: array("q"))
    targets: set[int] = field(default_factory=set)

    def note(self, name: int, member: tarfile.TarInfo) -> None:
        """Add a member, and the hash of its name."""
        self.names.append(name)
        if member.islnk():
            self.targets.add(hashed(member.linkname))

    def plan(self) -> Plan:
        """Find the names that occur again; sorts the hashes where they are, lest millions of them be copied."""
        hashes = np.frombuffer(self.names, np.int64) if self.names else np.zeros(0, np.int64)
        hashes.sort()
        names, counts = np.unique(hashes[1:][hashes[1:] == hashes[:-1]], return_counts=True)
        return Plan(dict(zip(names.tolist(), counts.tolist(), strict=True)), frozenset(self.targets))


# --------------------------------------------------------------------------------------------------- compressed


class _Streams(io.RawIOBase):
    """Compressed streams one behind the other, zeros between them or not, as one file.

    The modules bz2 and lzma ignore unknown bytes behind the first stream.
    """

    def __init__(self, file: IO[bytes], new: Callable[[], _Decompressor]) -> None:
        self._file, self._new = file, new
        self._current, self._waiting = new(), b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is room for; 0 bytes at the end. Raises OSError, LZMAError or EOFError on damage."""
        while not self._current.eof or self._has_more():
            if self._current.needs_input and not self._waiting:
                self._waiting = self._file.read(CHUNK)
                if not self._waiting:
                    raise EOFError("the compressed stream has no end")
            content = self._current.decompress(self._waiting, len(buffer))
            self._waiting = b""
            if content:
                buffer[: len(content)] = content
                return len(content)
        return 0

    def _has_more(self) -> bool:
        """Return whether another stream follows; it is begun then."""
        rest = self._current.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._file.read(CHUNK)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        self._current, self._waiting = self._new(), rest
        return True


def _streams(new: Callable[[], _Decompressor]) -> Callable[[IO[bytes]], IO[bytes]]:
    return lambda file: io.BufferedReader(_Streams(file, new), CHUNK)


COMPRESSED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": _streams(bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": _streams(lzma.LZMADecompressor),
}
"""Openers of compressed files, by their first bytes."""


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """Open the content of a compressed file."""
    start = file.read(max(map(len, COMPRESSED)))
    file.seek(0)
    return next(opener(file) for magic, opener in COMPRESSED.items() if start.startswith(magic))
