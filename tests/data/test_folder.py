"""Folders of pictures: which are found, in which order, and what is said of those that cannot be read."""

import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from ganformer.config import Dataset, ImageSpec
from ganformer.data.images import read_image
from ganformer.data.info import info
from ganformer.data.packing.pack import pack
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
        assert (sample.pixels == read_image(io.BytesIO((pictures / key.path).read_bytes()), IMAGE).pixels).all()


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


def test_inputs_are_all_folders_that_are_not_hidden(pictures):
    for name in (".hidden", "dotted."):
        (pictures / name).mkdir()
    inputs = Config(kind="folder", path=pictures).inputs
    assert {str(path.relative_to(pictures)) for path in inputs} == {".", "a", "a/deep", "a-b", "b", "dotted."}
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
    said = r"no images below this folder at any depth\. "
    with pytest.raises(DataError, match=said + "It is empty"):
        opened(tmp_path)
    (tmp_path / "inside").mkdir()
    for name in ("a.npy", "inside/b.NPY", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=said + r"It has 3 others \(2 \.npy, 1 \.txt\); a file that"):
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


# ------------------------------------------------------------------------------------- what is a picture


def jpeg(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, "jpeg")


def test_pictures_are_told_by_every_usual_suffix_else_by_their_content(tmp_path):
    names = ["a.jpg", "b.jfif", "c.jpe", "d.JPEG", "e", "f.dat", "g.2024-01-01", "h.PNG"]
    for name in names:
        jpeg(tmp_path / name)
    for name in ("i.txt", "k.json", "l", ".m.png", "n.9x"):
        (tmp_path / name).write_text("not a picture")
    jpeg(tmp_path / "j.txt")  # a text by its name, whatever it holds
    source = opened(tmp_path)
    assert [sample.name for sample in source.load(list(source.keys()))] == names
    assert source.left_out == {".txt": 2, ".json": 1, "no suffix": 1, "hidden": 1, "other suffixes": 1}
    assert len(source) == 8


@pytest.mark.parametrize(
    "suffix",
    [".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".html", ".cls", ".caption", ".TXT"],
)
def test_what_is_called_a_text_is_no_picture_whatever_it_holds(suffix, tmp_path):
    jpeg(tmp_path / f"a{suffix}")
    jpeg(tmp_path / "b")
    source = opened(tmp_path)
    assert (len(source), source.left_out) == (1, {suffix.lower(): 1})


def test_picture_of_a_format_that_is_not_read_is_named(tmp_path):
    jpeg(tmp_path / "a.jpg")
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(52))
    source = opened(tmp_path)
    _, other = source.load(list(source.keys()))
    assert isinstance(other, Rejection)
    assert "HEIC" in other.reason
    assert "convert" in other.reason


@pytest.mark.parametrize("name", ["stack.tif", "stack.TIFF"])
def test_every_picture_of_a_tiff_is_taken(name, tmp_path):
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    jpeg(tmp_path / "z.jpg")
    source = opened(tmp_path)
    samples = list(source.load(list(source.keys())))
    assert len(source) == 4
    assert [sample.name for sample in samples] == [*(f"{name}[{page}]" for page in range(3)), "z.jpg"]
    assert [sample.pixels[0, 0].tolist() for sample in samples[:3]] == [[255, 0, 0], [0, 128, 0], [0, 0, 255]]


def test_limits_say_what_is_black_and_white(tmp_path):
    ramp = np.linspace(60, 120, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.tif")
    Image.fromarray(np.full((8, 8), 100, np.float32)).save(tmp_path / "same.tif")
    for limits, expected in (((0, 255), [60, 120, 100]), ((0, 510), [30, 60, 50])):
        source = open_source(Config(kind="folder", path=tmp_path, limits=limits), IMAGE)
        first, second = source.load(list(source.keys()))
        assert [first.pixels.min(), first.pixels.max(), second.pixels[0, 0, 0]] == expected
    source = opened(tmp_path)
    assert all("state" in image.reason and "limits" in image.reason for image in source.load(list(source.keys())))
    with pytest.raises(ValueError, match="limits 1 and 0 are not the values of black and white"):
        Config(kind="folder", path=tmp_path, limits=(1, 0))


def test_packs_among_pictures_are_left_out(tmp_path, pictures):
    dataset = Dataset.model_validate({"source": {"kind": "folder", "path": str(pictures)}, "resolution": 8})
    pack(dataset, tmp_path / "pack")
    info(tmp_path / "pack")
    (tmp_path / "pack").rename(pictures / "pack")
    jpeg(pictures / "pack" / "mine.jpg")
    source = opened(pictures)
    assert len(source) == 8
    assert "pack/mine.jpg" in [key.path for key in source.keys()]  # noqa: SIM118 - no mapping
    assert source.left_out == {".txt": 1, "hidden": 2, "files of packs": 4}  # manifest, shard, two pictures


def test_manifest_of_something_else_hides_nothing(pictures):
    for content in ("{}", "[]", "not JSON", '{"name": "app", "icons": []}'):
        (pictures / "manifest.json").write_text(content)
        assert len(opened(pictures)) == 7
        assert opened(pictures).left_out == {".txt": 1, ".json": 1, "hidden": 1}
