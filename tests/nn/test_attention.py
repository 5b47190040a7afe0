"""Attention against its definition, written without folding: every matrix meets every pixel."""

# B batch, n pixels, m components, h heads, s values a head, C channels, D size of a latent

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn import position
from ganformer.nn.attention import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttendedLatents,
    Attention,
    AttentionSize,
    AttentionWeights,
    Carried,
    Centroid,
    Duplex,
    SelfAttention,
    Simplex,
)
from ganformer.nn.layers import Linear, Projection

B, HEIGHT, WIDTH, C, D, M = 2, 3, 4, 8, 4, 3
KINDS = ["simplex", "duplex", "centroid"]
EVERYTHING = list(itertools.product(KINDS, [1, 2], INTEGRATIONS, NORMALISATIONS))


def build(
    kind: str, heads: int = 1, integration: str = "mul", norm: str = "layer", iterations: int = 1, dropout: float = 0.0
) -> Attention:
    torch.manual_seed(0)
    size = AttentionSize(C, D, M, heads)
    shared = (
        size,
        position.Sinusoidal(HEIGHT, WIDTH, D, 2),
        INTEGRATIONS[integration](NORMALISATIONS[norm]()),
        dropout,
    )
    makers = {
        "simplex": lambda: Simplex(*shared),
        "duplex": lambda: Duplex(*shared, iterations),
        "centroid": lambda: Centroid(*shared, iterations),
    }
    attention = makers[kind]().double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    return attention


def inputs() -> tuple[Tensor, AttendedLatents]:
    torch.manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    return normal(B, HEIGHT * WIDTH, C), AttendedLatents(torch.empty(B, 0), normal(B, M, D), normal(M, D), Carried())


# ---------------------------------------------------------------------------------------------- definitions


def dense(layer: Linear | Projection, x: Tensor) -> Tensor:
    y = x @ (layer.weight / math.sqrt(layer.weight.shape[1])).T
    return y + layer.bias if isinstance(layer, Linear) else y


def split(x: Tensor, heads: int) -> Tensor:
    """[B, n, C] → [B, h, n, s]."""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(-2, -3)


def merged(x: Tensor) -> Tensor:
    """[B, h, n, s] → [B, n, C]."""
    return x.transpose(1, 2).flatten(2)


def normalised(x: Tensor, norm: str, integration: str) -> Tensor:
    if norm == "none":
        return x
    axis = {"layer": 2, "instance": 1}[norm]
    if integration in ("add", "both"):
        x = x - x.mean(axis, keepdim=True)
    if integration in ("mul", "both"):
        x = x / ((x**2).mean(axis, keepdim=True) + 1e-8).sqrt()
    return x


def changed(attention: Attention, x: Tensor, weights: Tensor, latents: Tensor, integration: str, norm: str) -> Tensor:
    """What becomes of x where weights [B, h, n, m] are given to the values of latents."""
    values = split(dense(attention.values, latents), attention.heads)
    control = dense(attention.modulation, merged(weights @ values))
    x = normalised(x, norm, integration)
    if integration == "mul":
        return x * (control + 1)
    if integration == "add":
        return x + control
    gain, bias = control.chunk(2, dim=2)
    return x * (gain + 1) + bias


def defined_simplex(attention: Simplex, x: Tensor, latents: AttendedLatents, iterations: int) -> tuple[Tensor, Tensor]:
    queries = dense(attention.queries, x) + dense(attention.query_positions, attention.positions())
    keys = dense(attention.keys, latents.components) + dense(attention.key_positions, latents.positions)
    queries, keys = split(queries, attention.heads), split(keys, attention.heads)
    return (queries @ keys.mT / math.sqrt(keys.shape[-1])).softmax(-1), latents.components


def defined_duplex(attention: Duplex, x: Tensor, latents: AttendedLatents, iterations: int) -> tuple[Tensor, Tensor]:
    heads, grid = attention.heads, attention.positions()
    asking = dense(attention.component_queries, latents.components)
    asking = split(asking + dense(attention.component_positions, latents.positions), heads)
    shown = split(dense(attention.pixel_keys, x) + dense(attention.pixel_positions, grid), heads)
    weights = (asking @ shown.mT / math.sqrt(C / heads)).softmax(-1)  # B h m n

    update = merged(weights @ split(dense(attention.updates, x), heads))
    updated = F.layer_norm(latents.components + update, (D,), attention.norm.weight, attention.norm.bias)

    elements = split(dense(attention.centroids, x) + dense(attention.centroid_positions, grid), heads)
    queries = split(dense(attention.queries, x) + dense(attention.query_positions, grid), heads)
    keys = weights @ elements
    assigned = (queries @ keys.mT / math.sqrt(C / heads)).softmax(-1)  # B h n m
    for _ in range(iterations - 1):
        keys = (assigned / (assigned.sum(2, keepdim=True) + 1e-8)).mT @ elements
        assigned = (queries @ keys.mT / math.sqrt(C / heads)).softmax(-1)
    return assigned, updated


def defined_centroid(
    attention: Centroid, x: Tensor, latents: AttendedLatents, iterations: int
) -> tuple[Tensor, Tensor]:
    content = dense(attention.queries, x)
    place = dense(attention.query_positions, attention.positions()).expand_as(content)
    elements = split(torch.cat([content, place], dim=2), attention.heads)  # B h n 2s
    centroids = attention.centroids
    for iteration in range(iterations):
        scores = (elements * attention.importance) @ centroids.mT
        assigned = (scores / math.sqrt(C / attention.heads)).softmax(-1)
        if iteration < iterations - 1:
            centroids = (assigned / (assigned.sum(2, keepdim=True) + 1e-8)).mT @ elements
    return assigned, latents.components


DEFINED = {"simplex": defined_simplex, "duplex": defined_duplex, "centroid": defined_centroid}


def assert_is_defined(kind: str, heads: int, integration: str, norm: str, iterations: int) -> None:
    attention = build(kind, heads, integration, norm, iterations)
    x, latents = inputs()
    y = attention(x, latents)
    weights, components = DEFINED[kind](attention, x, latents, iterations)
    expected = changed(attention, x, weights, components, integration, norm)
    torch.testing.assert_close(y, expected)

    wanted = [x, latents.components, latents.positions, *attention.parameters()]
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, wanted, direction, allow_unused=True)
    for mine, reference in zip(found, torch.autograd.grad(expected, wanted, direction, allow_unused=True), strict=True):
        assert (mine is None) == (reference is None)
        if mine is not None:
            torch.testing.assert_close(mine, reference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("kind", "heads", "integration", "norm"), EVERYTHING)
def test_is_its_definition(kind: str, heads: int, integration: str, norm: str) -> None:
    assert_is_defined(kind, heads, integration, norm, iterations=1)


@pytest.mark.parametrize("kind", ["duplex", "centroid"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_is_its_definition_when_iterated(kind: str, heads: int) -> None:
    assert_is_defined(kind, heads, "mul", "layer", iterations=3)


# ------------------------------------------------------------------------------------------- what depends on what


@pytest.mark.parametrize("kind", KINDS)
def test_has_second_derivatives(kind: str) -> None:
    attention = build(kind)
    x, latents = inputs()

    def of(x: Tensor, components: Tensor) -> Tensor:
        return attention(x, AttendedLatents(latents.style, components, latents.positions.detach())).square()

    arguments = (x[:1, :].detach().requires_grad_(), latents.components[:1].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(of, arguments, fast_mode=True)


@pytest.mark.parametrize("kind", ["simplex", "duplex"])
@pytest.mark.parametrize("iterations", [1, 2])
def test_every_parameter_matters(kind: str, iterations: int) -> None:
    attention = build(kind, heads=2, integration="both", iterations=iterations)
    x, latents = inputs()
    attention(x, latents).square().sum().backward()
    assert [name for name, p in attention.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []
    assert latents.components.grad is not None
    assert latents.positions.grad is not None


def test_centroids_alone_decide_where_components_are_used() -> None:
    attention = build("centroid")
    x, latents = inputs()
    others = AttendedLatents(latents.style, latents.components + 1, latents.positions + 1)
    assert weights_of(attention, x, latents).equal(weights_of(attention, x, others))
    assert not attention(x, latents).allclose(attention(x, others))


def weights_of(attention: Attention, x: Tensor, latents: AttendedLatents) -> Tensor:
    seen: list[Tensor] = []
    hook = attention.weights.register_forward_hook(lambda *call: seen.append(call[-1]))
    attention(x, latents)
    hook.remove()
    return seen[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 2])
def test_order_of_components_is_only_a_name(kind: str, heads: int) -> None:
    attention = build(kind, heads)
    x, latents = inputs()
    order = torch.tensor([2, 0, 1])
    shuffled = AttendedLatents(latents.style, latents.components[:, order], latents.positions[order], Carried())
    y, weights = attention(x, latents), weights_of(attention, x, AttendedLatents(*inputs_of(latents)))
    if isinstance(attention, Centroid):
        attention.centroids.data = attention.centroids.data[:, :, order]
    torch.testing.assert_close(attention(x, shuffled), y)
    again = AttendedLatents(latents.style, latents.components[:, order], latents.positions[order], Carried())
    torch.testing.assert_close(weights_of(attention, x, again), weights[:, :, order])


def inputs_of(latents: AttendedLatents) -> tuple[Tensor, Tensor, Tensor]:
    return latents.style, latents.components, latents.positions


def test_duplex_carries_on_what_it_changed() -> None:
    attention = build("duplex")
    assert isinstance(attention, Duplex)
    x, latents = inputs()
    attention(x, latents)
    updated = latents.components + latents.carried.update
    torch.testing.assert_close(updated, defined_duplex(attention, x, AttendedLatents(*inputs_of(latents)), 1)[1])

    mixed = AttendedLatents(latents.style, latents.components + 3, latents.positions, latents.carried)
    attention(x, mixed)
    started_there = AttendedLatents(latents.style, updated + 3, latents.positions)
    expected = defined_duplex(attention, x, started_there, 1)[1]
    torch.testing.assert_close(mixed.components + latents.carried.update, expected)


def test_self_attention_is_its_definition() -> None:
    attention = SelfAttention(D, heads=2, dropout=0.5).double().eval()
    _, latents = inputs()
    u, positions = latents.components, latents.positions
    queries = split(dense(attention.queries, u) + dense(attention.query_positions, positions), 2)
    keys = split(dense(attention.keys, u) + dense(attention.key_positions, positions), 2)
    weights = (queries @ keys.mT / math.sqrt(D / 2)).softmax(-1)
    expected = u + dense(attention.modulation, merged(weights @ split(dense(attention.values, u), 2)))
    torch.testing.assert_close(attention(u, positions), expected)


# ------------------------------------------------------------------------------------------------- dropout


def test_dropout_thins_out_weights_and_components() -> None:
    torch.manual_seed(0)
    softmax = AttentionWeights(heads=2, dropout=0.5)
    weights = softmax(torch.zeros(50, 2 * 8, 100))  # uniform: 1/8 everywhere
    kept = weights.count_nonzero() / weights.numel()
    assert kept == pytest.approx(0.75**2, abs=0.02)
    assert weights[weights > 0].unique().numel() == 1
    torch.testing.assert_close(weights.max(), torch.tensor(1 / 8 / 0.75**2))
    gone = (weights == 0).all(dim=3).float().mean()
    assert gone == pytest.approx(0.25, abs=0.04)
    assert softmax.eval()(torch.zeros(1, 16, 4)).unique().tolist() == [1 / 8]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only(kind: str) -> None:
    attention = build(kind, dropout=0.5)
    x, latents = inputs()
    assert not attention(x, latents).equal(attention(x, AttendedLatents(*inputs_of(latents))))
    attention.eval()
    first = attention(x, AttendedLatents(*inputs_of(latents)))
    assert first.equal(attention(x, AttendedLatents(*inputs_of(latents))))
