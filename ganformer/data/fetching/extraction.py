"""Archives are unpacked only where nothing in them can reach outside the target folder."""

import copy
import lzma
import os
import re
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.locking import one_at_a_time
from ganformer.progress import Progress

_DRIVE = re.compile(r"[A-Za-z]:")
_DIRECTORY_END = 22 + 2**16  # bytes that the end of a zip's directory and a comment behind it have at most
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
)
"""Exceptions of zipfile and tarfile for damaged archives."""


def unsafe(name: str) -> str | None:
    """Return why a member of this name is not unpacked or read; None if it is safe.

    Names have forward slashes; a trailing one marks a folder. Windows' rules for names apply on every system, so an
    archive is safe either everywhere or nowhere.
    """
    reasons = {
        "has no name": not name,
        "its name has a NUL in it": "\0" in name,
        "its name has a backslash": "\\" in name,
        "its name is an absolute path": name.startswith("/"),
        "its name begins with a drive": _DRIVE.match(name) is not None,
        "its name leads out of the folder (..)": ".." in name.split("/"),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar (also .gz, .bz2, .xz) into `folder`, which appears once all of it is there.

    All members are looked at before the first is written. Links, devices and other special files are refused, and so
    are members of a zip that are encrypted or compressed by another method than deflate. Permissions and times are not
    kept. What an earlier run that was killed left is removed.

    Raises DataError if the folder has something in it, the disk is too small or cannot be written, the archive is
    damaged, or a member is refused; then nothing is left.
    """
    with one_at_a_time(folder), _explained(archive, folder):
        if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
            raise DataError(f"{folder}: is there already; remove it to have {archive} unpacked again")
        temporary = folder.with_name(f".{folder.name}.unpacking")
        if temporary.exists():
            shutil.rmtree(temporary)
        total = _checked(archive, folder)
        temporary.mkdir()
        try:
            with Progress(f"unpack {archive.name}", total, unit="bytes") as progress:
                for member in _members(archive):
                    _write(member, archive, temporary, progress)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _Member:
    """A member of an archive, as it is declared there."""

    name: str
    size: int
    """Bytes of its content."""
    is_folder: bool
    refusal: str | None
    """Reason why it is not unpacked, whatever its name."""
    open: Callable[[], IO[bytes]]


def _checked(archive: Path, folder: Path) -> int:
    """Return bytes of all members. Raises DataError if one of them is refused, or they do not fit on the disk."""
    total, files = 0, set()
    for member in _members(archive):
        refusal = unsafe(member.name) or member.refusal
        name = str(PurePosixPath(member.name))
        if name in files:
            refusal = "is there twice"
        if refusal:
            raise _refused(archive, member, refusal)
        if not member.is_folder:
            files.add(name)
        total += member.size
    free = shutil.disk_usage(folder.parent).free
    if total > free:
        advice = "make room or choose another folder"
        raise DataError(f"{folder}: {archive} unpacks to {total:,} bytes, but only {free:,} are free; {advice}")
    return total


def _write(member: _Member, archive: Path, folder: Path, progress: Progress) -> None:
    path = folder / member.name
    try:
        (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.is_folder:
            with member.open() as source, path.open("xb") as target:
                _copy(member, source, target, archive, progress)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(archive, member, "has a name that this file system takes for another member's") from error


def _copy(member: _Member, source: IO[bytes], target: IO[bytes], archive: Path, progress: Progress) -> None:
    size = 0
    while chunk := source.read(artifacts.CHUNK):
        size += len(chunk)
        if size > member.size:
            raise _refused(archive, member, f"has more than the {member.size:,} bytes that it declares")
        target.write(chunk)
        progress.update(len(chunk))
    if size < member.size:
        raise _refused(archive, member, f"has {size:,} bytes in place of the {member.size:,} that it declares")


def _refused(archive: Path, member: _Member, reason: str) -> DataError:
    advice = "nothing was unpacked; get the archive from a source that you trust, or pack it anew without that"
    return DataError(f"{archive}: member {member.name!r} {reason}; {advice}")


@contextmanager
def _explained(archive: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:  # the compressed stream is damaged
            raise _damaged(archive, error) from error
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise DataError(f"{archive}: could not be unpacked to {folder} ({reason}); fix that and run again") from error
    except _BROKEN as error:
        raise _damaged(archive, error) from error


def _damaged(archive: Path, reason: object) -> DataError:
    return DataError(f"{archive}: is damaged or incomplete ({reason}); delete it and fetch it again")


# ------------------------------------------------------------------------------------------------ zip and tar


def _members(archive: Path) -> Iterator[_Member]:
    """Return all members in the order of the archive; each can be opened until the next one is asked for."""
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    return _zip_members(archive) if is_zip else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        _check_count(file, archive)
        for info in file.infolist():
            longer = copy.copy(info)
            longer.file_size = sys.maxsize  # else zipfile cuts content off at the size that is declared
            name = info.orig_filename  # the other one is cut off at a NUL
            yield _Member(name, info.file_size, name.endswith("/"), _refusal(info), partial(file.open, longer))


def _check_count(file: zipfile.ZipFile, archive: Path) -> None:
    """Zipfile overlooks that members are missing from the directory; its end has their number modulo 2^16."""
    with archive.open("rb") as end:
        end.seek(-min(archive.stat().st_size, _DIRECTORY_END), os.SEEK_END)
        last = end.read()
    (declared,) = struct.unpack_from("<H", last, last.rindex(b"PK\5\6") + 10)
    found = len(file.infolist())
    if declared not in (found % 2**16, 2**16 - 1):  # the latter points to a longer number elsewhere
        raise _damaged(archive, f"its directory lists {found:,} members, but declares {declared:,}")


def _refusal(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile inflates other kinds without a bound: a few bytes could fill the memory.
        return "is compressed by another method than deflate"
    if stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR):
        return None
    return "is a symbolic link" if stat.S_ISLNK(mode) else "is a special file"


def _tar_members(archive: Path) -> Iterator[_Member]:
    with _opened_tar(archive) as file:
        while (info := file.next()) is not None:
            file.members.clear()  # type: ignore[attr-defined]  # where tarfile would keep all of them
            content = partial(file.extractfile, info)
            yield _Member(info.name, info.size, info.isdir(), _kind(info), cast(Callable[[], IO[bytes]], content))
        _check_end(file, archive)


@contextmanager
def _opened_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tarfile.open(archive))
        except tarfile.ReadError as error:
            kinds = "neither a zip nor a tar archive (plain, or compressed by gzip, bzip2 or xz)"
            advice = "delete it and fetch it again"
            raise DataError(f"{archive}: is {kinds}, or its beginning is damaged; {advice}") from error
        yield file


def _kind(info: tarfile.TarInfo) -> str | None:
    if info.isreg() or info.isdir():
        return None
    return "is a symbolic link" if info.issym() else "is a hard link" if info.islnk() else "is a special file"


def _check_end(file: tarfile.TarFile, archive: Path) -> None:
    """Tarfile takes a damaged header, and an early end, for the end; a checksum of the whole comes last of all.

    It also leaves out what stands behind an end, as in tars that were joined.
    """
    file.fileobj.seek(file.offset)
    if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _damaged(archive, f"no member and no end at byte {file.offset:,}")
    while chunk := file.fileobj.read(artifacts.CHUNK):
        if chunk.strip(b"\0"):
            raise DataError(
                f"{archive}: more follows the end of this tar, at byte {file.offset:,}; nothing was unpacked. If these "
                "are several tars one behind the other, unpack them with tar --ignore-zeros, else get the archive anew"
            )
