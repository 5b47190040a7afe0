"""Activation checkpointing: the same weights bit for bit, with less memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ganformer import devices
from ganformer.config import ImageSpec, Spec
from ganformer.config.base import parse
from ganformer.nn import recomputation
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner
from tests.training.test_precision import MODELS, batch

# Four blocks of equal size, so that most activations are not those of the one that is computed again.
GROWTH = """
import re, sys, torch
from ganformer.nn.recomputation import Block, recompute
class Wide(Block):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Tanh() for _ in range(8)))
    def forward(self, x):
        return self.layers(x)
network = torch.nn.Sequential(*(Wide() for _ in range(8)))
if sys.argv[1] == "True":
    recompute(network)
def step(size):
    network(torch.ones(size, requires_grad=True)).sum().backward()
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(-step(1) + step(4_000_000))
"""


def learner(model: str, *, recomputes: bool, **training: Any) -> Learner:
    settings = {
        "image": ImageSpec(height=16, width=16).model_dump(),
        "mirror": False,
        "seed": 0,
        "training": {"kimg": 1, "batch": 4, "activation_checkpointing": recomputes, **training},
        "model": {"kind": model, **MODELS[model]},
    }
    return build(parse(Spec, settings, "spec"))


def spec(**training: Any) -> Spec:
    image = ImageSpec(height=16, width=16).model_dump()
    return parse(
        Spec, {"image": image, "mirror": False, "seed": 0, "training": training, "model": {"kind": "gan"}}, "spec"
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", MODELS)
def test_weights_are_the_same_bit_for_bit(model: str, precision: str) -> None:
    states = []
    for recomputes in (False, True):
        made = learner(model, recomputes=recomputes, precision=precision)
        blocks = [part for part in made.network.modules() if isinstance(part, recomputation.Block)]
        assert len(blocks) > 1
        assert {part.is_recomputed for part in blocks} == {recomputes}
        with devices.reproducible(1):
            for step in range(2):  # the first with R1 and path lengths
                torch.manual_seed(step)
                made.step(batch(step), step)
        states.append(made.network.state_dict())
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_setting_is_no_part_of_the_trajectory() -> None:
    """So a run that is short of memory goes on from its checkpoint with the setting changed."""
    assert spec().trajectory == spec(activation_checkpointing=True).trajectory
    assert spec().trajectory != spec(batch=8).trajectory


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_less_memory_is_used() -> None:
    kept, recomputed = (
        int(
            subprocess.run(
                [sys.executable, "-c", GROWTH, str(recomputes)],
                cwd=Path(__file__).resolve().parents[2],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for recomputes in (False, True)
    )
    assert recomputed < 0.5 * kept
