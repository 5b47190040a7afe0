"""Overlap of attention with segments, worked out by hand: what fits is 1, what knows nothing of an image is chance."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ganformer import artifacts, devices
from ganformer.analysis import attention_maps, readers
from ganformer.analysis import segments as module
from ganformer.analysis.segments import compare, measure_run
from ganformer.config import ImageSpec
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.evaluate import computing
from ganformer.scenes.parser import Settings, train
from ganformer.training.checkpoint import restore
from ganformer.training.samples import batches, quantise
from tests.pictures import on_white

SIDE = 8
CLASSES = {"shape": ("sphere", "cube", "cylinder"), "colour": ("red", "blue")}


def thing(shape="sphere", colour="red"):
    return {"shape": shape, "colour": colour}


def boxes(count, seed=0):
    """Return masks [count, 8, 8] with one object each, of 3×3 pixels, anywhere."""
    random = np.random.default_rng(seed)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for mask in masks:
        row, column = random.integers(0, SIDE - 2, 2)
        mask[row : row + 3, column : column + 3] = 1
    return masks


def compared(layers, masks, records, shape=(SIDE, SIDE)):
    return compare(CLASSES, [np.asarray(layer) for layer in layers], shape, records, masks)


def means(found):
    return {name: value for name, value in found.values.items() if not name.endswith("_std")}


# ----------------------------------------------------------------------------------------------- by hand


def test_maps_that_are_the_masks_fit_wholly():
    masks = boxes(12)
    found = compared([np.zeros((12, 2, 2), int), masks, 2 - masks], masks, [[thing()]] * 12)
    assert means(found) == {"iou_background": 1, "iou_sphere": 1, "iou_red": 1, "iou_object": 1}
    assert all(found.values[f"{name}_std"] == 0 for name in means(found))
    # The second layer is as good as the third one, and comes first.
    place = {"layer": 1, "rows": SIDE, "columns": SIDE}
    assert found.best == {
        "iou_background": {**place, "component": 0},
        "iou_sphere": {**place, "component": 1},
        "iou_red": {**place, "component": 1},
        "iou_object": place,
    }
    assert set(found.shown.values()) == {12}
    # 3×3 boxes anywhere have little in common, backgrounds much.
    assert found.chance["iou_sphere"] < found.chance["iou_object"] < 0.4
    assert 0.6 < found.chance["iou_background"] < 0.9


@pytest.mark.parametrize(("count", "shifts"), [(8, range(1, 6)), (6, range(1, 6)), (4, range(1, 4)), (2, [1])])
def test_chance_is_over_the_segments_of_the_next_five_images_or_of_all_others(count, shifts):
    masks = boxes(count, seed=3)
    layer = boxes(count, seed=4)
    records = [[thing("sphere" if i % 2 else "cube")] for i in range(count)]
    found = compared([layer], masks, records)
    shifted = [
        means(compared([layer], np.roll(masks, -shift, axis=0), records[shift:] + records[:shift])) for shift in shifts
    ]
    assert found.chance == pytest.approx({name: np.mean([one[name] for one in shifted]) for name in means(found)})


def test_deviations_are_over_200_bootstrap_samples_of_the_images():
    layer, masks = boxes(8, seed=4), boxes(8, seed=3)
    found = compared([layer], masks, [[thing()]] * 8)
    times = np.random.default_rng(0).multinomial(8, [1 / 8] * 8, size=200)  # the background comes first
    both = [[np.stack([layer[i] == k, masks[i] == 0]) for k in (0, 1)] for i in range(8)]
    overlaps = np.array([[pair.all(axis=0).sum() / pair.any(axis=0).sum() for pair in pairs] for pairs in both])
    expected = (times @ overlaps / 8).max(axis=1).std()
    assert found.values["iou_background_std"] == pytest.approx(expected)


def test_overlaps_by_hand():
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[:, 0, :3] = 1  # a red sphere of 3 pixels
    mask[:, 2:, 2:] = 2  # a blue sphere of 4
    layer = np.array([[[0, 1], [0, 2]]] * 2)  # quarters of 2×2 pixels
    found = compared([layer], mask, [[thing(), thing(colour="blue")]] * 2, (4, 4))
    expected = {
        "iou_background": 6 / 11,  # the left half has 8 pixels, of the 9 of the background 6
        "iou_sphere": 4 / 7,
        "iou_red": 2 / 9,  # with the left half; with the quarter at the top right 1 / 6
        "iou_blue": 1,
        "iou_object": (2 / 9 + 1) / 2,
    }
    assert means(found) == pytest.approx(expected)
    assert found.chance == pytest.approx(expected)  # the images are alike
    assert list(found.values)[::2] == list(expected)
    assert found.best["iou_blue"] == {"layer": 0, "rows": 2, "columns": 2, "component": 2}


def test_a_component_stands_for_a_class_in_all_images_but_may_change_its_object():
    masks = boxes(10)
    swapped = masks.copy()
    swapped[::2] = 1 - swapped[::2]  # in every other image the component 0 has the object
    found = compared([swapped], masks, [[thing()]] * 10)
    assert found.values["iou_object"] == 1
    assert found.values["iou_sphere"] == pytest.approx(0.5)
    assert found.values["iou_background"] == pytest.approx(0.5)
    assert found.values["iou_sphere_std"] > 0.1


def test_layers_are_the_same_in_all_images():
    masks = boxes(10)
    halves = [np.where(np.arange(10)[:, None, None] % 2 == part, masks, 0) for part in (0, 1)]
    found = compared(halves, masks, [[thing()]] * 10)
    # Where a layer sees no object, its region 0 is the whole image.
    assert found.values["iou_object"] == pytest.approx(0.5 + 0.5 * 9 / 64)
    assert found.values["iou_sphere"] == pytest.approx(0.5)


def test_objects_count_alike_and_images_count_alike():
    masks = np.zeros((2, SIDE, SIDE), np.uint8)
    masks[0, 0, 0], masks[0, 2, 2], masks[0, 4, 4], masks[1, 0, :] = 1, 2, 3, 1
    layer = np.zeros((2, SIDE, SIDE), int)
    layer[0, 0, 0], layer[0, 2, 2], layer[0, 4, 4], layer[1, 0, :2] = 1, 2, 3, 1
    found = compared([layer], masks, [[thing(), thing("cube"), thing("cube")], [thing()]])
    assert found.values["iou_object"] == pytest.approx((1 + 1 + 1 + 2 / 8) / 4)
    assert found.values["iou_red"] == pytest.approx((1 / 3 + 2 / 8) / 2)
    assert found.values["iou_sphere"] == pytest.approx((1 + 2 / 8) / 2)
    assert "iou_cube" not in found.values  # one image alone shows cubes
    assert found.shown["iou_object"] == 2


def test_bars_do_not_count():
    masks = boxes(6)
    layer = np.ones((6, SIDE + 4, SIDE), int)  # everything is of the component of the object
    layer[:, 2:-2] = masks
    found = compared([layer], masks, [[thing()]] * 6, (SIDE + 4, SIDE))
    assert found.values["iou_sphere"] == 1
    assert found.values["iou_background"] == 1


def test_objects_without_pixels_are_not_there():
    masks = boxes(4)
    found = compared([masks], masks, [[thing(), thing("cylinder", "blue")]] * 4)
    assert list(means(found)) == ["iou_background", "iou_sphere", "iou_red", "iou_object"]
    assert found.values["iou_object"] == 1


def test_images_without_objects_show_their_background():
    masks = boxes(5)
    masks[3] = 0
    found = compared([masks], masks, [[] if i == 3 else [thing()] for i in range(5)])
    assert found.values["iou_object"] == found.values["iou_background"] == 1
    assert (found.shown["iou_object"], found.shown["iou_background"]) == (4, 5)


# --------------------------------------------------------------------------------- chance and uncertainty


def test_maps_that_know_nothing_are_at_chance():
    masks, layers = boxes(300), [np.random.default_rng(1).integers(0, 4, (300, side, side)) for side in (2, 4, 8)]
    found = compared(layers, masks, [[thing()]] * 300)
    for name, value in means(found).items():
        assert value == pytest.approx(found.chance[name], abs=5 * found.values[f"{name}_std"])
        assert 0 < found.values[f"{name}_std"] < 0.02
    assert found.chance["iou_object"] > found.chance["iou_sphere"]  # the best of four components is chosen each time


def test_what_is_alike_in_all_images_is_chance():
    masks = np.zeros((9, SIDE, SIDE), np.uint8)
    masks[:, :2] = 1
    found = compared([masks], masks, [[thing()]] * 9)
    assert found.chance == means(found) == dict.fromkeys(means(found), 1)


def test_deviation_is_that_of_a_mean():
    masks = np.zeros((100, SIDE, SIDE), np.uint8)
    masks[:, :4] = 1
    layer = masks.copy()
    layer[::2, 0] = 0  # of half of the images the object fits by 3/4
    found = compared([layer], masks, [[thing()]] * 100)
    assert found.values["iou_sphere"] == pytest.approx(7 / 8)
    assert found.values["iou_sphere_std"] == pytest.approx(0.125 / 10, rel=0.25)
    assert compared([layer], masks, [[thing()]] * 100) == found


# ------------------------------------------------------------------------------------------------ limits


def test_too_few_images():
    with pytest.raises(
        DataError,
        match=r"^attention segments: 1 images are too few; take at least 2, since the level"
        " of chance needs segments of another image",
    ):
        compared([boxes(1)], boxes(1), [[thing()]])


def test_no_objects_at_all():
    empty = np.zeros((3, SIDE, SIDE), np.uint8)
    message = (
        r"^attention segments: the parser sees no object in any of 3 images, .*; train the model for longer, or"
        " take a parser that was trained for these images"
    )
    with pytest.raises(DataError, match=message):
        compared([boxes(3)], empty, [[], [], []])


# -------------------------------------------------------------------------------------------------- runs


class Reader:
    """Sees the same two objects in every image, and keeps what it was shown."""

    attributes = CLASSES
    paired = ("shape", "colour")
    about = {"kind": "made-up"}  # noqa: RUF012 - one class, one value
    accuracy = {"mask_iou": 0.5}  # noqa: RUF012
    picture = (16, 16)

    def read(self, images, device):
        raise AssertionError

    parse = read

    def segment(self, images):
        self.shown = images
        masks = np.zeros((len(images), 16, 16), np.uint8)
        masks[:, :4], masks[:, 12:] = 1, 2
        return [[thing(), thing("cube", "blue")]] * len(images), masks


def measured(monkeypatch, run, out, reader=None):
    reader = reader or Reader()
    monkeypatch.setattr(readers, "load", lambda path: reader)
    measure_run(6, run, Path("p.json"), out, threads=1, gpus=0)
    return json.loads(out.read_text()), reader


@pytest.mark.parametrize("model", ["simplex", "duplex"])
def test_a_run_is_measured_by_its_own_maps(monkeypatch, watched, runs, tmp_path: Path, model):
    watched(module)
    content, reader = measured(monkeypatch, runs[model], tmp_path / "out.json")
    assert content["seconds"] == 2.5
    learner, record = restore(runs[model])
    with computing(1):
        ((images, maps),) = attention_maps.attended(learner, record, range(6), torch.device("cpu"))
    assert (reader.shown == quantise(images).numpy()).all()
    records, masks = reader.segment(reader.shown)
    expected = compared([layer.mean(dim=1).argmax(dim=1).numpy() for layer in maps], masks, records, (16, 16))
    assert {key: entry["value"] for key, entry in content["values"].items()} == expected.values
    assert list(means(expected)) == ["iou_background", "iou_sphere", "iou_cube", "iou_red", "iou_blue", "iou_object"]
    assert (content["chance"], content["shown"]) == (expected.chance, expected.shown)
    for name, best in content["best"].items():
        layer = maps[best["layer"]]
        assert [best["rows"], best["columns"]] == list(layer.shape[3:])
        assert name == "iou_object" or 0 <= best["component"] < layer.shape[2]


def test_the_file_says_what_was_measured(monkeypatch, runs, tmp_path: Path):
    content, reader = measured(monkeypatch, runs["duplex"], tmp_path / "out.json")
    record = artifacts.read_json(runs["duplex"])
    assert (content["format"], content["run"], content["step"]) == (1, record["run"], record["steps"])
    assert content["weights_sha256"] == record["weights_sha256"]
    recipe = content["recipe"]
    assert recipe["images"] == 6
    assert (recipe["extractor"], recipe["accuracy"]) == (reader.about, reader.accuracy)
    assert content["values"]["iou_object"]["name"] == "iou_object"


def test_images_in_portions_are_all_measured(monkeypatch, runs, tmp_path: Path):
    monkeypatch.setattr(attention_maps, "batches", partial(batches, size=4))
    content, reader = measured(monkeypatch, runs["duplex"], tmp_path / "out.json")
    assert len(reader.shown) == 2
    assert content["shown"]["iou_object"] == 6


def test_model_without_attention(monkeypatch, runs, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"models of kind 'stylegan2' have no attention maps; take a run of ganf"):
        measured(monkeypatch, runs["stylegan2"], tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_parser_of_other_images(monkeypatch, runs, tmp_path: Path):
    reader = Reader()
    reader.picture = (16, 32)
    with pytest.raises(
        DataError,
        match=r"run\.json at step 2: holds images of 16×16 pixels, but p\.json reads 32×16; make a parser for these"
        " images",
    ):
        measured(monkeypatch, runs["duplex"], tmp_path / "out.json", reader)


def test_images_with_opacity_are_laid_on_white(monkeypatch, runs, tmp_path: Path):
    images = torch.rand(6, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    maps = torch.rand(6, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(module, "attended", lambda *_: iter([(images, [maps])]))
    _, reader = measured(monkeypatch, runs["duplex"], tmp_path / "out.json")
    assert np.array_equal(reader.shown, on_white(quantise(images).numpy(), axis=1))


def test_images_that_are_not_finite(monkeypatch, runs, tmp_path: Path):
    images, maps = torch.full((6, 3, 16, 16), torch.nan), [torch.zeros(6, 2, 4, 8, 8)]
    monkeypatch.setattr(module, "attended", lambda *_: iter([(images, maps)]))
    with pytest.raises(DataError, match=r"run\.json at step 2: generated images hold NaN or infinity, so .* train ag"):
        measured(monkeypatch, runs["duplex"], tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_a_trained_parser_says_which_pixels_objects_have(runs, tmp_path: Path):
    settings = Settings(image=ImageSpec(height=16, width=16), scenes=8, held_out=4, epochs=1, channels=4)
    train(settings).save(tmp_path)
    content = json.loads((tmp_path / "parser.json").read_text())
    artifacts.write_json(tmp_path / "parser.json", {"kind": "scenes", **content})
    reader = readers.load(tmp_path / "parser.json")
    assert reader.picture == (16, 16)
    assert list(module.classes(reader)) == ["shape", "colour"]
    with devices.reproducible(threads=1):
        records, masks = reader.segment(np.zeros((2, 3, 16, 16), np.uint8))
    assert len(records) == len(masks) == 2
