"""What a learner samples: of which classes, in which portions, and as pixels of 8 bits."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

BATCH = 32  # images at a time; the images depend on it, since their random numbers are drawn portion by portion


def batches(count: int) -> Iterator[int]:
    """Sizes of the portions that make up `count` images."""
    for start in range(0, count, BATCH):
        yield min(BATCH, count - start)


def draw_labels(counts: Sequence[int], number: int, generator: Generator) -> Tensor:
    """Labels as in a data set with `counts` images of each class: one-hot [number, classes]; no classes, no columns."""
    if not counts:
        return torch.zeros(number, 0)
    frequencies = torch.tensor(counts, dtype=torch.float64)
    chosen = torch.multinomial(frequencies, number, replacement=True, generator=generator)
    return F.one_hot(chosen, len(counts)).float()


def quantise(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded as the official code does: ⌊clip(127.5 x + 128, 0, 255)⌋."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
