"""Convolutions that keep, double or halve the resolution, and resampling alone, with StyleGAN2's filter.

The operations take their weight as an argument, so that one layer serves all of them.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ganformer.ops.convolution import convolve, convolve_transposed
from ganformer.ops.upfirdn2d import upfirdn2d


class Filter(nn.Module):
    """Holds the filter [1, 3, 3, 1] of both axes, normalised to sum 1."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taps", torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8, persistent=False)

    @property
    def kernel(self) -> Tensor:
        """Filter of the plane, [4, 4]."""
        return torch.outer(self.taps, self.taps)


class Upsample(Filter):
    """x [B, C, H, W] → [B, C, 2H, 2W]."""

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.taps, up=2, padding=(2, 1, 2, 1), gain=4.0)


class Downsample(Filter):
    """x [B, C, H, W], H and W even → [B, C, H/2, W/2]."""

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.taps, down=2, padding=(1, 1, 1, 1))


class Operation(nn.Module, ABC):
    """Convolution with a weight that it is given.

    `dtype` is the type that it computes in, and that its result has; None: the type of x. Layers behind it keep that
    type, so that one setting decides in which type all features are (`use_dtype`).
    """

    dtype: torch.dtype | None = None

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        dtype = self.dtype or x.dtype
        return self.convolve(x.to(dtype), weight.to(dtype))

    @abstractmethod
    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the result for x and a weight of one type."""


def use_dtype(network: nn.Module, dtype: torch.dtype | None) -> None:
    """Make all convolutions of `network` compute in `dtype`, and so all its features; None: in the type of its inputs.

    Weights stay as they are. Latents, styles, attention weights, statistics, logits and colours stay float32.
    """
    for part in network.modules():
        if isinstance(part, Operation):
            part.dtype = dtype


class Convolve(Operation):
    """x [B, I, H, W], weight [O, I, k, k], k odd → [B, O, H, W]."""

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return convolve(x, weight, padding=weight.shape[-1] // 2)


class ConvolveUp(Operation):
    """x [B, I, H, W], weight [O, I, 3, 3] → [B, O, 2H, 2W]: transposed convolution, then the filter."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        x = convolve_transposed(x, weight.transpose(0, 1), stride=2)  # B O 2H+1 2W+1
        return upfirdn2d(x, self.filter.taps, padding=(1, 1, 1, 1), gain=4.0)


class ConvolveDown(Operation):
    """x [B, I, H, W], H and W even, weight [O, I, 3, 3] → [B, O, H/2, W/2]: the filter, then every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        x = upfirdn2d(x, self.filter.taps, padding=(2, 2, 2, 2))  # B I H+1 W+1
        return convolve(x, weight, stride=2)
