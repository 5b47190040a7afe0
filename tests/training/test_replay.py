"""Repetition of recorded operations: the same bits as Python's, and a line where it cannot be."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganformer import devices
from ganformer.config import Spec
from ganformer.config.base import parse
from ganformer.training import replay
from ganformer.training.checkpoint import build
from ganformer.training.learner import Reals
from ganformer.training.loop import train
from ganformer.training.replay import Replayed
from tests.training.test_precision import MODELS, SMALL
from tests.training.tiny_runs import NAMES, final_state, same, tiny_spec, write_pack

CALLS = 6  # of which two are in Python, two are recorded, and two are replayed
ADA = {"kind": "ada", "transforms": ["blitting", "geometry", "colour", "filter", "noise", "cutout"]}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in MODELS},
    "ada": ("stylegan2", {"adversarial": {"augmentation": ADA, "path_length_weight": 2}}),
    "diffaugment": ("msggan", {"adversarial": {"augmentation": {"kind": "diffaugment"}}}),
    "wgan-gp": ("gan", {"adversarial": {"loss": "wgan", "gradient_penalty": 10}}),
    "relativistic": ("gan", {"adversarial": {"loss": "relativistic-hinge"}}),
    "component mixing": ("simplex", {"adversarial": {"component_mixing": 0.5, "style_mixing": 0.5}}),
    "component dropout": ("duplex", {"component_dropout": 0.2}),
    "without mixing": ("stylegan2", {"adversarial": {"style_mixing": 0}}),
    "autoencoder and discriminator": ("vqgan", {"discriminator_start_kimg": 0, "r1_gamma": 1}),
    "gumbel": ("vqgan", {"quantiser": {"kind": "gumbel"}}),
    "revival": ("vqgan", {"quantiser": {"kind": "nearest", "revival": 0.5}}),
    "transformer": (
        "vqgan",
        {
            "autoencoder_kimg": 1e-6,
            "discriminator_start_kimg": 0,
            "transformer": {"layers": 1, "heads": 2, "width": 16, "dropout": 0.1},
        },
    ),
}


def stepped(variant: str, *, replays: bool, classes: int = 0, **training: Any) -> dict[str, Tensor]:
    """Return the state after some steps, each with all regularisation, and that of the random numbers."""
    kind, changed = VARIANTS[variant]
    settings = {
        "image": {"height": 16, "width": 16, "classes": classes},
        "mirror": False,
        "seed": 0,
        "training": {"kimg": 1, "batch": 4, "replay": replays, **training},
        "model": {"kind": kind, **MODELS[kind], **changed},
    }
    learner = build(parse(Spec, settings, "spec"))
    numbers = torch.Generator().manual_seed(0)
    labels = torch.eye(max(classes, 1))[torch.arange(4) % max(classes, 1)][:, :classes]
    with devices.reproducible(1):
        for step in range(CALLS) if kind == "vqgan" else range(0, 16 * CALLS, 16):  # the stages of VQGAN follow from it
            torch.manual_seed(step)
            images = torch.rand(4, 3, 16, 16, generator=numbers) * 2 - 1
            parts = zip(
                images.split(training.get("microbatch", 4)), labels.split(training.get("microbatch", 4)), strict=True
            )
            learner.step([Reals(*part) for part in parts], step)
    return {**learner.network.state_dict(), "random numbers": torch.get_rng_state()}


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of which each replayed call adds one."""
    calls: list[str] = []
    run = replay.Program.__call__
    monkeypatch.setattr(replay.Program, "__call__", lambda self, inputs: calls.append("") or run(self, inputs))
    return calls


def check(variant: str, programs: list[str], capsys: pytest.CaptureFixture[str], **options: Any) -> None:
    expected = stepped(variant, replays=False, **options)
    assert programs == []
    found = stepped(variant, replays=True, **options)
    assert programs
    assert "is computed in Python" not in capsys.readouterr().out
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []


@pytest.mark.parametrize(
    "variant", [name if name in ("gan", "vqgan") else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_bits_are_the_same(variant: str, programs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    check(variant, programs, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["stylegan2", "duplex", "vqgan", "autoencoder and discriminator"])
@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"microbatch": 2}, {"classes": 3}], ids=str)
def test_bits_are_the_same_with(
    variant: str, options: dict[str, Any], programs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    check(variant, programs, capsys, **options)


def called(function: Any, calls: int = CALLS) -> tuple[list[Any], list[int]]:
    """Return the results of a replayed function, and the numbers of the calls in which Python called it."""
    in_python = []

    def watched(*values: Tensor) -> Any:
        in_python.append(number)
        return function(*values)

    replayed, results = Replayed(watched, "this"), []
    for number in range(calls):
        torch.manual_seed(number)
        results.append(replayed(torch.ones(2)))
    return results, in_python


def expected_of(function: Any, calls: int = CALLS) -> list[Any]:
    results = []
    for number in range(calls):
        torch.manual_seed(number)
        results.append(function(torch.ones(2)))
    return results


def test_after_two_recordings_python_is_not_called() -> None:
    results, in_python = called(lambda x: x + torch.rand(2))
    assert in_python == [0, 1, 2, 3]
    assert same(results, expected_of(lambda x: x + torch.rand(2)))


def test_draws_that_nothing_uses_are_drawn() -> None:
    def function(x: Tensor) -> Tensor:
        torch.randn(5)
        return x * torch.rand(2)

    results, in_python = called(function)
    assert len(in_python) == 4
    assert same(results, expected_of(function))


def test_buffers_are_written_in_place() -> None:
    count = torch.zeros(())

    def function(x: Tensor) -> Tensor:
        count.add_(1)
        return x * count

    results, in_python = called(function)
    assert len(in_python) == 4
    assert [result[0].item() for result in results] == [1, 2, 3, 4, 5, 6]


def test_results_keep_their_structure() -> None:
    def function(x: Tensor) -> dict[str, Any]:
        small, large = x.split(1)
        return {"parts": (small, large), "none": None, "list": [torch.cat([large, small]), torch.tensor([3.0])]}

    results, in_python = called(function)
    assert len(in_python) == 4
    assert same(results[-1], results[0])
    assert isinstance(results[-1]["parts"], tuple)


def test_each_shape_has_a_recording() -> None:
    replayed = Replayed(lambda x: x.sum(), "this")
    for _ in range(CALLS):
        assert [replayed(torch.ones(size)).item() for size in (2, 3)] == [2, 3]


def test_each_order_of_memory_has_a_recording() -> None:
    replayed, x = Replayed(lambda x: x.reshape(-1) * 1, "this"), torch.arange(4.0).view(2, 2)
    for _ in range(CALLS):
        assert [replayed(value).tolist() for value in (x, x.T)] == [[0, 1, 2, 3], [0, 2, 1, 3]]
    assert len(replayed.programs) == 2


def test_results_keep_their_order_of_memory() -> None:
    results, in_python = called(lambda x: x.expand(1, 3, 2, 2).clone(memory_format=torch.channels_last))
    assert len(in_python) == 4
    assert results[-1].stride() == results[0].stride() == (12, 1, 6, 3)


def test_gradients_are_among_the_operations() -> None:
    layer = nn.Linear(2, 2)

    def function(x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(layer(x).square().sum(), list(layer.parameters())))

    results, in_python = called(function)
    assert len(in_python) == 4
    assert same(results[-1], function(torch.ones(2)))
    with torch.no_grad():
        layer.weight.mul_(2)
    assert same(Replayed(function, "this")(torch.ones(2)), function(torch.ones(2)))


class Numbered:
    """A function that uses a Python number, other tensors or values in each call."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count, self.buffer = kind, 0, torch.zeros(2)

    def __call__(self, x: Tensor) -> Tensor:
        self.count += 1
        match self.kind:
            case "number":
                return x * self.count
            case "more operations":
                return x + 1 if self.count < 4 else x + 1 + 1
            case "buffer":
                self.buffer = self.buffer + 1
                return x + self.buffer
            case "equal buffer":
                self.buffer = self.buffer * 1
                return x + self.buffer
            case "constant":
                return x + torch.tensor([1.0, self.count])
            case "value":
                return x + float(x.sum())
            case "shape":
                return x[x > 0]
            case "selection":
                return x.masked_select(x > 0)
        raise AssertionError


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("number", "its operations change from call to call: "),
        ("more operations", "its operations change from call to call: None, then "),
        ("buffer", r"it uses another tensor of shape \[2\] in each call"),
        ("equal buffer", r"it uses another tensor of shape \[2\] in each call"),
        ("constant", r"it uses another tensor of shape \[2\] in each call"),
        ("value", "aten._local_scalar_dense.default waits for values"),
        ("shape", "aten.index.Tensor waits for values"),
        ("selection", "aten.masked_select.default waits for values"),
    ],
)
def test_what_changes_is_called_in_python_after_a_line(
    kind: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results, in_python = called(Numbered(kind))
    assert in_python == list(range(CALLS))
    assert same(results, expected_of(Numbered(kind)))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("this is computed in Python, slower, as ")
    assert re.search(reason, line)


def test_an_operation_that_cannot_be_run_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay, "MEMORY_FORMATS", {})
    _, in_python = called(lambda x: x.view(1, 1, 1, 2).clone(memory_format=torch.channels_last))
    assert in_python == list(range(CALLS))
    assert "as TorchScript cannot run it: insertConstant()" in capsys.readouterr().out


def test_errors_are_those_of_the_function() -> None:
    with pytest.raises(ZeroDivisionError):
        called(lambda x: 1 / 0, calls=1)


def test_setting_is_no_part_of_the_trajectory() -> None:
    spec = tiny_spec()
    other = spec.model_copy(update={"training": spec.training.model_copy(update={"replay": False})})
    assert spec.trajectory == other.trajectory
    assert spec.training.replay


def test_a_run_ends_with_the_same_bytes(tmp_path: Any, programs: list[str]) -> None:
    pack, states = write_pack(tmp_path / "pack", 12), []
    for replays in (False, True):
        spec = tiny_spec(kind="gan", **SMALL)
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"replay": replays})})
        train(spec, pack, tmp_path / str(replays), names=NAMES, threads=1, gpus=0)
        assert bool(programs) == replays
        states.append(final_state(tmp_path / str(replays)))
    assert same(*states)
