"""Changes of components: by attention among them, and to the image; and the state that holds the change."""

# B batch, n pixels, m components, h heads, C channels, D size of a component

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.ganformer import plain
from ganformer.models.ganformer.components import (
    AttendedLatents,
    ComponentAttention,
    ComponentState,
    FromEachOther,
    FromImage,
    SelfAttention,
)
from ganformer.models.ganformer.parts import ComponentSoftmax, Pixels, PresentSoftmax, weighted_sum

B, N, C, D, M = 2, 12, 8, 4, 3


def stirred(part: nn.Module) -> nn.Module:
    part = part.double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def latents() -> AttendedLatents:
    return AttendedLatents(torch.empty(B, 0), normal(B, M, D), normal(M, D))


def pixels() -> Pixels:
    return Pixels(normal(B, N, C), normal(N, D))


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_is_its_definition(heads: int) -> None:
    attention = stirred(SelfAttention(D, ComponentSoftmax(heads), dropout=0.5)).eval()
    given = latents()
    u, positions = given.components, given.positions
    torch.testing.assert_close(attention(u, positions, u), plain.self_attention(attention, u, positions))


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
    found = attention.attended_values(weighted_sum(weights, seen.content))
    torch.testing.assert_close(found, plain.component_attention(attention, *seen, given.components, given.positions))


def normed(part: nn.Module, u: Tensor) -> Tensor:
    return F.layer_norm(u, (D,), part.norm.weight, part.norm.bias)


def test_components_learn_from_each_other() -> None:
    part = stirred(FromEachOther(D, SelfAttention(D, ComponentSoftmax(1), dropout=0.0)))
    given, y = latents(), normal(B, M, D)
    expected = normed(part, plain.self_attention(part.attention, y, given.positions))
    torch.testing.assert_close(part(pixels(), y, given), expected)


def test_components_learn_from_the_image_what_they_attend_to() -> None:
    part = stirred(FromImage(C, D, heads=2))
    seen, given, y = pixels(), latents(), normal(B, M, D)
    expected = normed(part, y + plain.component_attention(part.attention, *seen, y, given.positions))
    torch.testing.assert_close(part(seen, y, given), expected)


@pytest.mark.parametrize("part", [FromEachOther(D, SelfAttention(D, ComponentSoftmax(2), 0.0)), FromImage(C, D, 2)])
def test_changes_use_all_they_have_and_differentiate_twice(part: nn.Module) -> None:
    part, seen, given = stirred(part), pixels(), latents()
    part(seen, given.components, given).square().sum().backward()
    assert [name for name, p in part.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9] == []

    def of(content: Tensor, components: Tensor) -> Tensor:
        changed: Tensor = part(Pixels(content, seen.grid), components, given)
        return changed.square()

    given = AttendedLatents(given.style[:1], given.components[:1], given.positions)
    arguments = (normal(1, N, C), normal(1, M, D))
    assert torch.autograd.gradgradcheck(of, arguments, fast_mode=True)


def test_the_state_holds_the_change() -> None:
    given, start = latents(), ComponentState()
    state = given.updated(start, given.components * 2)
    torch.testing.assert_close(given.current(state), given.components * 2)
    mixed = AttendedLatents(given.style, given.components + 1, given.positions)
    torch.testing.assert_close(mixed.current(state), given.components * 2 + 1)
    assert start == ComponentState()
