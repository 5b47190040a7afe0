"""Convolutions that keep, double or halve the resolution, and resampling alone, with StyleGAN2's filter.

The operations take their weight as an argument, so that one layer serves all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.ops.upfirdn2d import upfirdn2d


class Filter(nn.Module):
    """Holds the filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1], normalised to sum 1."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)


class Upsample(Filter):
    """x [B, C, H, W] → [B, C, 2H, 2W]."""

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, up=2, padding=(2, 1, 2, 1), gain=4.0)


class Downsample(Filter):
    """x [B, C, H, W], H and W even → [B, C, H/2, W/2]."""

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, down=2, padding=(1, 1, 1, 1))


class Convolve(nn.Module):
    """x [B, I, H, W], weight [O, I, k, k], k odd → [B, O, H, W]."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class ConvolveUp(Filter):
    """x [B, I, H, W], weight [O, I, 3, 3] → [B, O, 2H, 2W]: transposed convolution, then the filter."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # B O 2H+1 2W+1
        return upfirdn2d(x, self.kernel, padding=(1, 1, 1, 1), gain=4.0)


class ConvolveDown(Filter):
    """x [B, I, H, W], H and W even, weight [O, I, 3, 3] → [B, O, H/2, W/2]: the filter, then every second pixel."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        x = upfirdn2d(x, self.kernel, padding=(2, 2, 2, 2))  # B I H+1 W+1
        return F.conv2d(x, weight, stride=2)
