"""Brightness, contrast, luma flip, hue and saturation of ADA (Karras et al. 2020, appendix B), carried out as one."""

# B batch, C channels, H×W pixels

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganformer.learning.augmentations.change import Change, Draws


class Colour(Change):
    """Moves and scales colours along the grey axis, turns and scales them around it.

    Images of one channel have nothing around the axis, so only brightness, contrast and luma flip change them. A fourth
    channel, opacity, stays as it is.
    """

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        brightness = draws.sometimes(draws.normal(0.2), 0.0)
        contrast = draws.sometimes(draws.normal(0.5).exp2(), 1.0)
        luma = draws.sometimes(draws.sign(), 1.0)
        hue = draws.sometimes(draws.uniform(-math.pi, math.pi), 0.0)
        saturation = draws.sometimes(draws.normal(1.0).exp2(), 1.0)
        channels = min(images[0].shape[1], 3)
        if channels != 3:
            hue = torch.zeros_like(hue)
        matrix = contrast[:, None, None] * around_grey(luma, hue, saturation, channels)
        offset = brightness * contrast * luma
        return tuple(recoloured(image, matrix, offset) for image in images)


def around_grey(luma: Tensor, hue: Tensor, saturation: Tensor, channels: int) -> Tensor:
    """Return matrices [B, C, C] that scale the grey axis by `luma`, the rest by `saturation`, turned by `hue`; [B]."""
    unchanged = torch.eye(channels, device=luma.device)
    along = torch.full_like(unchanged, 1 / channels)  # projection on the grey axis
    turned = (unchanged.roll(1, dims=0) - unchanged.roll(-1, dims=0)) / math.sqrt(3)  # cross product with the axis
    kept, moved = (factor[:, None, None] * saturation[:, None, None] for factor in (hue.cos(), hue.sin()))
    return kept * unchanged + moved * turned + (luma[:, None, None] - kept) * along


def recoloured(image: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Multiply the first K channels of `image` [B, C, H, W] by `matrix` [B, K, K], and add `offset` [B]."""
    if image.shape[1] > matrix.shape[1]:
        colours, opacity = image[:, : matrix.shape[1]], image[:, matrix.shape[1] :]
        return torch.cat([recoloured(colours, matrix, offset), opacity], dim=1)
    dtype = image.dtype
    colours = torch.baddbmm(offset[:, None, None].to(dtype), matrix.to(dtype), image.flatten(2))
    return colours.view_as(image)
