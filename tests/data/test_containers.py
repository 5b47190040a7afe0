"""Containers of arrays and encoded images: the same pixels from all, and other programs' files with known outcomes."""

import io
import pickle

import h5py
import lmdb
import numpy as np
import pytest
from PIL import Image

from ganformer.artifacts import read_json
from ganformer.config import Dataset, ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.images import read_array, read_image
from ganformer.data.packing.pack import pack
from ganformer.data.source import Sample, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=12, width=16)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 24, 3), np.uint8)
FLOATS = PIXELS.astype(np.float32)


def npy(path, array):
    np.save(path / "x.npy", array)
    return path / "x.npy"


def npz(path, array, save=np.savez):
    save(path / "x.npz", images=array)
    return path / "x.npz"


def h5(path, array, **storage):
    with h5py.File(path / "x.h5", "w") as file:
        file.create_dataset("images", data=array, **storage)
    return path / "x.h5"


def environment(path):
    with lmdb.open(str(path / "x.lmdb"), map_size=1 << 22) as made, made.begin(write=True) as transaction:
        for number, image in enumerate(PIXELS):
            content = io.BytesIO()
            Image.fromarray(image).save(content, "png")
            transaction.put(b"%03d" % number, content.getvalue())
    return path / "x.lmdb"


WAYS = {
    "npy": ("arrays", lambda path: npy(path, PIXELS), {}),
    "npy-nchw": ("arrays", lambda path: npy(path, PIXELS.transpose(0, 3, 1, 2)), {"layout": "NCHW"}),
    "npy-uint16": ("arrays", lambda path: npy(path, PIXELS.astype(np.uint16) * 257), {}),
    "npy-0-to-1": ("arrays", lambda path: npy(path, FLOATS / 255), {"limits": [0, 1]}),
    "npy-minus-1-to-1": ("arrays", lambda path: npy(path, FLOATS / 127.5 - 1), {"limits": [-1, 1]}),
    "npz": ("arrays", lambda path: npz(path, PIXELS), {}),
    "npz-compressed": ("arrays", lambda path: npz(path, PIXELS, np.savez_compressed), {"array": "images"}),
    "hdf5": ("hdf5", lambda path: h5(path, PIXELS), {}),
    "hdf5-nchw-gzip": ("hdf5", lambda path: h5(path, PIXELS.transpose(0, 3, 1, 2), compression="gzip"), {}),
    "lmdb": ("lmdb", environment, {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_same_pixels_whichever_way_they_come(tmp_path, way):
    kind, write, settings = WAYS[way]
    entry = {"kind": kind, "path": write(tmp_path), **settings}
    dataset = Dataset.model_validate({"source": entry, "resolution": 16, "ratio": 0.75})
    assert dataset.image == IMAGE
    source = open_source(dataset.source, dataset.image)
    expected = np.stack([read_array(image, IMAGE).pixels for image in PIXELS])
    for opened in (source, pickle.loads(pickle.dumps(source))):
        samples = list(opened.load(list(source.keys())))
        assert all(isinstance(sample, Sample) for sample in samples)
        assert (np.stack([sample.pixels for sample in samples]) == expected).all()
    pack(dataset, tmp_path / "pack")
    assert (Images(tmp_path / "pack").read(np.arange(12)) == expected.transpose(0, 3, 1, 2)).all()


# --------------------------------------------------- generated and real containers of other programs, one by one


@pytest.fixture
def containers(shared):
    return shared / "data" / "containers"


def packed(path, out, kind, on_error="fail", **settings):
    return pack(dataset(path, kind, on_error, **settings), out)


def dataset(path, kind, on_error="fail", **settings):
    source = {"kind": kind, "path": path, **settings}
    return Dataset.model_validate({"source": source, "resolution": 16, "on_error": on_error})


def refusal(*arguments, **settings):
    with pytest.raises(DataError) as refused:
        packed(*arguments, **settings)
    return str(refused.value)


def images(out):
    """Return the packed images, [N, H, W, 3]."""
    contents = Images(out)
    return contents.read(np.arange(len(contents))).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_demo_lmdb_has_one_image(containers, tmp_path, on_error):
    written = packed(containers / "demo.lmdb", tmp_path / "pack", "lmdb", on_error)
    assert (written.count, list(written.rejected)) == (1, [])
    with lmdb.open(str(containers / "demo.lmdb"), readonly=True, lock=False) as opened, opened.begin() as transaction:
        content = io.BytesIO(transaction.get(b"baboon"))
    assert (images(tmp_path / "pack")[0] == read_image(content, ImageSpec(height=16, width=16)).pixels).all()
    small = Image.fromarray(images(tmp_path / "pack")[0]).resize((2, 2), Image.Resampling.BOX)
    with Image.open(content) as original:
        assert original.size == (125, 120)
        reduced = original.crop((2, 0, 122, 120)).resize((2, 2), Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(reduced)).mean() < 3


def test_imgs_lmdb_has_ten_images_among_other_entries(containers, tmp_path):
    written = packed(containers / "imgs.lmdb", tmp_path / "pack", "lmdb")
    assert written.count == len(images(tmp_path / "pack")) == 10
    assert list(written.rejected) == []
    source = open_source(dataset(containers / "imgs.lmdb", "lmdb").source, ImageSpec(height=16, width=16))
    assert source.left_out == {"bookkeeping keys": 11}


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_broken_lmdb_has_no_usable_entry(containers, tmp_path, on_error):
    message = refusal(containers / "broken.lmdb", tmp_path / "pack", "lmdb", on_error)
    assert "1 of 1 images are not usable" in message
    found = {entry["path"]: entry["reason"] for entry in read_json(tmp_path / "pack" / "manifest.json")["rejected"]}
    (name,) = {name for name in found if name.startswith("image-")}
    assert "runcated" in found.pop(name)
    assert found == {}
    with pytest.raises(
        DataError,
        match=r"holds no images, as 1 were not usable when they were packed \(`rejected` names them with the reasons\);"
        " fix or remove those, or set on_error: skip, and pack again",
    ):
        Images(tmp_path / "pack")


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize(("name", "shape"), [("0", (100, 100, 3)), ("4", (300, 150, 3))])
def test_npy_is_one_image(containers, tmp_path, name, shape, on_error):
    path = containers / "npy" / f"{name}.npy"
    written = packed(path, tmp_path / "pack", "arrays", on_error)
    assert (written.count, list(written.rejected)) == (1, [])
    array = np.load(path)
    assert (array.shape, array.dtype) == (shape, np.uint8)
    assert (images(tmp_path / "pack")[0] == read_array(array, ImageSpec(height=16, width=16)).pixels).all()


# Files whose numbers are no pixels: refused as a whole until somebody states their limits.
NUMBERS = [("arrays", "npy/masked_conv2d_for_input.npy", 1), ("hdf5", "h5/solver_data.h5", 8)]


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize(("kind", "name", "count"), NUMBERS)
def test_numbers_are_no_pixels(containers, tmp_path, kind, name, count, on_error):
    message = refusal(containers / name, tmp_path / "pack", kind, on_error)
    assert f"{name}: " in message
    assert "float32 values have no agreed range; state the values of black and white in limits" in message
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(("kind", "name", "count"), NUMBERS)
def test_numbers_outside_stated_limits_are_named(containers, tmp_path, kind, name, count):
    message = refusal(containers / name, tmp_path / "pack", kind, "skip", limits=[0, 1])
    assert f"{count} of {count} images are not usable" in message
    rejected = read_json(tmp_path / "pack" / "manifest.json")["rejected"]
    assert [entry["path"].partition("[")[2] for entry in rejected] == [f"{number}]" for number in range(count)]
    assert all("are not within the limits 0 to 1" in entry["reason"] for entry in rejected)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_eight_channels_are_refused(containers, tmp_path, on_error):
    path = containers / "h5" / "sample_data_2_gzip.h5"
    message = refusal(path, tmp_path / "pack", "hdf5", on_error)
    assert "no array can be images; allowed are [N, H, W, C], [N, C, H, W], " in message
    assert "with C 1, 3 or 4" in message
    assert "There is 'data' float32 [10, 8, 6, 5], " in message
    message = refusal(path, tmp_path / "pack", "hdf5", on_error, dataset="data")
    assert "dataset 'data': shape [10, 8, 6, 5] is not one of images; allowed are [N, H, W, C], " in message
    assert not (tmp_path / "pack").exists()


def test_the_containers_are_left_as_they_are(containers, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in containers.rglob("*")}
    for name in ("demo.lmdb", "imgs.lmdb"):
        packed(containers / name, tmp_path / name, "lmdb", "skip")
    assert {path: path.stat().st_mtime_ns for path in containers.rglob("*")} == before
