"""Attention between an image and latents (GANformer, section 3.1), three kinds of it, and among latents.

Everything before and after a softmax is linear, so products are bracketed such that a matrix of C × C never meets the
image: what would be applied to every pixel is applied to the few keys, values and centroids instead. Scores and weights
have the pixels last, where memory is contiguous and a softmax over the components is fast. Biases of keys are left
out: they change all scores of a softmax alike.
"""

# B batch, n pixels of the image, m components, h heads, s values a head, C channels, D size of a latent and a position

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn.layers import EPSILON, Linear, Projection
from ganformer.nn.synthesis import LayerLatents, Place, SynthesisLayer


@dataclass
class Carried:
    """What the layers so far have changed of the components: `update` [B, m, D] is added to those of the next."""

    update: Tensor | float = 0.0


@dataclass(frozen=True)
class AttendedLatents(LayerLatents):
    """What one layer is given: a style, local `components` [B, m, D], their `positions` [m, D], what is carried on."""

    components: Tensor
    positions: Tensor
    carried: Carried = field(default_factory=Carried)


@dataclass(frozen=True)
class AttentionSize:
    """Numbers of features of the image, values of a latent, components and heads; heads divide what they split."""

    channels: int
    latent: int
    components: int
    heads: int = 1


# ------------------------------------------------------------------------------------------------- folding


def fold_keys(keys: Tensor, weight: Tensor, heads: int) -> Tensor:
    """What is multiplied with xᵀ [I, n] instead of keys (x weightᵀ)ᵀ, head by head.

    keys [B, m, C], weight [C, I] → [B, h·m, I].
    """
    keys, weight = keys.unflatten(-1, (heads, -1)), weight.unflatten(0, (heads, -1))
    return torch.einsum("bmhs,hsi->bhmi", keys, weight).flatten(1, 2)


def fold_values(values: Tensor, weight: Tensor, heads: int) -> Tensor:
    """What attention [n, h·m] is multiplied with instead of (attention values) weightᵀ, head by head.

    values [B, m, C], weight [O, C] → [B, h·m, O].
    """
    values, weight = values.unflatten(-1, (heads, -1)), weight.unflatten(-1, (heads, -1))
    return torch.einsum("bmhs,ohs->bhmo", values, weight).flatten(1, 2)


def pooled(weights: Tensor, x: Tensor) -> Tensor:
    """Sums of x [B, n, I] or [n, I], weighted by weights [B, h, m, n]: [B, h, m, I]."""
    return (weights.flatten(1, 2) @ x).unflatten(1, weights.shape[1:3])


def project_heads(x: Tensor, weight: Tensor) -> Tensor:
    """Every head's own rows of weight [O, I] applied to its x [B, h, m, I], side by side → [B, m, O]."""
    return torch.einsum("bhmi,hsi->bmhs", x, weight.unflatten(0, (x.shape[1], -1))).flatten(2)


def shares(weights: Tensor) -> Tensor:
    """Weights [B, h, m, n] divided such that those of every component sum to 1 over the image."""
    return weights / (weights.sum(dim=3, keepdim=True) + EPSILON)


# --------------------------------------------------------------------------------------------------- parts


class AttentionWeights(nn.Module):
    """Scores [B, h·m, n] → softmax over the components, [B, h, m, n], thinned out in training.

    Dropout has two halves of rate `dropout` / 2 each: single weights, then components for the whole image.
    """

    def __init__(self, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout / 2

    def forward(self, scores: Tensor) -> Tensor:
        weights = scores.unflatten(1, (self.heads, -1)).softmax(dim=2)
        if not self.training:
            return weights
        components = F.dropout(torch.ones_like(weights[..., :1]), self.rate)
        return F.dropout(weights, self.rate) * components


class Normalisation(nn.Module):
    """Statistics of features [B, n, C] over one dimension: 2 is `layer` (of each pixel), 1 is `instance`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def centre(self, x: Tensor) -> Tensor:
        """x less its mean."""
        return x - x.mean(dim=self.dim, keepdim=True)

    def scale(self, x: Tensor) -> Tensor:
        """x divided by its root mean square."""
        return x * (x.square().mean(dim=self.dim, keepdim=True) + EPSILON).rsqrt()


class NoNormalisation(nn.Module):
    """Leaves features as they are."""

    def centre(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def scale(self, x: Tensor) -> Tensor:
        """x."""
        return x


class Integration(nn.Module):
    """How what was attended to changes the image: `outputs` · C values a pixel, given as a product with a bias.

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


# ------------------------------------------------------------------------------------ image and components


class Attention(nn.Module):
    """The image attends to the components: γ(a(X, Y)) ⊙ ω(X) + β(a(X, Y)) (GANformer, section 3.1).

    What the three kinds share: queries of the image, values of the components, and what becomes of the weighted
    values; where keys come from is theirs. `forward`: x [B, n, C] and the latents of the layer → [B, n, C].
    """

    def __init__(self, size: AttentionSize, positions: nn.Module, integration: Integration, dropout: float) -> None:
        super().__init__()
        channels, latent = size.channels, size.latent
        self.heads = size.heads
        self.positions = positions
        self.queries = Linear(channels, channels)
        self.query_positions = Linear(latent, channels)
        self.values = Linear(latent, channels)
        self.modulation = Linear(channels, channels * integration.outputs)
        self.weights = AttentionWeights(size.heads, dropout)
        self.integration = integration

    def scores(self, x: Tensor, keys: Tensor) -> Tensor:
        """Products of keys [B, m, C] / √s with the queries of x [B, n, C]: [B, h·m, n]."""
        keys = keys / math.sqrt(keys.shape[-1] / self.heads)
        bias = (self.queries.bias + self.query_positions.bias)[:, None]
        positions = fold_keys(keys, self.query_positions.scaled_weight, self.heads) @ self.positions().T
        content = fold_keys(keys, self.queries.scaled_weight, self.heads)
        return torch.baddbmm(positions + fold_keys(keys, bias, self.heads), content, x.transpose(1, 2))

    def integrate(self, x: Tensor, scores: Tensor, components: Tensor) -> Tensor:
        """x [B, n, C] changed by the values of components [B, m, D], weighted by scores [B, h·m, n]."""
        values = fold_values(self.values(components), self.modulation.scaled_weight, self.heads)
        weights = self.weights(scores).flatten(1, 2).transpose(1, 2)
        changed: Tensor = self.integration(x, weights, values, self.modulation.bias)
        return changed


class Simplex(Attention):
    """Keys come from the components, which the image does not change (GANformer, section 3.1.1)."""

    def __init__(self, size: AttentionSize, positions: nn.Module, integration: Integration, dropout: float) -> None:
        super().__init__(size, positions, integration, dropout)
        self.keys = Projection(size.latent, size.channels)
        self.key_positions = Projection(size.latent, size.channels)

    def forward(self, x: Tensor, latents: AttendedLatents) -> Tensor:
        keys = self.keys(latents.components) + self.key_positions(latents.positions)
        return self.integrate(x, self.scores(x, keys), latents.components)


class Duplex(Attention):
    """Components attend to the image, then the image to them, with centroids as keys (GANformer, section 3.1.2).

    a(Y, X), softmax over the pixels, is computed once and serves twice: Y := LayerNorm(Y + a(Y, X)), carried on to the
    next layer, and K = a(Y, X), the centroids. With `iterations` > 1 the centroids are refined as in k-means: pixels
    are assigned to them, softmax over the components, and their weighted mean is taken again. What is carried on is
    the change of the components, so that style mixing still reaches the layers behind the cut.
    """

    def __init__(
        self,
        size: AttentionSize,
        positions: nn.Module,
        integration: Integration,
        dropout: float,
        iterations: int,
    ) -> None:
        super().__init__(size, positions, integration, dropout)
        channels, latent = size.channels, size.latent
        self.iterations = iterations
        self.component_queries = Linear(latent, channels)
        self.component_positions = Linear(latent, channels)
        self.pixel_keys = Projection(channels, channels)
        self.pixel_positions = Projection(latent, channels)
        self.centroids = Projection(channels, channels)
        self.centroid_positions = Projection(latent, channels)
        self.updates = Linear(channels, latent)
        self.norm = nn.LayerNorm(latent)

    def forward(self, x: Tensor, latents: AttendedLatents) -> Tensor:
        components = latents.components + latents.carried.update
        weights = self.assigned(x, components, latents.positions)
        attended = pooled(weights, x)
        components = self.updated(components, attended)
        latents.carried.update = components - latents.components
        keys = self.means(attended, weights)
        for _ in range(self.iterations - 1):
            weights = shares(self.weights(self.scores(x, keys)))
            keys = self.means(pooled(weights, x), weights)
        return self.integrate(x, self.scores(x, keys), components)

    def assigned(self, x: Tensor, components: Tensor, positions: Tensor) -> Tensor:
        """How much every pixel of x [B, n, C] counts for the components [B, m, D]: [B, h, m, n], sum 1 over n."""
        queries = self.component_queries(components) + self.component_positions(positions)
        queries = queries / math.sqrt(queries.shape[-1] / self.heads)
        places = fold_keys(queries, self.pixel_positions.scaled_weight, self.heads) @ self.positions().T
        content = fold_keys(queries, self.pixel_keys.scaled_weight, self.heads)
        return torch.baddbmm(places, content, x.transpose(1, 2)).softmax(dim=2).unflatten(1, (self.heads, -1))

    def updated(self, components: Tensor, attended: Tensor) -> Tensor:
        """Components [B, m, D] after attention, which found the weighted means attended [B, h, m, C] of the pixels."""
        change = project_heads(attended, self.updates.scaled_weight) + self.updates.bias
        normed: Tensor = self.norm(components + change)
        return normed

    def means(self, content: Tensor, weights: Tensor) -> Tensor:
        """Centroids [B, m, C]: content [B, h, m, C], weighted means of the pixels, and those of their positions."""
        places = pooled(weights, self.positions())
        return project_heads(content, self.centroids.scaled_weight) + project_heads(
            places, self.centroid_positions.scaled_weight
        )


class Centroid(Attention):
    """Keys are learned constants, as in the released code with k-means and all released checkpoints.

    A pixel is described by the 2C values [queries of its content, of its position], of which head i sees the i-th
    part: with one head everything, with two heads either content or position. With `iterations` > 1 the constants
    are the beginning of k-means: pixels are assigned to them, and their weighted mean is taken. The released
    code has parameters more that do nothing, which are left out: `to_keys` and `to_pos_map` of these layers.
    """

    def __init__(
        self,
        size: AttentionSize,
        positions: nn.Module,
        integration: Integration,
        dropout: float,
        iterations: int,
    ) -> None:
        super().__init__(size, positions, integration, dropout)
        width = 2 * size.channels // size.heads
        self.iterations = iterations
        self.importance = nn.Parameter(torch.ones(size.heads, 1, width))
        self.centroids = nn.Parameter(torch.randn(1, size.heads, size.components, width))

    def forward(self, x: Tensor, latents: AttendedLatents) -> Tensor:
        scores = self.distances(x, self.centroids)
        for _ in range(self.iterations - 1):
            scores = self.distances(x, self.means(x, shares(self.weights(scores))))
        return self.integrate(x, scores, latents.components)

    def distances(self, x: Tensor, centroids: Tensor) -> Tensor:
        """Products of the pixels x [B, n, C] with centroids [B or 1, h, m, 2s], weighted by importance / √s."""
        keys = side_by_side(centroids * self.importance * math.sqrt(2 / centroids.shape[-1]))
        content, place = keys.chunk(2, dim=2)  # B h·m C each
        bias = content @ self.queries.bias + place @ self.query_positions.bias  # B h·m
        places = place @ self.query_positions.scaled_weight @ self.positions().T + bias[:, :, None]
        return content @ self.queries.scaled_weight @ x.transpose(1, 2) + places

    def means(self, x: Tensor, weights: Tensor) -> Tensor:
        """Means of the pixels x [B, n, C], weighted by weights [B, h, m, n]: centroids [B, h, m, 2s]."""
        total = weights.sum(dim=3, keepdim=True)  # nearly 1
        content = pooled(weights, x) @ self.queries.scaled_weight.T + total * self.queries.bias
        places = pooled(weights, self.positions()) @ self.query_positions.scaled_weight.T
        both = torch.cat([content, places + total * self.query_positions.bias], dim=3)  # B h m 2C
        return both.unflatten(3, (self.heads, -1)).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


def side_by_side(x: Tensor) -> Tensor:
    """Rows of every head, with zeros where the values of other heads would be: [B, h, m, k] → [B, h·m, h·k]."""
    heads = x.shape[1]
    places = torch.eye(heads, dtype=x.dtype, device=x.device)[:, None, :, None]  # h 1 h 1
    return (x[:, :, :, None] * places).flatten(3).flatten(1, 2)


class AttendedLayer(SynthesisLayer):
    """A synthesis layer with attention between the convolution and the noise."""

    def __init__(self, place: Place, convolution: nn.Module, noise: nn.Module, attention: Attention) -> None:
        super().__init__(place, convolution, noise)
        self.attention = attention
        self.grid = (place.output.height, place.output.width)

    def forward(self, x: Tensor, latents: LayerLatents) -> Tensor:
        x = self.convolution(x, latents.style)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # a view of channels_last memory
        pixels = self.attention(pixels, latents)
        return self.finish(pixels.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2))

    def as_maps(self, weights: Tensor) -> Tensor:
        """Weights [B, h, m, n] of this layer's attention as maps [B, h, m, height, width]."""
        return weights.unflatten(3, self.grid)


# ---------------------------------------------------------------------------------------- among components


class SelfAttention(nn.Module):
    """Components u [B, m, D] with positions [m, D] → u plus what each attends to among them, [B, m, D]."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.queries = Linear(size, size)
        self.query_positions = Linear(size, size)
        self.keys = Projection(size, size)
        self.key_positions = Projection(size, size)
        self.values = Linear(size, size)
        self.modulation = Linear(size, size)
        self.weights = AttentionWeights(heads, dropout)

    def forward(self, u: Tensor, positions: Tensor) -> Tensor:
        queries = self.queries(u) + self.query_positions(positions)
        keys = self.keys(u) + self.key_positions(positions)
        queries, keys, values = (x.unflatten(2, (self.heads, -1)) for x in (queries, keys, self.values(u)))
        scores = torch.einsum("bmhs,bnhs->bhmn", keys, queries).flatten(1, 2) / math.sqrt(keys.shape[-1])
        attended = torch.einsum("bhmn,bmhs->bnhs", self.weights(scores), values)
        changed: Tensor = u + self.modulation(attended.flatten(2))
        return changed


class NoAttention(nn.Module):
    """Leaves components [B, m, D] as they are."""

    def forward(self, u: Tensor, positions: Tensor) -> Tensor:
        return u
