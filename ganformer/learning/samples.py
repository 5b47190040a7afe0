"""What a learner samples: from which seeds, of which classes, in which portions, and as pixels of 8 bits."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.data.images import Pixels

BATCH = 32  # images at a time; the noise that layers add depends on it, the latents do not


def batches(seeds: Sequence[int], size: int = BATCH) -> Iterator[Sequence[int]]:
    """Seeds in portions of at most `size`."""
    return (seeds[start : start + size] for start in range(0, len(seeds), size))


def latents(shape: tuple[int, ...], seeds: Sequence[int]) -> Tensor:
    """Standard normal [n, *shape], for each image a function of its seed: the one that StyleGAN2-ADA's code has."""
    drawn = np.stack([np.random.RandomState(seed).standard_normal(shape) for seed in seeds])
    return torch.from_numpy(drawn).float()


def draw_labels(counts: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Labels as in a data set with `counts` images of each class, for each image a function of its seed.

    One-hot [n, classes]; where there are no classes, without columns.
    """
    if not counts:
        return torch.zeros(len(seeds), 0)
    places = [np.random.RandomState([seed, 1]).randint(sum(counts)) for seed in seeds]  # the 1 parts it from latents
    chosen = np.searchsorted(np.cumsum(counts), places, side="right")
    return F.one_hot(torch.from_numpy(chosen), len(counts)).float()


def quantise(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded as the official code does: ⌊clip(127.5 x + 128, 0, 255)⌋."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def in_colours(images: Tensor) -> Tensor:
    """Images [n, C, H, W] of 1, 3 or 4 channels, uint8 or floats in [-1, 1], as [n, 3, H, W] of the same type.

    Grey is repeated; with opacity images are laid on white, for uint8 with the same bits as `data.images.prepare`.
    """
    channels = images.shape[1]
    if channels < 3:
        return images.expand(-1, 3, -1, -1)
    if channels == 3:
        return images
    colours, opacity = images[:, :3], images[:, 3:]
    if images.dtype == torch.uint8:
        mixed = colours.int() * opacity + 255 * (255 - opacity.int())
        return ((mixed + 127) // 255).to(torch.uint8)
    part = (opacity + 1) / 2
    return colours * part + (1 - part)


def normalise(images: Tensor) -> Tensor:
    """Images uint8 as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def pixels(images: Tensor) -> Pixels:
    """Images [n, C, H, W] in [-1, 1], clipped there → uint8 [n, H, W, C]."""
    return quantise(images).permute(0, 2, 3, 1).cpu().numpy()
