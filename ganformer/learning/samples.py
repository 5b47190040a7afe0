"""Seeds, labels, batches and 8-bit pixels of sampled images."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.data.images import Pixels
from ganformer.learning.learner import Learner

BATCH = 32  # images at a time

# Seeds that are computed together, and the pixels that these images may have together: 8 images up to 256×256, 2 of
# 512×512, 1 of 1024×1024. Of the last bits of an image, and of the noise of its layers, this decides.
BLOCK = 8
BLOCK_PIXELS = 2**19


def batches(seeds: Sequence[int], size: int = BATCH) -> Iterator[Sequence[int]]:
    """Yield seeds in batches of at most `size`."""
    return (seeds[start : start + size] for start in range(0, len(seeds), size))


def block_size(image: ImageSpec) -> int:
    """Return the number of seeds whose images of this shape are computed together: 1, 2, 4 or 8."""
    return max(1, min(BLOCK, BLOCK_PIXELS // (image.height * image.width)))


def aligned(seeds: range, size: int) -> Iterator[range]:
    """Yield consecutive seeds, cut at the multiples of `size`."""
    cuts = [seeds.start, *range(seeds.start - seeds.start % size + size, seeds.stop, size), seeds.stop]
    return (range(start, stop) for start, stop in itertools.pairwise(cuts))


def make(
    learner: Learner,
    image: ImageSpec,
    labels: Callable[[Sequence[int]], Tensor],
    seeds: range,
    truncation: float = 1.0,
) -> Tensor:
    """Return an image for each of these consecutive seeds [n, C, H, W] of the shape `image`, by `Learner.sample`.

    Sums of floats depend on how many images are computed together, and noise of layers on the first of them. Hence
    whole blocks are computed, those that begin at the multiples of `block_size`, and what was not asked for is left
    out: with its label, an image is a function of its seed alone, bit for bit on one machine. `labels` gives the labels
    [m, classes] of seeds.
    """
    size = block_size(image)
    parts = []
    for part in aligned(seeds, size):
        first = part.start - part.start % size
        block = range(first, first + size)
        parts.append(learner.sample(labels(block), block, truncation)[part.start - first : part.stop - first])
    return torch.cat(parts)


def latents(shape: tuple[int, ...], seeds: Sequence[int]) -> Tensor:
    """Draw standard normal latents [n, *shape], each a function of its seed, the same as in StyleGAN2-ADA's code."""
    drawn = np.stack([np.random.RandomState(seed).standard_normal(shape) for seed in seeds])
    return torch.from_numpy(drawn).float()


def draw_labels(counts: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Draw labels as in a data set with `counts` images of each class, each a function of its seed.

    One-hot [n, classes]; without classes there are no columns.
    """
    if not counts:
        return torch.zeros(len(seeds), 0)
    places = [np.random.RandomState([seed, 1]).randint(sum(counts)) for seed in seeds]  # the 1 parts it from latents
    chosen = np.searchsorted(np.cumsum(counts), places, side="right")
    return F.one_hot(torch.from_numpy(chosen), len(counts)).float()


def quantise(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as uint8, rounded as in the official code: ⌊clip(127.5 x + 128, 0, 255)⌋."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def in_colours(images: Tensor) -> Tensor:
    """Return images [n, C, H, W] of 1, 3 or 4 channels, uint8 or floats in [-1, 1], as [n, 3, H, W] of the same type.

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
    """Return uint8 images as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def pixels(images: Tensor) -> Pixels:
    """Return images [n, C, H, W] in [-1, 1], clipped, as uint8 [n, H, W, C]."""
    return quantise(images).permute(0, 2, 3, 1).cpu().numpy()
