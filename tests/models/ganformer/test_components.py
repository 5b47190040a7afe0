"""What changes components: attention among them, and to the image; and how the change is carried on."""

# B batch, n pixels, m components, h heads, C channels, D size of a component

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.ganformer.components import (
    AttendedLatents,
    Carried,
    ComponentAttention,
    FromEachOther,
    FromImage,
    SelfAttention,
)
from ganformer.models.ganformer.parts import ComponentSoftmax, Pixels, PresentSoftmax, pooled
from tests.models.ganformer.dense import dense, merged, normal, split

B, N, C, D, M = 2, 12, 8, 4, 3


def stirred(part: nn.Module) -> nn.Module:
    part = part.double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def latents(update: float = 0.0) -> AttendedLatents:
    return AttendedLatents(torch.empty(B, 0), normal(B, M, D), normal(M, D), Carried(update))


def pixels() -> Pixels:
    return Pixels(normal(B, N, C), normal(N, D))


def defined_self_attention(attention: SelfAttention, u: Tensor, positions: Tensor) -> Tensor:
    heads = attention.heads
    queries = split(dense(attention.queries, u) + dense(attention.query_positions, positions), heads)
    keys = split(dense(attention.keys, u) + dense(attention.key_positions, positions), heads)
    weights = (queries @ keys.mT / math.sqrt(D / heads)).softmax(-1)
    return u + dense(attention.modulation, merged(weights @ split(dense(attention.values, u), heads)))


def defined_attention(attention: ComponentAttention, pixels: Pixels, u: Tensor, positions: Tensor) -> Tensor:
    heads, width = attention.heads, len(attention.queries.weight)
    queries = split(dense(attention.queries, u) + dense(attention.query_positions, positions), heads)
    keys = split(dense(attention.keys, pixels.content) + dense(attention.key_positions, pixels.grid), heads)
    weights = (queries @ keys.mT / math.sqrt(width / heads)).softmax(-1)
    return merged(weights @ split(dense(attention.values, pixels.content), heads))


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_is_its_definition(heads: int) -> None:
    attention = stirred(SelfAttention(D, ComponentSoftmax(heads), dropout=0.5)).eval()
    given = latents()
    u, positions = given.components, given.positions
    torch.testing.assert_close(attention(u, positions, u), defined_self_attention(attention, u, positions))


def test_self_attention_drops_in_training_only() -> None:
    attention = stirred(SelfAttention(D, ComponentSoftmax(1), dropout=0.5))
    given = latents()
    arguments = (given.components, given.positions, given.components)
    assert not attention(*arguments).equal(attention(*arguments))
    attention.eval()
    assert attention(*arguments).equal(attention(*arguments))


def test_nothing_attends_to_what_is_absent() -> None:
    attention = stirred(SelfAttention(D, PresentSoftmax(2), dropout=0.0))
    u, positions, z = normal(B, M, D), normal(M, D), normal(B, M, D)
    z.data[:, 1] = 0
    here = [0, 2]
    fewer = attention(u[:, here], positions[here], z[:, here])
    torch.testing.assert_close(attention(u, positions, z)[:, here], fewer)
    assert not attention(u, positions, torch.ones_like(z))[:, here].allclose(fewer)


@pytest.mark.parametrize("width", [C, D])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_to_the_image_is_its_definition(width: int, heads: int) -> None:
    attention = stirred(ComponentAttention(C, D, heads, width))
    seen, given = pixels(), latents()
    weights = attention.weights(seen, given.components, given.positions)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(B, heads, M).double())
    found = attention.found(pooled(weights, seen.content))
    torch.testing.assert_close(found, defined_attention(attention, seen, given.components, given.positions))


def normed(part: nn.Module, u: Tensor) -> Tensor:
    return F.layer_norm(u, (D,), part.norm.weight, part.norm.bias)


def test_components_learn_from_each_other_what_the_layers_before_made_of_them() -> None:
    part = stirred(FromEachOther(D, SelfAttention(D, ComponentSoftmax(1), dropout=0.0)))
    given = latents(update=3.0)
    expected = normed(part, defined_self_attention(part.attention, given.components + 3, given.positions))
    torch.testing.assert_close(part(pixels(), given), expected)


def test_components_learn_from_the_image_what_they_attend_to() -> None:
    part = stirred(FromImage(C, D, heads=2))
    seen, given = pixels(), latents(update=3.0)
    current = given.components + 3
    expected = normed(part, current + defined_attention(part.attention, seen, current, given.positions))
    torch.testing.assert_close(part(seen, given), expected)


@pytest.mark.parametrize("part", [FromEachOther(D, SelfAttention(D, ComponentSoftmax(2), 0.0)), FromImage(C, D, 2)])
def test_changes_use_all_they_have_and_differentiate_twice(part: nn.Module) -> None:
    part, seen, given = stirred(part), pixels(), latents()
    part(seen, given).square().sum().backward()
    assert [name for name, p in part.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9] == []

    def of(content: Tensor, components: Tensor) -> Tensor:
        changed: Tensor = part(Pixels(content, seen.grid), AttendedLatents(given.style, components, given.positions))
        return changed.square()

    arguments = (normal(1, N, C), normal(1, M, D))
    assert torch.autograd.gradgradcheck(of, arguments, fast_mode=True)


def test_what_is_carried_on_is_the_change() -> None:
    given = latents()
    given.become(given.components * 2)
    torch.testing.assert_close(given.current, given.components * 2)
    mixed = AttendedLatents(given.style, given.components + 1, given.positions, given.carried)
    torch.testing.assert_close(mixed.current, given.components * 2 + 1)
