"""Parts of the attention between an image and components.

Everything before and after a softmax is linear, so products are bracketed such that a matrix of C × C never meets the
image: operations on every pixel are applied to the few keys, values and centroids instead. Scores and weights
have the pixels last, where memory is contiguous and a softmax over the components is fast.
"""

# B batch, n pixels of the image, m components, h heads, s values a head, C channels, D size of a latent and a position

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn.layers import EPSILON, Linear

ABSENT = -1e4  # score of an absent component; finite, so that even where all are absent there are weights


@dataclass(frozen=True)
class AttentionSize:
    """Numbers of features of the image, values of a latent, components and heads; heads divide both sizes."""

    channels: int
    latent: int
    components: int
    heads: int = 1


class Pixels(NamedTuple):
    """Features of an image, `content` [B, n, C], and the positions of its pixels, `grid` [n, D]."""

    content: Tensor
    grid: Tensor


def present(latents: Tensor) -> Tensor:
    """Return whether latents [..., D] take part, [...]: component dropout sets the others to zero."""
    return latents.any(dim=-1)


# ------------------------------------------------------------------------------------------------- folding


def fold_keys(keys: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Return the factor of xᵀ [I, n] that replaces keys (x weightᵀ)ᵀ, head by head.

    keys [B, m, C], weight [C, I] → [B, h·m, I].
    """
    keys, weight = keys.unflatten(-1, (heads, -1)), weight.unflatten(0, (heads, -1))
    return torch.einsum("bmhs,hsi->bhmi", keys, weight).flatten(1, 2)


def fold_values(values: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Return the factor of attention [n, h·m] that replaces (attention values) weightᵀ, head by head.

    values [B, m, C], weight [O, C] → [B, h·m, O].
    """
    values, weight = values.unflatten(-1, (heads, -1)), weight.unflatten(-1, (heads, -1))
    return torch.einsum("bmhs,ohs->bhmo", values, weight).flatten(1, 2)


def weighted_sum(weights: Tensor, x: Tensor) -> Tensor:
    """Return sums [B, h, m, I] of x [B, n, I] or [n, I], weighted by weights [B, h, m, n]."""
    sums: Tensor = (weights.flatten(1, 2) @ x).unflatten(1, weights.shape[1:3])
    return sums


def project_heads(x: Tensor, weight: Tensor) -> Tensor:
    """Apply each head's own rows of weight [O, I] to its x [B, h, m, I], and put them side by side: [B, m, O]."""
    return torch.einsum("bhmi,hsi->bmhs", x, weight.unflatten(0, (x.shape[1], -1))).flatten(2)


def normalise_over_pixels(weights: Tensor) -> Tensor:
    """Return weights [B, h, m, n] divided by their sum over the image, component by component."""
    return weights / (weights.sum(dim=3, keepdim=True) + EPSILON)


def block_diagonal(x: Tensor) -> Tensor:
    """Return the block-diagonal matrix [B, h·m, h·k] of the rows [B, h, m, k] of all heads."""
    heads = x.shape[1]
    places = torch.eye(heads, dtype=x.dtype, device=x.device)[:, None, :, None]  # h 1 h 1
    return (x[:, :, :, None] * places).flatten(3).flatten(1, 2)


# ------------------------------------------------------------------------------------------------- weights


class ComponentSoftmax(nn.Module):
    """Scores [B, h·m, n] → softmax over the m components, [B, h, m, n]; latents [B, m, D] are not used."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, scores: Tensor, latents: Tensor) -> Tensor:
        weights: Tensor = scores.unflatten(1, (self.heads, -1)).softmax(dim=2)
        return weights


class PresentSoftmax(ComponentSoftmax):
    """Softmax over those components alone whose latents [B, m, D] are not zero."""

    def forward(self, scores: Tensor, latents: Tensor) -> Tensor:
        absent = ~present(latents)[:, None, :, None]  # B 1 m 1
        return super().forward(scores.unflatten(1, (self.heads, -1)).masked_fill(absent, ABSENT).flatten(1, 2), latents)


class AttentionDropout(nn.Module):
    """Thins out weights [B, h, m, n] in training: single ones, then components for the whole image.

    Each half has rate `dropout` / 2. With `over` 2 instead of 3 whole pixels go, for all components.
    """

    def __init__(self, dropout: float, over: int = 3) -> None:
        super().__init__()
        self.rate, self.over = dropout / 2, over

    def forward(self, weights: Tensor) -> Tensor:
        if not self.training:
            return weights
        whole = F.dropout(torch.ones_like(weights.narrow(self.over, 0, 1)), self.rate)
        return F.dropout(weights, self.rate) * whole


class ComponentGate(nn.Module):
    """Gate of every component, at its position [m, D], in every head: [B, h, m, 1], from 0 to 1."""

    def __init__(self, size: AttentionSize) -> None:
        super().__init__()
        self.content = Linear(size.latent, size.heads)
        self.place = Linear(size.latent, size.heads)

    def forward(self, pixels: Pixels, components: Tensor, positions: Tensor) -> Tensor:
        gate = self.content(components) + self.place(positions)  # B m h
        opened: Tensor = gate.sigmoid().transpose(1, 2)[:, :, :, None]
        return opened


class ImageGate(nn.Module):
    """Gate of every pixel in every head: [B, h, 1, n], from 0 to 1; it is initialised more open than closed."""

    opening = 1.0

    def __init__(self, size: AttentionSize) -> None:
        super().__init__()
        self.content = Linear(size.channels, size.heads)
        self.place = Linear(size.latent, size.heads)

    def forward(self, pixels: Pixels, components: Tensor, positions: Tensor) -> Tensor:
        gate = self.content(pixels.content) + (self.place(pixels.grid) + self.opening)  # B n h
        opened: Tensor = gate.sigmoid().transpose(1, 2)[:, :, None]
        return opened


class Gates(nn.ModuleDict):
    """Gates that multiply the attention weights [B, h, m, n]; without gates they are unchanged."""

    def forward(self, weights: Tensor, pixels: Pixels, components: Tensor, positions: Tensor) -> Tensor:
        for gate in self.values():
            weights = weights * gate(pixels, components, positions)
        return weights


# --------------------------------------------------------------------------------------------- integration


class Normalisation(nn.Module):
    """Statistics of features [B, n, C] over one dimension: 2 is `layer` (of each pixel), 1 is `instance`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def centre(self, x: Tensor) -> Tensor:
        """Subtract the mean of x."""
        return x - x.mean(dim=self.dim, keepdim=True)

    def scale(self, x: Tensor) -> Tensor:
        """Divide x by its root mean square."""
        return x * (x.square().mean(dim=self.dim, keepdim=True) + EPSILON).rsqrt()


class NoNormalisation(nn.Module):
    """Leaves features as they are."""

    def centre(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def scale(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Integration(nn.Module):
    """Change of the image by the attended values: `outputs` · C values a pixel, given as a product with a bias.

    `forward(x, weights, values, bias)`: x [B, n, C], weights [B, n, h·m], values [B, h·m, outputs · C],
    bias [outputs · C] → [B, n, C].
    """

    outputs = 1

    def __init__(self, normalisation: Normalisation | NoNormalisation) -> None:
        super().__init__()
        self.normalisation = normalisation


class Multiply(Integration):
    """Normalises scale, and multiplies by 1 + γ."""

    def forward(self, x: Tensor, weights: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        return self.normalisation.scale(x) * torch.baddbmm(bias + 1, weights, values)


class Add(Integration):
    """Normalises the mean, and adds β."""

    def forward(self, x: Tensor, weights: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        return torch.baddbmm(self.normalisation.centre(x) + bias, weights, values)


class MultiplyAndAdd(Integration):
    """Normalises mean and scale, multiplies by 1 + γ and adds β; γ is the first half of the values."""

    outputs = 2

    def forward(self, x: Tensor, weights: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        normalised = self.normalisation.scale(self.normalisation.centre(x))
        (gains, shifts), (gain, shift) = values.chunk(2, dim=2), bias.chunk(2)
        change = torch.baddbmm(gain + 1, weights, gains)
        return torch.baddbmm(normalised * change + shift, weights, shifts)


NORMALISATIONS: dict[str, Callable[[], Normalisation | NoNormalisation]] = {
    "layer": partial(Normalisation, 2),
    "instance": partial(Normalisation, 1),
    "none": NoNormalisation,
}
INTEGRATIONS = {"mul": Multiply, "add": Add, "both": MultiplyAndAdd}
