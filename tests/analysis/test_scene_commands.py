"""Numbers of tables 2 and 3 by hand: three commands, one after another."""

import json
import math
import sys
from pathlib import Path

import pytest

from ganformer import artifacts, cli
from ganformer.config import Dataset, Spec
from ganformer.data.packing.pack import pack
from ganformer.errors import ConfigError
from ganformer.training.loop import train
from tests.analysis import stand_in

pytestmark = pytest.mark.slow

SCENES = {"source": {"kind": "scenes", "images": 60, "max_objects": 4, "min_objects": 1}, "resolution": 16}
IMAGES = 40


def ganformer(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ganformer", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.app(standalone_mode=True)
    assert not ended.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Make a folder with a pack and a run."""
    folder = tmp_path_factory.mktemp("trained")
    pack(Dataset.model_validate(SCENES), folder / "pack")
    settings = {
        "image": {"height": 16, "width": 16},
        "mirror": False,
        "model": {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2},
        "training": {"kimg": 0.008, "batch": 4, "snapshots": 1},
        "seed": 0,
    }
    names = {"dataset": "scenes", "model": "stylegan2"}
    train(Spec.model_validate(settings), folder / "pack", folder / "run", names=names, threads=1, gpus=0)
    return folder


def values(path: Path) -> dict[str, float]:
    found = {name: entry["value"] for name, entry in json.loads(path.read_text())["values"].items()}
    assert all(map(math.isfinite, found.values()))
    return found


def measured(monkeypatch, trained: Path, out: Path, dataset, parsing, commands) -> dict[str, float]:
    """Return the values that the commands find."""
    words = ["--dataset", json.dumps(dataset), "--parsing", json.dumps(parsing)]
    ganformer(monkeypatch, "step", "parser", *words, "--out", out)
    read = ["--images", IMAGES, "--run", trained / "run/run.json", "--parser", out / "parser.json"]
    found = {}
    for command, more in commands.items():
        ganformer(monkeypatch, "step", "analyse", command, *read, *more, "--out", out / f"{command}.json")
        found |= values(out / f"{command}.json")
    return found


def test_scenes_are_read(monkeypatch, trained, tmp_path, capsys):
    parsing = {"kind": "scenes", "scenes": 80, "held_out": 16, "epochs": 4, "channels": 8, "learning_rate": 0.02}
    commands = {"scene-statistics": ["--data", trained / "pack/manifest.json"]}
    found = measured(monkeypatch, trained, tmp_path, SCENES, parsing, commands)
    assert {"chi2_object_number", "chi2_colour", "chi2_shape"} <= found.keys()

    stays = [tmp_path / name for name in ("parser.json", "parser.safetensors", "scene-statistics.json")]
    before = [path.read_bytes() for path in stays]
    monkeypatch.setattr(artifacts, "code_version", lambda: {"ganformer": "9", "commit": "f" * 12, "dirty": True})
    again = measured(monkeypatch, trained, tmp_path, SCENES, parsing, commands)
    assert ([path.read_bytes() for path in stays], again) == (before, found)
    assert (
        "scene-statistics.json: is of these weights, images and settings already and stays" in capsys.readouterr().out
    )

    (tmp_path / "parser.safetensors").unlink()  # what is damaged is made again
    measured(monkeypatch, trained, tmp_path, SCENES, parsing, commands)
    assert json.loads(stays[0].read_text())["code"]["ganformer"] == "9"
    assert stays[1].read_bytes() == before[1]
    measured(monkeypatch, trained, tmp_path, SCENES, {**parsing, "epochs": 5}, commands)
    assert stays[1].read_bytes() != before[1]
    assert json.loads(stays[2].read_text())["code"]["ganformer"] == "9"  # of another parser, so measured again


def test_other_images_are_read_by_a_segmentor(monkeypatch, trained, tmp_path):
    stand_in.install(monkeypatch)
    weights = stand_in.write_weights(tmp_path / "weights.pth")
    parsing = {"kind": "torchvision", "weights": str(weights), "mask_threshold": 0.4}
    dataset = {"source": {"kind": "folder", "path": "photographs"}, "resolution": 16}
    commands = {"scene-statistics": ["--data", trained / "pack/manifest.json"], "disentanglement": []}
    found = measured(monkeypatch, trained, tmp_path, dataset, parsing, commands)
    statistics = {"chi2_object_area", "chi2_object_number", "chi2_co_occurrence", "chi2_class"}
    assert {name for name in found if name.startswith("chi2") and not name.endswith("_std")} == statistics
    assert {"dci_disentanglement", "dci_informativeness_prime"} <= found.keys()


@pytest.mark.parametrize(
    ("parsing", "told"),
    [
        ({"kind": "scenes", "epoch": 1}, r"epoch: unknown key; did you mean 'epochs'\?"),
        ({"kind": "detectron"}, r"kind 'detectron' is unknown; allowed: scenes, torchvision"),
        ({"epochs": 1}, r"'kind' is missing"),
    ],
)
def test_unknown_settings_of_the_parser_are_refused(monkeypatch, tmp_path, parsing, told):
    words = ["--dataset", json.dumps(SCENES), "--parsing", json.dumps(parsing), "--out", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", ["ganformer", "step", "parser", *words])
    with pytest.raises(ConfigError, match=told):
        cli.app(standalone_mode=True)
    assert not (tmp_path / "p").exists()
