"""From built-in scenes to the numbers of tables 2 and 3 by hand: three commands, one after another."""

import json
import math
import sys

import pytest

from ganformer import cli
from ganformer.config import Dataset, Spec
from ganformer.data.pack import pack
from ganformer.errors import ConfigError
from ganformer.learning.loop import train

SCENES = {"source": {"kind": "scenes", "images": 60, "max_objects": 4, "min_objects": 1}, "resolution": 16}


def ganformer(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ganformer", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.app(standalone_mode=True)
    assert not ended.value.code


def test_a_run_is_read(monkeypatch, tmp_path):
    pack(Dataset.model_validate(SCENES), tmp_path / "pack")
    settings = {
        "image": {"height": 16, "width": 16},
        "mirror": False,
        "model": {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2},
        "training": {"kimg": 0.008, "batch": 4, "snapshots": 1},
        "seed": 0,
    }
    names = {"dataset": "scenes", "model": "stylegan2"}
    train(Spec.model_validate(settings), tmp_path / "pack", tmp_path / "run", names=names, threads=1, gpus=0)
    parsing = {"scenes": 400, "held_out": 32, "epochs": 10, "channels": 8, "learning_rate": 0.02}
    words = ["--dataset", json.dumps(SCENES), "--parsing", json.dumps(parsing)]
    ganformer(monkeypatch, "scene-parser", *words, "--out", tmp_path / "parser")
    evaluation = json.dumps({"extractor": {"kind": "random-vgg16"}, "images": 40})
    read = ["--evaluation", evaluation, "--run", tmp_path / "run/run.json", "--parser", tmp_path / "parser/parser.json"]
    data = ["--data", tmp_path / "pack/manifest.json"]
    ganformer(monkeypatch, "scene-statistics", *read, *data, "--out", tmp_path / "statistics.json")
    values = json.loads((tmp_path / "statistics.json").read_text())["values"]
    assert {"chi2_object_number", "chi2_colour", "chi2_shape"} <= values.keys()
    assert all(math.isfinite(entry["value"]) for entry in values.values())


def test_unknown_settings_of_the_parser_are_refused(monkeypatch, tmp_path):
    words = ["scene-parser", "--dataset", json.dumps(SCENES), "--parsing", '{"epoch": 1}', "--out", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", ["ganformer", *words])
    with pytest.raises(ConfigError, match=r"epoch: unknown key; did you mean 'epochs'\?"):
        cli.app(standalone_mode=True)
    assert not (tmp_path / "p").exists()
