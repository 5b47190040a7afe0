"""Components, the local latents of attention: the input that a layer gets of them, and modules that update them."""

# B batch, n pixels of the image, m components, h heads, s values a head, C channels, D size of a latent and a position

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganformer.models.ganformer.parts import (
    AttentionDropout,
    ComponentSoftmax,
    Pixels,
    Scores,
    fold_keys,
    project_heads,
)
from ganformer.nn.layers import Linear, Projection, as_float
from ganformer.nn.synthesis import LayerLatents, LayerState
from ganformer.ops.bipartite_attention import gather


@dataclass(frozen=True)
class ComponentState(LayerState):
    """State that an attended layer hands to the next one.

    `update` [B, m, D]: the change of the components by the layers so far; style mixing gives later layers other
    components, and the change is added to these as well. `assignments` [B, h, m, n]: the weight of every component for
    every pixel of the layer before, without dropout or gates; None in front of the first attention.
    """

    update: Tensor | float = 0.0
    assignments: Tensor | None = None


@dataclass(frozen=True)
class AttendedLatents(LayerLatents):
    """Latents of one layer: its style [B, D], the components [B, m, D] of its w, and their `positions` [m, D]."""

    components: Tensor
    positions: Tensor

    def current(self, state: ComponentState) -> Tensor:
        """Return the components as the layers before have changed them, [B, m, D]."""
        return self.components + state.update

    def updated(self, state: ComponentState, components: Tensor) -> ComponentState:
        """Return the state with which the components are `components` [B, m, D] from here on."""
        return replace(state, update=components - self.components)


class SelfAttention(nn.Module):
    """Components u [B, m, D] with positions [m, D] → u plus what each attends to among them, [B, m, D].

    `latents` [B, m, D]: input of the mapping, by which `softmax` knows the present components. Biases of keys are left
    out here and everywhere: they change all scores of a softmax alike.
    """

    def __init__(self, size: int, softmax: ComponentSoftmax, dropout: float) -> None:
        super().__init__()
        self.heads = softmax.heads
        self.queries = Linear(size, size)
        self.query_positions = Linear(size, size)
        self.keys = Projection(size, size)
        self.key_positions = Projection(size, size)
        self.values = Linear(size, size)
        self.modulation = Linear(size, size)
        self.softmax = softmax
        self.dropout = AttentionDropout(dropout)

    def forward(self, u: Tensor, positions: Tensor, latents: Tensor) -> Tensor:
        queries = self.queries(u) + self.query_positions(positions)
        keys = self.keys(u) + self.key_positions(positions)
        queries, keys, values = (x.unflatten(2, (self.heads, -1)) for x in (queries, keys, self.values(u)))
        scores = torch.einsum("bmhs,bnhs->bhmn", keys, queries).flatten(1, 2) / math.sqrt(keys.shape[-1])
        attended = torch.einsum("bhmn,bmhs->bnhs", self.dropout(self.softmax(scores, latents)), values)
        changed: Tensor = u + self.modulation(attended.flatten(2))
        return changed


class NoAttention(nn.Module):
    """Leaves components [B, m, D] as they are."""

    def forward(self, u: Tensor, positions: Tensor, latents: Tensor) -> Tensor:
        return u


class ComponentAttention(nn.Module):
    """a(Y, X): components attend to an image of `channels` features, softmax over the pixels (GANformer, section 3.1).

    Their products are of `width` values; heads split these and the values of a component.
    """

    def __init__(self, channels: int, latent: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = Linear(latent, width)
        self.query_positions = Linear(latent, width)
        self.keys = Projection(channels, width)
        self.key_positions = Projection(latent, width)
        self.values = Linear(channels, latent)

    def scores(self, pixels: Pixels, components: Tensor, positions: Tensor) -> Scores:
        """Return the products of all pixels' keys with the queries of components [B, m, D] at positions [m, D]."""
        queries = self.queries(components) + self.query_positions(positions)
        queries = queries / math.sqrt(queries.shape[-1] / self.heads)
        places = fold_keys(queries, self.key_positions.scaled_weight, self.heads) @ pixels.grid.T
        return Scores(fold_keys(queries, self.keys.scaled_weight, self.heads), places)

    def weights(self, pixels: Pixels, components: Tensor, positions: Tensor) -> Tensor:
        """Return the weight of every pixel for components [B, m, D] at positions [m, D]: [B, h, m, n], sum 1 over n."""
        content, places = self.scores(pixels, components, positions)
        scores = torch.baddbmm(places, content, as_float(pixels.content).transpose(1, 2))
        weights: Tensor = scores.softmax(dim=2).unflatten(1, (self.heads, -1))
        return weights

    def gathered(self, pixels: Pixels, components: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums of the pixels that components [B, m, D] attend to, [B, h, m, C], and `weights`, in one step."""
        sums, weights = gather(pixels.content, *self.scores(pixels, components, positions))
        return sums.unflatten(1, (self.heads, -1)), weights.unflatten(1, (self.heads, -1))

    def attended_values(self, attended: Tensor) -> Tensor:
        """Return values [B, m, D] of attended pixels, given as weighted sums [B, h, m, C]."""
        return project_heads(attended, self.values.scaled_weight) + self.values.bias


# ------------------------------------------------------------------------------------- before a layer attends


class FromEachOther(nn.Module):
    """Components attend to each other, Y := LayerNorm(Y + a(Y, Y)), [B, m, D] → same; pixels are not used."""

    def __init__(self, latent: int, attention: SelfAttention) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(latent)

    def forward(self, pixels: Pixels, components: Tensor, latents: AttendedLatents) -> Tensor:
        changed: Tensor = self.norm(self.attention(components, latents.positions, latents.components))
        return changed


class FromImage(nn.Module):
    """Components attend to the image, Y := LayerNorm(Y + a(Y, X)), [B, m, D] → same.

    The paper's update (section 3.1.1). The released TensorFlow code has a residual step of two layers instead of the
    norm, which does not run there; tried here, nothing kept components small, and training diverged.
    """

    def __init__(self, channels: int, latent: int, heads: int) -> None:
        super().__init__()
        self.attention = ComponentAttention(channels, latent, heads, channels)
        self.norm = nn.LayerNorm(latent)

    def forward(self, pixels: Pixels, components: Tensor, latents: AttendedLatents) -> Tensor:
        attended, _ = self.attention.gathered(pixels, components, latents.positions)
        changed: Tensor = self.norm(components + self.attention.attended_values(attended))
        return changed
