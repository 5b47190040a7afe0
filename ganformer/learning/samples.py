"""What a learner samples: from which seeds, of which classes, in which portions, and as pixels of 8 bits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganformer import artifacts

BATCH = 32  # images at a time; the noise that layers add depends on it, the latents do not
COLUMNS = 8  # of a grid

Pixels = NDArray[np.uint8]


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


def normalise(images: Tensor) -> Tensor:
    """Images uint8 as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def pixels(images: Tensor) -> Pixels:
    """Images [n, C, H, W] in [-1, 1], clipped there → uint8 [n, H, W, C]."""
    return quantise(images).permute(0, 2, 3, 1).cpu().numpy()


def grid(images: Pixels) -> Pixels:
    """Images [n, H, W, C] as one picture [rows·H, columns·W, C]; empty cells are black."""
    count, height, width, channels = images.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = images
    arranged = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return arranged.reshape(rows * height, columns * width, channels)


def save_picture(path: Path, picture: Pixels) -> None:
    """Writes a picture [H, W, C] as PNG."""
    with artifacts.atomic(path) as temporary:
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(temporary, format="PNG")
