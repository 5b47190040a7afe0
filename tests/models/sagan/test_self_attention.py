"""Attention between pixels against its formula, and its derivatives."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from ganformer.models.sagan.self_attention import AttendedBlock, PixelAttention, attend
from ganformer.nn.synthesis import NO_STATE, LayerState


def naive(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    scores = torch.einsum("bns,bms->bnm", queries, keys) / math.sqrt(queries.shape[2])
    weights = scores.exp() / scores.exp().sum(dim=2, keepdim=True)
    return torch.einsum("bnm,bms->bns", weights, values)


def inputs(size: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, count, size, dtype=dtype, requires_grad=True) for count in (5, 3, 3)]


@pytest.mark.parametrize("size", [1, 4])
def test_attends_by_the_formula(size: int) -> None:
    given = inputs(size, torch.float32)
    torch.testing.assert_close(attend(*given), naive(*given))


def test_derivatives_of_both_kinds_are_those_of_the_formula() -> None:
    given = inputs(4, torch.float64)
    slope = torch.randn(2, 5, 4, dtype=torch.float64)
    expected = torch.autograd.grad(naive(*given), given, slope)
    for is_differentiated_again in (False, True):
        found = torch.autograd.grad(attend(*given), given, slope, create_graph=is_differentiated_again)
        assert found[0].requires_grad == is_differentiated_again
        torch.testing.assert_close(found, expected)
    assert gradcheck(attend, given)
    assert gradgradcheck(attend, given)


def test_weights_are_not_kept_unless_derivatives_are_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attended = attend(*(torch.randn(1, 100, 2, requires_grad=True) for _ in range(3)))
    assert max(kept) == 100 * 2
    calls = []
    frugal = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *x: calls.append(x) or frugal(*x))
    attended.sum().backward()
    assert calls == []  # nothing is attended to again


def naive_block(part: PixelAttention, x: Tensor) -> Tensor:
    """Attend from every pixel of x [B, C, H, W] to all, by the formula."""
    pixels = x.flatten(2).mT
    weights = [layer.weight * layer.scale for layer in (part.queries, part.keys, part.values, part.output)]
    queries, keys, values = (pixels @ weight.T for weight in weights[:3])
    if part.pooled:
        keys, values = (
            functional.max_pool2d(each.mT.unflatten(2, x.shape[2:]), 2).flatten(2).mT for each in (keys, values)
        )
    changes = naive(queries, keys, values) @ weights[3].T
    return x + part.strength * changes.mT.unflatten(2, x.shape[2:])


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_block_is_the_formula(pooled: bool, layout: torch.memory_format) -> None:
    part = PixelAttention(16, pooled)
    nn.init.constant_(part.strength, 0.7)
    assert part.queries.weight.shape == part.keys.weight.shape == part.values.weight.shape == (2, 16)
    x = torch.randn(3, 16, 4, 6).contiguous(memory_format=layout)
    torch.testing.assert_close(part(x), naive_block(part, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooled", [False, True])
def test_block_begins_as_the_identity_and_learns(pooled: bool) -> None:
    part = PixelAttention(4, pooled)
    x = torch.randn(2, 4, 4, 4)
    assert part(x).equal(x)
    part(x).square().sum().backward()
    assert part.strength.grad != 0
    nn.init.constant_(part.strength, 0.1)
    part(x).square().sum().backward()
    assert all(parameter.grad.any() for parameter in part.parameters())


@pytest.mark.parametrize("pooled", [False, True])
def test_block_in_training_is_differentiable_twice(pooled: bool) -> None:
    part = PixelAttention(8, pooled).double().train()
    nn.init.constant_(part.strength, 0.7)
    x = torch.randn(1, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(part, x)
    (slope,) = torch.autograd.grad(part(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(parameter.grad.any() for parameter in part.parameters())


def test_attended_block_attends_to_what_the_block_made() -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor, latents: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
            return x * 2 + latents, state

    part = PixelAttention(8, pooled=False)
    nn.init.constant_(part.strength, 0.7)
    x, latents = torch.randn(2, 8, 2, 2), torch.randn(2, 8, 1, 1)
    y, state = AttendedBlock(Double(), part)(x, latents, NO_STATE)
    assert y.equal(part(x * 2 + latents))
    assert state is NO_STATE
