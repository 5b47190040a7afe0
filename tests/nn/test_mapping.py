"""Mapping networks."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganformer.models.ganformer.components import NoAttention, SelfAttention
from ganformer.models.ganformer.parts import ComponentSoftmax
from ganformer.nn.mapping import (
    AttendedMapping,
    LabelledLatentInput,
    Mapping,
    NormaliseEach,
    NormaliseJointly,
    latent_input,
    plain_steps,
    residual_steps,
)

NO_LABELS = torch.zeros(2, 0)
ENTRANCE = latent_input(NormaliseEach(), 4, 0, 0.01)


def test_every_latent_is_normalised_by_itself() -> None:
    z = torch.randn(2, 3, 5) * torch.tensor([1.0, 10.0, 100.0])[:, None]
    assert Mapping(ENTRANCE, [])(z, NO_LABELS).square().mean(dim=2).flatten().tolist() == pytest.approx([1.0] * 6)


def test_latents_may_be_normalised_together() -> None:
    z = torch.randn(2, 3, 5) * torch.tensor([1.0, 10.0, 100.0])[:, None]
    together = NormaliseJointly()(z)
    assert together.square().mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * 2)
    torch.testing.assert_close(together / together[:, :1, :1], z / z[:, :1, :1])
    small = NormaliseJointly()(torch.full((2, 3, 5), 1e-4))  # 1e-8 is added to a mean square of 1e-8
    torch.testing.assert_close(small, torch.full((2, 3, 5), math.sqrt(0.5)))


def test_labels_enter_beside_every_latent() -> None:
    labelled = LabelledLatentInput(NormaliseEach(), 4, classes=3, rate=1.0)
    z, labels = torch.randn(2, 5, 4), torch.eye(3)[[0, 2]]
    embedded = labelled.embedding.weight.T[[0, 2]] / math.sqrt(3)
    embedded = embedded / embedded.square().mean(dim=1, keepdim=True).sqrt()
    both = torch.cat([NormaliseEach()(z), embedded[:, None].expand(2, 5, 4)], dim=2)
    expected = F.leaky_relu(both @ (labelled.layer.weight / math.sqrt(8)).T, 0.2) * math.sqrt(2)
    torch.testing.assert_close(labelled(z, labels), expected)
    torch.testing.assert_close(labelled(z[:, 0], labels), expected[:, 0])
    assert not labelled(z, labels).allclose(labelled(z, labels.flip(0)))


def test_plain_mapping_is_a_chain_of_activated_layers() -> None:
    mapping = Mapping(ENTRANCE, plain_steps(3, 4, rate=0.01))
    z = torch.randn(2, 4)
    u = z / z.square().mean(dim=1, keepdim=True).sqrt()
    for step in mapping.steps:
        u = F.leaky_relu(u @ (step.layer.weight * 0.01 / 2).T + step.layer.bias * 0.01, 0.2) * math.sqrt(2)
    torch.testing.assert_close(mapping(z, NO_LABELS), u)


def test_residual_mapping_has_half_the_steps_and_one_behind_them() -> None:
    steps = residual_steps(8, 4, rate=0.01)
    assert len(steps) == 5
    assert len(residual_steps(7, 4, rate=0.01)) == 5
    u, features = torch.randn(2, 4), torch.randn(2, 4)
    torch.testing.assert_close(steps[0](u, features), F.leaky_relu(u + steps[0].layers(features), 0.2))
    nn.init.zeros_(steps[0].layers[1].weight)
    torch.testing.assert_close(steps[0](u, features), F.leaky_relu(u, 0.2))


def test_components_attend_before_every_step_but_the_last() -> None:
    steps = residual_steps(4, 4, rate=1.0)
    z, positions = torch.randn(2, 3, 4), torch.rand(3, 4)
    alone = AttendedMapping(ENTRANCE, steps, [NoAttention(), NoAttention()])
    torch.testing.assert_close(alone(z, NO_LABELS, positions), Mapping(ENTRANCE, steps)(z, NO_LABELS))
    together = AttendedMapping(ENTRANCE, steps, [SelfAttention(4, ComponentSoftmax(1), 0.0) for _ in range(2)])
    changed = z.clone()
    changed[:, 0] += 1
    assert not together(z, NO_LABELS, positions)[:, 1:].allclose(together(changed, NO_LABELS, positions)[:, 1:])
    assert alone(z, NO_LABELS, positions)[:, 1:].equal(alone(changed, NO_LABELS, positions)[:, 1:])
    with pytest.raises(ValueError, match="argument"):
        AttendedMapping(ENTRANCE, steps, [NoAttention()])(z, NO_LABELS, positions)
