"""What definitions of attention are written with: every matrix meets every pixel."""

# B batch, n pixels, m components, h heads, s values a head, C channels

import math

import torch
from torch import Tensor

from ganformer.nn.layers import Linear, Projection


def normal(*shape: int) -> Tensor:
    """A leaf of standard normal values."""
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def dense(layer: Linear | Projection, x: Tensor) -> Tensor:
    """An equalised layer without its rate."""
    y = x @ (layer.weight / math.sqrt(layer.weight.shape[1])).T
    return y + layer.bias if isinstance(layer, Linear) else y


def split(x: Tensor, heads: int) -> Tensor:
    """[B, n, C] → [B, h, n, s]."""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(-2, -3)


def merged(x: Tensor) -> Tensor:
    """[B, h, n, s] → [B, n, C]."""
    return x.transpose(1, 2).flatten(2)
