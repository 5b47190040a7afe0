"""Checkpoints of rosinality's stylegan2-pytorch, by its trainer and by converters, give the same images and logits."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop import rosinality
from ganformer.interop.snapshot import import_snapshot
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import restore
from tests.interop import official_rosinality as official
from tests.interop.parity import discriminator_of, relative_error

SIZE = 12
FEATURES = [16, 16, 8]  # at 4×4, 8×8, 16×16: channel_base 128, channel_max 16
CLOSE = 1e-4

State = dict[str, Tensor]


def new_networks(features: list[int] = FEATURES, layers: int = 8, colours: int = 3) -> tuple[State, State, State]:
    """Return g, d and g_ema."""
    torch.manual_seed(0)
    generators = [official.generator(features, SIZE, layers, colours) for _ in range(2)]
    return generators[0], official.discriminator(features, colours), generators[1]


def trained(folder: Path, networks: tuple[State, State, State], is_zip: bool = True) -> Path:
    """Return what its trainer saves."""
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.002, "params": [0]}]}
    content = dict(zip(("g", "d", "g_ema"), networks, strict=True))
    content |= {"g_optim": optimiser, "d_optim": optimiser, "ada_aug_p": 0.0}
    content["args"] = argparse.Namespace(size=16, latent=SIZE, n_mlp=8, ckpt=None, channel_multiplier=2)
    path = folder / "550000.pt"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    return path


def converted(folder: Path, networks: tuple[State, State, State], **more: Any) -> Path:
    """Return what converters save."""
    path = folder / "stylegan2-ffhq-config-f.pt"
    torch.save({"g_ema": networks[2], "latent_avg": torch.randn(SIZE), **more}, path)
    return path


def compared(path: Path, out: Path, state: State, middle: Tensor | None = None) -> tuple[Any, dict[str, Any]]:
    """Return the learner and record of an imported file.

    After images were compared with those of the generator `state`.
    """
    import_snapshot(path, out)
    learner, record = restore(out / "run.json")
    sampler, z, labels = learner.sampler, torch.randn(3, SIZE), torch.zeros(3, 0)
    w = official.latents(state, z)
    count = 2 * len(FEATURES)
    with torch.no_grad(), constant_noise(sampler):
        assert relative_error(sampler(z, labels), official.images_of(state, w[:, None].expand(-1, count, -1))) < CLOSE
        mixed = torch.randn(3, count, SIZE)
        assert relative_error(sampler.synthesise(mixed), official.images_of(state, mixed)) < CLOSE
        if middle is not None:
            shrunk = (middle + 0.5 * (w - middle))[:, None].expand(-1, count, -1)
            found = sampler.synthesise(sampler.truncate(sampler.map(z, labels), 0.5))
            assert relative_error(found, official.images_of(state, shrunk)) < CLOSE
    return learner, record


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "difference",
    [{}, {"layers": 4}, {"colours": 1}, {"features": [16, 12, 6]}],
    ids=["default", "4 layers", "grey", "narrow"],
)
def test_images_and_logits_are_those_of_its_trainer(tmp_path: Path, difference: dict[str, Any], is_zip: bool) -> None:
    networks = new_networks(**difference)
    learner, record = compared(trained(tmp_path, networks, is_zip), tmp_path / "out", networks[2])
    assert record.imported.origin == "rosinality's stylegan2-pytorch"
    assert record.imported.notes == [
        "the mean of w, which it does not hold, is that of 4096 latents, as the program has it"
    ]
    images = torch.randn(8, difference.get("colours", 3), 16, 16)
    ours = discriminator_of(learner, tmp_path / "out", record)
    with torch.no_grad():
        assert relative_error(ours([images], torch.zeros(8, 0)), official.logits_of(networks[1], images)) < CLOSE


@pytest.mark.parametrize("shape", [(SIZE,), (1, SIZE)])
def test_images_are_those_of_what_was_converted(tmp_path: Path, shape: tuple[int, ...]) -> None:
    networks, middle = new_networks(), torch.randn(SIZE)
    path = converted(tmp_path, networks, latent_avg=middle.reshape(shape))
    _, record = compared(path, tmp_path / "out", networks[2], middle)
    assert record.imported.notes == ["without a discriminator, which it does not hold"]
    assert record.model["channel_base"] == 128
    assert record.model["channel_max"] == 16


def test_what_was_converted_with_its_discriminator_keeps_it(tmp_path: Path) -> None:
    networks = new_networks()
    learner, record = compared(
        converted(tmp_path, networks, d=networks[1], g=networks[0]), tmp_path / "out", networks[2]
    )
    images = torch.randn(8, 3, 16, 16)
    ours = discriminator_of(learner, tmp_path / "out", record)
    with torch.no_grad():
        assert relative_error(ours([images], torch.zeros(8, 0)), official.logits_of(networks[1], images)) < CLOSE


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_state_dict_of_a_generator_alone_is_read(tmp_path: Path, prefix: str) -> None:
    state = new_networks()[2]
    path = tmp_path / "g_ema.pt"
    torch.save(
        {f"{prefix}{name}": value for name, value in state.items()}
        if not prefix
        else {"g_ema": {f"{prefix}{name}": value for name, value in state.items()}},
        path,
    )
    _, record = compared(path, tmp_path / "out", state)
    assert record.imported.notes == [
        "the mean of w, which it does not hold, is that of 4096 latents, as the program has it",
        "without a discriminator, which it does not hold",
    ]


def test_the_mean_of_w_is_that_of_many_latents(tmp_path: Path) -> None:
    state = new_networks()[2]
    middle = rosinality.average(state)
    assert torch.equal(middle, rosinality.average(state))
    w = official.latents(state, torch.randn(20_000, SIZE, generator=torch.Generator().manual_seed(1)))
    error = w.std(dim=0) * (1 / 4096 + 1 / 20_000) ** 0.5
    assert ((middle - w.mean(dim=0)).abs() < 5 * error).all()
    compared(trained(tmp_path, new_networks()), tmp_path / "out", state, middle)


class Payload:
    """Pickled as a call that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_layers_count_by_their_numbers() -> None:
    """The tenth layer comes after the ninth, not after the first."""
    state = new_networks(layers=12)[2]
    z = torch.randn(4096, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rosinality.average(state), official.latents(state, z).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_refuses_a_payload_among_arguments(tmp_path: Path) -> None:
    trap = tmp_path / "written"
    networks = new_networks()
    path = converted(tmp_path, networks, args=argparse.Namespace(size=Payload(trap)))
    with pytest.raises(CheckpointError, match=r"refused, it asks for 'posix\.system', which no state dict needs"):
        import_snapshot(path, tmp_path / "out")
    assert not trap.exists()


def without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


OTHERS = {
    "no moving average": (lambda made: {"g": made[0], "d": made[1]}, "it has no g_ema, the moving average"),
    "a generator of another program": (lambda made: {"g_ema": {"a": torch.zeros(1)}}, "its g_ema is no generator of"),
    "objects": (lambda made: {"g_ema": {**made[2], "a": 1}}, "its g_ema is no state dict of a network"),
    "wavelets": (lambda made: {"g_ema": {**made[2], "iwt.ll": torch.zeros(2, 2)}}, "it is of SWAGAN in rosinality's"),
    "no fixed noise": (
        lambda made: {"g_ema": {name: value for name, value in made[2].items() if "noises" not in name}},
        r"it has no fixed noise \(noises\.noise_0\), so code of before 15 January 2020 wrote it",
    ),
    "another filter": (
        lambda made: {"g_ema": {**made[2], "to_rgbs.0.upsample.kernel": torch.ones(4, 4) / 4}},
        r"its to_rgbs\.0\.upsample\.kernel is not 4 times the filter \[1, 3, 3, 1\]",
    ),
    "another filter of the discriminator": (
        lambda made: {"g_ema": made[2], "d": {**made[1], "convs.1.skip.0.kernel": torch.ones(4, 4) / 16}},
        r"its convs\.1\.skip\.0\.kernel is not 1 times the filter",
    ),
    "another rate": (
        lambda made: {"g_ema": {n: v / 100 if n.startswith("style.") else v for n, v in made[2].items()}},
        r"weights of its mapping network are [01]\S* on average .*so it was another one",
    ),
    "a layer less": (
        lambda made: {"g_ema": without(made[2], "convs.1.activate.bias")},
        r"missing: synthesis\.b8\.conv1\.bias",
    ),
    "a layer more": (
        lambda made: {"g_ema": {**made[2], "input.linear.weight": torch.ones(1)}},
        r"not known: input\.linear",
    ),
    "a wide layer": (
        lambda made: {"g_ema": {**made[2], "conv1.activate.bias": torch.zeros(17)}},
        r"mis-shaped: synthesis\.b4\.conv1\.bias \[17\] instead of \[16\]",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_model_here_is_equal_to_is_refused(tmp_path: Path, name: str) -> None:
    change, message = OTHERS[name]
    path = tmp_path / "100000.pt"
    torch.save(change(new_networks()), path)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_snapshot(path, tmp_path / "out")
    assert str(caught.value).startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()
