"""The same data is pixels, labels and shape: wherever they came from, however they are stored."""

import tarfile
import zipfile

import numpy as np
import pytest

from ganformer.config import Dataset
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack

NAMES = ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png"]


@pytest.fixture
def here(tmp_path, save_picture):
    for seed, name in enumerate(NAMES):
        save_picture(tmp_path / "here" / name, seed=seed)
    return tmp_path / "here"


def content(out, source, **settings):
    return pack(Dataset.model_validate({"source": source, "resolution": 8, **settings}), out).data_sha256


def test_same_pictures_elsewhere_or_stored_otherwise_are_the_same_data(here, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in NAMES:
            archive.write(here / name, name)
            tar.add(here / name, name)
    (tmp_path / "moved").symlink_to(here)
    folder = {"kind": "folder", "path": str(here)}
    found = {
        content(tmp_path / "1", folder, classes=2),
        content(tmp_path / "2", {**folder, "path": str(tmp_path / "moved")}, classes=2),
        content(tmp_path / "3", {"kind": "archive", "path": str(tmp_path / "a.zip")}, classes=2, mirror=True),
        content(tmp_path / "4", {"kind": "archive", "path": str(tmp_path / "a.tar")}, classes=2, shards=2),
        *(content(tmp_path / name, folder, classes=2, format=name) for name in ("png", "hdf5", "lmdb")),
        content(tmp_path / "5", {"kind": "pack", "path": str(tmp_path / "png")}, classes=2, shard_images=2),
    }
    assert len(found) == 1
    assert Images(tmp_path / "1").digest in found


def test_other_pixels_labels_order_or_shape_are_other_data(here, tmp_path, save_picture):
    folder = {"kind": "folder", "path": str(here)}
    found = [
        content(tmp_path / "1", folder),
        content(tmp_path / "2", folder, classes=2),
        content(tmp_path / "3", folder, channels=1),
        content(tmp_path / "4", folder, crop_margin=0.5),
        content(tmp_path / "5", folder, max_images=4),
    ]
    (here / "dog/5.png").rename(here / "cat/5.png")
    found += [content(tmp_path / "6", folder), content(tmp_path / "7", folder, classes=2)]  # order; and labels
    save_picture(here / "cat/1.png", seed=99)
    found.append(content(tmp_path / "8", folder))
    assert len(set(found)) == len(found)


def test_content_is_what_it_says(here, tmp_path):
    """The definition, computed again: shape, then a hash of each image and its label."""
    import hashlib

    from ganformer import artifacts

    content(tmp_path / "out", {"kind": "folder", "path": str(here)}, classes=2)
    images = Images(tmp_path / "out")
    expected = hashlib.sha256(artifacts.canonical(images.image.model_dump(mode="json")).encode())
    for number, label in enumerate([0, 0, 1, 1, 1]):
        (pixels,) = images.read(np.array([number]))
        expected.update(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest() + label.to_bytes(4, "little"))
    assert images.digest == expected.hexdigest()
