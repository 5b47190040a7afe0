"""Bringing images to the size that a network was trained with, as the code that published numbers come from does.

Published distances depend on it: the same network after another resize gives other numbers (Parmar et al. 2022).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def tensorflow(images: Tensor, size: int) -> Tensor:
    """Return TensorFlow 1's `resize_bilinear`: pixel i lies at i × in/out, without half-pixel centres or antialiasing.

    [n, C, H, W] uint8 or float32 -> [n, C, size, size] float32.
    """
    return _interpolate(_interpolate(images.float(), size, dim=3), size, dim=2)


def clean(images: Tensor, size: int) -> Tensor:
    """Resize as clean-fid does: Pillow's antialiased bicubic of each float channel, clipped to [0, 255], not rounded.

    [n, C, H, W] uint8 or float32 -> [n, C, size, size] float32. torch has the filter of Pillow (a = −1/2), but in
    float32 errs by up to 0.01 of 255; Pillow sums in float64.
    """
    resized = F.interpolate(images.double(), size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(0, 255).float()


def pytorch_fid(images: Tensor, size: int) -> Tensor:
    """Return PyTorch's bilinear resize, as pytorch-fid has it: centres of pixels in place, without antialiasing.

    [n, C, H, W] uint8 -> [n, C, size, size] float32 in [0, 1], the range in which it resizes them.
    """
    return F.interpolate(images.float() / 255, size=(size, size), mode="bilinear", align_corners=False)


def _interpolate(x: Tensor, size: int, dim: int) -> Tensor:
    length = x.shape[dim]
    position = torch.arange(size, device=x.device) * torch.tensor(length / size, device=x.device)
    low = position.long()
    fraction = (position - low).unflatten(0, (size,) if dim == 3 else (size, 1))
    before, after = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=length - 1))
    return after.sub_(before).mul_(fraction).add_(before)
