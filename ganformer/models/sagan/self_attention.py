"""Attention of every pixel to all others (SAGAN, Zhang et al. 2019), and how blocks of both networks come by it."""

# B batch, n pixels, m pixels that are attended to, C channels, s values of a query

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function, grad

from ganformer.nn.layers import Projection, as_float
from ganformer.nn.synthesis import LayerLatents, LayerState
from ganformer.ops.gradients import applied

REDUCTION = 8  # channels of the image for one value of a query, a key, a value (SAGAN, section 3)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax of queries keysᵀ / √s, times values: queries [B, n, s], keys and values [B, m, s] → [B, n, s].

    Differentiable any number of times. The n · m weights are never in memory, except where a derivative is computed
    that is itself differentiated (R1, path lengths): torch's frugal kernels cannot be differentiated twice.
    """
    return applied(_Attention, queries, keys, values)


class _Attention(Function):
    """Keeps its inputs and what torch's frugal kernels need for a first derivative."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        if not any(ctx.needs_input_grad):
            return _attend(*inputs)
        with torch.enable_grad():
            ctx.variables = [x.detach().requires_grad_() for x in inputs]
            ctx.attended = _attend(*ctx.variables)
        attended: Tensor = ctx.attended.detach()
        return attended

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        queries, keys, values = ctx.saved_tensors
        if torch.is_grad_enabled():  # the derivative will be differentiated
            return _slopes(queries, keys, values, slope)
        return grad(ctx.attended, ctx.variables, slope, retain_graph=True)


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    # The frugal kernels want a dimension of heads.
    return F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])[:, 0]


def _slopes(queries: Tensor, keys: Tensor, values: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the derivatives in queries, keys and values; `slope` [B, n, s]: the derivative in the attended values."""
    scale = 1 / math.sqrt(queries.shape[-1])
    weights = (queries @ keys.mT * scale).softmax(dim=-1)  # B n m
    of_weights = slope @ values.mT
    of_scores = weights * (of_weights - (of_weights * weights).sum(dim=-1, keepdim=True)) * scale
    return of_scores @ keys, of_scores.mT @ queries, weights.mT @ slope


class PixelAttention(nn.Module):
    """x [B, C, H, W] → x + γ times what each pixel attends to in the others; γ begins at 0 (SAGAN, equations 1 to 3).

    Scores are divided by √s, as in GANformer's code. `pooled`: the keys and the values are maxima over 2 × 2 pixels,
    as in SAGAN's code; a quarter of the work.
    """

    def __init__(self, channels: int, pooled: bool) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.queries = Projection(channels, inner)
        self.keys = Projection(channels, inner)
        self.values = Projection(channels, inner)
        self.output = Projection(inner, channels)
        self.strength = nn.Parameter(torch.zeros(()))
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        pixels = as_float(x).permute(0, 2, 3, 1)  # B H W C, a view of channels_last memory
        keys, values = self.keys(pixels), self.values(pixels)
        if self.pooled:
            keys, values = _maxima(keys), _maxima(values)
        attended = attend(self.queries(pixels).flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2))
        changes: Tensor = self.output(attended).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return x + (self.strength * changes).to(x.dtype)


def _maxima(x: Tensor) -> Tensor:
    """Return the maxima of 2 × 2 pixels of x [B, H, W, s], H and W even: [B, H/2, W/2, s]."""
    maxima: Tensor = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).amax(dim=(2, 4))
    return maxima


class AttendedBlock(nn.Module):
    """A block of a ladder, whose features then attend to each other."""

    def __init__(self, block: nn.Module, attention: PixelAttention) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        x, state = self.block(x, latents, state)
        return self.attention(x), state
