"""A pack as the source of another one: the same pixels where nothing changes, and no bars where something does."""

import pickle

import numpy as np
import pytest

from ganformer import plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.images import read_array
from ganformer.data.packing.pack import pack
from ganformer.data.sources.pack import Config, open_source
from ganformer.errors import DataError

FORMATS = plugins.names("ganformer.data.formats")


def scenes(out, **settings):
    """Return a pack of 11 scenes."""
    source = {"kind": "scenes", "images": 11, "min_objects": 2, "max_objects": 4}
    pack(Dataset.model_validate({"source": source, "resolution": 16, "shard_images": 4, **settings}), out)
    return out


def repacked(path, out, workers=1, **settings):
    """Return a pack of a pack."""
    dataset = Dataset.model_validate({"source": {"kind": "pack", "path": path}, "resolution": 16, **settings})
    pack(dataset, out, workers)
    return Images(out)


def stored(images):
    return images.read(np.arange(len(images)))


@pytest.mark.parametrize("one", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_another_format_holds_the_same_pixels(tmp_path, one, other):
    original = Images(scenes(tmp_path / "one", format=one, classes=3))
    copy = repacked(tmp_path / "one", tmp_path / "other", format=other, classes=3, shard_images=5)
    assert copy.manifest.format == other
    assert (stored(copy) == stored(original)).all()
    assert (copy.labels(np.arange(11)) == original.labels(np.arange(11))).all()
    assert copy.manifest.label_counts == original.manifest.label_counts


def test_same_bytes_from_several_processes(tmp_path):
    scenes(tmp_path / "original")
    for workers in (1, 2):
        repacked(tmp_path / "original", tmp_path / str(workers), workers)
    one, other = ((tmp_path / name).iterdir() for name in ("1", "2"))
    assert {path.name: path.read_bytes() for path in one} == {path.name: path.read_bytes() for path in other}


def test_another_shape_is_prepared_like_any_picture(tmp_path):
    original = Images(scenes(tmp_path / "original"))
    copy = repacked(tmp_path / "original", tmp_path / "copy", resolution=8, ratio=0.5)
    assert copy.image == ImageSpec(height=4, width=8)
    for before, after in zip(stored(original), stored(copy), strict=True):
        assert (read_array(before.transpose(1, 2, 0), copy.image).pixels == after.transpose(1, 2, 0)).all()


def test_black_bars_are_left_out(pictures, tmp_path):
    bars = {"source": {"kind": "folder", "path": pictures}, "resolution": 16, "ratio": 0.5, "letterbox": True}
    pack(Dataset.model_validate(bars), tmp_path / "original")
    original = Images(tmp_path / "original")
    assert not stored(original)[:, :, [0, -1]].any()
    same = repacked(tmp_path / "original", tmp_path / "same", ratio=0.5, letterbox=True)
    assert (stored(same) == stored(original)).all()
    bare = repacked(tmp_path / "original", tmp_path / "bare", ratio=0.5)
    assert (stored(bare) == stored(original)[:, :, 4:12]).all()


def test_margins_are_a_part_of_the_picture(tmp_path):
    original = Images(scenes(tmp_path / "original", crop_margin=0.5))
    assert original.image.height == 24
    bare = repacked(tmp_path / "original", tmp_path / "bare")
    for before, after in zip(stored(original), stored(bare), strict=True):
        assert (read_array(before.transpose(1, 2, 0), bare.image).pixels == after.transpose(1, 2, 0)).all()


def test_labels_come_along_where_there_are_some(tmp_path):
    image = ImageSpec(height=16, width=16)
    labelled = open_source(Config(kind="pack", path=scenes(tmp_path / "labelled", classes=3)), image)
    bare = open_source(Config(kind="pack", path=scenes(tmp_path / "bare")), image)
    assert (labelled.classes, bare.classes) == (3, 0)
    assert [sample.label for sample in bare.load([0, 7])] == [None, None]
    assert [sample.label for sample in labelled.load([0, 7])] == (
        Images(tmp_path / "labelled").labels(np.array([0, 7])).argmax(axis=1).tolist()
    )


def test_images_do_not_depend_on_those_beside_them(tmp_path):
    source = open_source(Config(kind="pack", path=scenes(tmp_path)), ImageSpec(height=8, width=8))
    together = list(source.load(list(source.keys())))
    assert [sample.name for sample in together] == [f"{number:08d}" for number in range(11)]
    for key in (10, 0, 4):
        (alone,) = pickle.loads(pickle.dumps(source)).load([key])
        assert (alone.pixels == together[key].pixels).all()


def test_manifest_is_the_input(tmp_path):
    manifest = tmp_path / "manifest.json"
    assert Config(kind="pack", path=tmp_path).inputs == Config(kind="pack", path=manifest).inputs == (manifest,)
    scenes(tmp_path)
    assert len(open_source(Config(kind="pack", path=manifest), ImageSpec(height=8, width=8))) == 11


def test_missing_pack(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.json: missing, so there is no complete pack here"):
        repacked(tmp_path / "absent", tmp_path / "out")
    assert not (tmp_path / "out").exists()
