"""Archives: what is unpacked, and that nothing in them can reach outside the target folder."""

import bz2
import gzip
import io
import lzma
import random
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections import namedtuple

import pytest

from ganformer.data.fetching import extraction
from ganformer.data.fetching.extraction import extract, unsafe
from ganformer.errors import DataError

CONTENT = {"a.png": b"first" * 50, "a/b/c.png": b"second", "a/ä é.png": b"third", "empty": b""}
PACKINGS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
ADVICE = "nothing was unpacked; get the archive from a source that you trust, or pack it anew without that"


def tar_member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, io.BytesIO(content)


def write_tar(path, *members):
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as file:
        for info, content in members:
            file.addfile(info, content)
    return path


def write_zip(path, *members, compression=zipfile.ZIP_DEFLATED):
    """Return members are (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content, compress_type=compression)
    return path


def write(path, contents):
    if path.suffix == ".zip":
        return write_zip(path, *contents.items())
    return write_tar(path, *(tar_member(name, content) for name, content in contents.items()))


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "to" / "unpacked"


def refused(archive, target):
    """Return the message of an unpacking that fails, and leaves nothing."""
    before = contents(target.parent.parent)
    with pytest.raises(DataError) as caught:
        extract(archive, target)
    target.parent.joinpath(f".{target.name}.lock").unlink()
    assert list(target.parent.iterdir()) == []
    assert contents(target.parent.parent) == before
    return str(caught.value)


# -------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "./a.png", "a/", ".", "a..b/..c", "ä/é 1.png", "C", "12:30"])
def test_names_that_are_fine(name):
    assert unsafe(name) is None


HOSTILE_NAMES = [
    ("a\\b.png", "its name has a backslash"),
    ("..\\b.png", "its name has a backslash"),
    ("/etc/passwd", "its name is an absolute path"),
    ("//host/share", "its name is an absolute path"),
    ("C:/b.png", "its name begins with a drive"),
    ("c:b.png", "its name begins with a drive"),
    ("..", "its name leads out of the folder (..)"),
    ("../b.png", "its name leads out of the folder (..)"),
    ("a/../../b.png", "its name leads out of the folder (..)"),
    ("a/..", "its name leads out of the folder (..)"),
]


@pytest.mark.parametrize(
    ("name", "reason"), [("", "has no name"), ("a\0b", "its name has a NUL in it"), *HOSTILE_NAMES]
)
def test_names_that_are_not(name, reason):
    assert unsafe(name) == reason


@pytest.mark.parametrize(("name", "reason"), HOSTILE_NAMES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_member_with_a_hostile_name_is_refused(tmp_path, target, packing, name, reason):
    archive = write(tmp_path / f"x.{packing}", {"good.png": b"good", name: b"bad"})
    assert refused(archive, target) == f"{archive}: member {name!r} {reason}; {ADVICE}"


def test_name_with_a_nul_in_a_zip_is_refused(tmp_path, target):
    archive = write_zip(tmp_path / "x.zip", ("good.png?../../bad", b""))
    archive.write_bytes(archive.read_bytes().replace(b"g?..", b"g\0.."))
    assert "member 'good.png\\x00../../bad' its name has a NUL in it" in refused(archive, target)


# ------------------------------------------------------------------------------------------------ what is unpacked


@pytest.mark.parametrize("packing", PACKINGS)
def test_everything_is_unpacked(tmp_path, target, packing, capsys):
    archive = write(tmp_path / f"x.{packing}", {"./first/": b"", **CONTENT} if packing == "zip" else CONTENT)
    extract(archive, target)
    assert contents(target) == CONTENT
    assert (target / "first").is_dir() == (packing == "zip")
    assert {path.name for path in target.parent.iterdir()} == {".unpacked.lock", "unpacked"}
    assert f"unpack x.{packing} ████████████████████ 100% 261/261 bytes" in capsys.readouterr().err


def test_tar_as_the_usual_program_makes_it(tmp_path, target):
    for name, content in CONTENT.items():
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o4755)
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as file:
        file.add(tmp_path / "from", ".")
    extract(tmp_path / "x.tgz", target)
    assert contents(target) == CONTENT
    assert stat.S_IMODE((target / "a.png").stat().st_mode) & 0o7111 == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_members_of_a_tar(tmp_path):
    archive = write_tar(tmp_path / "x.tar", *(tar_member(f"{number}.png") for number in range(10_000)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in extraction._members(archive)) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_tar_that_begins_nearly_as_a_zip_does(tmp_path, target):
    extract(write(tmp_path / "x.tar", {"PK/a.png": b"1"}), target)
    assert contents(target) == {"PK/a.png": b"1"}


@pytest.mark.parametrize("packing", PACKINGS)
def test_empty_archive_gives_an_empty_folder(tmp_path, target, packing):
    extract(write(tmp_path / f"x.{packing}", {}), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("packing", PACKINGS)
def test_names_that_differ_only_by_case(tmp_path, target, packing):
    (tmp_path / "case").touch()
    if (tmp_path / "CASE").exists():
        pytest.skip("this file system does not tell names apart by case")
    extract(write(tmp_path / f"x.{packing}", {"a.png": b"1", "A.png": b"2"}), target)
    assert contents(target) == {"a.png": b"1", "A.png": b"2"}


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["a", "a/b/c"]])
@pytest.mark.parametrize("packing", PACKINGS)
def test_names_that_the_file_system_cannot_hold_together(tmp_path, target, packing, names):
    archive = write(tmp_path / f"x.{packing}", dict.fromkeys(names, b""))
    reason = "has a name that this file system takes for another member's"
    assert refused(archive, target) == f"{archive}: member {names[1]!r} {reason}; {ADVICE}"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a/b.png", "./a/b.png", "a//b.png", "a/./b.png"])
@pytest.mark.parametrize("packing", ["zip", "tar"])
def test_name_that_is_there_twice(tmp_path, target, packing, second):
    pair = [("a/b.png", b"1"), (second, b"2")]
    path = tmp_path / f"x.{packing}"
    archive = write_zip(path, *pair) if packing == "zip" else write_tar(path, *(tar_member(*member) for member in pair))
    assert refused(archive, target) == f"{archive}: member {second!r} is there twice; {ADVICE}"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_folder_that_is_there_twice(tmp_path, target):
    extract(write_zip(tmp_path / "x.zip", ("a/", b""), ("a/b.png", b"1"), ("a/", b"")), target)
    assert contents(target) == {"a/b.png": b"1"}


# ----------------------------------------------------------------------------------------------- hostile members


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "is a symbolic link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.FIFOTYPE, "is a special file"),
        (tarfile.CHRTYPE, "is a special file"),
        (tarfile.BLKTYPE, "is a special file"),
        (b"Z", "is a special file"),
    ],
)
@pytest.mark.parametrize("link", ["good.png", "../../outside", "/etc/passwd"])
def test_special_member_of_a_tar(tmp_path, target, kind, reason, link):
    members = tar_member("good.png", b"good"), tar_member("bad", kind=kind, link=link), tar_member("bad/x", b"x")
    archive = write_tar(tmp_path / "x.tar", *members)
    assert refused(archive, target) == f"{archive}: member 'bad' {reason}; {ADVICE}"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (stat.S_IFLNK, "is a symbolic link"),
        (stat.S_IFIFO, "is a special file"),
        (stat.S_IFCHR, "is a special file"),
        (stat.S_IFBLK, "is a special file"),
        (stat.S_IFSOCK, "is a special file"),
    ],
)
def test_special_member_of_a_zip(tmp_path, target, kind, reason):
    info = zipfile.ZipInfo("bad")
    info.external_attr = (kind | 0o777) << 16
    archive = write_zip(tmp_path / "x.zip", ("good.png", b"good"), (info, b"/etc/passwd"))
    assert refused(archive, target) == f"{archive}: member 'bad' {reason}; {ADVICE}"


def test_encrypted_member(tmp_path, target):
    archive = write_zip(tmp_path / "x.zip", ("a.png", b"secret"), compression=zipfile.ZIP_STORED)
    packed = bytearray(archive.read_bytes())
    packed[packed.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(packed)
    assert refused(archive, target) == f"{archive}: member 'a.png' is encrypted; {ADVICE}"


def declare(archive, size):
    """Let a zip of one member declare another size of its content."""
    packed = bytearray(archive.read_bytes())
    directory = packed.index(b"PK\1\2")
    packed[directory + 24 : directory + 28] = size.to_bytes(4, "little")
    archive.write_bytes(packed)
    return archive


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_member_with_more_bytes_than_it_declares(tmp_path, target, compression):
    archive = declare(write_zip(tmp_path / "x.zip", ("a", bytes(3_000_000)), compression=compression), 1000)
    assert "member 'a' has more than the 1,000 bytes that it declares; nothing was" in refused(archive, target)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_member_with_fewer_bytes_than_it_declares(tmp_path, target, compression):
    archive = declare(write_zip(tmp_path / "x.zip", ("a", bytes(1000)), compression=compression), 3000)
    assert "member 'a' has 1,000 bytes in place of the 3,000 that it declares" in refused(archive, target)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_member_whose_inflation_has_no_bound(tmp_path, target, compression):
    archive = write_zip(tmp_path / "x.zip", ("a.png", b"content"), compression=compression)
    reason = "is compressed by another method than deflate"
    assert refused(archive, target) == f"{archive}: member 'a.png' {reason}; {ADVICE}"


@pytest.mark.slow
def test_bomb_takes_little_memory(tmp_path, target):
    archive = declare(write_zip(tmp_path / "x.zip", ("a", bytes(200_000_000))), 1000)
    tracemalloc.start()
    try:
        refused(archive, target)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packing", PACKINGS)
def test_room_is_looked_for_first(tmp_path, target, monkeypatch, packing):
    usage = namedtuple("usage", "total used free")(10_000, 0, 260)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    archive = write(tmp_path / f"x.{packing}", CONTENT)
    advice = "make room or choose another folder"
    assert refused(archive, target) == f"{target}: {archive} unpacks to 261 bytes, but only 260 are free; {advice}"


# ---------------------------------------------------------------------------------------------- damaged archives


@pytest.mark.parametrize("packing", PACKINGS)
def test_archive_that_is_cut_off_anywhere(tmp_path, target, packing):
    archive = write(tmp_path / f"x.{packing}", CONTENT)
    packed = archive.read_bytes()
    stop, step = (tarfile.BLOCKSIZE * 10, 37) if packing == "tar" else (len(packed), 1)  # a tar's end is padded
    for end in range(0, stop, step):
        archive.write_bytes(packed[:end])
        assert "delete it and fetch it again" in refused(archive, target), end


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz"])
def test_byte_that_is_wrong_never_goes_unnoticed(tmp_path, target, packing):
    archive = write(tmp_path / f"x.{packing}", CONTENT)
    packed = archive.read_bytes()
    for position in range(0, len(packed), 3):
        archive.write_bytes(packed[:position] + bytes([packed[position] ^ 0x55]) + packed[position + 1 :])
        try:
            extract(archive, target)
        except DataError as error:
            assert "delete it and fetch it again" in str(error) or "nothing was unpacked" in str(error)
            assert not target.exists()
        else:
            assert contents(target) == CONTENT, position
            shutil.rmtree(target)


@pytest.mark.slow
def test_wrong_bytes_in_a_zip_end_in_an_error_or_the_right_contents(tmp_path, target):
    archive = write(tmp_path / "x.zip", CONTENT)
    packed = archive.read_bytes()
    draw = random.Random(0)
    for _ in range(400):
        changed = bytearray(packed)
        changed[draw.randrange(len(packed))] = draw.randrange(256)
        archive.write_bytes(changed)
        try:
            extract(archive, target)
        except DataError:
            assert not target.exists()
        else:
            assert sorted(contents(target).values()) == sorted(CONTENT.values())
            shutil.rmtree(target)


def test_directory_of_a_zip_that_lost_members(tmp_path, target):
    archive = write(tmp_path / "x.zip", CONTENT)
    packed = bytearray(archive.read_bytes())
    start, end = (packed.index(mark) for mark in (b"PK\1\2", b"PK\5\6"))
    second = packed.index(b"PK\1\2", start + 1)
    packed[end + 12 : end + 16] = (second - start).to_bytes(4, "little")  # the size of the directory
    packed[second:end] = b""
    archive.write_bytes(packed)
    message = f"{archive}: is damaged or incomplete (its directory lists 1 members, but declares 4); delete it and"
    assert message in refused(archive, target)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_of_more_members_than_its_end_can_count(tmp_path, target):
    extract(write_zip(tmp_path / "x.zip", ("a.png", b"1"), *[("folder/", b"")] * 2**16), target)
    assert contents(target) == {"a.png": b"1"}


def test_wrong_content_in_a_zip_is_noticed_by_its_checksum(tmp_path, target):
    archive = write_zip(tmp_path / "x.zip", ("a.png", b"content"), compression=zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"content", b"contemt"))
    message = f"{archive}: is damaged or incomplete (Bad CRC-32 for file 'a.png'); delete it and fetch it again"
    assert refused(archive, target) == message


def test_damaged_header_in_a_tar_is_not_taken_for_its_end(tmp_path, target):
    archive = write(tmp_path / "x.tar", {"a.png": b"1", "b.png": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"b.png", b"c.png"))
    message = f"{archive}: is damaged or incomplete (no member and no end at byte 1,024); delete it and fetch it again"
    assert refused(archive, target) == message


@pytest.mark.parametrize(
    "content", [b"", b"neither", bytes(100), gzip.compress(b"x"), bz2.compress(b"x"), lzma.compress(b"x")]
)
def test_file_that_is_no_archive(tmp_path, target, content, request):
    assert "content" in request.node.callspec.id  # gzip writes the time: as a name, it would differ between workers
    archive = tmp_path / "x.tar"
    archive.write_bytes(content)
    kinds = "neither a zip nor a tar archive (plain, or compressed by gzip, bzip2 or xz)"
    message = f"{archive}: is {kinds}, or its beginning is damaged; delete it and fetch it again"
    assert refused(archive, target) == message


# -------------------------------------------------------------------------------------------- folders and processes


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: (path / "x").mkdir(parents=True)])
def test_target_that_is_there(tmp_path, make):
    archive = write(tmp_path / "x.zip", CONTENT)
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError) as caught:
        extract(archive, tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'out'}: is there already; remove it to have {archive} unpacked again"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / ".out.lock"])


def test_empty_target_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    extract(write(tmp_path / "x.zip", CONTENT), tmp_path / "out")
    assert contents(tmp_path / "out") == CONTENT


def test_archive_that_is_not_there(tmp_path, target):
    message = f"x.zip: could not be unpacked to {target} (No such file or directory: {tmp_path / 'x.zip'}); fix that"
    assert message in refused(tmp_path / "x.zip", target)


def test_name_too_long_for_the_disk(tmp_path, target):
    archive = write(tmp_path / "x.zip", {"a" * 300: b""})
    assert f"{archive}: could not be unpacked to {target} (File name too long: " in refused(archive, target)


DYING = """
import os, signal, sys
from pathlib import Path
from ganformer.data.fetching import extraction

write = extraction._write

def write_and_die(member, *others):
    write(member, *others)
    if member.name == "a/b/c.png":
        os.kill(os.getpid(), signal.SIGKILL)

extraction._write = write_and_die
extraction.extract(*map(Path, sys.argv[1:]))
"""


def test_what_a_killed_run_left_is_removed(tmp_path, target):
    archive = write(tmp_path / "x.zip", {**CONTENT, "a/only in the first.png": b""})
    process = subprocess.run([sys.executable, "-c", DYING, archive, target], stderr=subprocess.DEVNULL)
    assert process.returncode == -signal.SIGKILL
    left = target.with_name(".unpacked.unpacking")
    assert set(contents(left)) == {"a.png", "a/b/c.png"}
    assert not target.exists()
    extract(write(tmp_path / "y.zip", {"other.png": b"other"}), target)
    assert contents(target) == {"other.png": b"other"}
    assert not left.exists()


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_tars_one_behind_the_other_are_refused(tmp_path, target, packing):
    one, other = (write(tmp_path / f"{name}.{packing}", {f"{name}.png": b"x"}) for name in "ab")
    joined = tmp_path / f"x.{packing}"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    message = refused(joined, target)
    assert f"{joined}: more follows the end of this tar, at byte 1,024; nothing was unpacked. If these are" in message
    assert "unpack them with tar --ignore-zeros" in message


def test_tar_with_many_zeros_at_its_end(tmp_path, target):
    archive = write(tmp_path / "x.tar", CONTENT)
    archive.write_bytes(archive.read_bytes() + bytes(3_000_001))
    extract(archive, target)
    assert contents(target) == CONTENT
