"""Runs from a model and a few settings, as `ganformer train` takes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ganformer import cli, config
from ganformer.config import ImageSpec, Spec
from ganformer.errors import ConfigError
from tests.training.tiny_runs import write_pack

IMAGE = ImageSpec(height=16, width=16)
GAN = {"kind": "gan", "channel_base": 64, "channel_max": 8, "latent_size": 4}
RAW = {
    "models": {"small": GAN, "codes": {"kind": "vqgan", "channels": 8}},
    "training": {"kimg": 3, "per_dataset": {"scenes": {"kimg": 7}}},
    "adversarial": {"r1_gamma": 2, "per_dataset": {"scenes": {"r1_gamma": 9}}},
}


def test_an_entry_of_the_models_has_the_sections_of_the_configuration() -> None:
    assert config.sections_of("small", RAW) == {"model": GAN, "training": {"kimg": 3}, "adversarial": {"r1_gamma": 2}}


def test_a_model_without_the_game_has_none_of_its_settings() -> None:
    assert config.sections_of("codes", RAW)["adversarial"] == {}


def test_a_kind_has_its_own_defaults() -> None:
    assert config.sections_of("gan", RAW) == {"model": {"kind": "gan"}, "training": {}, "adversarial": {}}


def test_unknown_models_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--model: 'smal' is unknown; did you mean 'small'"):
        config.sections_of("smal", RAW)


@pytest.mark.parametrize(
    ("change", "section", "expected"),
    [
        ("adversarial.r1_gamma=5", "adversarial", {"r1_gamma": 5}),
        ("training.batch=8", "training", {"kimg": 3, "batch": 8}),
        ("model.latent_size=16", "model", {**GAN, "latent_size": 16}),
        ("model.kind=gan", "model", GAN),
        (
            "adversarial.augmentation={kind: ada, kimg: 9}",
            "adversarial",
            {"r1_gamma": 2, "augmentation": {"kind": "ada", "kimg": 9}},
        ),
        ("model.perceptual.kind=a=b", "model", {**GAN, "perceptual": {"kind": "a=b"}}),
        ("model.initial=null", "model", {**GAN, "initial": None}),
    ],
)
def test_single_settings_are_changed(change: str, section: str, expected: Mapping[str, Any]) -> None:
    before = config.sections_of("small", RAW)
    after = config.with_settings(before, [change])
    assert after[section] == expected
    assert {name: part for name, part in after.items() if name != section} == {
        name: part for name, part in before.items() if name != section
    }
    assert before == config.sections_of("small", RAW)  # as it was


@pytest.mark.parametrize("change", ["r1_gamma=5", "model.latent_size", "adversarial=5", "data.x=1", "training..kimg=1"])
def test_other_forms_of_changes_are_refused(change: str) -> None:
    with pytest.raises(
        ConfigError,
        match=r"is not of the form SECTION\.NAME=VALUE with a section model, trai"
        r".*; for example adversarial\.r1_gamma=5",
    ):
        config.with_settings(config.sections_of("small", RAW), [change])


def test_values_that_are_no_yaml_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--set: 'training\.batch=\[1': the value is not valid YAML$"):
        config.with_settings(config.sections_of("small", RAW), ["training.batch=[1"])


def test_settings_of_the_model_win_over_sections() -> None:
    model = {**GAN, "adversarial": {"r1_gamma": 4}}
    spec = config.single_run(model, IMAGE, training={"kimg": 1}, adversarial={"r1_gamma": 2, "beta2": 0.9}, seed=3)
    settings = spec.model.adversarial  # type: ignore[attr-defined]
    assert (settings.r1_gamma, settings.beta2) == (4, 0.9)
    assert (spec.seed, spec.mirror, spec.image, spec.training.kimg) == (3, False, IMAGE, 1)


@pytest.mark.parametrize(
    ("model", "adversarial", "message"),
    [
        ({}, {}, "^model: 'kind' is missing; give one of gan, ganformer, kgan"),
        (
            {"kind": "vqgan"},
            {"r1_gamma": 1},
            "^adversarial: a model of kind 'vqgan' has no such settings; leave it out",
        ),
        ({**GAN, "latent_sise": 4}, {}, "latent_sise: unknown key"),
        ({**GAN, "channel_base": 8}, {}, "^train: 1 problem\n  model: channel_base 8 leaves no features at width 16"),
    ],
)
def test_runs_that_cannot_be(model: Mapping[str, Any], adversarial: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.single_run(model, IMAGE, training={}, adversarial=adversarial)


# --------------------------------------------------------------------------------------------- command line


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Provide the arguments that training is called with, in a folder with a configuration and a pack `own`."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("ganformer.training.loop.train", lambda *args, **kwargs: calls.append((*args, kwargs)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(json.dumps(RAW))
    write_pack(tmp_path / "own", 4)
    return calls


def say(*words: str) -> str:
    said = CliRunner().invoke(cli.app, ["train", *words], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def test_train_takes_a_model_of_config_yaml_and_options(called: list[tuple[Any, ...]]) -> None:
    changes = [
        "--kimg",
        "0.5",
        "--seed",
        "4",
        "--mirror",
        "--set",
        "training.batch=2",
        "--set",
        "adversarial.beta1=0.5",
    ]
    said = say("--data", "own", "--model", "small", "--from", "runs/a", *changes, "--out", "runs/x")
    ((spec, data, out, options),) = called
    assert (data, out, options["names"]) == (Path("own"), Path("runs/x"), {"dataset": "own", "model": "small"})
    assert (spec.image, spec.seed, spec.mirror) == (ImageSpec(height=8, width=8), 4, True)
    assert (spec.training.kimg, spec.training.batch) == (0.5, 2)
    assert (spec.model.adversarial.r1_gamma, spec.model.adversarial.beta1) == (2, 0.5)
    assert (spec.model.initial, spec.model.latent_size) == (Path("runs/a"), 4)
    assert said == f"runs/x: {spec.json()}\n"
    assert Spec.model_validate_json(said.removeprefix("runs/x: ")) == spec


def test_train_chooses_the_weight_of_r1_by_its_rule(called: list[tuple[Any, ...]]) -> None:
    more = ["--set", "adversarial.r1_gamma=auto", "--set", "training.batch=2"]
    said = say("--data", "own", "--model", "small", *more, "--out", "runs/x")
    ((spec, *_),) = called
    assert spec.model.adversarial.r1_gamma == pytest.approx(0.0002 * 64 / 2, rel=1e-12)
    assert '"r1_gamma":0.0064' in said


def test_train_logs_as_the_configuration_or_an_option_says(called: list[tuple[Any, ...]], tmp_path: Path) -> None:
    logging = {"wandb": {"project": "faces", "mode": "offline"}}
    (tmp_path / "logged.yaml").write_text(json.dumps({**RAW, "logging": logging}))
    words = ["--data", "own", "--model", "small", "--out", "x"]
    for more in ([], ["--config", "logged.yaml"], ["--config", "logged.yaml", "--wandb", "other"]):
        say(*words, *more)
    found = [each[3]["logging"].wandb for each in called]
    assert [each and (each.project, each.mode) for each in found] == [None, ("faces", "offline"), ("other", "offline")]
    assert len({each[0].digest for each in called}) == 1


def test_train_takes_another_configuration_and_another_name(called: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps({"models": {"small": {**GAN, "latent_size": 6}}}))
    words = ["--data", "own/manifest.json", "--model", "small", "--config", "mine.yaml", "--out", "x"]
    say(*words)
    say(*words, "--dataset", "named")
    assert [each[0].model.latent_size for each in called] == [6, 6]
    assert called[0][0].training.kimg == 25_000
    assert (called[0][0].seed, called[0][0].mirror) == (0, False)
    assert [each[3]["names"]["dataset"] for each in called] == ["own", "named"]


def test_a_pack_in_the_working_folder_is_named_by_that(
    called: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "own")
    for data in (".", "manifest.json", "../own/."):
        say("--data", data, "--model", "stylegan2", "--out", "../x")
    assert [each[3]["names"]["dataset"] for each in called] == ["own"] * 3


def test_train_takes_a_kind_where_there_is_no_configuration(called: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").unlink()
    say("--data", "own", "--model", "stylegan2", "--out", "x")
    assert called[0][0].model.kind == "stylegan2"
    assert called[0][0].model.latent_size == 512


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--seed", "1"], "--seed"),
        (["--mirror"], "--mirror"),
        (
            ["--kimg", "1", "--set", "training.batch=2", "--from", "a", "--config", "b"],
            "--config, --kimg, --from, --set",
        ),
    ],
)
def test_all_settings_or_single_ones(called: list[tuple[Any, ...]], words: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^give all settings as --spec, or {named}, not both$"):
        say("--spec", "{}", "--data", "own", "--model", "small", *words, "--out", "x")
    assert not called
