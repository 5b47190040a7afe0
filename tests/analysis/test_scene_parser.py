"""A parser trained for seconds finds objects, does so again, and says of hand-made maps exactly what they hold."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ganformer.config import Dataset, ImageSpec
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.metrics.sets import ImageSet
from ganformer.scenes import parser as module
from ganformer.scenes import source as scenes
from ganformer.scenes.parser import (
    ATTRIBUTES,
    CLASSES,
    NUMBERS,
    PIXEL_NUMBERS,
    SCALE,
    Lessons,
    Parser,
    Settings,
    measure,
    measure_masks,
    train,
)
from ganformer.scenes.renderer import HALF_CUBE, Frame, Vector, aim, project

SMALL = Settings(
    image=ImageSpec(height=16, width=16),
    min_objects=1,
    max_objects=4,
    scenes=400,
    held_out=100,
    epochs=10,
    batch=16,
    channels=8,
    learning_rate=0.02,
)
TINY = SMALL.model_copy(update={"scenes": 24, "held_out": 8, "epochs": 1})


@pytest.fixture(scope="module")
def parser() -> Parser:
    return train(SMALL)


# ---------------------------------------------------------------------------------------------- learning


@pytest.mark.slow
def test_seconds_of_training_are_much_better_than_chance(parser):
    found = parser.accuracy
    assert found["images"] == 100
    assert 1.5 < found["objects"] / found["images"] < 3.5
    # Cells are 256, and at most 4 objects may be anywhere in reach of 1 pixel: chance finds next to none of them.
    assert found["precision"] > 0.75
    assert found["recall"] > 0.75
    assert found["count"] > 0.6  # chance: 0.25
    assert found["colour"] > 0.35  # chance: 0.125; of about 250 objects, so 0.35 is ten deviations away
    assert found["size"] > 0.85  # chance: 0.5
    assert found["position_error"] < 0.6  # chance: about 3
    assert found["area_error"] < 0.5
    assert found["foreground_iou"] > 0.45  # chance: 0.07, the part of the pixels that are of objects
    assert found["mask_iou"] > 0.35  # chance: less than that


def test_accuracy_is_of_scenes_that_are_not_learnt_from(parser):
    images, truth, masks = module._scenes(SMALL, "held out", 100)
    learnt, _, _ = module._scenes(SMALL, "training", 400)
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in learnt}
    found, seen = parser.segment(images)
    again = {**measure(found, truth, 16), **measure_masks(found, truth, seen, masks, 16)}
    assert again == parser.accuracy


def test_scenes_are_not_those_of_a_data_set():
    ours, _, _ = module._scenes(SMALL, "training", 3)
    config = scenes.Config(kind="scenes", images=3, seed=SMALL.seed, min_objects=1, max_objects=4)
    theirs = [sample.pixels.transpose(2, 0, 1) for sample in scenes.open_source(config, SMALL.image).load(range(3))]
    assert not any((one == other).all() for one in ours for other in theirs)


def test_the_same_settings_give_the_same_parser():
    one, again, other = train(TINY), train(TINY), train(TINY.model_copy(update={"seed": 1}))
    states = [parser.network.state_dict() for parser in (one, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["heads.weight"], states[2]["heads.weight"])
    assert one.accuracy == again.accuracy


def test_training_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(TINY)
    assert torch.equal(torch.rand(3), expected)


def test_lessons_are_turned_as_wholes():
    images, truth, masks = module._scenes(TINY, "training", 6)
    lessons = Lessons.of(images, truth, masks, stride=1)
    turned = lessons.take(torch.arange(6), torch.tensor([True, False] * 3))
    assert torch.equal(turned.images[::2], lessons.images[::2].flip(3))
    assert torch.equal(turned.masks[::2], lessons.masks[::2].flip(2))
    for name in ("images", "centres", "roots", "classes", "masks"):
        assert torch.equal(getattr(turned, name)[1::2], getattr(lessons, name)[1::2])
    assert torch.equal(turned.centres[::2, :, 0], 16 - lessons.centres[::2, :, 0])
    assert torch.equal(turned.centres[::2, :, 1], lessons.centres[::2, :, 1])
    assert torch.equal(turned.classes, lessons.classes)


def test_centres_are_rare_before_training():
    found = module.Network(4, 4).heads.bias[0].item()
    assert torch.tensor(found).sigmoid() < 0.02


def test_learning_rate_rises_and_falls():
    rates = [module._rate(done) for done in np.linspace(0, 0.999, 100)]
    assert rates[0] < 0.05
    assert max(rates) > 0.95
    assert rates.index(max(rates)) < 15
    assert rates[-1] < 0.01


def one_object():
    """Return a lesson of 4 × 4 pixels: an object of the first classes, its centre in row 2, column 1."""
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    masks[0, 2, 1] = 1
    return Lessons(
        images=torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        centres=torch.tensor([[[1.25, 2.5]]]),
        roots=torch.tensor([[[0.75]]]),
        classes=torch.zeros(1, 1, len(ATTRIBUTES), dtype=torch.int64),
        masks=masks,
        stride=1,
    )


def test_loss_of_numbers_by_hand():
    losses = []
    for root in (0.75, 1.8):
        maps = blank(1, 4)
        put(maps, 0, row=2, column=1, classes=[0, 0, 0, 0], numbers=[0.25, 0.5, root])
        losses.append(module._cell_loss(maps, one_object()))
    # One of three numbers is wrong by 1.05, of which the robust distance is 1; numbers count twice.
    assert (losses[1] - losses[0]).item() == pytest.approx(2 / 3, rel=1e-5)


def test_loss_of_classes_by_hand():
    losses = []
    for score in (0.0, 30.0):
        maps = blank(1, 4)
        maps[0, 1, 2, 1] = score  # of the first class of the first attribute
        losses.append(module._cell_loss(maps, one_object()))
    assert (losses[0] - losses[1]).item() == pytest.approx(np.log(CLASSES[0]), rel=1e-5)


def test_loss_of_centres_by_hand():
    heat, cells = torch.zeros(1, 1, 3), torch.tensor([[[0, 0]]])  # each is a centre with probability 1/2
    near, far = (np.exp(-(distance**2) / (2 * 0.7**2)) for distance in (1, 2))
    expected = np.log(2) * (0.5**2 + (1 - near) ** 4 * 0.5**2 + (1 - far) ** 4 * 0.5**2)
    assert module._focal(heat, cells, torch.tensor([[True]])).item() == pytest.approx(expected, rel=1e-5)
    nobody = np.log(2) * 3 * 0.5**2
    assert module._focal(heat, cells, torch.tensor([[False]])).item() == pytest.approx(nobody, rel=1e-5)


def test_loss_of_pixels_by_hand():
    batch, maps, pixels = one_object(), blank(1, 4), torch.zeros(1, PIXEL_NUMBERS, 4, 4)
    pixels[0, 1:, 2, 1] = torch.tensor([-0.25 / SCALE, 0.0])  # from the middle of the pixel to the centre
    assert module._pixel_loss(pixels, batch).item() == pytest.approx(np.log(2), rel=1e-5)
    pixels[0, 2, 2, 1] = 1.05  # one of the two numbers of the way is wrong by 1.05, of which the robust distance is 1
    alone = module._pixel_loss(pixels, batch).item()
    assert alone == pytest.approx(np.log(2) + 0.5, rel=1e-5)
    together = module._loss(maps, pixels, batch) - module._cell_loss(maps, batch)
    assert together.item() == pytest.approx(4 * alone, rel=1e-5)


# ------------------------------------------------------------------------------------------ what is read


class Maps(torch.nn.Module):
    """A network that sees what it is told."""

    def __init__(self, maps, pixels=None):
        super().__init__()
        self.maps, self.pixels = torch.nn.Parameter(maps), pixels

    def forward(self, images):
        pixels = torch.zeros(len(images), PIXEL_NUMBERS, *images.shape[2:]) if self.pixels is None else self.pixels
        return self.maps[: len(images)], pixels


def blank(images, side):
    maps = torch.zeros(images, 1 + sum(CLASSES) + NUMBERS, side, side)
    maps[:, 0] = -5
    return maps


def put(maps, image, row, column, classes, numbers, heat=5.0):
    maps[image, 0, row, column] = heat
    first = 1
    for number, size in zip(classes, CLASSES, strict=True):
        maps[image, first + number, row, column] = 1.0
        first += size
    maps[image, first:, row, column] = torch.tensor(numbers)


def drawn(maps, side=32):
    settings = Settings(image=ImageSpec(height=side, width=side))
    return Parser(settings, Maps(maps), {}).parse(np.zeros((len(maps), 3, side, side), np.uint8))


def test_an_object_is_read_off_at_its_centre():
    maps = blank(3, 32)
    put(maps, 1, row=20, column=7, classes=[1, 7, 0, 1], numbers=[0.25, 0.5, 0.75])
    empty, (found,), also_empty = drawn(maps)
    assert empty == also_empty == []
    position = found.pop("position")
    assert found == {
        "shape": "cube",
        "colour": "yellow",
        "size": "large",
        "material": "metal",
        "pixel": [7.25, 20.5],
        "visible_pixels": round((0.75 * SCALE) ** 2),
    }
    # Seen by the camera in the middle, its centre is at that pixel again.
    assert position[2] == pytest.approx(0.75 * HALF_CUBE, abs=1e-4)
    frame = Frame.of(ImageSpec(height=32, width=32))
    view = aim(*(Vector(*vector[:, None]) for vector in (scenes.EYE, scenes.TARGET, scenes.LIGHT)))
    right, up, _ = project(Vector(*np.array(position)[:, None]), view)
    assert (right[0] / frame.half_width + 1) * 16 == pytest.approx(7.25, abs=1e-2)
    assert (1 - up[0] / frame.half_height) * 16 == pytest.approx(20.5, abs=1e-2)


def test_cells_of_larger_images_are_larger():
    maps = blank(1, 32)
    put(maps, 0, row=20, column=7, classes=[0, 0, 0, 0], numbers=[0.25, 0.5, 0.75])
    ((found,),) = drawn(maps, side=128)
    assert found["pixel"] == [29, 82]
    assert found["visible_pixels"] == round((4 * 0.75 * SCALE) ** 2)


def test_only_peaks_are_objects_and_they_come_from_top_to_bottom():
    maps = blank(1, 32)
    put(maps, 0, row=9, column=9, classes=[0, 1, 0, 0], numbers=[0.0, 0.0, 1.0])
    put(maps, 0, row=9, column=10, classes=[0, 2, 0, 0], numbers=[0.0, 0.0, 1.0], heat=4.0)  # beside a higher one
    put(maps, 0, row=9, column=12, classes=[0, 3, 0, 0], numbers=[0.0, 0.0, 1.0], heat=1.0)
    put(maps, 0, row=2, column=30, classes=[0, 4, 0, 0], numbers=[0.0, 0.0, 1.0], heat=0.5)
    put(maps, 0, row=25, column=3, classes=[0, 5, 0, 0], numbers=[0.0, 0.0, 1.0], heat=-1.0)  # hardly likely
    (found,) = drawn(maps)
    assert [thing["colour"] for thing in found] == ["brown", "red", "green"]


def test_what_is_read_stays_in_the_image():
    maps = blank(1, 32)
    put(maps, 0, row=31, column=0, classes=[0, 0, 0, 0], numbers=[-0.5, 1.5, -1.0])
    ((found,),) = drawn(maps)
    assert found["pixel"] == [0, 32]
    assert found["visible_pixels"] == 1
    assert np.isfinite(found["position"]).all()


def test_the_true_maps_give_the_true_objects():
    settings = Settings(image=ImageSpec(height=32, width=32))
    images, truth, masks = module._scenes(settings, "training", 5)
    maps = blank(5, 32)
    for i, record in enumerate(truth):
        for thing in record:
            column, row = (int(place) for place in thing["pixel"])
            classes = [values.index(thing[name]) for name, values in ATTRIBUTES.items()]
            within = [thing["pixel"][0] - column, thing["pixel"][1] - row, thing["visible_pixels"] ** 0.5 / SCALE]
            put(maps, i, row, column, classes, within)
    found, seen = Parser(settings, Maps(maps, true_pixels(truth, masks)), {}).segment(images)
    right = measure(found, truth, 32)
    assert all(right[name] == 1 for name in ("precision", "recall", "count", *ATTRIBUTES))
    assert right["area_error"] == 0
    assert right["position_error"] < 0.3  # the camera is not quite where it is taken to be
    assert measure_masks(found, truth, seen, masks, 32) == {"mask_iou": 1, "foreground_iou": 1}


def true_pixels(truth, masks):
    """Return the counts of pixels of these masks in images without halvings."""
    pixels = torch.zeros(len(masks), PIXEL_NUMBERS, *masks.shape[1:])
    pixels[:, 0] = torch.from_numpy(masks > 0) * 2.0 - 1
    for image, row, column in np.argwhere(masks > 0).tolist():
        centre = truth[image][masks[image, row, column] - 1]["pixel"]
        pixels[image, 1:, row, column] = torch.tensor([centre[0] - column - 0.5, centre[1] - row - 0.5]) / SCALE
    return pixels


def segmented(maps, pixels, side=32):
    settings = Settings(image=ImageSpec(height=side, width=side))
    return Parser(settings, Maps(maps, pixels), {}).segment(np.zeros((len(maps), 3, side, side), np.uint8))


def test_a_pixel_is_of_the_object_whose_centre_it_points_to():
    maps, pixels = blank(1, 32), torch.zeros(1, PIXEL_NUMBERS, 32, 32)
    put(maps, 0, row=8, column=4, classes=[0, 1, 0, 0], numbers=[0.5, 0.5, 1.0])
    put(maps, 0, row=8, column=24, classes=[0, 2, 0, 0], numbers=[0.5, 0.5, 1.0])
    pixels[:, 0, :, 2:30] = 1.0
    pixels[0, 1, 3, 5] = 19 / SCALE  # beside the left one, but it says that its centre is 19 columns further right
    (found,), (mask,) = segmented(maps, pixels)
    assert [thing["colour"] for thing in found] == ["red", "blue"]
    expected = np.repeat([[0, 1, 2, 0]], 32, axis=0).repeat([2, 12, 16, 2], axis=1)
    expected[:, 14] = 1  # as near to both: the first one
    expected[3, 5] = 2
    assert mask.dtype == np.uint8
    assert (mask == expected).all()


def test_ways_of_pixels_are_longer_in_larger_images():
    maps, pixels = blank(1, 32), torch.zeros(1, PIXEL_NUMBERS, 128, 128)
    put(maps, 0, row=8, column=4, classes=[0, 1, 0, 0], numbers=[0.5, 0.5, 1.0])
    put(maps, 0, row=24, column=4, classes=[0, 2, 0, 0], numbers=[0.5, 0.5, 1.0])
    pixels[0, 0, 30:33, 18] = 1.0
    pixels[0, 2, 31, 18] = 64 / (4 * SCALE)
    _, (mask,) = segmented(maps, pixels, side=128)
    assert mask[30:33, 18].tolist() == [1, 2, 1]
    assert mask.sum() == 4


def test_where_no_object_is_seen_pixels_are_of_none():
    records, masks = segmented(blank(2, 32), torch.ones(2, PIXEL_NUMBERS, 32, 32))
    assert records == [[], []]
    assert not masks.any()


def test_objects_beyond_the_255th_have_no_pixels():
    maps, pixels = blank(1, 32), torch.zeros(1, PIXEL_NUMBERS, 32, 32)
    maps[:, 0] = 5.0  # everywhere as high, so that every cell is a peak
    pixels[:, 0] = 1.0
    (found,), (mask,) = segmented(maps, pixels)
    assert len(found) == 1024
    assert mask.max() == 255
    assert mask.min() == 1


def test_no_images_at_all(parser):
    records, masks = parser.segment(np.zeros((0, 3, 16, 16), np.uint8))
    assert records == []
    assert masks.shape == (0, 16, 16)


def test_images_do_not_depend_on_those_beside_them(parser, monkeypatch):
    images, _, _ = module._scenes(SMALL, "held out", 7)
    together, masks = parser.segment(images)
    monkeypatch.setattr(module, "BATCH", 3)
    for one, other in zip(together, parser.parse(images), strict=True):
        assert [thing["colour"] for thing in one] == [thing["colour"] for thing in other]
        assert np.allclose([thing["pixel"] for thing in one], [thing["pixel"] for thing in other], atol=1e-2)
    assert (masks == parser.segment(images)[1]).mean() > 0.99


def test_images_of_another_shape(parser):
    with pytest.raises(
        DataError, match=r"^scene parser: reads colour images of 16×16 pixels, not .* \[2, 3, 32, 32\]; train one for"
    ):
        parser.parse(np.zeros((2, 3, 32, 32), np.uint8))


class Some(ImageSet):
    """Images in batches of two."""

    def __init__(self, images):
        self.images, self.title, self.picture, self.about = images, "some images", images.shape[2:], {}

    def __len__(self):
        return len(self.images)

    def batches(self, picture, device):
        return iter(torch.from_numpy(self.images).split(2))


def test_sets_of_images_are_read_in_order(parser):
    images, _, _ = module._scenes(SMALL, "held out", 5)
    found = parser.read(Some(images), torch.device("cpu"))
    assert [len(record) for record in found] == [len(record) for record in parser.parse(images)]
    assert sum(map(len, found)) > 0


def test_sets_of_another_shape(parser):
    with pytest.raises(
        DataError, match=r"^some images: holds images of 16×8 pixels, but the scene parser reads 16×16; train one for"
    ):
        parser.read(Some(np.zeros((2, 3, 8, 16), np.uint8)), torch.device("cpu"))


@pytest.mark.parametrize(("height", "width"), [(18, 32), (36, 64), (8, 8), (9, 16)])
def test_any_shape_can_be_read(height, width):
    settings = Settings(image=ImageSpec(height=height, width=width), channels=4, scenes=4, held_out=2, max_objects=3)
    records, masks = train(settings).segment(np.zeros((2, 3, height, width), np.uint8))
    assert len(records) == 2
    assert masks.shape == (2, height, width)


# ------------------------------------------------------------------------------------------------ accuracy


def thing(column, row, colour="red", area=10, position=(0.0, 0.0)):
    kinds = {"shape": "cube", "colour": colour, "size": "small", "material": "metal"}
    return {**kinds, "pixel": [column, row], "position": [*position, 0.4], "visible_pixels": area}


def test_accuracy_by_hand():
    truth = [[thing(3, 3), thing(20, 20, colour="blue")], [thing(5, 5)], []]
    found = [
        [thing(3, 4.5, area=15, position=(3.0, 4.0)), thing(20, 20, colour="green"), thing(30, 30)],
        [thing(5, 8)],  # 3 pixels away, and 2 are allowed
        [],
    ]
    assert measure(found, truth, width=32) == {
        "precision": 2 / 4,
        "recall": 2 / 3,
        "count": 2 / 3,
        "shape": 1,
        "colour": 1 / 2,
        "size": 1,
        "material": 1,
        "position_error": 5 / 2,
        "area_error": 0.5 / 2,
        "objects": 3,
        "images": 3,
    }


def test_every_object_is_found_once():
    found = measure([[thing(3, 3), thing(4, 3)]], [[thing(3, 3)]], width=32)
    assert (found["precision"], found["recall"]) == (1 / 2, 1)


def test_far_objects_do_not_push_near_ones_apart():
    # Pairing by distance alone would take both at 2.5 pixels rather than one at 1 and one at 10.
    found = measure([[thing(2, 0), thing(4.5, 0)]], [[thing(4.4, 0), thing(30, 0)]], width=32)
    assert found["recall"] == 1 / 2


def test_nothing_seen_and_nothing_there():
    found = measure([[]], [[]], width=32)
    assert (found["count"], found["precision"], found["recall"], found["shape"]) == (1, 0, 0, 0)
    empty = np.zeros((1, 32, 32), np.uint8)
    assert measure_masks([[]], [[]], empty, empty, width=32) == {"mask_iou": 0, "foreground_iou": 0}


def test_accuracy_of_masks_by_hand():
    truth = [[thing(3, 3), thing(20, 20)], [thing(5, 5)]]
    found = [[thing(20, 20), thing(3, 3)], [thing(30, 30)]]  # in the other order, and one that is not there
    there, seen = np.zeros((2, 32, 32), np.uint8), np.zeros((2, 32, 32), np.uint8)
    there[0, 0, :4], seen[0, 0, :6] = 1, 2  # 4 of 6 in common
    there[0, 9, :6], seen[0, 9, 3:9] = 2, 1  # 3 of 9
    there[1, 0, :2], seen[1, 0, :2] = 1, 1  # but of another object
    assert measure_masks(found, truth, seen, there, width=32) == {
        "mask_iou": pytest.approx((4 / 6 + 3 / 9) / 3),
        "foreground_iou": pytest.approx((4 + 3 + 2) / (6 + 9 + 2)),
    }


# ------------------------------------------------------------------------------------------------- files


def test_saved_and_loaded_it_reads_the_same(parser, tmp_path: Path):
    parser.save(tmp_path / "a")
    loaded = Parser.load(tmp_path / "a" / "parser.json")
    images, _, _ = module._scenes(SMALL, "held out", 20)
    assert loaded.parse(images) == parser.parse(images)
    assert (loaded.segment(images)[1] == parser.segment(images)[1]).all()
    assert (loaded.settings, loaded.accuracy) == (SMALL, parser.accuracy)
    content = json.loads((tmp_path / "a" / "parser.json").read_text())
    assert content["accuracy"]["recall"] == parser.accuracy["recall"]
    assert content["settings"]["scenes"] == 400


def test_the_same_parser_is_the_same_bytes(parser, tmp_path: Path):
    for name in "ab":
        parser.save(tmp_path / name)
    for file in ("parser.json", "parser.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.fixture
def saved(parser, tmp_path: Path) -> Path:
    parser.save(tmp_path)
    return tmp_path / "parser.json"


def test_other_weights_are_refused(saved: Path):
    weights = saved.with_name("parser.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(
        CheckpointError,
        match=r"parser\.safetensors: sha256 is .* but .*parser\.json says .* train the scene parser again$",
    ):
        Parser.load(saved)


def test_missing_weights_are_named(saved: Path):
    saved.with_name("parser.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"parser\.safetensors: cannot be read .*; train the scene parser again$"):
        Parser.load(saved)


def test_damaged_weights_are_refused(saved: Path):
    weights = saved.with_name("parser.safetensors")
    weights.write_bytes(b"nothing")
    signed(saved, weights)
    with pytest.raises(CheckpointError, match=r"parser\.safetensors: cannot be read .*; train the scene parser again$"):
        Parser.load(saved)


def test_weights_of_another_network_are_refused(saved: Path):
    weights = saved.with_name("parser.safetensors")
    state = load_file(weights)
    state.pop("heads.bias")
    save_file(state, weights)
    signed(saved, weights)
    with pytest.raises(CheckpointError, match=r"parser\.safetensors: the file does not fit .* missing: heads\.bias"):
        Parser.load(saved)


def signed(path: Path, weights: Path) -> None:
    """Write the sum of these weights into the parser's file."""
    content = json.loads(path.read_text())
    content["weights_sha256"] = module.artifacts.file_digest(weights)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is no scene parser, but a JSON array; train it again"),
        ("{}", "has no 'format', 'settings', .*, so it is no scene parser; train it again"),
        ('{"format": 1}', "format 1 is not 2; train it again with this version"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "parser.json").write_text(content)
    with pytest.raises(CheckpointError, match=rf"parser\.json: {message}$"):
        Parser.load(tmp_path / "parser.json")


# ---------------------------------------------------------------------------------------------- settings


def test_settings_follow_the_data_set():
    source = {"kind": "scenes", "min_objects": 2, "max_objects": 5}
    dataset = Dataset.model_validate({"source": source, "resolution": 64, "ratio": 0.5, "letterbox": True})
    settings = Settings.of(dataset, scenes=77)
    assert settings.image == ImageSpec(height=32, width=64)  # the picture, without bars
    assert (settings.min_objects, settings.max_objects, settings.scenes) == (2, 5, 77)


def test_other_data_sets_cannot_be_learnt(tmp_path: Path):
    dataset = Dataset.model_validate({"source": {"kind": "folder", "path": str(tmp_path)}})
    with pytest.raises(
        ConfigError,
        match=r"^scene parser: reads built-in scenes, but .* is 'folder'; name a data set of the source 'sc",
    ):
        Settings.of(dataset)
