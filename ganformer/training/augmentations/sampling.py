"""Pixels of images at any place, by operations that have second derivatives and are deterministic on every device.

`grid_sample` and `F.pad(mode="reflect")` would do, but for their gradients, which torch refuses to compute on a GPU
in deterministic mode, in which training runs.
"""

# B batch, C channels, H×W pixels, h×w places

import torch
from torch import Tensor


def fold(places: Tensor, size: int) -> Tensor:
    """Fold places on an axis of `size` pixels into [0, size − 1], mirrored at the edge pixels."""
    last = size - 1
    if last == 0:
        return torch.zeros_like(places)
    return last - (places.remainder(2 * last) - last).abs()


def reflected(image: Tensor, margin: int) -> Tensor:
    """Add margins to [B, C, H, W], mirrored at the edge pixels: [B, C, H + 2·margin, W + 2·margin]."""
    for dim in (2, 3):
        size = image.shape[dim]
        places = torch.arange(-margin, size + margin, device=image.device)
        image = image.index_select(dim, fold(places, size))
    return image


def sample(image: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Sample `image` [B, C, H, W] linearly at places [B, h, w], counted in pixels: [B, C, h, w].

    Outside of the image is 0. Whole numbers give pixels as they are.
    """
    left, top = columns.floor(), rows.floor()
    right_share, bottom_share = columns - left, rows - top
    return (
        _weighted(image, left, top, (1 - right_share) * (1 - bottom_share))
        + _weighted(image, left + 1, top, right_share * (1 - bottom_share))
        + _weighted(image, left, top + 1, (1 - right_share) * bottom_share)
        + _weighted(image, left + 1, top + 1, right_share * bottom_share)
    )


def _weighted(image: Tensor, columns: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Return pixels at whole places times weights [B, h, w]; 0 outside."""
    channels, height, width = image.shape[1:]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()  # B h w
    pixels = image.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, channels, -1))  # B C hw
    weighted: Tensor = pixels.unflatten(2, index.shape[1:]) * (weights * inside)[:, None].to(image.dtype)
    return weighted
