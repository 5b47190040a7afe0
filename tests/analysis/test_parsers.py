"""Parsers of objects in images: built-in scenes, and photographs with a stand-in for torchvision."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganformer import artifacts, config
from ganformer.analysis import readers
from ganformer.analysis.parsers.scenes import settings as scenes
from ganformer.config import Dataset
from ganformer.data.dataset import Images
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.metrics.sets import Packed
from ganformer.scenes import parser
from tests.analysis import stand_in

CPU = torch.device("cpu")
SCENES = Dataset.model_validate({"source": {"kind": "scenes", "min_objects": 1, "max_objects": 2}, "resolution": 16})
PHOTOGRAPHS = Dataset.model_validate({"source": {"kind": "folder", "path": "photographs"}, "resolution": 8})


def settings(**values):
    """Return settings as the configuration checks them."""
    return config.parse(config.Parsers, {"parser": values}, "parsing").parser


# ------------------------------------------------------------------------------------------- any parser


@pytest.mark.parametrize(
    ("content", "found"), [("[]", "None"), ("{}", "None"), ('{"kind": "segmentor"}', "'segmentor'")]
)
def test_other_files_are_refused(tmp_path: Path, content: str, found: str):
    (tmp_path / "parser.json").write_text(content)
    with pytest.raises(
        CheckpointError,
        match=rf"parser\.json: is no parser: its kind is {found}, allowed: scenes, torchvision; make it again with `g",
    ):
        readers.load(tmp_path / "parser.json")


# ---------------------------------------------------------------------------------------- built-in scenes


@pytest.fixture(scope="module")
def of_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """parser.json of one that has hardly learnt anything."""
    out = tmp_path_factory.mktemp("scenes")
    chosen = settings(kind="scenes", scenes=64, held_out=8, epochs=1, channels=4, seed=5)
    readers.prepare(chosen, SCENES, out, threads=1, gpus=0)
    return out / "parser.json"


def test_settings_are_those_of_the_network_but_what_follows_from_the_data_set():
    found, network = settings(kind="scenes").model_dump(), parser.Settings.of(SCENES).model_dump()
    assert found.keys() ^ network.keys() == {"kind", "image", "min_objects", "max_objects"}
    assert all(found[name] == network[name] for name in found.keys() & network.keys())
    assert scenes.Config.model_fields["scenes"].description == "Scenes that it learns from."


def test_settings_of_the_network_are_checked():
    with pytest.raises(
        ConfigError, match=r"parser\.epochs: Input should be greater than 0, got 0\n.*did you mean 'batch'"
    ):
        settings(kind="scenes", epochs=0, batches=3)


def test_scenes_are_read_by_the_trained_network(of_scenes: Path):
    reader, trained = readers.load(of_scenes), parser.Parser.load(of_scenes)
    assert (trained.settings.scenes, trained.settings.seed, trained.settings.max_objects) == (64, 5, 2)
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16), np.uint8)
    assert reader.parse(images) == trained.parse(images)
    assert reader.about == {"kind": "scenes", **trained.settings.model_dump(mode="json")}
    assert reader.accuracy == trained.accuracy
    assert reader.accuracy["images"] == 8
    assert {name: len(values) for name, values in reader.attributes.items()} == {
        "shape": 3,
        "colour": 8,
        "size": 2,
        "material": 2,
    }
    assert reader.paired == ("shape", "colour")


def test_other_data_sets_are_no_scenes(tmp_path: Path):
    message = (
        "scene parser: reads built-in scenes, but the source of this data set is 'folder'; name a data set of the"
        " source 'scenes'"
    )
    chosen = settings(kind="scenes")
    assert list(chosen.problems(SCENES)) == []
    assert [problem.startswith(message) for problem in chosen.problems(PHOTOGRAPHS)] == [True]
    with pytest.raises(ConfigError, match=message):
        readers.prepare(chosen, PHOTOGRAPHS, tmp_path / "out", threads=1, gpus=0)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------- torchvision


@pytest.fixture
def installed(monkeypatch):
    stand_in.install(monkeypatch)


@pytest.fixture
def prepared(installed, tmp_path: Path):
    """Make a parser: (changes of its settings) → parser.json."""

    def prepare(dataset=PHOTOGRAPHS, **changes):
        weights = stand_in.write_weights(tmp_path / "weights.pth", **changes.pop("weights", {}))
        chosen = settings(kind="torchvision", weights=str(weights), **changes)
        readers.prepare(chosen, dataset, tmp_path, threads=1, gpus=0)
        return tmp_path / "parser.json"

    return prepare


def picture(**areas):
    """Return an image of 8×8 pixels in which the first so many pixels are red, green, blue."""
    image = np.zeros((3, 64), np.uint8)
    for channel, name in enumerate(("red", "green", "blue")):
        image[channel, : areas.get(name, 0)] = 255
    return image.reshape(3, 8, 8)


def read(path, *images):
    records = readers.load(path).parse(np.stack(images))
    return [[(thing["class"], thing["visible_pixels"]) for thing in record] for record in records]


def test_objects_are_read(prepared):
    path = prepared()
    reader = readers.load(path)
    (record,) = reader.parse(picture(green=5)[None])
    assert record == [{"class": "car", "score": pytest.approx(0.8), "visible_pixels": 5}]
    assert reader.attributes == {"class": ("person", "bicycle", "car", "chair")}
    assert (reader.paired, reader.accuracy) == (("class",), {})
    weights = path.with_name("weights.pth")
    assert reader.about == {
        "kind": "torchvision",
        "model": "maskrcnn_resnet50_fpn",
        "weights": str(weights),
        "threshold": 0.5,
        "mask_threshold": 0.5,
        "classes": None,
        "weights_sha256": artifacts.file_digest(weights),
    }
    assert json.loads(path.read_text())["torchvision"] == "0.0"


def test_of_overlapping_objects_the_one_with_the_higher_score_is_in_front(prepared):
    image = picture(red=10, green=30, blue=40)
    assert read(prepared(), image) == [[("person", 10), ("car", 20), ("chair", 10)]]
    assert read(prepared(weights={"scores": (0.6, 0.8, 0.7)}), image) == [[("car", 30), ("chair", 10)]]
    assert read(prepared(weights={"scores": (0.8, 0.6, 0.7)}), image) == [[("person", 10), ("chair", 30)]]


def test_pixels_are_of_the_object_in_front(prepared):
    image = picture(red=10, green=30, blue=40)
    reader = readers.load(prepared(weights={"scores": (0.6, 0.8, 0.7)}, classes=["chair", "person"]))
    records, (mask,) = reader.segment(image[None])
    assert [(thing["class"], thing["visible_pixels"]) for thing in records[0]] == [("chair", 10)]
    # The car, with the highest score, covers the first thirty; nobody asks for it.
    assert mask.flatten().tolist() == [0] * 30 + [1] * 10 + [0] * 24
    records, masks = reader.segment(np.zeros((2, 3, 8, 8), np.uint8))
    assert records == [[], []]
    assert not masks.any()


def test_objects_of_classes_that_are_not_looked_at_are_in_front_too(prepared):
    path = prepared(classes=["chair", "car"])
    assert read(path, picture(red=10, green=30)) == [[("car", 20)]]
    assert readers.load(path).attributes == {"class": ("car", "chair")}  # in the network's order


def test_numbers_that_stand_for_no_class_are_left_out(prepared):
    assert read(prepared(weights={"classes": (1, 4, 2)}), picture(red=1, green=2, blue=3)) == [
        [("person", 1), ("bicycle", 1)]
    ]


def test_thresholds(prepared):
    image = picture(red=10, green=20, blue=30)
    scores = {"scores": (0.9, 0.5, 0.4)}
    assert read(prepared(weights=scores), image) == [[("person", 10), ("car", 10)]]
    assert read(prepared(weights=scores, threshold=0.6), image) == [[("person", 10)]]
    assert read(prepared(weights=scores, threshold=0.3), image) == [[("person", 10), ("car", 10), ("chair", 10)]]
    dark = image // 255 * np.uint8(100)  # probabilities of 0.39
    assert read(prepared(), dark) == [[]]
    assert read(prepared(mask_threshold=0.3), dark) == [[("person", 10), ("car", 10), ("chair", 10)]]


def test_normalisations_of_the_first_version_add_nothing_to_variances(prepared):
    # Of half of a channel's range, 0.502, the usual 1e-5 would leave less.
    path = prepared(mask_threshold=float(np.float32(128) / np.float32(255)))
    assert read(path, picture(red=9) // 255 * np.uint8(128)) == [[("person", 9)]]


def test_many_images_keep_their_order(prepared):
    images = [picture(red=i) for i in range(11)]
    assert read(prepared(), *images) == [[("person", i)] if i else [] for i in range(11)]
    assert readers.load(prepared()).parse(np.zeros((0, 3, 8, 8), np.uint8)) == []


def test_sets_of_images_are_read(prepared, pack: Path):
    noise = Dataset.model_validate({"source": {"kind": "folder", "path": "noise"}, "resolution": 16})
    reader, images = readers.load(prepared(noise)), Images(pack)
    found = reader.read(Packed(images), CPU)
    pixels = images.read(np.arange(10))
    assert found == reader.parse(pixels)
    assert [record[0]["visible_pixels"] for record in found] == (pixels[:, 0] >= 128).sum(axis=(1, 2)).tolist()


def test_images_of_another_shape_are_refused(prepared, pack: Path):
    reader = readers.load(prepared())
    told = r"16×16 pixels, but the parser was made for 8×8; make one for these images with `ganformer step parser`$"
    with pytest.raises(DataError, match=rf"^{pack.parent}: {told}"):
        reader.read(Packed(Images(pack)), CPU)
    with pytest.raises(DataError, match=rf"^images: {told}"):
        reader.parse(np.zeros((2, 3, 16, 16), np.uint8))


def test_weights_among_the_results_are_where_these_are_kept(monkeypatch):
    chosen = settings(kind="torchvision", weights="results/weights/photos.pth")
    monkeypatch.setenv("GANFORMER_RESULTS", "/elsewhere")
    assert chosen.inputs == (Path("results/weights/photos.pth"),)
    assert chosen.file == Path("/elsewhere/weights/photos.pth")


def test_torchvision_is_missing(monkeypatch, tmp_path: Path):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    chosen = settings(kind="torchvision", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(
        ConfigError,
        match=r"^parsers of kind 'torchvision' need the package torchvision, which cannot be imported \(.*\): pip "
        r"install torchvision, or this package with its extra 'segmentation'$",
    ):
        readers.prepare(chosen, PHOTOGRAPHS, tmp_path, threads=1, gpus=0)
    assert not (tmp_path / "parser.json").exists()


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"),
        ("maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"),
    ],
)
def test_the_file_of_weights_is_missing(installed, tmp_path: Path, model: str, file: str):
    chosen = settings(kind="torchvision", model=model, weights=str(tmp_path / "weights.pth"))
    assert chosen.inputs == (tmp_path / "weights.pth",)
    with pytest.raises(
        DataError,
        match=rf"weights\.pth: there is no such file; put the weights of {model} there, which torchvision publishes as "
        rf"{file} \(https://example\.org/models/{file}\), or correct parsing\.weights$",
    ):
        readers.prepare(chosen, PHOTOGRAPHS, tmp_path, threads=1, gpus=0)
    assert not (tmp_path / "parser.json").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": {"scores": (0.5,) * 3, "norm.bias": None}}, r"missing: norm\.bias$"),
        ({"weights": {"roi.weight": torch.zeros(3)}}, r"not known: roi\.weight$"),
        ({"model": "maskrcnn_resnet50_fpn_v2"}, r"size mismatch for mask_head\.conv\.weight: .*\[4, 3, 1, 1\]"),
    ],
)
def test_weights_of_another_network_are_refused(prepared, tmp_path: Path, changes, told):
    with pytest.raises(
        CheckpointError, match=rf"weights\.pth: the file for maskrcnn_resnet50_fpn\w* does not fit the model; {told}"
    ):
        prepared(**changes)
    assert not (tmp_path / "parser.json").exists()


def test_a_file_of_something_else_is_refused(installed, tmp_path: Path):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    chosen = settings(kind="torchvision", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(CheckpointError, match=r"weights\.pth: is damaged or was not written by torch\.save"):
        readers.prepare(chosen, PHOTOGRAPHS, tmp_path, threads=1, gpus=0)


def test_weights_that_were_replaced_are_refused(prepared, tmp_path: Path):
    path = prepared()
    stand_in.write_weights(tmp_path / "weights.pth", classes=(3, 3, 3))
    with pytest.raises(
        CheckpointError,
        match=r"weights\.pth: sha256 is \w{12}… but .*parser\.json says \w{12}…; put the file back, or make the pars",
    ):
        readers.load(path)


def test_parsers_of_other_formats_are_refused(prepared):
    path = prepared()
    artifacts.write_json(path, {**artifacts.read_json(path), "format": 0})
    with pytest.raises(CheckpointError, match=r"parser\.json: format 0 is not 1; make it again with this version$"):
        readers.load(path)


@pytest.mark.parametrize(
    ("name", "hint"), [("chairs", "did you mean 'chair'?"), ("N/A", "allowed: person, bicycle, car, ")]
)
def test_unknown_classes_are_refused(prepared, tmp_path: Path, name: str, hint: str):
    with pytest.raises(ConfigError) as refused:
        prepared(classes=["car", name])
    assert str(refused.value).startswith(f"parsing.classes: '{name}' is not a class of maskrcnn_resnet50_fpn; {hint}")
    assert not (tmp_path / "parser.json").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "parser.weights: is missing"),
        (
            {"weights": "w", "model": "maskrcnn"},
            "'maskrcnn' is not 'maskrcnn_resnet50_fpn' or 'maskrcnn_resnet50_fpn_v2'",
        ),
        ({"weights": "w", "threshold": 0.01}, "parser.threshold: Input should be greater than or equal to 0.05"),
        ({"weights": "w", "treshold": 0.5}, "unknown key; did you mean 'threshold'?"),
        ({"weights": "w", "classes": []}, "parser.classes: Tuple should have at least 1 item"),
    ],
)
def test_settings_are_checked(values, told: str):
    with pytest.raises(ConfigError) as refused:
        settings(kind="torchvision", **values)
    assert told in str(refused.value)


def test_any_data_set_can_be_segmented():
    chosen = settings(kind="torchvision", weights="w")
    assert list(chosen.problems(SCENES)) == list(chosen.problems(PHOTOGRAPHS)) == []
