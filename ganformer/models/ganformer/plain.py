"""Attention as the paper writes it (GANformer, section 3.1): the definition that the fast form in `attention` computes.

Every product is carried out where the equation has it: each matrix of C × C meets each pixel, and no state is threaded.
`attention` brackets the same products otherwise; tests hold values and gradients of both equal. X [B, n, C] are the
features of the image, `grid` [n, D] the positions of its pixels, Y [B, m, D] the components, `positions` [m, D] theirs.
Dropout is left out, and all components are present.
"""

# B batch, n pixels, m components, h heads, s values a head, C channels, D size of a latent and a position

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganformer.models.ganformer.attention import Attention, CarriedCentroid, Centroid, Duplex, Simplex
from ganformer.models.ganformer.components import ComponentAttention, SelfAttention
from ganformer.models.ganformer.parts import Add, ComponentGate, ImageGate, Multiply, MultiplyAndAdd, Normalisation
from ganformer.nn.layers import EPSILON


def simplex(part: Simplex, x: Tensor, grid: Tensor, y: Tensor, positions: Tensor) -> Tensor:
    """Return u_s(X, Y) = γ(a(X, Y)) ⊙ ω(X) + β(a(X, Y)): keys and values come from the components (section 3.1.1)."""
    queries = part.queries(x) + part.query_positions(grid)
    keys = part.keys(y) + part.key_positions(positions)
    return integrate(part, x, grid, softmax(queries, keys, part.heads), y, positions)


def duplex(part: Duplex, x: Tensor, grid: Tensor, y: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return u_d(X, Y) = γ(a(X, K, V)) ⊙ ω(X) + β(a(X, K, V)), and Y := LayerNorm(Y + a(Y, X)) (section 3.1.2).

    The keys K = a(Y, X) are centroids of the pixels, refined as in k-means; the values V come from the new Y.
    """
    gathering = part.component_attention
    weights = component_weights(gathering, x, grid, y, positions)  # B h m n
    elements = split(part.centroids(x) + part.centroid_positions(grid), part.heads)  # B h n s
    keys = merge(weights @ elements)  # B m C
    y = part.norm(y + merge(weights @ split(gathering.values(x), part.heads)))

    queries = part.queries(x) + part.query_positions(grid)
    assigned = softmax(queries, keys, part.heads)  # B h n m
    for _ in range(part.iterations - 1):
        assigned = softmax(queries, merge(means(assigned, elements)), part.heads)
    return integrate(part, x, grid, assigned, y, positions), y


def centroid(
    part: Centroid | CarriedCentroid, x: Tensor, grid: Tensor, y: Tensor, positions: Tensor, before: Tensor
) -> tuple[Tensor, Tensor]:
    """Return features as `duplex`, with keys that the components do not change, and assignments [B, h, n, m].

    K-means on the queries of content and position, as the released code has it, from learned constants, or from the
    means of the pixels as a layer before assigned them, `before` [B, h, n, m], which `Centroid` ignores.
    """
    place = part.query_positions(grid).expand(len(x), -1, -1)
    elements = split(torch.cat([part.queries(x), place], dim=2), part.heads)  # B h n 2s
    keys = part.centroids if isinstance(part, Centroid) else means(before, elements)  # B h m 2s
    scale = math.sqrt(elements.shape[-1] / 2)
    assigned = ((elements * part.importance) @ keys.mT / scale).softmax(dim=-1)
    for _ in range(part.iterations - 1):
        assigned = ((elements * part.importance) @ means(assigned, elements).mT / scale).softmax(dim=-1)
    return integrate(part, x, grid, assigned, y, positions), assigned


def integrate(part: Attention, x: Tensor, grid: Tensor, weights: Tensor, y: Tensor, positions: Tensor) -> Tensor:
    """Return γ(a) ⊙ ω(X) + β(a) of a = weights [B, h, n, m] times values, gated; γ is 1 + a linear map, β linear."""
    for gate in part.gates.values():
        match gate:
            case ImageGate():
                weights = weights * (gate.content(x) + gate.place(grid) + 1).sigmoid().mT[:, :, :, None]  # B h n 1
            case ComponentGate():
                weights = weights * (gate.content(y) + gate.place(positions)).sigmoid().mT[:, :, None]  # B h 1 m
    control: Tensor = part.modulation(merge(weights @ split(part.values(y), part.heads)))
    match part.integration:
        case Multiply():
            return normalise(part, x, ("scale",)) * (1 + control)
        case Add():
            return normalise(part, x, ("mean",)) + control
        case MultiplyAndAdd():
            gain, bias = control.chunk(2, dim=2)
            return normalise(part, x, ("mean", "scale")) * (1 + gain) + bias
    raise AssertionError(part.integration)


def normalise(part: Attention, x: Tensor, what: Sequence[str]) -> Tensor:
    """Return ω(X): X without its mean, of root mean square 1, or both, over the channels or over the pixels."""
    normalisation = part.integration.normalisation
    if isinstance(normalisation, Normalisation):
        if "mean" in what:
            x = x - x.mean(normalisation.dim, keepdim=True)
        if "scale" in what:
            x = x / ((x**2).mean(normalisation.dim, keepdim=True) + EPSILON).sqrt()
    return x


def self_attention(part: SelfAttention, u: Tensor, positions: Tensor) -> Tensor:
    """Return U + a(U, U), linear, of the components in the mapping network or in front of a layer."""
    queries = part.queries(u) + part.query_positions(positions)
    keys = part.keys(u) + part.key_positions(positions)
    attended = softmax(queries, keys, part.heads) @ split(part.values(u), part.heads)
    changed: Tensor = u + part.modulation(merge(attended))
    return changed


def component_attention(part: ComponentAttention, x: Tensor, grid: Tensor, y: Tensor, positions: Tensor) -> Tensor:
    """Return a(Y, X), [B, m, D]: components attend to the image."""
    return merge(component_weights(part, x, grid, y, positions) @ split(part.values(x), part.heads))


def component_weights(part: ComponentAttention, x: Tensor, grid: Tensor, y: Tensor, positions: Tensor) -> Tensor:
    """Return the weights [B, h, m, n] of a(Y, X): for every component a softmax over the pixels."""
    queries = part.queries(y) + part.query_positions(positions)
    return softmax(queries, part.keys(x) + part.key_positions(grid), part.heads)


def softmax(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Return the weights softmax of q kᵀ / √s, [B, h, n, m], for queries [B, n, C] and keys [B, m, C]."""
    q, k = split(queries, heads), split(keys, heads)
    return (q @ k.mT / math.sqrt(k.shape[-1])).softmax(dim=-1)


def means(assigned: Tensor, elements: Tensor) -> Tensor:
    """Return means [B, h, m, s] of elements [B, h, n, s], weighted by assignments [B, h, n, m]."""
    return (assigned / (assigned.sum(dim=2, keepdim=True) + EPSILON)).mT @ elements


def split(x: Tensor, heads: int) -> Tensor:
    """Split [B, n, C] into heads: [B, h, n, s]."""
    parts: Tensor = x.unflatten(-1, (heads, -1)).transpose(-2, -3)
    return parts


def merge(x: Tensor) -> Tensor:
    """Put heads [B, h, n, s] side by side: [B, n, C]."""
    return x.transpose(1, 2).flatten(2)
