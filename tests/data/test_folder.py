"""Folders of pictures: which are found, in which order, and what is said of those that cannot be read."""

import os
import pickle
import sys

import pytest

from ganformer.config import ImageSpec
from ganformer.data.images import read_image
from ganformer.data.source import Rejection, Sample
from ganformer.data.sources.folder import Config, open_source
from ganformer.errors import DataError

IMAGE = ImageSpec(height=8, width=8)


def opened(path, image=IMAGE, labels=None):
    return open_source(Config(kind="folder", path=path, labels=labels), image)


def paths(source):
    keys = source.keys()
    return [key.path for key in keys]


def test_order_is_that_of_the_relative_paths(pictures):
    found = paths(opened(pictures))
    assert found == ["a-b/y.webp", "a.png", "a/deep/x.JPG", "b/1.png", "b/10.png", "b/2.bmp", "z.gif"]
    assert found == sorted(found)
    assert len(opened(pictures)) == 7


def test_pixels_do_not_depend_on_what_is_loaded_with_them(pictures):
    source = opened(pictures)
    keys = list(source.keys())
    together = list(source.load(keys))
    for key, sample in zip(keys, together, strict=True):
        (alone,) = pickle.loads(pickle.dumps(source)).load([key])
        assert isinstance(sample, Sample)
        assert alone.name == sample.name == key.path
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_image(pictures / key.path, IMAGE)).all()


def test_unreadable_picture_is_named_with_its_reason(pictures):
    (pictures / "b" / "broken.png").write_bytes(b"not a picture")
    (pictures / "b" / "gone.png").symlink_to("nowhere")
    samples = {sample.name: sample for sample in opened(pictures).load(list(opened(pictures).keys()))}
    assert len(samples) == 9
    assert samples["b/broken.png"] == Rejection("b/broken.png", "is not an image of a known format")
    assert samples["b/gone.png"] == Rejection("b/gone.png", "cannot be opened (No such file or directory)")


def test_picture_that_vanishes_after_it_was_found(pictures):
    source = opened(pictures)
    keys = list(source.keys())
    (pictures / "a.png").unlink()
    samples = {sample.name: sample for sample in source.load(keys)}
    assert samples["a.png"] == Rejection("a.png", "cannot be opened (No such file or directory)")
    assert sum(isinstance(sample, Sample) for sample in samples.values()) == 6


def test_what_is_no_file_is_not_waited_for(pictures):
    os.mkfifo(pictures / "pipe.png")
    (pictures / "round.png").symlink_to("round.png")
    samples = {sample.name: sample for sample in opened(pictures).load(list(opened(pictures).keys()))}
    assert samples["pipe.png"] == Rejection("pipe.png", "is not a regular file")
    assert samples["round.png"].reason.startswith("cannot be opened (Too many")


def test_labels_travel_with_the_keys(pictures, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{path},{i % 3}\n" for i, path in enumerate(paths(opened(pictures)))))
    source = opened(pictures, IMAGE.model_copy(update={"classes": 3}), table)
    assert source.classes == 3
    keys = list(source.keys())
    table.unlink()
    there = pickle.loads(pickle.dumps(source))
    assert [sample.label for sample in there.load(keys)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.skipif(sys.platform == "darwin", reason="needs a file system that takes any bytes as a name")
def test_name_that_is_not_text_is_shown_all_the_same(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"not a picture")
    (sample,) = opened(tmp_path).load(list(opened(tmp_path).keys()))
    assert sample.name == "\\xff.png"


def test_links_to_folders_are_followed_but_not_in_circles(pictures, tmp_path):
    (pictures / "b" / "again").symlink_to(pictures, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (pictures / "a.png").rename(tmp_path / "elsewhere" / "far.png")
    (pictures / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = paths(opened(pictures))
    assert "linked/far.png" in found
    assert len(found) == 7


def test_inputs_are_all_folders(pictures):
    inputs = Config(kind="folder", path=pictures).inputs
    assert {str(path.relative_to(pictures)) for path in inputs} == {".", "a", "a/deep", "a-b", "b"}
    assert Config(kind="folder", path=pictures / "absent").inputs == (pictures / "absent",)


def test_labels_are_inputs(pictures, tmp_path):
    table = tmp_path / "labels.csv"
    assert table in Config(kind="folder", path=pictures, labels=table).inputs
    (pictures / "dataset.json").touch()
    assert pictures / "dataset.json" in Config(kind="folder", path=pictures).inputs
    assert pictures / "dataset.json" not in Config(kind="folder", path=pictures, labels=table).inputs


def test_inputs_go_in_no_circles(pictures):
    (pictures / "b" / "again").symlink_to(pictures, target_is_directory=True)
    inputs = Config(kind="folder", path=pictures).inputs
    assert {str(path.relative_to(pictures)) for path in inputs} == {".", "a", "a/deep", "a-b", "b"}


def test_folder_without_pictures(tmp_path):
    said = r"no images below this folder; looked for \.png, \.jpg, .* at any depth\. "
    with pytest.raises(DataError, match=said + "It is empty"):
        opened(tmp_path)
    (tmp_path / "inside").mkdir()
    for name in ("a.npy", "inside/b.NPY", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=said + r"It has other files \(2 \.npy, 1 \.txt\); a file that"):
        opened(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="absent: this folder of images does not exist; correct the source's path"):
        opened(tmp_path / "absent")


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a.zip").touch()
    with pytest.raises(DataError, match=r"a\.zip: this folder of images is not a folder"):
        opened(tmp_path / "a.zip")


def test_folder_that_cannot_be_listed(pictures, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    for look in (lambda: opened(pictures), lambda: Config(kind="folder", path=pictures).inputs):
        with pytest.raises(DataError, match=r"pictures: cannot be listed \(Permission denied\); make it readable"):
            look()
