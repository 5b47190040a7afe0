"""Few images at a time where that is faster."""

from collections.abc import Callable

import torch
from torch import Tensor

PORTION = 8  # images whose activations a processor's caches still hold in part: 32 at a time take 1.1 times as long


def in_portions(see: Callable[[Tensor], tuple[Tensor, Tensor]], images: Tensor) -> tuple[Tensor, Tensor]:
    """What `see` gives for images [n, ...]: features and logits, on processors in small portions, else all at once."""
    if images.device.type != "cpu":
        return see(images)
    features, logits = zip(*(see(part) for part in images.split(PORTION)), strict=True)
    return torch.cat(features), torch.cat(logits)
