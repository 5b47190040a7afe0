"""Every way in times every way out: the same pixels and labels, and what was written is a way in again."""

import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganformer import plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.images import read_array
from ganformer.data.packing.pack import pack
from tests.data.records import entry, field, varint, write_records
from tests.data.records import write as write_file

FORMATS = plugins.names("ganformer.data.formats")
COUNT = 7
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), np.uint8)
LABELS = np.arange(COUNT) % 3
PNGS = {}
for number, (label, pixels) in enumerate(zip(LABELS, PIXELS, strict=True)):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    PNGS[f"{number}.png"] = (int(label), file.getvalue())
TABLE = json.dumps({"labels": [[name, label] for name, (label, _) in PNGS.items()]}).encode()


def folder(path):
    for name, (_, png) in PNGS.items():
        path.joinpath(name).write_bytes(png)
    path.joinpath("dataset.json").write_bytes(TABLE)
    return {"kind": "folder", "path": path}


def zipped(path):
    with zipfile.ZipFile(path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (_, png) in PNGS.items():
            archive.writestr(name, png)
        archive.writestr("dataset.json", TABLE)
    return {"kind": "archive", "path": path / "a.zip"}


def tarred(path, mode="w"):
    with tarfile.open(path / "a.tar", mode) as archive:
        for name, content in [*((name, png) for name, (_, png) in PNGS.items()), ("dataset.json", TABLE)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {"kind": "archive", "path": path / "a.tar"}


def compressed_tar(path):
    return tarred(path, "w:gz")


def npy(path):
    np.save(path / "a.npy", PIXELS)
    np.save(path / "a-labels.npy", LABELS)
    return {"kind": "arrays", "path": path / "a.npy"}


def npy_of_floats(path):
    np.save(path / "a.npy", (PIXELS.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32))
    np.save(path / "a-labels.npy", np.eye(3)[LABELS])
    return {"kind": "arrays", "path": path / "a.npy", "limits": [-1, 1]}


def npz(path):
    np.savez_compressed(path / "a.npz", images=PIXELS, labels=LABELS)
    return {"kind": "arrays", "path": path / "a.npz"}


def hdf5(path):
    with h5py.File(path / "a.h5", "w") as file:
        file["images"], file["labels"] = PIXELS.transpose(0, 3, 1, 2), LABELS
    return {"kind": "hdf5", "path": path / "a.h5"}


def lsun(path):
    with lmdb.open(str(path), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for name, (_, png) in PNGS.items():
            transaction.put(name.encode(), png)
    return {"kind": "lmdb", "path": path}


def tfrecords(path):
    write_records(path / "a-r04.tfrecords1of1", PIXELS.transpose(0, 3, 1, 2))
    np.save(path / "a-rxx.labels", np.eye(3, dtype=np.float32)[LABELS])
    (path / "a-rxx.labels.npy").rename(path / "a-rxx.labels")
    return {"kind": "tfrecords", "path": path}


def webdataset(path):
    for shard in range(2):
        with tarfile.open(path / f"{shard:06d}.tar", "w") as archive:
            for number in range(4 * shard, min(4 * shard + 4, COUNT)):
                for part, content in (("png", PNGS[f"{number}.png"][1]), ("cls", str(LABELS[number]).encode())):
                    member = tarfile.TarInfo(f"{number}.{part}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return {"kind": "webdataset", "path": path / "{000000..000001}.tar"}


def encoded_hdf5(path):
    with h5py.File(path / "a.h5", "w") as file:
        images = file.create_dataset("images", (COUNT,), h5py.vlen_dtype(np.uint8))
        for number, (_, png) in enumerate(PNGS.values()):
            images[number] = np.frombuffer(png, np.uint8)
        file["labels"] = LABELS
    return {"kind": "hdf5", "path": path / "a.h5"}


def parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": png, "path": name} for name, (_, png) in PNGS.items()]
    tables.write_table(pyarrow.table({"image": images, "label": LABELS}), path / "a.parquet")
    return {"kind": "parquet", "path": path / "a.parquet"}


def encoded_tfrecords(path):
    contents = []
    for label, png in PNGS.values():
        image = entry(b"image/encoded", field(1, field(1, png)))
        contents.append(field(1, image + entry(b"image/class/label", field(3, field(1, varint(label))))))
    return {"kind": "tfrecords", "path": write_file(path / "train-00000-of-00001", contents)}


LABELLED = [folder, zipped, tarred, compressed_tar, npy, npy_of_floats, npz, hdf5, tfrecords]
LABELLED += [webdataset, encoded_hdf5, parquet, encoded_tfrecords]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("write", [*LABELLED, lsun], ids=lambda write: write.__name__)
def test_every_way_in_and_out(tmp_path, write, layout):
    (tmp_path / "in").mkdir()
    settings = {"source": write(tmp_path / "in"), "resolution": 16, "format": layout, "classes": 3 * (write != lsun)}
    written = pack(Dataset.model_validate(settings), tmp_path / "pack")
    assert (written.count, written.rejected) == (COUNT, [])
    images = Images(tmp_path / "pack")
    assert (images.read(np.arange(COUNT)).transpose(0, 2, 3, 1) == PIXELS).all()
    if write != lsun:
        assert (images.labels(np.arange(COUNT)) == np.eye(3)[LABELS]).all()


@given(
    st.sampled_from(["folder", "zip", "tar", "npy", "hdf5"]),
    st.sampled_from(FORMATS),
    st.sampled_from([1, 3, 4]),
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.tuples(st.integers(8, 12), st.integers(8, 12)),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_any_pictures_come_out_as_they_went_in(way, layout, channels, labels, size, has_classes):
    """Pixels of any number of channels with labels in folders, through any source and pack format."""
    random = np.random.default_rng([channels, *labels, *size])
    pixels = random.integers(0, 256, (len(labels), *size, channels), np.uint8)
    pixels[..., -1] &= 0x7F  # some opacity, where that is one
    names = [f"class{label}/{number}.png" for number, label in enumerate(labels)]
    order = np.argsort(names) if way in ("folder", "zip") else np.arange(len(labels))
    with tempfile.TemporaryDirectory() as home:
        path = Path(home)
        source = _written(path, way, names, pixels, labels)
        classes = len(set(labels)) if has_classes and way not in ("npy", "hdf5") else 0
        given = {"source": source, "resolution": 8, "format": layout, "classes": classes, "shard_images": 2}
        written = pack(Dataset.model_validate(given), path / "pack")
        assert (written.count, written.image.channels, written.rejected) == (len(labels), channels, [])
        images = Images(path / "pack")
        shape = ImageSpec(height=8, width=8, channels=channels)
        expected = np.stack([read_array(image, shape).pixels for image in pixels[order]])
        assert (images.read(np.arange(len(labels))).transpose(0, 2, 3, 1) == expected).all()
        if classes:
            numbers = np.unique(np.array(labels), return_inverse=True)[1][order]
            assert (images.labels(np.arange(len(labels))).argmax(axis=1) == numbers).all()
            assert list(written.class_names) == [f"class{label}" for label in sorted(set(labels))]


def _written(path, way, names, pixels, labels):
    """Return the pictures in one of five forms, `labels` being their folders'."""
    if way == "npy":
        np.save(path / "a.npy", pixels)
        return {"kind": "arrays", "path": path / "a.npy", "layout": "NHWC"}
    if way == "hdf5":
        with h5py.File(path / "a.h5", "w") as file:
            file["images"] = pixels
        return {"kind": "hdf5", "path": path / "a.h5", "layout": "NHWC"}
    top = path / "pictures"
    for name, image in zip(names, pixels, strict=True):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(top / name)
    if way == "zip":
        with zipfile.ZipFile(path / "a.zip", "w") as archive:
            for name in names:
                archive.write(top / name, name)
        return {"kind": "archive", "path": path / "a.zip"}
    if way == "tar":
        with tarfile.open(path / "a.tar", "w") as archive:
            for name in names:
                archive.add(top / name, name)
        return {"kind": "archive", "path": path / "a.tar"}
    return {"kind": "folder", "path": top}


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("again", FORMATS)
def test_pack_becomes_a_pack_of_another_format(tmp_path, layout, again):
    (tmp_path / "in").mkdir()
    first = {"source": folder(tmp_path / "in"), "resolution": 16, "format": layout, "classes": 3, "shard_images": 3}
    pack(Dataset.model_validate(first), tmp_path / "first")
    source = {"kind": "pack", "path": tmp_path / "first"}
    second = {"source": source, "resolution": 16, "format": again, "classes": 3}
    pack(Dataset.model_validate(second), tmp_path / "second")
    images = Images(tmp_path / "second")
    assert (images.read(np.arange(COUNT)).transpose(0, 2, 3, 1) == PIXELS).all()
    assert (images.labels(np.arange(COUNT)) == np.eye(3)[LABELS]).all()


@pytest.mark.parametrize(("layout", "kind"), [("png", "archive"), ("npy", "arrays"), ("hdf5", "hdf5")])
def test_shard_is_a_way_in_itself(tmp_path, layout, kind):
    (tmp_path / "in").mkdir()
    classes = 3 if layout == "png" else 0  # whose shards hold their labels
    settings = {"source": folder(tmp_path / "in"), "resolution": 16, "format": layout, "classes": classes}
    (shard,) = pack(Dataset.model_validate(settings), tmp_path / "first").shards
    source = {"kind": kind, "path": tmp_path / "first" / shard.file}
    pack(Dataset.model_validate({"source": source, "resolution": 16, "classes": classes}), tmp_path / "second")
    images = Images(tmp_path / "second")
    assert (images.read(np.arange(COUNT)).transpose(0, 2, 3, 1) == PIXELS).all()
    if classes:
        assert (images.labels(np.arange(COUNT)) == np.eye(3)[LABELS]).all()
