"""Attention in the discriminator."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.ganformer import plain, positions
from ganformer.models.ganformer.aggregators import AggregatingDiscriminator, Aggregation, NoAggregation
from ganformer.models.ganformer.components import ComponentAttention
from ganformer.nn.discriminator import DISCRIMINATORS, make_head
from ganformer.nn.layers import Linear
from ganformer.nn.synthesis import Resolution

SIZES = [Resolution(3 << doubling, 4 << doubling, 4 + 2 * doubling) for doubling in range(3)]  # 3×4, 6×8, 12×16
COUNT, D = 3, 4
NONE = torch.zeros(4, 0)


def build(
    architecture: str = "resnet", heads: int = 1, classes: int = 0, dropout: float = 0.0
) -> AggregatingDiscriminator:
    torch.manual_seed(0)
    trunk = DISCRIMINATORS[architecture](SIZES, 2, make_head("logits", SIZES[0].channels + COUNT, classes))
    aggregations: list[nn.Module] = [aggregation(size, heads, dropout) for size in SIZES[::-1]]
    return AggregatingDiscriminator(trunk, [*aggregations[:-1], NoAggregation()], COUNT, D)


def aggregation(size: Resolution, heads: int, dropout: float) -> Aggregation:
    pixels = positions.Trainable2d(size.height, size.width, D)
    return Aggregation(ComponentAttention(size.channels, D, heads, D), pixels, dropout)


def images(count: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 2, SIZES[-1].height, SIZES[-1].width)


@pytest.mark.parametrize("architecture", DISCRIMINATORS)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("classes", [0, 2])
def test_every_parameter_learns_and_r1_differentiates_twice(architecture: str, heads: int, classes: int) -> None:
    discriminator = build(architecture, heads, classes)
    labels = torch.eye(2)[[0, 1, 1, 0]][:, :classes]
    seen = images(4).requires_grad_()
    logits = discriminator([seen], labels)
    assert logits.shape == (4,)
    logits.square().sum().backward(retain_graph=True)
    assert [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()] == []
    (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters())


@pytest.mark.parametrize("heads", [1, 2])
def test_aggregators_add_what_they_find_and_the_head_sees_their_scores(heads: int) -> None:
    discriminator = build(heads=heads)
    resolutions = list(discriminator.trunk.pyramid([images(4)]))
    found = discriminator.aggregators.expand(4, -1, -1)
    for x, part in list(zip(resolutions, discriminator.aggregations, strict=True))[:-1]:
        seen, places = x.flatten(2).mT, part.positions()  # B n C, n D
        found = found + plain.component_attention(part.attention, seen, places, found, discriminator.positions)

    deviation = (found.var(dim=0, correction=0) + 1e-8).sqrt().mean()  # in a group of four
    known = torch.cat([found, deviation.expand(4, COUNT, 1)], dim=2)
    hidden, last = discriminator.scores
    scores = last(F.leaky_relu(Linear.forward(hidden, known), 0.2) * math.sqrt(2)).squeeze(2)
    features = torch.cat([discriminator.trunk.epilogue.features(resolutions[-1]), scores], dim=1)
    expected = discriminator.trunk.epilogue.head.layer(features).squeeze(1)
    torch.testing.assert_close(discriminator([images(4)], NONE), expected)


def test_order_of_aggregators_is_only_a_name() -> None:
    discriminator = build()
    logits = discriminator([images(4)], NONE)
    order = torch.tensor([2, 0, 1])
    for parameter in (discriminator.aggregators, discriminator.positions):
        parameter.data = parameter.data[order]
    assert not discriminator([images(4)], NONE).allclose(logits)
    weight = discriminator.trunk.epilogue.head.layer.weight
    weight.data[:, -COUNT:] = weight.data[:, -COUNT:][:, order]
    torch.testing.assert_close(discriminator([images(4)], NONE), logits)


def test_images_are_judged_by_themselves_but_for_their_deviation() -> None:
    discriminator = build()
    seen = images(5)  # no group but of one image
    logits = discriminator([seen], torch.zeros(5, 0))
    torch.testing.assert_close(discriminator([seen[1:2]], torch.zeros(1, 0)), logits[1:2])
    assert logits.unique().numel() == 5


def test_dropout_acts_in_training_only() -> None:
    discriminator, seen = build(dropout=0.5), [images(4)]
    assert not discriminator(seen, NONE).equal(discriminator(seen, NONE))
    discriminator.eval()
    assert discriminator(seen, NONE).equal(discriminator(seen, NONE))
