"""Labels on their way from a source through a pack to a batch, and clear words where they do not fit."""

import json

import numpy as np
import pytest
import torch

from ganformer.config import Dataset
from ganformer.data.dataset import Images, batch, verify
from ganformer.data.order import Order
from ganformer.data.pack import pack
from ganformer.errors import DataError
from ganformer.learning.samples import draw_labels


def scenes(classes, **settings):
    source = {"kind": "scenes", "images": 12, "min_objects": 2, "max_objects": 4}
    return Dataset.model_validate({"source": source, "resolution": 16, "classes": classes, **settings})


def folder_of(path, classes, **settings):
    source = {"kind": "folder", "path": path}
    return Dataset.model_validate({"source": source, "resolution": 8, "classes": classes, **settings})


@pytest.fixture
def sorted_pictures(tmp_path, save_picture):
    """Two cats in nested folders and a dog."""
    for seed, name in enumerate(("cat/a.png", "cat/more/b.png", "dog/c.png")):
        save_picture(tmp_path / "animals" / name, seed=seed)
    return tmp_path / "animals"


def test_a_scene_is_labelled_with_its_number_of_objects(tmp_path):
    written = pack(scenes(3), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "scenes.jsonl").read_text().splitlines()]
    labels = [len(line["objects"]) - 2 for line in lines]
    images = Images(tmp_path)
    assert (images.labels(np.arange(12)) == np.eye(3)[labels]).all()
    assert written.label_counts == [labels.count(number) for number in range(3)]
    assert min(written.label_counts) > 0
    assert images.image.classes == 3
    assert "labels.npy" in [file.file for file in written.files]
    verify(tmp_path)


def test_a_picture_is_labelled_with_its_folder(sorted_pictures, tmp_path):
    written = pack(folder_of(sorted_pictures, 2), tmp_path / "pack")
    assert Images(tmp_path / "pack").labels(np.arange(3)).tolist() == [[1, 0], [1, 0], [0, 1]]
    assert written.label_counts == [2, 1]


def test_labels_follow_their_images_into_a_batch(tmp_path):
    pack(scenes(3), tmp_path)
    images, order = Images(tmp_path), Order(12, seed=0)
    pixels, labels = batch(images, order, position=3, count=5, mirror=False)
    indices = order.indices(3, 5)
    assert labels.dtype == torch.float32
    assert labels.tolist() == images.labels(indices).tolist()
    assert ((pixels + 1) * 127.5).round().byte().numpy().tolist() == images.read(indices).tolist()


def test_without_classes_labels_have_no_columns(tmp_path):
    written = pack(scenes(0), tmp_path)
    assert Images(tmp_path).labels(np.arange(4)).shape == (4, 0)
    assert written.label_counts == ()
    assert not (tmp_path / "labels.npy").exists()
    assert batch(Images(tmp_path), Order(12, seed=0), 0, 4, mirror=True)[1].shape == (4, 0)


def test_a_number_of_classes_that_is_not_the_sources_is_refused(tmp_path, sorted_pictures):
    with pytest.raises(DataError, match=r"classes 7 does not fit the source, scenes, which has labels of 3 .* to 0"):
        pack(scenes(7), tmp_path / "pack")
    with pytest.raises(DataError, match=r"classes 3 .* folder, which has labels of 2 classes; set classes to 2"):
        pack(folder_of(sorted_pictures, 3), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_picture_outside_all_classes_has_no_label(sorted_pictures, tmp_path, save_picture):
    save_picture(sorted_pictures / "stray.png")
    with pytest.raises(DataError, match=r"1 of 4 images are not usable[^$]*stray\.png: has no label"):
        pack(folder_of(sorted_pictures, 2), tmp_path / "pack")
    written = pack(folder_of(sorted_pictures, 2, on_error="skip"), tmp_path / "pack")
    assert [(image.path, image.reason) for image in written.rejected] == [("stray.png", "has no label")]
    assert Images(tmp_path / "pack").labels(np.arange(3)).argmax(axis=1).tolist() == [0, 0, 1]


def test_damaged_labels_are_noticed(tmp_path):
    pack(scenes(3), tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(5, np.int32))
    with pytest.raises(DataError, match=r"labels\.npy: does not hold labels of 12 images"):
        Images(tmp_path).labels(np.arange(2))
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"labels\.npy: the labels of the pack cannot be read"):
        Images(tmp_path).labels(np.arange(2))


def test_drawn_labels_are_as_frequent_as_in_the_data():
    labels = draw_labels([10, 0, 30], range(4000))
    assert labels.sum(dim=1).unique().tolist() == [1.0]
    assert labels.mean(dim=0).tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
    assert draw_labels([], range(5)).shape == (5, 0)
