"""Activation checkpointing: the same weights bit for bit, with less memory."""

from typing import Any

import pytest
import torch

from ganformer import devices
from ganformer.config import ImageSpec, Spec
from ganformer.config.base import parse
from ganformer.nn import recomputation
from tests.training.test_precision import MODELS, batch, learner


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
        made = learner(model, precision, activation_checkpointing=recomputes)
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


@pytest.mark.parametrize("model", ["stylegan2", "duplex", "msggan"])
def test_features_inside_blocks_are_not_kept(model: str) -> None:
    def kept(*, recomputes: bool) -> int:
        saved = []
        networks = learner(model, "float32", activation_checkpointing=recomputes).network
        with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x):
            scales = networks.generator.scales(networks.generator.map(networks.generator.latents(4), torch.zeros(4, 0)))
            networks.discriminator(scales, torch.zeros(4, 0))
        return sum(saved)

    assert kept(recomputes=True) < 0.5 * kept(recomputes=False)
