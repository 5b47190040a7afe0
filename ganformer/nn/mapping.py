"""Mapping networks: from normally distributed latents z to the latents w that steer the layers.

Each latent is first divided by its root mean square, by itself (the paper's rule; the released PyTorch code divides
all local components by one common root mean square).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn.layers import ActivatedLinear, Linear, normalise


class PlainStep(nn.Module):
    """features [..., size] → same, by one activated layer; u, what the features were made of, is not looked at."""

    def __init__(self, size: int, rate: float) -> None:
        super().__init__()
        self.layer = ActivatedLinear(size, size, rate=rate)

    def forward(self, u: Tensor, features: Tensor) -> Tensor:
        y: Tensor = self.layer(features)
        return y


class ResidualStep(nn.Module):
    """features [..., size] → same, by two layers, to which u [..., size] is added (GANformer's code; gain 1)."""

    def __init__(self, size: int, rate: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(ActivatedLinear(size, size, rate=rate), Linear(size, size, rate=rate))

    def forward(self, u: Tensor, features: Tensor) -> Tensor:
        return F.leaky_relu(self.layers(features) + u, 0.2)


def plain_steps(layers: int, size: int, rate: float) -> list[nn.Module]:
    """StyleGAN2's mapping network: `layers` layers with learning rate multiplied by `rate`."""
    return [PlainStep(size, rate) for _ in range(layers)]


def residual_steps(layers: int, size: int, rate: float) -> list[nn.Module]:
    """GANformer's: half as many residual steps of two layers each, rounded up, and one plain step behind them."""
    return [*(ResidualStep(size, rate) for _ in range((layers + 1) // 2)), PlainStep(size, rate)]


STEPS = {"plain": plain_steps, "resnet": residual_steps}


class Mapping(nn.Module):
    """z [..., size] → w [..., size], every latent by itself."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, z: Tensor) -> Tensor:
        u = normalise(z)
        for step in self.steps:
            u = step(u, u)
        return u


class AttendedMapping(nn.Module):
    """z [B, m, size] → w [B, m, size]: before every step but the last, the m latents attend to each other.

    `attentions`: one less than `steps`, each called with latents and their positions [m, size].
    """

    def __init__(self, steps: Sequence[nn.Module], attentions: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.attentions = nn.ModuleList(attentions)

    def forward(self, z: Tensor, positions: Tensor) -> Tensor:
        u = normalise(z)
        for attention, step in zip(self.attentions, self.steps[:-1], strict=True):
            u = step(u, attention(u, positions))
        last: Tensor = self.steps[-1](u, u)
        return last
