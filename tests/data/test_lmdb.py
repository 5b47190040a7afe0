"""LMDB environments in LSUN's layout: order, names, what is no image, damage, and that nothing is written."""

import io
import pickle
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganformer.config import ImageSpec
from ganformer.data.images import read_array, read_image
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources.lmdb import Config, open_source
from ganformer.errors import DataError
from tests.data.noisy import encoded
from tests.data.records import field, varint

IMAGE = ImageSpec(height=8, width=8)


def opened(path, image=IMAGE, **settings):
    return open_source(Config(kind="lmdb", path=path, **settings), image)


def shown(source):
    """Return number of the noise that each picture is, by name."""
    return {sample.name: which(sample) for sample in source.load(list(source.keys()))}


def which(sample):
    assert isinstance(sample, Sample), sample
    (number,) = (
        number for number in range(20) if (read_image(io.BytesIO(encoded(number)), IMAGE).pixels == sample.pixels).all()
    )
    return number


def write(path, entries, subdir=True):
    with lmdb.open(str(path), subdir=subdir, map_size=1 << 22) as made, made.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)
    return path


@pytest.fixture
def entries():
    return {b"%d" % number: encoded(number, "webp" if number % 2 else "png") for number in (10, 9, 1, 100)}


@pytest.fixture
def folder(tmp_path, entries):
    return write(tmp_path / "bedroom_train_lmdb", entries)


def test_images_in_the_order_of_their_keys(folder, entries):
    source = opened(folder)
    keys = list(source.keys())
    assert keys == sorted(entries) == [b"1", b"10", b"100", b"9"]
    assert len(source) == 4
    assert source.classes == 0
    there = pickle.loads(pickle.dumps(source))
    for key, sample in zip(keys, source.load(keys), strict=True):
        (alone,) = there.load([key])
        assert isinstance(sample, Sample)
        assert sample.name == alone.name == key.decode()
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_image(io.BytesIO(entries[key]), IMAGE).pixels).all()


def test_environment_is_let_go_after_every_portion(folder):
    source = opened(folder)
    for _ in range(2):
        assert len(list(source.load(list(source.keys())))) == 4
        with lmdb.open(str(folder), readonly=True, lock=False):  # refused while it is open
            pass


def test_single_file(tmp_path, entries):
    source = opened(write(tmp_path / "images.mdb", entries, subdir=False))
    assert len(list(source.load(list(source.keys())))) == 4


def test_entries_that_are_no_images_are_named(tmp_path, entries):
    extra = {b"num-samples": b"4", b"\xff\n": b"text", b"cut": encoded(0)[:200], "zoë".encode(): b""}
    source = opened(write(tmp_path / "map", entries | extra))
    found = {image.name: image for image in source.load(list(source.keys()))}
    rejected = {name: image.reason for name, image in found.items() if isinstance(image, Rejection)}
    assert len(source) == len(found) == 7
    assert source.left_out == {"bookkeeping keys": 1}
    assert rejected.keys() == {"\\xff\n", "cut", "zoë"}
    assert rejected["zoë"] == "is no picture, but nothing at all"
    assert rejected["\\xff\n"] == "is no picture, but text ('text')"
    assert "runcated" in rejected["cut"]


def test_nothing_is_written(folder):
    for name in ("data.mdb", "lock.mdb"):
        assert (folder / name).exists()
    (folder / "lock.mdb").unlink()
    before = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").chmod(0o444)
    folder.chmod(0o555)
    try:
        source = opened(folder)
        assert len(list(source.load(list(source.keys())))) == 4
    finally:
        folder.chmod(0o755)
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]
    assert (folder / "data.mdb").read_bytes() == before


def test_two_sources_of_one_environment(folder):
    one, other = opened(folder), opened(folder / "data.mdb")
    assert [list(one.keys()), len(other)] == [list(other.keys()), 4]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: b"nothing of the kind" * 1000, "MDB_INVALID: File is not an LMDB file"),
        (lambda whole: whole[: len(whole) // 2], "is cut short: "),
    ],
)
def test_damaged_environment(folder, change, reason):
    (folder / "data.mdb").write_bytes(change((folder / "data.mdb").read_bytes()))
    with pytest.raises(DataError) as refused:
        opened(folder)
    assert f"bedroom_train_lmdb: cannot be read as an LMDB environment ({reason}" in str(refused.value)
    assert str(refused.value).endswith("get or make it again")


def test_damaged_page(tmp_path):
    path = write(tmp_path / "map", {b"%04d" % number: b"x" * 500 for number in range(1000)})
    content = bytearray((path / "data.mdb").read_bytes())
    half = len(content) // 8192 * 4096
    content[half:] = bytes(len(content) - half)
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=r"map: cannot be read as an LMDB environment \(.*\); get or make it again"):
        list(opened(path).keys())


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_missing_environment(tmp_path, make):
    make(tmp_path / "map")
    with pytest.raises(DataError, match=r"map: there is no LMDB environment, a folder with data\.mdb; correct the sou"):
        opened(tmp_path / "map")


def test_empty_environment(tmp_path):
    with pytest.raises(DataError, match="map: this LMDB environment is empty; choose one with encoded images"):
        opened(write(tmp_path / "map", {}))


def test_named_databases(tmp_path):
    path = tmp_path / "map"
    with lmdb.open(str(path), max_dbs=2) as made:
        for number, name in enumerate((b"train", b"test")):
            with made.begin(write=True, db=made.open_db(name)) as transaction:
                for key in range(number + 1):
                    transaction.put(b"%d" % key, encoded(10 * number + key))
        with made.begin(write=True) as transaction:
            transaction.put(b"about", b"y" * 48)  # as long as what LMDB keeps of a database
            transaction.put(b"picture", encoded(7))
    with pytest.raises(
        DataError,
        match=r"map: has named databases \('test', 'train'\); name the one with the images in"
        " database, or an empty name for the one without a name",
    ):
        opened(path)
    with pytest.raises(DataError, match=r"has no database 'val'; correct database\. There is 'test', 'train'"):
        opened(path, database="val")
    source = opened(path, database="test")
    assert shown(source) == {"0": 10, "1": 11}
    assert source.left_out == {"other named databases": 1, "keys beside the named databases": 2}
    source = opened(path, database="")
    assert [key for key in source.keys()] == [b"about", b"picture"]  # noqa: C416, SIM118
    assert source.left_out == {"other named databases": 2}


def test_inputs(folder):
    assert Config(kind="lmdb", path=folder).inputs == (folder / "data.mdb",)
    assert Config(kind="lmdb", path=folder / "data.mdb").inputs == (folder / "data.mdb",)


# --------------------------------------------------------------------------------------- what other programs write

LABELLED = ImageSpec(height=8, width=8, classes=5)


def several_sizes(path, count=3, sizes=(8, 16, 32), without=(), extra=()):
    """Return an LMDB as rosinality/stylegan2-pytorch makes it; the largest size is the noise of that number."""
    entries = dict(extra)
    for number in range(count):
        for size in sizes:
            content = encoded(number) if size == max(sizes) else encoded(19)
            entries[f"{size}-{number:05d}".encode()] = content
    entries[b"length"] = str(count).encode()
    return write(path, {key: value for key, value in entries.items() if key not in without})


def test_of_several_sizes_the_largest_is_taken(tmp_path):
    source = opened(several_sizes(tmp_path / "map", extra={b"other": encoded(7)}))
    assert shown(source) == {"32-00000": 0, "32-00001": 1, "32-00002": 2, "other": 7}
    assert source.left_out == {"smaller sizes of the same pictures": 6, "bookkeeping keys": 1}
    assert len(source) == 4
    assert shown(pickle.loads(pickle.dumps(source))) == shown(source)
    assert shown(opened(several_sizes(tmp_path / "one", sizes=(16,)))) == {"16-00000": 0, "16-00001": 1, "16-00002": 2}


def test_a_database_named_like_a_size_is_no_picture(tmp_path):
    path = several_sizes(tmp_path / "map")
    with lmdb.open(str(path), max_dbs=1, map_size=1 << 22) as made:
        made.open_db(b"64-00000")
    source = opened(path, database="")
    assert shown(source) == {"32-00000": 0, "32-00001": 1, "32-00002": 2}
    assert source.left_out == {
        "smaller sizes of the same pictures": 6,
        "bookkeeping keys": 1,
        "other named databases": 1,
    }


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ([b"32-00001"], "2 of 32 pixels"),
        ([b"8-00002"], "2 of 8 pixels"),
        ([b"8-00001", b"16-00001", b"32-00001"], "2 of 8 pixels, 2 of 16 pixels, 2 of 32 pixels"),
    ],
)
def test_size_of_which_pictures_are_missing(tmp_path, keys, wrong):
    path = several_sizes(tmp_path / "map", without=keys)
    with pytest.raises(DataError) as refused:
        opened(path)
    assert f"is to have 3 pictures in each of 3 sizes (keys SIZE-NUMBER), but has {wrong}; make it" in str(
        refused.value
    )


def test_keys_like_sizes_are_pictures_where_there_is_no_length(tmp_path):
    entries = {b"1-1": encoded(1), b"2-1": encoded(2)}
    assert shown(opened(write(tmp_path / "map", entries))) == {"1-1": 1, "2-1": 2}


@pytest.mark.parametrize("key", ["length", "num-samples", "__len__", "__keys__", "label-000000001", "meta"])
@pytest.mark.parametrize("value", [b"4", pickle.dumps([b"1", b"2"]), b"", b"\x00\x01"])
def test_bookkeeping(tmp_path, key, value):
    source = opened(write(tmp_path / "map", {b"1": encoded(1), key.encode(): value}))
    assert shown(source) == {"1": 1}
    assert source.left_out == {"bookkeeping keys": 1}


def test_picture_under_a_key_like_bookkeeping(tmp_path):
    assert shown(opened(write(tmp_path / "map", {b"label-1": encoded(1), b"length": encoded(2)}))) == {
        "label-1": 1,
        "length": 2,
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (pickle.dumps({"image": b"x"}), "is no picture, but a pickle, which is never loaded"),
        (b"\x93NUMPY\x01\x00", "is no picture, but an array of numpy (npy), which is not read here"),
        ("zoë".encode(), "is no picture, but text ('zoë')"),
        (b"", "is no picture, but nothing at all"),
        (b"\xff\xfe\xfd", "is no picture, but 3 bytes of no known format"),
        (b"\x1f\x8b\x08", "is no picture, but gzip, which is not read here"),
    ],
)
def test_what_a_value_is(tmp_path, value, reason):
    source = opened(write(tmp_path / "map", {b"1": encoded(1), b"2": value}))
    _, other = source.load(list(source.keys()))
    assert other == Rejection("2", reason)


def test_only_bookkeeping(tmp_path):
    with pytest.raises(DataError, match=r"is empty; choose one with encoded images\. It has 1 bookkeeping keys"):
        opened(write(tmp_path / "map", {b"length": b"0"}))
    with pytest.raises(DataError, match=r"is empty; choose one with encoded images$"):
        opened(write(tmp_path / "nothing", {}))


def test_several_values_for_a_key(tmp_path):
    with lmdb.open(str(tmp_path / "map"), max_dbs=1) as made:
        images = made.open_db(b"images", dupsort=True)
        with made.begin(write=True, db=images) as transaction:
            transaction.put(b"1", b"one")
            transaction.put(b"1", b"other")
    with pytest.raises(
        DataError,
        match=r"may have several values for one key \(dupsort\), which are not read; make it again without",
    ):
        opened(tmp_path / "map", database="images")


def datum(pixels=None, label=None, content=None, floats=None, shape=None):
    """Return a Datum of Caffe, by the wire format: pixels are [C, H, W]."""
    data = b""
    if shape or pixels is not None:
        data += b"".join(bytes([number << 3]) + varint(side) for number, side in enumerate(shape or pixels.shape, 1))
    if pixels is not None or content is not None:
        data += field(4, pixels.tobytes() if content is None else content)
    if label is not None:
        data += bytes([5 << 3]) + varint(label)
    if floats is not None:
        data += b"".join(bytes([6 << 3 | 5]) + struct.pack("<f", value) for value in floats.ravel())
    return data + (bytes([7 << 3, 1]) if content is not None else b"")


NOISE = np.random.default_rng(3).integers(0, 256, (3, 9, 10), np.uint8)


def test_encoded_datums_with_labels(tmp_path):
    entries = {b"%08d" % number: datum(content=encoded(number), label=number % 3) for number in range(5)}
    path = write(tmp_path / "map", entries | {b"x": datum(content=encoded(5))})
    source = opened(path, LABELLED)
    assert source.classes == 3
    samples = list(source.load(list(source.keys())))
    assert [(which(sample), sample.label) for sample in samples] == [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, None)]
    assert {sample.label for sample in opened(path).load(list(source.keys()))} == {None}


def test_datum_with_a_negative_label(tmp_path):
    value = datum(content=encoded(1), label=2**64 - 1)
    path = write(tmp_path / "map", {b"1": value})
    assert shown(opened(path)) == {"1": 1}
    with pytest.raises(DataError, match="'1' has the label -1, but classes count from 0"):
        _ = opened(path, LABELLED).classes


def test_pictures_that_are_no_datums_have_no_labels(folder):
    assert opened(folder, LABELLED).classes == 0


def test_pictures_behind_datums_with_labels_leave_the_classes(tmp_path):
    path = write(tmp_path / "map", {b"1": datum(content=encoded(1), label=2), b"2": encoded(2), b"3": b"none"})
    assert opened(path, LABELLED).classes == 3


@pytest.mark.parametrize(("colours", "order"), [("BGR", slice(None, None, -1)), ("RGB", slice(None))])
def test_datums_of_three_channels_need_their_order(tmp_path, colours, order):
    path = write(tmp_path / "map", {b"1": datum(NOISE, 0)})
    source = opened(path)
    (rejected,) = source.load(list(source.keys()))
    assert rejected.reason == (
        "is a Caffe Datum of three channels, which does not tell their order; set colours: BGR, which Caffe's own "
        "tools write, or colours: RGB"
    )
    (sample,) = opened(path, colours=colours).load([b"1"])
    assert (sample.pixels == read_array(NOISE[order].transpose(1, 2, 0), IMAGE).pixels).all()


def test_grey_datums_and_floats(tmp_path):
    floats = NOISE[:1] / np.float32(255)
    entries = {b"1": datum(NOISE[:1]), b"2": datum(floats=floats, shape=(1, 9, 10)), b"3": datum(NOISE[:2])}
    path = write(tmp_path / "map", entries)
    expected = read_array(NOISE[0], IMAGE).pixels
    first, second, third = opened(path).load([b"1", b"2", b"3"])
    assert (first.pixels == expected).all()
    assert "float32 numbers, which have no agreed range; state the values of black and white in limits" in second.reason
    assert "is no image of 1, 3 or 4 channels" in third.reason
    (second,) = opened(path, limits=(0, 1)).load([b"2"])
    assert (second.pixels == expected).all()


def test_datum_of_another_size(tmp_path):
    path = write(tmp_path / "map", {b"1": encoded(1), b"2": datum(NOISE, shape=(3, 9, 11))})
    source = opened(path)
    _, other = source.load(list(source.keys()))
    assert "is no picture, but 279 bytes of no known format" in other.reason


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(["1", "02", "a/b", "2-7", "z"]), st.integers(0, 19), min_size=1),
    st.sets(st.sampled_from(["length", "num-samples", "label-3"])),
    st.sampled_from([None, "images"]),
)
@settings(max_examples=20, deadline=None)
def test_any_environment_gives_its_pictures(pictures, bookkeeping, database):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "map"
        if "length" in bookkeeping:
            pictures.pop("2-7", None)
        with lmdb.open(str(path), max_dbs=1, map_size=1 << 22) as made:
            place = made.open_db(database and database.encode())
            with made.begin(write=True, db=place) as transaction:
                for key, number in pictures.items():
                    transaction.put(key.encode(), encoded(number))
                for key in bookkeeping:
                    transaction.put(key.encode(), b"1")
        if not pictures:
            return
        source = opened(path, database=database)
        assert shown(source) == pictures
        assert source.left_out == ({"bookkeeping keys": len(bookkeeping)} if bookkeeping else {})
