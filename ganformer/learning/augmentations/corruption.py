"""Noise and cutout of ADA (Karras et al. 2020, appendix B)."""

# B batch, C channels, H×W pixels

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.learning.augmentations.change import Change, Draws, Frame


class Noise(Change):
    """Adds normal noise to each colour of each pixel of the finest scale, and its averages to coarser ones.

    The standard deviation of an image's noise is itself drawn: |n|, n normal with the standard deviation 0.1.
    """

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        deviation = draws.sometimes(draws.normal(0.1).abs(), 0.0)
        noise = draws.normal(1.0, *images[-1].shape[1:]) * deviation[:, None, None, None]
        return tuple(image + F.adaptive_avg_pool2d(noise, Frame.of([image])).to(image.dtype) for image in images)


class Cutout(Change):
    """A rectangle of half the width and half the height becomes 0; its centre is anywhere in the image."""

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        frame = Frame.of(images)
        centre = draws.uniform(0, 1, 2)
        share = draws.sometimes(torch.full_like(centre[:, 0], 0.5), 0.0)
        columns, rows = (
            ((size * (centre[:, i] - share / 2)).round(), (size * (centre[:, i] + share / 2)).round())
            for i, size in enumerate((frame.width, frame.height))
        )
        return tuple(cut(image, columns, rows, frame) for image in images)


def cut(image: Tensor, columns: tuple[Tensor, Tensor], rows: tuple[Tensor, Tensor], frame: Frame) -> Tensor:
    """Set `image` [B, C, H, W] to 0 in `columns` and `rows`: first one and end, [B], in the finest pixels.

    A pixel of a coarser scale that is partly in the rectangle loses that part.
    """
    height, width = image.shape[-2:]
    inside = (
        _covered(*rows, frame.height, height)[:, :, None] * _covered(*columns, frame.width, width)[:, None]
    )  # B H W
    return image * (1 - inside)[:, None].to(image.dtype)


def _covered(first: Tensor, end: Tensor, finest: int, size: int) -> Tensor:
    """Return the part [B, size] of each pixel of an axis that is between `first` and `end` [B]."""
    unit = finest / size
    left = torch.arange(size, device=first.device) * unit
    overlap = torch.minimum(end[:, None], left + unit) - torch.maximum(first[:, None], left)
    return overlap.clamp(min=0) / unit
