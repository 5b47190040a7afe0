"""LMDB environments in LSUN's layout: order, names, what is no image, damage, and that nothing is written."""

import io
import pickle

import lmdb
import numpy as np
import pytest
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data.images import read_image
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources.lmdb import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)


def opened(path):
    return open_source(Config(kind="lmdb", path=path), IMAGE)


def encoded(seed, kind="png"):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 10, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, kind)
    return content.getvalue()


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
        assert (sample.pixels == read_image(io.BytesIO(entries[key]), IMAGE)).all()


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
    assert len(source) == len(found) == 8
    assert rejected.keys() == {"num-samples", "\\xff\n", "cut", "zoë"}
    assert rejected["num-samples"] == rejected["zoë"] == "is not an image of a known format"
    assert "truncated" in rejected["cut"]


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


def test_named_databases_are_refused(tmp_path):
    with lmdb.open(str(tmp_path / "map"), max_dbs=2) as made:
        for name in (b"train", b"test"):
            with made.begin(write=True, db=made.open_db(name)) as transaction:
                transaction.put(b"1", encoded(1))
    with pytest.raises(DataError, match=r"map: has named databases, such as 'test', which are not read; images must"):
        opened(tmp_path / "map")


def test_inputs(folder):
    assert Config(kind="lmdb", path=folder).inputs == (folder / "data.mdb",)
    assert Config(kind="lmdb", path=folder / "data.mdb").inputs == (folder / "data.mdb",)
