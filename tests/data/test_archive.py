"""Archives of pictures: the same images as from the folder they were made of, and clear words about the others."""

import bz2
import gzip
import io
import itertools
import lzma
import os
import pickle
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from ganformer import artifacts
from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import read_image
from ganformer.data.pack import pack
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources import archive as archives
from ganformer.data.sources.archive import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)
KINDS = {"zip": None, "tar": None, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
TARS = [kind for kind in KINDS if kind != "zip"]


def encoded(seed=0):
    """A small picture as the bytes of a png."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 20, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "png")
    return file.getvalue()


def write(path, members):
    """Writes an archive of (name, bytes), or of (TarInfo, bytes) and (ZipInfo, bytes), in this order."""
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
    """Writes an archive of all files in a folder; those in zips are deflated and in no good order."""
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
    assert (one["count"], len(one["rejected"])) == (31, 9)


def test_pictures_of_a_zip_come_in_the_order_of_their_names(pictures, tmp_path):
    source = opened(write_folder(tmp_path / "a.zip", pictures))
    assert names(source) == ["a-b/y.webp", "a.png", "a/deep/x.JPG", "b/1.png", "b/10.png", "b/2.bmp", "z.gif"]
    assert len(source) == 7


def test_pictures_of_a_tar_come_in_its_order(tmp_path, tar):
    path = write(tmp_path / f"a.{tar}", [(name, encoded()) for name in ("b.png", "a/x.png", "c.txt", "a.png")])
    assert names(opened(path)) == ["b.png", "a/x.png", "a.png"]


def test_pixels_do_not_depend_on_what_is_loaded_with_them(pictures, tmp_path, kind):
    source = opened(write_folder(tmp_path / f"a.{kind}", pictures))
    keys = list(source.keys())
    for key, sample in zip(keys, source.load(keys), strict=True):
        (alone,) = pickle.loads(pickle.dumps(source)).load(pickle.loads(pickle.dumps([key])))
        assert isinstance(sample, Sample)
        assert alone.name == sample.name == key.name
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_image(pictures / key.name, IMAGE)).all()


def test_hidden_files_are_overlooked(tmp_path, kind):
    hidden = [".a.png", ".git/b.png", "x/.c.png", "__MACOSX/._d.png", "__MACOSX/d.png", "d.txt", "e.png.part"]
    path = write(tmp_path / f"a.{kind}", [(name, encoded()) for name in [*hidden, "./x/./y.png", "z.png"]])
    assert names(opened(path)) == ["x/y.png", "z.png"]


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


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path, tar, type):  # noqa: A002
    member = tarfile.TarInfo("link.png")
    member.type, member.linkname = type, "a.png"
    samples = loaded(opened(write(tmp_path / f"a.{tar}", [("a.png", encoded()), (member, b"")])))
    assert samples["link.png"] == Rejection("link.png", "is a link or a device, not a file")
    assert isinstance(samples["a.png"], Sample)


def test_links_in_a_zip(tmp_path):
    member = zipfile.ZipInfo("link.png")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    samples = loaded(opened(write(tmp_path / "a.zip", [("a.png", encoded()), (member, b"a.png")])))
    assert samples["link.png"] == Rejection("link.png", "is a link or a device, not a file")
    assert isinstance(samples["a.png"], Sample)


def test_sparse_files_in_a_tar(tmp_path, tar):
    member = tarfile.TarInfo("holes.png")
    member.type = tarfile.GNUTYPE_SPARSE
    path = write(tmp_path / f"a.{tar}", [("a.png", encoded()), (member, b"")])
    assert loaded(opened(path))["holes.png"] == Rejection("holes.png", "is stored as a sparse file")


def entry_of(zipped, name):
    """Where the directory's entry of a member of a zip starts, and where its header."""
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
    assert b"PK\6\6" in path.read_bytes()
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
    monkeypatch.setattr(archives, "LIMIT_STREAMED", 1000)
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
    members = ["dog/a.png", "cat/b.png", "c.png", "cat/more/d.png", "notes/readme.txt", ".hidden/e.png"]
    path = write(tmp_path / f"a.{kind}", [(name, encoded()) for name in members])
    source = opened(path, IMAGE.model_copy(update={"classes": 3}))
    assert source.classes == 3
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
    with pytest.raises(DataError, match=r"\(its dataset\.json is encrypted"):
        opened(path)


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
    with pytest.raises(DataError, match=r"no images in this archive; looked for \.png, \.jpg, .* at any depth"):
        opened(path)
    path = write(path, [("a.png", b"")])
    with pytest.raises(DataError, match=r"no images below 'b' in this archive"):
        opened(path, folder="b")


def test_empty_zip(tmp_path):
    with pytest.raises(DataError, match="no images in this archive"):
        opened(write(tmp_path / "a.zip", []))


def test_members_are_not_kept_in_memory(tmp_path):
    """Of a zip one string for each member exists while they are sorted, then 8 bytes; of a tar nothing."""
    count = 8_000
    many = [(f"{number // 100:05d}/img{number:08d}.png", b"") for number in range(count)]
    for kind, most in (("zip", 110), ("tar", 5)):
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
