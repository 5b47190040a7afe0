"""Archives of pictures: the same images as from the folder they were made of, and clear words about the others."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import os
import pickle
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from ganformer import artifacts
from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import read_image
from ganformer.data.packing.pack import pack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import archive as archives
from ganformer.data.sources.archive import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)
KINDS = {"zip": None, "tar": None, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
TARS = [kind for kind in KINDS if kind != "zip"]


def encoded(seed=0):
    """Return a small picture as the bytes of a png."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 20, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "png")
    return file.getvalue()


def write(path, members):
    """Write an archive of (name, bytes), or of (TarInfo, bytes) and (ZipInfo, bytes), in this order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, contents in members:
                archive.writestr(name, contents)
        return path
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", errors="surrogateescape") as archive:
        for name, contents in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            if member.isreg():
                member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    compress = KINDS[path.name.partition(".")[2]] or bytes
    path.write_bytes(compress(plain.getvalue()))
    return path


def write_folder(path, folder, prefix=""):
    """Write an archive of all files in a folder; those in zips are deflated and in no good order."""
    files = sorted(
        (file for file in folder.rglob("*") if file.is_file()), key=lambda file: str(file.relative_to(folder))
    )
    members = [(prefix + str(file.relative_to(folder)), file.read_bytes()) for file in files]
    if path.suffix == ".zip":
        members = [(zipfile.ZipInfo(name), contents) for name, contents in reversed(members)]
        for member, _ in members:
            member.compress_type = zipfile.ZIP_DEFLATED
    return write(path, members)


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="archive", path=path, **settings), image)


def names(source):
    return list(labels_of(source))


def labels_of(source):
    keys = source.keys()
    return {key.name: key.label for key in keys}


def loaded(source):
    return {sample.name: sample for sample in source.load(list(source.keys()))}


def dataset_of(source, **settings):
    return Dataset.model_validate({"source": source, "resolution": 8, **settings})


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=TARS)
def tar(request):
    return request.param


@pytest.mark.parametrize("workers", [1, 2])
def test_same_pack_as_that_of_the_folder(pictures, tmp_path, kind, workers):
    (pictures / "b" / "broken.png").write_bytes(b"not a picture")
    write_folder(tmp_path / f"a.{kind}", pictures)
    settings = {"on_error": "skip", "classes": 3, "shard_images": 3}
    pack(dataset_of({"kind": "folder", "path": pictures}, **settings), tmp_path / "one")
    pack(dataset_of({"kind": "archive", "path": tmp_path / f"a.{kind}"}, **settings), tmp_path / "other", workers)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "other"))
    ours, theirs = (artifacts.read_json(tmp_path / out / "manifest.json") for out in ("one", "other"))
    assert ours.pop("source") != theirs.pop("source")
    assert ours == theirs
    assert [image["reason"] for image in ours["rejected"]][1:] == ["is not an image of a known format", "has no label"]
    assert one.pop("manifest.json") != other.pop("manifest.json")
    assert one == other


def test_odd_pictures_fare_as_in_a_folder(shared, tmp_path, kind):
    folder = shared / "data/odd_images"
    write_folder(tmp_path / f"a.{kind}", folder)
    sources = ({"kind": "folder", "path": folder}, {"kind": "archive", "path": tmp_path / f"a.{kind}"})
    one, other = (
        pack(dataset_of(source, on_error="skip"), tmp_path / source["kind"]).model_dump(exclude={"source"})
        for source in sources
    )
    assert one == other
    assert one["count"] >= 30
    assert one["rejected"]


def test_pictures_of_a_zip_come_in_the_order_of_their_names(pictures, tmp_path):
    source = opened(write_folder(tmp_path / "a.zip", pictures))
    assert names(source) == ["a-b/y.webp", "a.png", "a/deep/x.JPG", "b/1.png", "b/10.png", "b/2.bmp", "z.gif"]
    assert len(source) == 7


def test_pictures_of_a_tar_come_in_its_order(tmp_path, tar):
    path = write(
        tmp_path / f"a.{tar}",
        [(name, b"text" if name == "c.txt" else encoded()) for name in ("b.png", "a/x.png", "c.txt", "a.png")],
    )
    assert names(opened(path)) == ["b.png", "a/x.png", "a.png"]


def test_pixels_do_not_depend_on_what_is_loaded_with_them(pictures, tmp_path, kind):
    source = opened(write_folder(tmp_path / f"a.{kind}", pictures))
    keys = list(source.keys())
    for key, sample in zip(keys, source.load(keys), strict=True):
        (alone,) = pickle.loads(pickle.dumps(source)).load(pickle.loads(pickle.dumps([key])))
        assert isinstance(sample, Sample)
        assert alone.name == sample.name == key.name
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_image(io.BytesIO((pictures / key.name).read_bytes()), IMAGE).pixels).all()


def test_hidden_files_and_texts_are_overlooked(tmp_path, kind):
    hidden = [".a.png", ".git/b.png", "x/.c.png", "__MACOSX/._d.png", "__MACOSX/d.png"]
    others = [("d.txt", encoded()), ("e.png.part", b""), ("f", b"\0\1")]
    members = [(name, encoded()) for name in [*hidden, "./x/./y.png", "z.png"]]
    source = opened(write(tmp_path / f"a.{kind}", [*members, *others]))
    assert names(source) == ["x/y.png", "z.png"]
    assert source.left_out == {"hidden": 5, ".txt": 1, ".part": 1, "no suffix": 1}


def test_one_folder_of_an_archive(tmp_path, kind):
    folders = ["top/.in/a/x.png", "top/.in/b/y.png", "top/.inside/a/z.png", "c.png", "top/d.png"]
    path = write(tmp_path / f"a.{kind}", [(name, encoded()) for name in folders])
    for folder in ("top/.in", "/top/.in/", "./top//.in"):
        source = opened(path, folder=folder)
        assert names(source) == ["a/x.png", "b/y.png"]
        assert source.classes == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/a.png", "its name is an absolute path"),
        ("../a.png", "its name leads out of the folder (..)"),
        ("a/../../b.png", "its name leads out of the folder (..)"),
        ("C:a.png", "its name begins with a drive"),
        ("a\\b.png", "its name has a backslash"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path, kind, name, reason):
    path = write(tmp_path / f"a.{kind}", [("a.png", encoded()), (name, encoded())])
    assert loaded(opened(path))[name] == Rejection(name, reason)
    assert opened(path).classes == 0


@pytest.mark.parametrize(
    ("type", "reason"),
    [
        (tarfile.SYMTYPE, "is a symbolic link, not a file; make the archive again with its target (tar --derefe"),
        (tarfile.CHRTYPE, "is a device or another special file"),
        (tarfile.FIFOTYPE, "is a device or another special file"),
        (b"Z", "is a device or another special file"),
    ],
)
def test_links_and_devices_in_a_tar(tmp_path, tar, type, reason):  # noqa: A002
    member = tarfile.TarInfo("link.png")
    member.type, member.linkname = type, "a.png"
    samples = loaded(opened(write(tmp_path / f"a.{tar}", [("a.png", encoded()), (member, b"")])))
    assert samples["link.png"].reason.startswith(reason)
    assert isinstance(samples["a.png"], Sample)


def test_links_in_a_zip(tmp_path):
    member = zipfile.ZipInfo("link.png")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    samples = loaded(opened(write(tmp_path / "a.zip", [("a.png", encoded()), (member, b"a.png")])))
    reason = "is a symbolic link, not a file; make the archive again with its target"
    assert samples["link.png"] == Rejection("link.png", reason)
    assert isinstance(samples["a.png"], Sample)


def test_sparse_files_in_a_tar(tmp_path, tar):
    member = tarfile.TarInfo("holes.png")
    member.type = tarfile.GNUTYPE_SPARSE
    path = write(tmp_path / f"a.{tar}", [("a.png", encoded()), (member, b"")])
    assert loaded(opened(path))["holes.png"] == Rejection("holes.png", "is stored as a sparse file")


def entry_of(zipped, name):
    """Return where the directory's entry of a member of a zip starts, and where its header."""
    end = zipped.rindex(b"PK\5\6")
    (start,) = struct.unpack_from("<L", zipped, end + 16)
    place = zipped.rindex(name, start) - 46
    (header,) = struct.unpack_from("<L", zipped, place + 42)
    return place, header


FLAGS, METHOD, CRC, PACKED, SIZE, ATTRIBUTES, HEADER = (
    (8, "<H"),
    (10, "<H"),
    (16, "<L"),
    (20, "<L"),
    (24, "<L"),
    (38, "<L"),
    (42, "<L"),
)
DAMAGED = "is damaged in the archive (its size or checksum is another)"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (FLAGS, 1, "is encrypted; make an archive without a password"),
        (METHOD, 14, "is compressed by method 14; only deflate is known, make the archive again with that"),
        (SIZE, (1 << 30) + 1, "is said to have 1073741825 bytes, more than the 1073741824 that an image may have"),
        (PACKED, (1 << 30) + 1, "is said to have 1073741825 bytes, more than the 1073741824 that an image may have"),
        (SIZE, 100, DAMAGED),
        (SIZE, 0, DAMAGED),
        (SIZE, 100_000, DAMAGED),
        (PACKED, 100, DAMAGED),
        (CRC, 0, DAMAGED),
        (METHOD, 0, DAMAGED),
        (HEADER, 3, "is not where the archive's directory says; the archive is damaged"),
        (HEADER, 0xFFFFFFFE, "is not where the archive's directory says; the archive is damaged"),
    ],
)
def test_members_of_a_zip_that_are_not_what_they_should_be(pictures, tmp_path, field, value, reason):
    path = write_folder(tmp_path / "a.zip", pictures)
    zipped = bytearray(path.read_bytes())
    offset, layout = field
    struct.pack_into(layout, zipped, entry_of(zipped, b"b/10.png")[0] + offset, value)
    path.write_bytes(zipped)
    samples = loaded(opened(path))
    assert samples["b/10.png"] == Rejection("b/10.png", reason)
    assert sum(isinstance(sample, Sample) for sample in samples.values()) == 6


def test_flipped_bytes_in_a_zip_are_noticed(tmp_path):
    contents = encoded()
    path = write(tmp_path / "a.zip", [("a.png", contents)])
    stored = path.read_bytes()
    path.write_bytes(stored.replace(contents, contents[:50] + bytes([contents[50] ^ 1]) + contents[51:]))
    assert loaded(opened(path))["a.png"] == Rejection("a.png", DAMAGED)
    deflated = write_folder(tmp_path / "b.zip", tmp_path_with(tmp_path, contents))
    broken = bytearray(deflated.read_bytes())
    _, header = entry_of(broken, b"a.png")
    broken[header + 35] = 0xFF  # a block type that does not exist
    deflated.write_bytes(broken)
    assert loaded(opened(deflated))["a.png"].reason.startswith("is damaged in the archive (Error -3")


def tmp_path_with(tmp_path, contents):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(contents)
    return tmp_path / "folder"


def test_no_more_is_inflated_than_is_said_to_be_there(tmp_path):
    member = zipfile.ZipInfo("a.png")
    member.compress_type = zipfile.ZIP_DEFLATED
    path = write(tmp_path / "a.zip", [(member, bytes(50_000_000))])
    zipped = bytearray(path.read_bytes())
    struct.pack_into("<L", zipped, entry_of(zipped, b"a.png")[0] + 24, 1000)
    path.write_bytes(zipped)
    tracemalloc.start()
    try:
        assert loaded(opened(path))["a.png"] == Rejection("a.png", DAMAGED)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_large_zips(pictures, tmp_path, monkeypatch):
    """Files and counts beyond 32 bits stand elsewhere in a zip; here they do so from 100 bytes on."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = write_folder(tmp_path / "a.zip", pictures)
    content = bytearray(path.read_bytes())
    assert b"PK\6\6" in content
    # Counts, size and place of the directory, which the shorter record has no room for.
    struct.pack_into("<2H2L", content, content.rindex(b"PK\5\6") + 8, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2)
    path.write_bytes(content)
    assert all(isinstance(sample, Sample) for sample in loaded(opened(path)).values())
    assert len(opened(path)) == 7


@pytest.mark.parametrize("comment", [b"a note", b"PK\5\6 is not the end" + bytes(30), b"x" * 65535])
def test_zip_with_a_comment(tmp_path, comment):
    path = write(tmp_path / "a.zip", [("a.png", encoded())])
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert isinstance(loaded(opened(path))["a.png"], Sample)


def test_names_in_a_zip_that_does_not_say_they_are_utf_8(tmp_path):
    path = write(tmp_path / "a.zip", [("xx.png", encoded()), ("yy.png", encoded())])
    zipped = path.read_bytes().replace(b"xx.png", "é.png".encode()).replace(b"yy.png", b"y\x82.png")
    path.write_bytes(zipped)
    assert names(opened(path)) == ["yé.png", "é.png"]


def test_names_in_a_tar_that_are_not_text(tmp_path, tar):
    name = os.fsdecode(b"\xff.png")
    path = write(tmp_path / f"a.{tar}", [(name, encoded())])
    assert names(opened(path)) == [name]
    assert [sample.name for sample in loaded(opened(path)).values()] == ["\\xff.png"]


def test_long_names_in_a_tar(tmp_path, tar):
    name = "/".join(["folder"] * 60) + "/é.png"
    assert names(opened(write(tmp_path / f"a.{tar}", [(name, encoded())]))) == [name]


def test_attributes_without_bounds_in_a_tar_are_refused(tmp_path, tar):
    member = tarfile.TarInfo("a.png")
    member.pax_headers = {"comment": "x" * (1 << 20)}
    path = write(tmp_path / f"a.{tar}", [("b.png", encoded()), (member, encoded())])
    with pytest.raises(DataError, match=r"cut short or damaged \(10485\d\d bytes of attributes of a member\)"):
        opened(path)


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_cut_archive(pictures, tmp_path, kind, where):
    path = write_folder(tmp_path / f"a.{kind}", pictures)
    whole = path.read_bytes()
    end = len(whole) if kind != "tar" else whole.rstrip(b"\0").__len__()
    path.write_bytes(whole[: int(where * end)])
    with pytest.raises(
        DataError, match=rf"a\.{kind}: this archive is cut short or damaged \(.+\); copy or download it"
    ):
        opened(path)


def test_tar_cut_between_two_members(tmp_path):
    path = write(tmp_path / "a.tar", [("a.png", encoded()), ("b.png", encoded())])
    with tarfile.open(path) as archive:
        start = archive.getmember("b.png").offset
    path.write_bytes(path.read_bytes()[:start])
    with pytest.raises(DataError, match=r"this archive is cut short or damaged \(empty header\)"):
        opened(path)


def test_damaged_header_in_a_tar(tmp_path, tar):
    plain = write(tmp_path / "a.tar", [("a.png", encoded()), ("b.png", encoded())])
    broken = bytearray(plain.read_bytes())
    broken[broken.index(b"b.png")] = ord("c")
    path = tmp_path / f"b.{tar}"
    path.write_bytes((KINDS[tar] or bytes)(bytes(broken)))
    with pytest.raises(DataError, match=r"this archive is cut short or damaged \(bad checksum\)"):
        opened(path)


def test_flipped_byte_in_a_compressed_tar(tmp_path):
    path = write(tmp_path / "a.tar.gz", [("a.png", encoded())])
    broken = bytearray(path.read_bytes())
    broken[-6] ^= 1  # of the checksum
    path.write_bytes(broken)
    with pytest.raises(DataError, match=r"cut short or damaged \(CRC check failed .*\); copy or download it again"):
        opened(path)


def test_damaged_directory_of_a_zip(tmp_path):
    path = write(tmp_path / "a.zip", [("a.png", encoded()), ("b.png", encoded())])
    whole = path.read_bytes()
    end = whole.rindex(b"PK\5\6")
    for offset, layout, value, reason in (
        (12, "<L", 10**9, "its directory is damaged"),
        (12, "<L", 50, "its directory is damaged"),
        (16, "<L", 7, "its directory is damaged"),
        (4, "<H", 1, "it is one part of an archive in several; join them"),
        (6, "<H", 1, "it is one part of an archive in several; join them"),
    ):
        broken = bytearray(whole)
        struct.pack_into(layout, broken, end + offset, value)
        path.write_bytes(broken)
        with pytest.raises(DataError) as failed:
            opened(path)
        assert f"{path}: this archive is cut short or damaged ({reason}); copy or download it again" == str(
            failed.value
        )


def test_large_members_do_not_pass_through_memory(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "MAX_STREAMED_BYTES", 1000)
    path = write(tmp_path / f"a.{kind}", [("a.png", encoded()), ("b.png", bytes(1001)), ("c.mp4", bytes(2000))])
    reason = loaded(opened(path))["b.png"].reason
    if kind in ("zip", "tar"):
        assert reason == "is not an image of a known format"
    else:
        assert reason == "is said to have 1001 bytes, more than the 1000 that an image may have"


def test_bytes_of_other_files_are_not_read(tmp_path):
    path = write(tmp_path / "a.tar.gz", [("a.png", encoded()), ("film.mp4", bytes(30_000_000))])
    tracemalloc.start()
    try:
        assert len(list(opened(path).keys())) == 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_sub_folders_are_labels(tmp_path, kind):
    members = ["dog/a.png", "cat/b.png", "c.png", "cat/more/d.png", ".hidden/e.png"]
    path = write(tmp_path / f"a.{kind}", [*((name, encoded()) for name in members), ("notes/readme.txt", b"text")])
    source = opened(path, IMAGE.model_copy(update={"classes": 2}))
    assert source.classes == 2
    assert list(source.class_names) == ["cat", "dog"]
    assert labels_of(source) == {
        "dog/a.png": 1,
        "cat/b.png": 0,
        "c.png": None,
        "cat/more/d.png": 0,
    }
    assert {sample.name: sample.label for sample in loaded(source).values()}["dog/a.png"] == 1


def test_dataset_json_in_an_archive(tmp_path, kind):
    text = b'{"labels": [["00000/b.png", 4], ["00000/a.png", 1]]}'
    members = [("t/dataset.json", text), ("t/00000/a.png", encoded()), ("t/00000/b.png", encoded())]
    path = write(tmp_path / f"a.{kind}", members)
    source = opened(path, IMAGE.model_copy(update={"classes": 5}), folder="t")
    assert source.classes == 5
    assert labels_of(source) == {"00000/a.png": 1, "00000/b.png": 4}


def test_labels_beside_an_archive(tmp_path, kind):
    members = [("dataset.json", b"not JSON"), ("a.png", encoded()), ("b.png", encoded())]
    path = write(tmp_path / f"a.{kind}", members)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nb.png,cat\na.png,dog\n")
    source = opened(path, IMAGE.model_copy(update={"classes": 2}), labels=table)
    assert source.config.inputs == (path, table)
    keys = list(source.keys())
    table.unlink()
    assert {sample.name: sample.label for sample in pickle.loads(pickle.dumps(source)).load(keys)} == {
        "a.png": 1,
        "b.png": 0,
    }


def test_labels_that_name_no_picture_of_an_archive(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("dataset.json", b'{"labels": [["x.png", 0]]}'), ("a.png", encoded())])
    expected = (
        r"dataset\.json: none of its 1 labels names an image; the first is of 'x\.png', an image is called 'a\.png'"
    )
    with pytest.raises(DataError, match=expected):
        opened(path, IMAGE.model_copy(update={"classes": 1}))
    assert names(opened(path)) == ["a.png"]


def test_labels_in_an_archive_that_are_none(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("dataset.json", b'{"labels": 3}'), ("a.png", encoded())])
    with pytest.raises(DataError, match=rf"a\.{kind}: dataset\.json: holds no list of labels"):
        opened(path, IMAGE.model_copy(update={"classes": 1}))


def test_labels_in_a_zip_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "a.zip", [("dataset.json", b'{"labels": null}'), ("a.png", encoded())])
    zipped = bytearray(path.read_bytes())
    struct.pack_into("<H", zipped, entry_of(zipped, b"dataset.json")[0] + 8, 1)
    path.write_bytes(zipped)
    with pytest.raises(DataError, match=r"a\.zip: dataset\.json: is encrypted; .*name labels beside it in labels"):
        opened(path, IMAGE.model_copy(update={"classes": 1}))
    assert names(opened(path)) == ["a.png"]


@pytest.mark.parametrize("contents", [b"", b"<!DOCTYPE html><html>" + b" " * 1000, bytes(10240), b"x" * 10240])
def test_what_is_no_archive(tmp_path, contents):
    (tmp_path / "a.zip").write_bytes(contents)
    with pytest.raises(
        DataError, match=r"a\.zip: is neither a zip nor a tar \(plain, or compressed by .*; correct the s"
    ):
        opened(tmp_path / "a.zip")


def test_compressed_file_that_is_no_tar(tmp_path):
    (tmp_path / "a.png.gz").write_bytes(gzip.compress(encoded()))
    with pytest.raises(DataError, match=r"a\.png\.gz: this archive is cut short or damaged \(.*header\)"):
        opened(tmp_path / "a.png.gz")


def test_name_of_an_archive_does_not_matter(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("a.png", encoded())])
    path.rename(tmp_path / "pictures")
    assert names(opened(tmp_path / "pictures")) == ["a.png"]


def test_missing_archive(tmp_path):
    with pytest.raises(DataError, match=r"a\.zip: this archive does not exist; correct the source"):
        opened(tmp_path / "a.zip")
    with pytest.raises(DataError, match=r"this archive is a folder, which is of kind folder; correct the source"):
        opened(tmp_path)


def test_archive_that_must_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", [("a.png", encoded())])

    def refused(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(DataError, match=r"a\.zip: this archive cannot be read \(Permission denied\); make it readable"):
        opened(path)


def test_archive_that_vanishes(tmp_path, kind):
    source = opened(write(tmp_path / f"a.{kind}", [("a.png", encoded())]))
    keys = list(source.keys())
    (tmp_path / f"a.{kind}").unlink()
    with pytest.raises(DataError, match=r"this archive cannot be read \(No such file or directory\)"):
        list(source.load(keys))


def test_archive_without_pictures(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("a.txt", b""), ("b/.c.png", b"")])
    with pytest.raises(
        DataError, match=r"no images in this archive at any depth. It has 2 others \(1 \.txt, 1 hidden\)"
    ):
        opened(path)
    path = write(path, [("a.png", b"")])
    with pytest.raises(DataError, match=r"no images below 'b' in this archive"):
        opened(path, folder="b")


def test_empty_zip(tmp_path):
    with pytest.raises(DataError, match="no images in this archive"):
        opened(write(tmp_path / "a.zip", []))


@pytest.mark.slow
def test_members_are_not_kept_in_memory(tmp_path):
    """A zip takes one string for each member while they are sorted, then 8 bytes; a tar hashes of 8 bytes."""
    count = 8_000
    many = [(f"{number // 100:05d}/img{number:08d}.png", b"") for number in range(count)]
    for kind, most in (("zip", 110), ("tar", 40)):
        path = write(tmp_path / f"a.{kind}", many)
        names(opened(path))  # what is remembered only once
        tracemalloc.start()
        try:
            source = opened(path)
            assert sum(1 for _ in itertools.islice(source.keys(), count // 2, None)) == count // 2
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 12 * count + 50_000
        assert peak < most * count + 200_000
        assert len(pickle.dumps(source)) < 1000


# ---------------------------------------------------------------------------- every member is read, named or counted

NOISE = {number: read_image(io.BytesIO(encoded(number)), IMAGE).pixels for number in range(8)}


def shown(source):
    """Return number of the noise that each picture is, or why it is none, by name."""
    return {name: which(sample) for name, sample in loaded(source).items()}


def which(sample):
    if isinstance(sample, Rejection):
        return sample.reason
    (number,) = (number for number, pixels in NOISE.items() if (pixels == sample.pixels).all())
    return number


def joined(path, *archives):
    """Write several archives one behind the other."""
    contents = [write(path.with_name(f"{number}-{path.name}"), members) for number, members in enumerate(archives)]
    path.write_bytes(b"".join(part.read_bytes() for part in contents))
    return path


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=4), st.sampled_from(TARS))
@settings(max_examples=25, deadline=None)
def test_tars_one_behind_the_other_are_read_as_one(parts, tar):
    count = itertools.count()
    tars = [[(f"{next(count)}.png", encoded(number)) for number in part] for part in parts]
    expected = {
        name: number
        for part, numbers in zip(tars, parts, strict=True)
        for (name, _), number in zip(part, numbers, strict=True)
    }
    with TemporaryDirectory() as folder:
        path = joined(Path(folder) / f"a.{tar}", *tars)
        if expected and (parts[0] or tar != "tar"):
            assert shown(opened(path)) == expected
        else:  # what begins with zeros is not taken for a tar
            with pytest.raises(
                DataError, match=r"no images in this archive at any depth\. It has no|is neither a zip n"
            ):
                opened(path)


def test_zeros_between_streams_and_behind_the_end(tmp_path, tar):
    path = joined(tmp_path / f"a.{tar}", [("a.png", encoded(1))], [("b.png", encoded(2))])
    one, other = (path.with_name(f"{number}-{path.name}").read_bytes() for number in (0, 1))
    path.write_bytes(one + bytes(1024) + other + bytes(4 * 777 if tar != "tar" else 777))
    assert shown(opened(path)) == {"a.png": 1, "b.png": 2}


def test_what_follows_the_end_of_a_tar_is_no_padding(tmp_path, tar):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1))])
    whole = path.read_bytes() + b"notes of the person who made this" * 40
    path = tmp_path / f"b.{tar}"
    path.write_bytes((KINDS[tar] or bytes)(whole))
    with pytest.raises(DataError, match=r"damaged \(neither zeros nor another tar follow its end, at byte \d+\); copy"):
        opened(path)


@pytest.mark.parametrize("tar", TARS[1:])
def test_what_follows_a_compressed_stream_is_no_padding(tmp_path, tar):
    path = write(tmp_path / f"a.{tar}", [("a.png", encoded(1))])
    path.write_bytes(path.read_bytes() + b"notes of the person who made this")
    with pytest.raises(DataError, match="this archive is cut short or damaged"):
        opened(path)


@pytest.mark.parametrize("tar", TARS[1:])
def test_second_compressed_stream_is_cut_off(tmp_path, tar):
    path = joined(tmp_path / f"a.{tar}", [("a.png", encoded(1))], [("b.png", encoded(2))])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="this archive is cut short or damaged"):
        opened(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_last_counts(tmp_path, kind):
    members = [("a.png", 1), ("b.png", 2), ("./a.png", 3), ("t.txt", 4), ("x/../c.png", 5), ("t.txt", 6), ("a.png", 7)]
    contents = [(name, b"text" if name == "t.txt" else encoded(number)) for name, number in members]
    source = opened(write(tmp_path / f"a.{kind}", contents))
    assert shown(source) == {"a.png": 7, "b.png": 2, "x/../c.png": "its name leads out of the folder (..)"}
    assert source.left_out == {"replaced by a later member of the same name": 3, ".txt": 1}
    assert len(source) == 3


def test_joined_tars_whose_members_have_the_same_names(tmp_path, tar):
    path = joined(tmp_path / f"a.{tar}", [("a.png", encoded(1)), ("b.png", encoded(2))], [("a.png", encoded(3))])
    source = opened(path)
    assert shown(source) == {"b.png": 2, "a.png": 3}
    assert names(source) == ["b.png", "a.png"]


def link(name, target, type=tarfile.LNKTYPE):  # noqa: A002
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type, target
    return member, b""


def test_hard_links_are_what_they_lead_to(tmp_path, tar):
    members = [
        link("early.png", "a.png"),
        ("a.png", encoded(1)),
        ("hidden/.x", encoded(2)),
        link("b.png", "./a.png"),
        link("c.jpeg", "b.png"),
        link("d.png", "hidden/.x"),
        link("e", "a.png"),
        ("a.png", encoded(3)),
        link("f.png", "a.png"),
        link("lost.png", "nowhere.png"),
        link("to.png", "sym.txt"),
        link("sym.txt", "a.png", tarfile.SYMTYPE),
        link("to-sym.png", "sym.txt"),
        ("g.txt", b"text"),
        link("h.txt", "g.txt"),
    ]
    source = opened(write(tmp_path / f"a.{tar}", members))
    found = shown(source)
    assert found.pop("to-sym.png").startswith("is a symbolic link, not a file")
    assert found == {
        "early.png": "is a hard link to 'a.png', which is not in the archive before it",
        "b.png": 1,
        "c.jpeg": 1,
        "d.png": 2,
        "e": 1,
        "a.png": 3,
        "f.png": 3,
        "lost.png": "is a hard link to 'nowhere.png', which is not in the archive before it",
        "to.png": "is a hard link to 'sym.txt', which is not in the archive before it",
    }
    assert source.left_out == {"hidden": 1, ".txt": 3, "replaced by a later member of the same name": 1}


def test_hard_links_of_the_usual_program(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(4))
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    for tar in ("x.tar", "x.tar.gz"):
        with tarfile.open(tmp_path / tar, "w:gz" if tar.endswith("gz") else "w") as archive:
            archive.add(tmp_path / "a.png", "a.png")
            archive.add(tmp_path / "b.png", "b.png")
            assert archive.getmember("b.png").islnk()
        assert shown(opened(tmp_path / tar)) == {"a.png": 4, "b.png": 4}


def test_hard_links_of_a_compressed_tar_take_no_more_memory_than_a_picture_may(tmp_path, monkeypatch):
    size = len(encoded(1))
    monkeypatch.setattr(archives, "MAX_STREAMED_BYTES", size + 10)
    members = [("a.png", encoded(1)), ("b.png", encoded(1)), link("c.png", "a.png"), link("d.png", "b.png")]
    found = shown(opened(write(tmp_path / "a.tar.gz", members)))
    reason = (
        f"is a hard link to 'b.png', which would be more than {size + 10} bytes to keep in memory; unpack the archi"
    )
    assert found.pop("d.png").startswith(reason)
    assert found == {"a.png": 1, "b.png": 1, "c.png": 1}
    assert shown(opened(write(tmp_path / "a.tar", members)))["d.png"] == 1


def test_pictures_are_told_by_their_content_where_the_name_does_not(tmp_path, kind):
    members = [("a", encoded(1)), ("b.dat", encoded(2)), ("c.part", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99))]
    others = [("d.dat", b"other"), ("e", b""), ("f.json", b"{}")]
    source = opened(write(tmp_path / f"a.{kind}", [*members, *others]))
    found = shown(source)
    assert "JPEG 2000" in found.pop("c.part")
    assert found == {"a": 1, "b.dat": 2}
    assert source.left_out == {".dat": 1, "no suffix": 1, ".json": 1}


def test_tar_that_became_shorter_after_it_was_looked_at(tmp_path):
    path = write(tmp_path / "a.tar", [("a.png", encoded(1)), ("b.png", encoded(2))])
    source = opened(path)
    one, other = source.keys()
    offset, size = other.place
    with path.open("r+b") as file:
        file.truncate(offset + size - 1)
    first, second = source.load([one, other])
    assert (first.name, second) == ("a.png", Rejection("b.png", "is cut off in the archive"))


@pytest.mark.parametrize(
    ("folder", "above"), [("", ""), ("set", "set/"), ("set/", "set/"), ("in/set//", "in/set/"), ("/set", "set/")]
)
def test_advice_about_folders_names_them_from_the_top_of_the_archive(tmp_path, folder, above):
    members = [(f"{folder.strip('/')}/{name}/a.png".lstrip("/"), encoded(1)) for name in ("test", "train")]
    path = write(tmp_path / "a.zip", members)
    with pytest.raises(DataError, match=rf"as classes, set the source's folder to {above}train$"):
        _ = opened(path, IMAGE.model_copy(update={"classes": 2}), folder=folder).classes


def test_deflated_pictures_are_told_by_their_content(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(encoded(1))
    (tmp_path / "folder" / "b").write_bytes(bytes(1 << 20))
    source = opened(write_folder(tmp_path / "a.zip", tmp_path / "folder"))
    assert shown(source) == {"a": 1}
    assert source.left_out == {"no suffix": 1}


def test_all_pages_of_a_tiff_are_pictures(tmp_path, kind):
    pages = [Image.open(io.BytesIO(encoded(number))) for number in (3, 1, 2)]
    file = io.BytesIO()
    pages[0].save(file, "tiff", save_all=True, append_images=pages[1:])
    path = write(tmp_path / f"a.{kind}", [("a.png", encoded(0)), ("b.tif", file.getvalue()), ("c", file.getvalue())])
    source = opened(path)
    expected = {"a.png": 0}
    expected |= {f"{name}[{page}]": number for name in ("b.tif", "c") for page, number in enumerate((3, 1, 2))}
    assert shown(source) == expected
    assert len(source) == 7
    (sample,) = pickle.loads(pickle.dumps(source)).load([list(source.keys())[2]])
    assert (sample.name, which(sample)) == ("b.tif[1]", 1)


def test_limits_say_what_numbers_of_many_bits_mean(tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(file, "tiff")
    path = write(tmp_path / f"a.{kind}", [("a.tif", file.getvalue())])
    assert {int(sample.pixels.max()) for sample in opened(path, limits=(0, 4095)).load(list(opened(path).keys()))} == {
        255
    }
    with pytest.raises(ValidationError, match="limits 1 and 1 are not the values of black and white"):
        Config(kind="archive", path=path, limits=(1, 1))


def test_labels_that_nobody_asks_for_are_not_read(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", [("dataset.json", b"not JSON"), ("a.png", encoded())])
    source = opened(path)
    assert names(source) == ["a.png"]
    assert source.left_out == {".json": 1}
    with pytest.raises(DataError, match="is not valid JSON"):
        opened(path, IMAGE.model_copy(update={"classes": 1}))


@given(
    st.dictionaries(
        st.sampled_from(["a/1", "a/2", "b/1", "10/x", "9/x", "top"]), st.integers(0, 7), min_size=1, max_size=6
    ),
    st.sampled_from(list(KINDS)),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_archive_gives_its_pictures_and_classes(pictures, kind, has_table):
    members = [(f"{name}.png", encoded(number)) for name, number in pictures.items()]
    if has_table:
        table = {f"{name}.png": number for name, number in pictures.items()}
        members.append(("dataset.json", json.dumps({"labels": table}).encode()))
    with TemporaryDirectory() as folder:
        source = opened(write(Path(folder) / f"a.{kind}", members), IMAGE.model_copy(update={"classes": 9}))
        samples = loaded(source)
        assert {name: which(sample) for name, sample in samples.items()} == {
            f"{name}.png": number for name, number in pictures.items()
        }
        for name, sample in samples.items():
            if has_table:
                assert sample.label == which(sample)
            else:
                top = name.partition("/")[0] if "/" in name else None
                assert (None if sample.label is None else source.class_names[sample.label]) == top
        assert source.left_out == {}
