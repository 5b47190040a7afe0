"""Training that starts from the weights of another run."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ganformer.config import ImageSpec, Spec
from ganformer.errors import CheckpointError, ConfigError
from ganformer.records.run import Run
from ganformer.training import initial
from ganformer.training.checkpoint import build, write_weights
from ganformer.training.loop import train
from tests.training.tiny_runs import IMAGE, NAMES, final_state, same, tiny_spec

SMALL = {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 4, "mapping_layers": 1}
NEW = "path_length_mean"


def spec(steps: int = 2, image: ImageSpec = IMAGE, **model: Any) -> Spec:
    """Return a run of a small StyleGAN2 with these settings."""
    found = tiny_spec(steps, **{**SMALL, **model})  # type: ignore[arg-type]
    return Spec.model_validate({**found.model_dump(), "image": image.model_dump()})


def trained(of: Spec, pack: Path, out: Path) -> Path:
    train(of, pack, out, names=NAMES, threads=1, gpus=0)
    return out


@pytest.fixture(scope="module")
def source(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder of a finished run."""
    return trained(spec(), pack, tmp_path_factory.mktemp("source"))


@pytest.fixture
def moved(source: Path, tmp_path: Path) -> Path:
    """Provide that run without its checkpoint, as in `pretrained/`."""
    shutil.copytree(source, tmp_path / "moved", ignore=shutil.ignore_patterns("state"))
    return tmp_path / "moved"


def filled(of: Spec) -> tuple[Mapping[str, Tensor], list[str]]:
    """Return the state of the networks that training begins with, and the lines about it."""
    learner = build(of)
    lines = initial.fill(learner, of)
    return learner.network.state_dict(), lines


def part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def test_both_networks_and_the_average_are_those_of_the_run(source: Path) -> None:
    found, lines = filled(spec(initial=source))
    wanted = final_state(source)["network"]
    for name in ("generator", "discriminator", "sampler"):
        assert same(part(found, name), part(wanted, name))
    assert not same(part(found, "generator"), part(found, "sampler"))  # the average is behind after two steps
    assert lines == [
        f"starts from {source / 'run.json'} (noise/tiny seed 0, 0.008 thousand images)",
        *(
            f"{title}: all {len(part(found, name))} tensors taken"
            for name, title in (
                ("generator", "generator"),
                ("discriminator", "discriminator"),
                ("sampler", "average of the generator"),
            )
        ),
    ]


def test_without_its_checkpoint_the_generator_has_the_average_and_the_discriminator_is_new(moved: Path) -> None:
    found, lines = filled(spec(initial=moved))
    average = load_file(moved / "weights.safetensors")
    assert same(part(found, "generator"), average)
    assert same(part(found, "sampler"), average)
    assert same(part(found, "discriminator"), part(build(spec()).network.state_dict(), "discriminator"))
    assert lines[2] == "discriminator: new"


def test_the_discriminator_beside_imported_weights_is_taken(moved: Path) -> None:
    network = build(spec()).network.get_submodule("discriminator")
    network.load_state_dict({name: torch.full_like(value, 2.0) for name, value in network.state_dict().items()})
    write_weights(moved / "discriminator.safetensors", network, spec().trajectory, step=0)
    found, _ = filled(spec(initial=moved))
    assert same(part(found, "discriminator"), network.state_dict())


def test_a_damaged_discriminator_beside_imported_weights_is_refused(moved: Path) -> None:
    (moved / "discriminator.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"discriminator\.safetensors: "):
        filled(spec(initial=moved))


@pytest.mark.parametrize("name", [".", "run.json", "weights.safetensors"])
def test_a_run_is_named_by_its_folder_or_a_file_in_it(source: Path, name: str) -> None:
    of = spec(initial=source / name)
    assert of.model.inputs == (source / "run.json",)
    assert initial.resolve(of).initial_sha256 == Run.read(source / "run.json").weights_sha256


def test_a_run_among_the_results_is_where_these_are_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANFORMER_RESULTS", str(tmp_path))
    (tmp_path / "runs").symlink_to(source.parent)
    of = spec(initial=Path("results/runs") / source.name)
    assert of.model.inputs == (Path("results/runs") / source.name / "run.json",)
    assert initial.resolve(of).initial_sha256 == Run.read(source / "run.json").weights_sha256
    _, lines = filled(of)
    assert lines[0].startswith(f"starts from {tmp_path / 'runs' / source.name / 'run.json'} (")


def test_folders_may_have_dots_in_their_names() -> None:
    assert spec(initial=Path("runs/v1.2")).model.inputs == (Path("runs/v1.2/run.json"),)


def test_at_twice_the_resolution_layers_are_new_where_there_were_none(source: Path) -> None:
    """The generator gets a block behind the others, the discriminator one before them."""
    twice = ImageSpec(height=16, width=16)
    found, lines = filled(spec(image=twice, initial=source))
    before, new = final_state(source)["network"], build(spec(image=twice)).network.state_dict()
    kernel = "first.convolution.weight"
    assert same(found[f"generator.synthesis.blocks.0.{kernel}"], before[f"generator.synthesis.blocks.0.{kernel}"])
    assert same(found[f"generator.synthesis.blocks.1.{kernel}"], new[f"generator.synthesis.blocks.1.{kernel}"])
    assert same(found[f"discriminator.blocks.1.{kernel}"], before[f"discriminator.blocks.0.{kernel}"])
    assert same(found[f"discriminator.blocks.0.{kernel}"], new[f"discriminator.blocks.0.{kernel}"])
    assert "new are synthesis.blocks.1.first.bias" in lines[1]
    assert "; new are from_colours.bias, from_colours.convolution.weight, blocks.0.first.bias" in lines[2]


def test_layers_are_counted_from_the_end_at_half_the_resolution_too(pack: Path, source: Path, tmp_path: Path) -> None:
    state = {f"discriminator.blocks.{i}.bias": torch.full((2,), float(i)) for i in range(3)}
    own = {f"discriminator.blocks.{i}.bias": torch.zeros(2) for i in range(2)}
    found = initial.from_the_end(state, own)
    assert [found[name].tolist() for name in own] == [[1.0, 1.0], [2.0, 2.0]]


def test_classes_may_be_others(source: Path) -> None:
    found, lines = filled(spec(image=ImageSpec(height=8, width=8, classes=3), initial=source))
    assert same(
        part(found, "generator")["synthesis.stem.constant"],
        part(final_state(source)["network"], "generator")["synthesis.stem.constant"],
    )
    assert "; new are mapping.entrance.embedding.weight, mapping" in lines[1]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"kind": "gan"},
            r"run\.json: is of kind stylegan2, and a model of kind gan cannot start from it; name a run of"
            " that kind as initial",
        ),
        (
            {"initial": Path("nowhere")},
            r"^nowhere/run\.json: there is no run\.json here; name the folder of a finished",
        ),
    ],
)
def test_runs_to_start_from_that_are_none(source: Path, model: Mapping[str, Any], message: str) -> None:
    settings = {"initial": source, **model}
    if "kind" in model:
        settings |= {"mapping_layers": 1}
    with pytest.raises(ConfigError, match=message):
        initial.resolve(spec(**settings))


def test_a_run_of_which_nothing_fits_is_refused(source: Path) -> None:
    wide = spec(initial=source, channel_max=4, channel_base=32, latent_size=3)
    learner = build(wide)
    with pytest.raises(
        ConfigError,
        match=r"run\.json: no matrix or kernel of its generator has a name and"
        " shape that one of this run's has; start from a run with the same number of channels and latents",
    ):
        initial.fill(learner, wide)


# ------------------------------------------------------------------------------------------------- identity


def test_a_run_from_random_weights_has_no_such_setting() -> None:
    """Digests of earlier runs stay."""
    settings = spec().model_dump()
    assert "initial" not in settings["model"]
    assert "initial_sha256" not in settings
    assert "initial" not in spec().json()


def test_weights_decide_the_trajectory_not_their_place(source: Path, moved: Path) -> None:
    here, there = (initial.resolve(spec(initial=place)) for place in (source, moved))
    assert here.trajectory == there.trajectory
    assert here.trajectory != spec().trajectory
    assert here.with_initial("0" * 64).trajectory != here.trajectory


def test_training_goes_on_from_there_and_the_record_names_it(
    pack: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(spec(4, initial=source), pack, tmp_path / "whole")
    said = capsys.readouterr().out
    assert f"train noise/tiny seed 0: starts from {source / 'run.json'} (noise/tiny seed 0, 0.008" in said
    record = Run.read(whole / "run.json")
    assert record.spec["initial_sha256"] == Run.read(source / "run.json").weights_sha256
    assert record.spec["model"]["initial"] == str(source)
    assert record.trajectory_sha256 != Run.read(source / "run.json").trajectory_sha256
    # A shorter run is a part of it, and is continued without reading the weights again.
    half = trained(spec(2, initial=source), pack, tmp_path / "half")
    capsys.readouterr()
    trained(spec(4, initial=source), pack, half)
    assert "starts from" not in capsys.readouterr().out
    assert same(final_state(half), final_state(whole))
    assert not same(final_state(whole), final_state(trained(spec(4), pack, tmp_path / "new")))


def test_other_weights_at_the_same_place_are_another_training(pack: Path, source: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(source, start)
    out = trained(spec(2, initial=start), pack, tmp_path / "out")
    before = Run.read(out / "run.json")
    shutil.rmtree(start)
    trained(spec(3), pack, start)
    trained(spec(2, initial=start), pack, out)
    after = Run.read(out / "run.json")
    assert after.spec["initial_sha256"] == Run.read(start / "run.json").weights_sha256 != before.spec["initial_sha256"]
    assert after.weights_sha256 != before.weights_sha256
    assert len(list((out / "state").glob("*/checkpoint-*.pt"))) == 2  # of both
