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


def opened(path):
    return open_source(Config(kind="folder", path=path), IMAGE)


def test_order_is_that_of_the_relative_paths(pictures):
    found = list(opened(pictures).keys())
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
        assert alone.name == sample.name == key
        assert (sample.pixels == alone.pixels).all()
        assert (sample.pixels == read_image(pictures / key, IMAGE)).all()


def test_unreadable_picture_is_named_with_its_reason(pictures):
    (pictures / "b" / "broken.png").write_bytes(b"not a picture")
    (pictures / "b" / "gone.png").symlink_to("nowhere")
    samples = {sample.name: sample for sample in opened(pictures).load(list(opened(pictures).keys()))}
    assert len(samples) == 9
    assert samples["b/broken.png"] == Rejection("b/broken.png", "is not an image of a known format")
    assert "No such file" in samples["b/gone.png"].reason


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
    found = list(opened(pictures).keys())
    assert "linked/far.png" in found
    assert len(found) == 7


def test_inputs_are_all_folders(pictures):
    inputs = Config(kind="folder", path=pictures).inputs
    assert {str(path.relative_to(pictures)) for path in inputs} == {".", "a", "a/deep", "a-b", "b"}
    assert Config(kind="folder", path=pictures / "absent").inputs == (pictures / "absent",)


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images below this folder; looked for \.png, \.jpg, .* at any depth"):
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
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\); make it readable"):
        opened(pictures)
