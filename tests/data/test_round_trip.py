"""Every way in times every way out: the same pixels and labels, and what was written is a way in again."""

import io
import json
import tarfile
import zipfile

import h5py
import lmdb
import numpy as np
import pytest
from PIL import Image
from records import write_records

from ganformer import plugins
from ganformer.config import Dataset
from ganformer.data.dataset import Images
from ganformer.data.pack import pack

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


LABELLED = [folder, zipped, tarred, compressed_tar, npy, npy_of_floats, npz, hdf5, tfrecords]


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
