"""Pixels of images at any place, by operations that have second derivatives and are deterministic on every device.

`grid_sample` and `F.pad(mode="reflect")` would do, but for their gradients, which torch refuses to compute on a GPU
in deterministic mode, in which training runs. The gradient of a look-up is a sum at the places that were looked up,
which a GPU sorts for it in that mode: so look-ups are only for changes that are not along the axes.
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
        if image.shape[dim] == 1:
            shape = [-1, -1, -1, -1]
            shape[dim] = 1 + 2 * margin
            image = image.expand(shape)
            continue
        left = margin
        while left:  # a mirrored image is mirrored at its own edges
            size = image.shape[dim]
            width = min(left, size - 1)
            before, behind = image.narrow(dim, 1, width), image.narrow(dim, size - 1 - width, width)
            image = torch.cat([before.flip(dim), image, behind.flip(dim)], dim)
            left -= width
    return image


def sample_grid(image: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Sample `image` [B, C, H, W] as `sample` at all crossings of columns [B, w] and rows [B, h]: [B, C, h, w].

    Two products with matrices of at most two shares a row: as fast as look-ups on a processor at 256 × 256, three times
    as fast at 32 × 32. With TF32 a GPU rounds pixels to 10 bits here, as in the first convolution.
    """
    height, width = image.shape[2:]
    down, across = _shares(rows, height), _shares(columns, width)
    sampled: Tensor = down.to(image.dtype)[:, None] @ image @ across.to(image.dtype)[:, None].mT
    return sampled


def _shares(places: Tensor, size: int) -> Tensor:
    """Return the shares of the pixels of an axis in the values at places [B, n]: [B, n, size]."""
    pixels = torch.arange(size, device=places.device)
    return (1 - (places[..., None] - pixels).abs()).clamp(min=0)


def pick(image: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Return pixels of `image` [B, C, H, W] at whole places [B, …] inside of it: [B, C, …]."""
    channels, height, width = image.shape[1:]
    index = rows.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()
    pixels = image.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, channels, -1))
    picked: Tensor = pixels.unflatten(2, index.shape[1:])
    return picked


def sample(image: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Sample `image` [B, C, H, W] linearly at places [B, h, w], counted in pixels: [B, C, h, w].

    Outside of the image is 0. Whole numbers give pixels as they are.
    """
    height, width = image.shape[2:]
    (left, right), across = _around(columns, width)
    (top, bottom), down = _around(rows, height)
    corners = torch.stack([left, right, left, right], dim=1), torch.stack([top, top, bottom, bottom], dim=1)
    weights = (down[:, :, None] * across[:, None]).flatten(1, 2)  # B 4 h w
    return (pick(image, *corners) * weights[:, None].to(image.dtype)).sum(dim=2)


def _around(places: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return the pixels before and behind places [B, h, w] of an axis, and their shares [B, 2, h, w], 0 outside."""
    before = places.floor()
    pixels, share = torch.stack([before, before + 1], dim=1), places - before
    shares = torch.stack([1 - share, share], dim=1) * ((pixels >= 0) & (pixels < size))
    return (pixels[:, 0], pixels[:, 1]), shares
