"""A second network that measures the same images, and the scene parser as such a network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ganformer.config import Dataset, Evaluation, ImageSpec, Spec
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.errors import DataError
from ganformer.metrics import evaluate as metrics
from ganformer.metrics import summary
from ganformer.metrics.extractors.scene_parser import model as scene_parser
from ganformer.metrics.extractors.scene_parser.settings import Config
from ganformer.records.metrics import Measured
from ganformer.report import formatting
from ganformer.scenes import parser
from ganformer.training.loop import train

VGG = {"kind": "random-vgg16"}
SETTINGS = parser.Settings(
    image=ImageSpec(height=16, width=16), max_objects=4, scenes=8, held_out=4, epochs=1, channels=8
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a scene parser that was hardly trained."""
    folder = tmp_path_factory.mktemp("parser")
    torch.manual_seed(0)
    network = parser.Network(SETTINGS.channels, 1).eval().requires_grad_(False)
    parser.Parser(SETTINGS, network, {}).save(folder)
    return folder / "parser.json"


def evaluation(second: dict[str, object], **changes: object) -> Evaluation:
    return Evaluation.model_validate({"extractor": VGG, "metrics": ["fid"], "images": 4, "second": second, **changes})


def test_parser_among_the_results_is_where_these_are_kept(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORMER_RESULTS", str(saved.parent))
    config = Config(kind="scene-parser", parser=Path("results/parser.json"))
    assert config.inputs == (Path("results/parser.json"),)
    assert scene_parser.load(config, torch.device("cpu")).picture == (16, 16)


def test_second_network_is_a_part_of_its_own(saved: Path) -> None:
    chosen = evaluation({"extractor": {"kind": "scene-parser", "parser": saved}, "metrics": ["pr", "fid"]})
    first, second = chosen.parts().values()
    assert (first.extractor.kind, first.metrics) == ("random-vgg16", ("frechet",))
    assert (second.extractor.kind, second.metrics) == ("scene-parser", ("precision-recall", "frechet"))
    assert second.extractor.inputs == (saved,)
    assert (chosen.before(first.extractor), chosen.before(second.extractor)) == ("", "second_")


def test_second_network_must_be_of_another_kind() -> None:
    message = "second: measures with 'random-vgg16' as well; choose another kind of network than random-vgg16"
    with pytest.raises(ValueError, match=message):
        evaluation({"extractor": {**VGG, "seed": 1}})
    with pytest.raises(ValueError, match="choose another kind of network than inception-random, random-vgg16"):
        evaluation({"extractor": {"kind": "inception-random"}}, extractors={"fid": {"kind": "inception-random"}})


def test_metrics_of_the_second_network_are_checked(saved: Path) -> None:
    with pytest.raises(ValueError, match="'inception-score' is not measured with these features of scene-parser"):
        evaluation({"extractor": {"kind": "scene-parser", "parser": saved}, "metrics": ["is"]})
    with pytest.raises(ValueError, match="'fids' is unknown"):
        evaluation({"extractor": {"kind": "scene-parser", "parser": saved}, "metrics": ["fids"]})


def test_values_of_the_second_network_are_shown_as_those_of_the_first() -> None:
    shown = formatting.metric("second_fd", "fd_scene_parser")
    assert (shown.title, shown.better) == ("FD", "low")


@pytest.mark.slow
def test_second_network_measures_the_same_images(tmp_path: Path, saved: Path) -> None:
    dataset = Dataset.model_validate({"source": {"kind": "scenes", "images": 24}, "resolution": 16})
    pack(dataset, tmp_path / "pack")
    model = {"kind": "gan", "channel_base": 64, "channel_max": 8, "latent_size": 16}
    training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
    image = Images(tmp_path / "pack").image
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": training, "seed": 3})
    train(spec, tmp_path / "pack", tmp_path / "run", names={"dataset": "scenes", "model": "gan"}, threads=1, gpus=0)

    def measure(chosen: Evaluation, name: str) -> Measured:
        metrics.reference(chosen, tmp_path / "pack", tmp_path / name, threads=1, gpus=0)
        job = metrics.Job(chosen, tmp_path / "run" / "run.json", None, tmp_path / "pack", tmp_path / name)
        metrics.evaluate(job, tmp_path / f"{name}.json", threads=1, gpus=0)
        return Measured.read(tmp_path / f"{name}.json")

    extractor = {"kind": "scene-parser", "parser": str(saved)}
    both = measure(evaluation({"extractor": extractor, "metrics": ["fid", "kid"]}, metrics=["fid", "kid"]), "both")
    alone = measure(
        Evaluation.model_validate({"extractor": extractor, "metrics": ["fid", "kid"], "images": 4}), "alone"
    )
    names = {key: (value.name, value.by) for key, value in both.values.items()}
    assert names["fd"] == ("fd_random_vgg16", None)
    assert names["second_fd"] == ("fd_scene_parser", "scene-parser")
    assert both.values["second_fd"].value == alone.values["fd"].value
    assert both.values["second_kid"].value == alone.values["kid"].value
    assert both.how.measures["second_kid"] == alone.how.measures["kid"]
    assert json.dumps(extractor).replace(" ", "") in summary.of_run(both).replace(" ", "")
    assert str(saved) in both.recipe["weights_sha256"]


# --------------------------------------------------------------------------------------- scene parser


def test_features_are_means_of_the_parsers_maps(saved: Path) -> None:
    network = scene_parser.load(Config(parser=saved), torch.device("cpu"))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), np.uint8))
    features, logits = network(images)
    assert (features.shape, logits.shape) == ((5, 3 * SETTINGS.channels), (5, 0))
    coarse, fine = network.network.features(images / 127.5 - 1)
    torch.testing.assert_close(features[:, : 2 * SETTINGS.channels], coarse.mean((2, 3)))
    torch.testing.assert_close(features[:, 2 * SETTINGS.channels :], fine.mean((2, 3)))


def test_images_of_another_size_are_refused(saved: Path) -> None:
    network = scene_parser.load(Config(parser=saved), torch.device("cpu"))
    with pytest.raises(
        DataError,
        match="scene-parser: reads images of 16×16 pixels, not of 32×8; name the parser of a data set of this size",
    ):
        network(torch.zeros(1, 3, 8, 32, dtype=torch.uint8))


def test_missing_parser_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/parser\.json: cannot be read"):
        scene_parser.load(Config(parser=tmp_path / "none" / "parser.json"), torch.device("cpu"))
