"""Base of all changes of images, and the random numbers that they are made with."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Frame(NamedTuple):
    """Size in pixels of the finest of the images. Every length a change draws is in these pixels, at every scale."""

    height: int
    width: int

    @classmethod
    def of(cls, images: Sequence[Tensor]) -> "Frame":
        """Return the size of the last of `images` [B, C, H, W]."""
        height, width = images[-1].shape[-2:]
        return cls(height, width)


class Draws:
    """Random numbers for `count` images, from torch's default generator of `device`; all are float32.

    `probability` []: probability of a change of an image.
    """

    def __init__(self, count: int, device: torch.device, probability: Tensor) -> None:
        self.count = count
        self.device = device
        self.probability = probability

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw uniform numbers [count, *shape] between `low` and `high`."""
        return low + (high - low) * torch.rand(self.count, *shape, device=self.device)

    def normal(self, deviation: float, *shape: int) -> Tensor:
        """Draw normal numbers [count, *shape] around 0."""
        return deviation * torch.randn(self.count, *shape, device=self.device)

    def whole(self, low: int, high: int) -> Tensor:
        """Draw [count] whole numbers from `low` to `high`, both included."""
        return torch.randint(low, high + 1, (self.count,), device=self.device).float()

    def sign(self) -> Tensor:
        """Draw [count] signs, −1 and 1 equally often."""
        return 2 * self.whole(0, 1) - 1

    def sometimes(self, value: Tensor, otherwise: float, probability: Tensor | None = None) -> Tensor:
        """Return `value` [count, ...] for changed images, `otherwise` for others; default: `self.probability`."""
        chance = self.probability if probability is None else probability
        is_changed = torch.rand(self.count, device=self.device) < chance
        return torch.where(is_changed.view(-1, *[1] * (value.ndim - 1)), value, otherwise)


class Change(nn.Module, ABC):
    """Changes each image of a batch in its own random way, the same at every scale. Twice differentiable."""

    @abstractmethod
    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        """Change images, given at several scales, the finest last, each [B, C, H, W] → same shapes."""
