"""What a learner samples: in which portions, and as pixels of 8 bits."""

from collections.abc import Iterator

import torch
from torch import Tensor

BATCH = 32  # images at a time; the images depend on it, since their random numbers are drawn portion by portion


def batches(count: int) -> Iterator[int]:
    """Sizes of the portions that make up `count` images."""
    for start in range(0, count, BATCH):
        yield min(BATCH, count - start)


def quantise(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded as the official code does: ⌊clip(127.5 x + 128, 0, 255)⌋."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
