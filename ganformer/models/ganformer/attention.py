"""Attention of an image to components (GANformer, section 3.1), of three kinds, which differ in their keys.

`plain.py` has the same in the paper's equations; read it first. Here projections of the pixels are folded into the few
components (`fold_keys`, `fold_values`), so that no queries, keys or values of pixels are computed.
"""

# B batch, n pixels of the image, m components, h heads, s values a head, C channels, D size of a latent and a position

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganformer.models.ganformer.components import AttendedLatents, ComponentAttention, ComponentState
from ganformer.models.ganformer.parts import (
    AttentionDropout,
    AttentionSize,
    Change,
    ComponentSoftmax,
    Gates,
    Integration,
    Pixels,
    Scores,
    block_diagonal,
    fold_keys,
    fold_values,
    normalise_over_pixels,
    project_heads,
    weighted_sum,
)
from ganformer.nn.layers import Linear, ModulatedConvolution, Noise, NoNoise, Projection, UnmodulatedConvolution
from ganformer.nn.synthesis import LayerLatents, LayerSpec, LayerState, SynthesisLayer
from ganformer.ops.bipartite_attention import assign


@dataclass(frozen=True)
class AttentionParts:
    """Modules shared by all kinds of attention.

    `positions()` returns the position encodings of the pixels [n, D]; the others act on the scores, in this order.
    """

    positions: nn.Module
    softmax: ComponentSoftmax
    dropout: AttentionDropout
    gates: Gates
    integration: Integration


class Attention(nn.Module, ABC):
    """The image attends to the components: γ(a(X, Y)) ⊙ ω(X) + β(a(X, Y)) (GANformer, section 3.1).

    All kinds share the queries of the image, the values of the components, and the integration. Products are bracketed
    such that no matrix of C × C meets the image; `plain` has the same equations as the paper writes them.
    """

    def __init__(self, size: AttentionSize, parts: AttentionParts) -> None:
        super().__init__()
        channels, latent = size.channels, size.latent
        self.heads = size.heads
        self.positions = parts.positions
        self.queries = Linear(channels, channels)
        self.query_positions = Linear(latent, channels)
        self.values = Linear(latent, channels)
        self.modulation = Linear(channels, channels * parts.integration.outputs)
        self.softmax = parts.softmax
        self.dropout = parts.dropout
        self.gates = parts.gates
        self.integration = parts.integration

    @abstractmethod
    def forward(self, pixels: Pixels, latents: AttendedLatents, state: ComponentState) -> tuple[Tensor, ComponentState]:
        """Return features [B, n, C], and the state for the next layer; nothing given is changed."""

    def scores(self, pixels: Pixels, keys: Tensor) -> Scores:
        """Return the products of all pixels' queries with keys [B, m, C], in two factors."""
        keys = keys / math.sqrt(keys.shape[-1] / self.heads)
        bias = (self.queries.bias + self.query_positions.bias)[:, None]
        places = fold_keys(keys, self.query_positions.scaled_weight, self.heads) @ pixels.grid.T
        content = fold_keys(keys, self.queries.scaled_weight, self.heads)
        return Scores(content, places + fold_keys(keys, bias, self.heads))

    def assigned(self, pixels: Pixels, scores: Scores, latents: AttendedLatents) -> Tensor:
        """Return the weight of each component for every pixel: [B, h, m, n], sum 1 over m."""
        content, places = self.softmax.masked(scores, latents.components)
        weights: Tensor = assign(pixels.content, content, places, self.heads).unflatten(1, (self.heads, -1))
        return weights

    def integrate(
        self, pixels: Pixels, scores: Scores, components: Tensor, latents: AttendedLatents
    ) -> tuple[Tensor, Tensor]:
        """Change features [B, n, C] by the values of components [B, m, D] that pixels attend to by these scores.

        Returns the features, and the weights [B, h, m, n] as they are without dropout and gates.
        """
        values = fold_values(self.values(components), self.modulation.scaled_weight, self.heads)
        shape = (values.shape[0], self.heads, values.shape[1] // self.heads, pixels.content.shape[1])
        factor = self.gates(self.dropout.factor(shape, values), pixels, components, latents.positions)
        if factor is not None:
            factor = factor.expand(shape).flatten(1, 2)
        scores = self.softmax.masked(scores, latents.components)
        change = Change(scores, self.heads, factor, values, self.modulation.bias)
        features, weights = self.integration(pixels.content, change)
        return features, weights.unflatten(1, (self.heads, -1))


class Simplex(Attention):
    """Keys come from the components, which the image does not change (GANformer, section 3.1.1)."""

    def __init__(self, size: AttentionSize, parts: AttentionParts) -> None:
        super().__init__(size, parts)
        self.keys = Projection(size.latent, size.channels)
        self.key_positions = Projection(size.latent, size.channels)

    def forward(self, pixels: Pixels, latents: AttendedLatents, state: ComponentState) -> tuple[Tensor, ComponentState]:
        components = latents.current(state)
        keys = self.keys(components) + self.key_positions(latents.positions)
        return self.integrate(pixels, self.scores(pixels, keys), components, latents)[0], state


class Duplex(Attention):
    """Components attend to the image, then the image to them, with centroids as keys (GANformer, section 3.1.2).

    a(Y, X), softmax over the pixels, is computed once and serves twice: for Y := LayerNorm(Y + a(Y, X)), which the next
    layer is given, and for the centroids K = a(Y, X). With `iterations` > 1 the centroids are refined as in k-means:
    pixels are assigned to them, softmax over the components, and their weighted mean is taken again.
    """

    def __init__(self, size: AttentionSize, parts: AttentionParts, iterations: int) -> None:
        super().__init__(size, parts)
        channels, latent = size.channels, size.latent
        self.iterations = iterations
        self.component_attention = ComponentAttention(channels, latent, size.heads, channels)
        self.norm = nn.LayerNorm(latent)
        self.centroids = Projection(channels, channels)
        self.centroid_positions = Projection(latent, channels)

    def forward(self, pixels: Pixels, latents: AttendedLatents, state: ComponentState) -> tuple[Tensor, ComponentState]:
        components = latents.current(state)
        attended, weights = self.component_attention.gathered(pixels, components, latents.positions)
        components = self.norm(components + self.component_attention.attended_values(attended))
        state = latents.updated(state, components)
        keys = self.means(attended, weighted_sum(weights, pixels.grid))
        for _ in range(self.iterations - 1):
            assigned = self.assigned(pixels, self.scores(pixels, keys), latents)
            weights = normalise_over_pixels(self.dropout(assigned))
            keys = self.means(weighted_sum(weights, pixels.content), weighted_sum(weights, pixels.grid))
        return self.integrate(pixels, self.scores(pixels, keys), components, latents)[0], state

    def means(self, content: Tensor, places: Tensor) -> Tensor:
        """Return centroids [B, m, C] of weighted means of the pixels: content [B, h, m, C], places [B, h, m, D]."""
        return project_heads(content, self.centroids.scaled_weight) + project_heads(
            places, self.centroid_positions.scaled_weight
        )


class KMeans(Attention):
    """Keys are centroids of the pixels, as in k-means with soft assignments, which begins as each kind has it.

    A pixel is described by the 2C values [queries of its content, of its position], of which head i sees the i-th
    part: with one head everything, with two heads either content or position. With `iterations` > 1 pixels are
    assigned to the centroids, and their weighted mean is taken, before the scores that count.
    """

    def __init__(self, size: AttentionSize, parts: AttentionParts, iterations: int) -> None:
        super().__init__(size, parts)
        self.iterations = iterations
        self.importance = nn.Parameter(torch.ones(size.heads, 1, 2 * size.channels // size.heads))

    @abstractmethod
    def beginning(self, pixels: Pixels, state: ComponentState) -> Tensor:
        """Return the first centroids, [B or 1, h, m, 2s]."""

    def forward(self, pixels: Pixels, latents: AttendedLatents, state: ComponentState) -> tuple[Tensor, ComponentState]:
        centroids = self.beginning(pixels, state)
        for _ in range(self.iterations - 1):
            assigned = self.assigned(pixels, self.nearness(pixels, centroids), latents)
            centroids = self.means(pixels, normalise_over_pixels(self.dropout(assigned)))
        scores = self.nearness(pixels, centroids)
        features, weights = self.integrate(pixels, scores, latents.current(state), latents)
        return features, replace(state, assignments=weights)

    def nearness(self, pixels: Pixels, centroids: Tensor) -> Scores:
        """Return the products of centroids [B or 1, h, m, 2s] with pixels · importance / √s, in two factors."""
        keys = block_diagonal(centroids * self.importance * math.sqrt(2 / centroids.shape[-1]))
        content, place = keys.chunk(2, dim=2)  # B h·m C each
        bias = content @ self.queries.bias + place @ self.query_positions.bias  # B h·m
        places = place @ self.query_positions.scaled_weight @ pixels.grid.T + bias[:, :, None]
        images = pixels.content.shape[0]  # of constants the factors are the same for all
        return Scores((content @ self.queries.scaled_weight).expand(images, -1, -1), places.expand(images, -1, -1))

    def means(self, pixels: Pixels, weights: Tensor) -> Tensor:
        """Return centroids [B, h, m, 2s]: means of the pixels, weighted by weights [B, h, m, n]."""
        total = weights.sum(dim=3, keepdim=True)  # 1, but for the ε of `normalise_over_pixels`
        content = weighted_sum(weights, pixels.content) @ self.queries.scaled_weight.T + total * self.queries.bias
        places = weighted_sum(weights, pixels.grid) @ self.query_positions.scaled_weight.T
        both = torch.cat([content, places + total * self.query_positions.bias], dim=3)  # B h m 2C
        queries: Tensor = both.unflatten(3, (self.heads, -1)).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        return queries


class Centroid(KMeans):
    """K-means from learned constants, as in the released code and all released checkpoints.

    The released code has parameters more that do nothing, which are left out: `to_keys` and `to_pos_map`.
    """

    def __init__(self, size: AttentionSize, parts: AttentionParts, iterations: int) -> None:
        super().__init__(size, parts, iterations)
        width = 2 * size.channels // size.heads
        self.centroids = nn.Parameter(torch.randn(1, size.heads, size.components, width))

    def beginning(self, pixels: Pixels, state: ComponentState) -> Tensor:
        return self.centroids


class CarriedCentroid(KMeans):
    """K-means from where the layer before ended: the mean of those pixels that were assigned to a component there.

    `stretch` lays the assignments [B, h, m, n'] of that layer over the pixels of this one; they are normalised anew.
    """

    def __init__(self, size: AttentionSize, parts: AttentionParts, iterations: int, stretch: nn.Module) -> None:
        super().__init__(size, parts, iterations)
        self.stretch = stretch

    def beginning(self, pixels: Pixels, state: ComponentState) -> Tensor:
        return self.means(pixels, normalise_over_pixels(self.stretch(state.assignments)))


class Doubled(nn.Module):
    """Weights [B, h, m, n] of an image of height × width pixels → [B, h, m, 4n], each pixel become 2 × 2 of them."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = (height, width)

    def forward(self, weights: Tensor) -> Tensor:
        maps = weights.unflatten(3, self.grid)
        enlarged: Tensor = maps.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4).flatten(3)
        return enlarged


class AttendedLayer(SynthesisLayer):
    """Synthesis layer with attention between the convolution and the noise.

    `changes` are applied to the components first, in this order; later layers see the changed components.
    """

    def __init__(
        self,
        spec: LayerSpec,
        convolution: ModulatedConvolution | UnmodulatedConvolution,
        noise: Noise | NoNoise,
        attention: Attention,
        changes: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(spec, convolution, noise)
        self.changes = nn.ModuleList(changes)
        self.attention = attention
        self.grid = (spec.output.height, spec.output.width)

    def forward(self, x: Tensor, latents: LayerLatents, state: LayerState) -> tuple[Tensor, LayerState]:
        assert isinstance(latents, AttendedLatents) and isinstance(state, ComponentState)
        x = self.convolution(x, latents.style)
        content = x.permute(0, 2, 3, 1).flatten(1, 2)  # a view of channels_last memory
        pixels = Pixels(content, self.attention.positions())
        for change in self.changes:
            state = latents.updated(state, change(pixels, latents.current(state), latents))
        features, state = self.attention(pixels, latents, state)
        return self.finish(features.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)), state

    def as_maps(self, weights: Tensor) -> Tensor:
        """Return weights [B, h, m, n] of this layer's attention as maps [B, h, m, height, width]."""
        maps: Tensor = weights.unflatten(3, self.grid)
        return maps
