"""Mapping networks: from normally distributed latents z, and labels, to the latents w that steer the layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn.layers import EPSILON, ActivatedLinear, Linear, normalise


class NormaliseEach(nn.Module):
    """Divides every latent of z [..., size] by its own root mean square (StyleGAN; the paper)."""

    def forward(self, z: Tensor) -> Tensor:
        return normalise(z)


class NormaliseJointly(nn.Module):
    """Divides the latents of z [B, m, size] by one common root mean square of an image (GANformer's PyTorch code)."""

    def forward(self, z: Tensor) -> Tensor:
        return z * (z.square().mean(dim=(1, 2), keepdim=True) + EPSILON).rsqrt()


class LatentInput(nn.Module):
    """z [B, ..., size] → u, the same shape: normalised by `normalisation`; without labels."""

    def __init__(self, normalisation: nn.Module) -> None:
        super().__init__()
        self.normalisation = normalisation

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        u: Tensor = self.normalisation(z)
        return u


class LabelledLatentInput(LatentInput):
    """z [B, ..., size], labels [B, classes] → u, shaped as z: one layer sees latents beside an embedding of the label.

    As the first layer of StyleGAN2-ADA; each of several latents gets the label.
    """

    def __init__(self, normalisation: nn.Module, size: int, classes: int, rate: float) -> None:
        super().__init__(normalisation)
        self.embedding = Linear(classes, size)
        self.layer = ActivatedLinear(2 * size, size, rate=rate)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        embedded = normalise(self.embedding(labels))
        embedded = embedded.view(z.shape[0], *[1] * (z.ndim - 2), -1).expand_as(z)
        u: Tensor = self.layer(torch.cat([super().forward(z, labels), embedded], dim=-1))
        return u


def latent_input(normalisation: nn.Module, size: int, classes: int, rate: float) -> LatentInput:
    """Return the first layers of a mapping network, with labels if there are classes."""
    return LabelledLatentInput(normalisation, size, classes, rate) if classes else LatentInput(normalisation)


class PlainStep(nn.Module):
    """features [..., size] → same, by one activated layer; u, the input of the mapping, is not used."""

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
    """Return StyleGAN2's mapping network: `layers` layers with learning rate multiplied by `rate`."""
    return [PlainStep(size, rate) for _ in range(layers)]


def residual_steps(layers: int, size: int, rate: float) -> list[nn.Module]:
    """Return GANformer's mapping network: half as many residual steps of two layers, rounded up, and a plain step."""
    return [*(ResidualStep(size, rate) for _ in range((layers + 1) // 2)), PlainStep(size, rate)]


STEPS = {"plain": plain_steps, "resnet": residual_steps}


class Mapping(nn.Module):
    """z [B, ..., size], labels [B, classes] → w [B, ..., size], every latent by itself."""

    def __init__(self, entrance: LatentInput, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.entrance = entrance
        self.steps = nn.ModuleList(steps)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        u: Tensor = self.entrance(z, labels)
        for step in self.steps:
            u = step(u, u)
        return u


class AttendedMapping(nn.Module):
    """z [B, m, size], labels [B, classes] → w [B, m, size]; the m latents attend to each other.

    They do before all steps but the last. `attentions`: one less than `steps`, each called with latents, their
    positions [m, size], and z.
    """

    def __init__(self, entrance: LatentInput, steps: Sequence[nn.Module], attentions: Sequence[nn.Module]) -> None:
        super().__init__()
        self.entrance = entrance
        self.steps = nn.ModuleList(steps)
        self.attentions = nn.ModuleList(attentions)

    def forward(self, z: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        u: Tensor = self.entrance(z, labels)
        for attention, step in zip(self.attentions, self.steps[:-1], strict=True):
            u = step(u, attention(u, positions, z))
        last: Tensor = self.steps[-1](u, u)
        return last
