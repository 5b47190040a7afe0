"""Parts of the attention between an image and components.

Everything before and after a softmax is linear, so products are bracketed such that a matrix of C × C never meets the
image: operations on every pixel are applied to the few keys, values and centroids instead. Scores and weights
have the pixels last, where memory is contiguous and a softmax over the components is fast.
"""

# B batch, n pixels of the image, m components, h heads, s values a head, C channels, D size of a latent and a position

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganformer.nn.layers import EPSILON, Linear, as_float
from ganformer.ops.bipartite_attention import assign, attend

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


class Scores(NamedTuple):
    """Scores content · x + places of all pixels x, in factors: content [B, h·m, C], places [B, h·m, n]."""

    content: Tensor
    places: Tensor


class Change(NamedTuple):
    """Attended values of an image: softmax of the scores, times `factor` [B, h·m, n], times values, plus bias.

    Values are [B, h·m, outputs · C], bias [outputs · C].
    """

    scores: Scores
    heads: int
    factor: Tensor | None
    values: Tensor
    bias: Tensor

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of pixels x [B, n, C] without the factor, [B, h·m, n], and with it, [B, n, h·m]."""
        weights = assign(x, *self.scores, self.heads)
        thinned = weights if self.factor is None else weights * self.factor
        return weights, thinned.transpose(1, 2)


def present(latents: Tensor) -> Tensor:
    """Return whether latents [..., D] take part, [...]: component dropout sets the others to zero."""
    return latents.any(dim=-1)


# ------------------------------------------------------------------------------------------------- folding
# With one head they are plain products: einsum takes a dozen operators for one.


def fold_keys(keys: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Return the factor of xᵀ [I, n] that replaces keys (x weightᵀ)ᵀ, head by head.

    With one head k · (W x) = (k W) · x: of n pixels and m components the right side needs m products with W, the left
    one n, and 64 × 64 pixels attend to 16 components.

    keys [B, m, C], weight [C, I] → [B, h·m, I].
    """
    if heads == 1:
        return keys @ weight
    keys, weight = keys.unflatten(-1, (heads, -1)), weight.unflatten(0, (heads, -1))
    return torch.einsum("bmhs,hsi->bhmi", keys, weight).flatten(1, 2)


def fold_values(values: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Return the factor of attention [n, h·m] that replaces (attention values) weightᵀ, head by head.

    values [B, m, C], weight [O, C] → [B, h·m, O].
    """
    if heads == 1:
        return values @ weight.T
    values, weight = values.unflatten(-1, (heads, -1)), weight.unflatten(-1, (heads, -1))
    return torch.einsum("bmhs,ohs->bhmo", values, weight).flatten(1, 2)


def weighted_sum(weights: Tensor, x: Tensor) -> Tensor:
    """Return sums [B, h, m, I] of x [B, n, I] or [n, I], weighted by weights [B, h, m, n]."""
    sums: Tensor = (weights.flatten(1, 2) @ as_float(x)).unflatten(1, weights.shape[1:3])
    return sums


def project_heads(x: Tensor, weight: Tensor) -> Tensor:
    """Apply each head's own rows of weight [O, I] to its x [B, h, m, I], and put them side by side: [B, m, O]."""
    if x.shape[1] == 1:
        return x[:, 0] @ weight.T
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
    """Scores [B, h·m, n] → softmax over the m components, [B, h, m, n].

    With `skips_absent` it is over those components alone whose latents [B, m, D] are not zero.
    """

    skips_absent = False

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, scores: Tensor, latents: Tensor) -> Tensor:
        _, places = self.masked(Scores(scores.new_zeros(()), scores), latents)
        weights: Tensor = places.unflatten(1, (self.heads, -1)).softmax(dim=2)
        return weights

    def masked(self, scores: Scores, latents: Tensor) -> Scores:
        """Return the scores that the softmax is taken of; those of absent components are `ABSENT`, at every pixel."""
        if not self.skips_absent:
            return scores
        absent = (~present(latents)).repeat(1, self.heads)[:, :, None]  # B h·m 1
        return Scores(scores.content.masked_fill(absent, 0), scores.places.masked_fill(absent, ABSENT))


class PresentSoftmax(ComponentSoftmax):
    """Softmax over those components alone whose latents [B, m, D] are not zero."""

    skips_absent = True


@contextmanager
def skipping_absent(network: nn.Module) -> Iterator[None]:
    """Let every softmax over components in `network` skip absent ones inside the context."""
    with ExitStack() as after:
        for part in network.modules():
            if isinstance(part, ComponentSoftmax):
                after.callback(setattr, part, "skips_absent", part.skips_absent)
                part.skips_absent = True
        yield


class AttentionDropout(nn.Module):
    """Thins out weights [B, h, m, n] in training: single ones, then components for the whole image.

    Each half has rate `dropout` / 2. With `over` 2 instead of 3 whole pixels go, for all components.
    """

    def __init__(self, dropout: float, over: int = 3) -> None:
        super().__init__()
        self.rate, self.over = dropout / 2, over

    def forward(self, weights: Tensor) -> Tensor:
        factor = self.factor(weights.shape, weights)
        return weights if factor is None else weights * factor

    def factor(self, shape: Sequence[int], like: Tensor) -> Tensor | None:
        """Return what weights of this shape are multiplied with, of the type of `like`; None if they stay."""
        if not self.training or not self.rate:
            return None
        kept = 1 - self.rate
        whole = [1 if dim == self.over else size for dim, size in enumerate(shape)]
        single = like.new_empty(shape).bernoulli_(kept)
        return single * like.new_empty(whole).bernoulli_(kept).div_(kept**2)


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
        gate = self.content(as_float(pixels.content)) + (self.place(pixels.grid) + self.opening)  # B n h
        opened: Tensor = gate.sigmoid().transpose(1, 2)[:, :, None]
        return opened


class Gates(nn.ModuleDict):
    """Gates that multiply a factor [B, h, m, n] of the attention weights; None is the factor 1."""

    def forward(self, factor: Tensor | None, pixels: Pixels, components: Tensor, positions: Tensor) -> Tensor | None:
        for gate in self.values():
            opened = gate(pixels, components, positions)
            factor = opened if factor is None else factor * opened
        return factor


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

    dim: int | None = None

    def centre(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def scale(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Integration(nn.Module, ABC):
    """Change of the image by the attended values: `outputs` · C values a pixel."""

    outputs = 1

    def __init__(self, normalisation: Normalisation | NoNormalisation) -> None:
        super().__init__()
        self.normalisation = normalisation

    @abstractmethod
    def forward(self, x: Tensor, change: Change) -> tuple[Tensor, Tensor]:
        """Return features [B, n, C] of x [B, n, C], and the weights [B, h·m, n] without the factor."""


class Multiply(Integration):
    """Normalises scale, and multiplies by 1 + γ."""

    def forward(self, x: Tensor, change: Change) -> tuple[Tensor, Tensor]:
        scores, heads, factor, values, bias = change
        if self.normalisation.dim != 1:  # pixels need nothing of each other
            is_layer = self.normalisation.dim == 2
            return attend(x, *scores, values, bias + 1, heads, normalise=is_layer, factor=factor)
        weights, attended = change.attention(x)
        changed = self.normalisation.scale(as_float(x)) * torch.baddbmm(bias + 1, attended, values)
        return changed.to(x.dtype), weights


class Add(Integration):
    """Normalises the mean, and adds β."""

    def forward(self, x: Tensor, change: Change) -> tuple[Tensor, Tensor]:
        weights, attended = change.attention(x)
        changed = torch.baddbmm(self.normalisation.centre(as_float(x)) + change.bias, attended, change.values)
        return changed.to(x.dtype), weights


class MultiplyAndAdd(Integration):
    """Normalises mean and scale, multiplies by 1 + γ and adds β; γ is the first half of the values."""

    outputs = 2

    def forward(self, x: Tensor, change: Change) -> tuple[Tensor, Tensor]:
        weights, attended = change.attention(x)
        normalised = self.normalisation.scale(self.normalisation.centre(as_float(x)))
        (gains, shifts), (gain, shift) = change.values.chunk(2, dim=2), change.bias.chunk(2)
        factors = torch.baddbmm(gain + 1, attended, gains)
        return torch.baddbmm(normalised * factors + shift, attended, shifts).to(x.dtype), weights


NORMALISATIONS: dict[str, Callable[[], Normalisation | NoNormalisation]] = {
    "layer": partial(Normalisation, 2),
    "instance": partial(Normalisation, 1),
    "none": NoNormalisation,
}
INTEGRATIONS: dict[str, Callable[[Normalisation | NoNormalisation], Integration]] = {
    "mul": Multiply,
    "add": Add,
    "both": MultiplyAndAdd,
}
