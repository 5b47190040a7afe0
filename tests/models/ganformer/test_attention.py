"""Attention against its definition, written without folding: every matrix meets every pixel."""

# B batch, n pixels, m components, h heads, s values a head, C channels, D size of a latent

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.ganformer import positions
from ganformer.models.ganformer.attention import (
    Attention,
    AttentionParts,
    CarriedCentroid,
    Centroid,
    Doubled,
    Duplex,
    KMeans,
    Simplex,
)
from ganformer.models.ganformer.components import AttendedLatents, Carried
from ganformer.models.ganformer.parts import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttentionDropout,
    AttentionSize,
    ComponentGate,
    ComponentSoftmax,
    Gates,
    ImageGate,
    NoNormalisation,
    Pixels,
    PresentSoftmax,
    shares,
)
from tests.models.ganformer.dense import dense, merged, normal, split

B, HEIGHT, WIDTH, C, D, M = 2, 3, 4, 8, 4, 3
KINDS = ["simplex", "duplex", "centroid", "carried"]
EVERYTHING = list(itertools.product(KINDS, [1, 2], INTEGRATIONS, NORMALISATIONS))


SIZES = {heads: AttentionSize(C, D, M, heads) for heads in (1, 2, 4)}
GATES: dict[str, Callable[[AttentionSize], nn.Module]] = {"image": ImageGate, "component": ComponentGate}


def build(
    kind: str,
    heads: int = 1,
    integration: str = "mul",
    norm: str = "layer",
    iterations: int = 1,
    dropout: float = 0.0,
    gates: Sequence[str] = (),
    softmax: type[ComponentSoftmax] = ComponentSoftmax,
) -> Attention:
    torch.manual_seed(0)
    size = SIZES[heads]
    parts = AttentionParts(
        positions.Sinusoidal(HEIGHT, WIDTH, D, 2),
        softmax(heads),
        AttentionDropout(dropout),
        Gates({name: GATES[name](size) for name in gates}),
        INTEGRATIONS[integration](NORMALISATIONS[norm]()),
    )
    makers: dict[str, Callable[[], Attention]] = {
        "simplex": lambda: Simplex(size, parts),
        "duplex": lambda: Duplex(size, parts, iterations),
        "centroid": lambda: Centroid(size, parts, iterations),
        "carried": lambda: CarriedCentroid(size, parts, iterations, nn.Identity()),
    }
    attention = makers[kind]().double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    return attention


def attend(attention: Attention, x: Tensor, latents: AttendedLatents) -> Tensor:
    y: Tensor = attention(Pixels(x, attention.positions()), latents)
    return y


def inputs(heads: int = 1) -> tuple[Tensor, AttendedLatents]:
    torch.manual_seed(1)
    x, components, positions = normal(B, HEIGHT * WIDTH, C), normal(B, M, D), normal(M, D)
    return x, AttendedLatents(torch.empty(B, 0), components, positions, carried(heads))


def carried(heads: int = 1) -> Carried:
    """What a layer before may have left, the same each time."""
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    update, assignments = (
        torch.randn(B, M, D).double(),
        torch.randn(B, heads, M, HEIGHT * WIDTH).double().softmax(dim=2),
    )
    torch.random.set_rng_state(state)
    return Carried(update, assignments)


def again(latents: AttendedLatents) -> AttendedLatents:
    """The same latents, before anything happened to them."""
    heads = latents.carried.assignments.shape[1]
    return AttendedLatents(latents.style, latents.components, latents.positions, carried(heads))


# ---------------------------------------------------------------------------------------------- definitions


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
    components = latents.components + latents.carried.update
    queries = dense(attention.queries, x) + dense(attention.query_positions, attention.positions())
    keys = dense(attention.keys, components) + dense(attention.key_positions, latents.positions)
    queries, keys = split(queries, attention.heads), split(keys, attention.heads)
    return (queries @ keys.mT / math.sqrt(keys.shape[-1])).softmax(-1), components


def defined_duplex(attention: Duplex, x: Tensor, latents: AttendedLatents, iterations: int) -> tuple[Tensor, Tensor]:
    heads, grid = attention.heads, attention.positions()
    components, gathering = latents.components + latents.carried.update, attention.component_attention
    asking = dense(gathering.queries, components)
    asking = split(asking + dense(gathering.query_positions, latents.positions), heads)
    shown = split(dense(gathering.keys, x) + dense(gathering.key_positions, grid), heads)
    weights = (asking @ shown.mT / math.sqrt(C / heads)).softmax(-1)  # B h m n

    update = merged(weights @ split(dense(gathering.values, x), heads))
    updated = F.layer_norm(components + update, (D,), attention.norm.weight, attention.norm.bias)

    elements = split(dense(attention.centroids, x) + dense(attention.centroid_positions, grid), heads)
    queries = split(dense(attention.queries, x) + dense(attention.query_positions, grid), heads)
    keys = weights @ elements
    assigned = (queries @ keys.mT / math.sqrt(C / heads)).softmax(-1)  # B h n m
    for _ in range(iterations - 1):
        keys = means(assigned, elements)
        assigned = (queries @ keys.mT / math.sqrt(C / heads)).softmax(-1)
    return assigned, updated


def means(assigned: Tensor, elements: Tensor) -> Tensor:
    """Of elements [B, h, n, s], as assigned [B, h, n, m] says how much of each belongs to whom: [B, h, m, s]."""
    return (assigned / (assigned.sum(2, keepdim=True) + 1e-8)).mT @ elements


def defined_k_means(attention: KMeans, x: Tensor, latents: AttendedLatents, iterations: int) -> tuple[Tensor, Tensor]:
    content = dense(attention.queries, x)
    place = dense(attention.query_positions, attention.positions()).expand_as(content)
    elements = split(torch.cat([content, place], dim=2), attention.heads)  # B h n 2s
    if isinstance(attention, Centroid):
        centroids: Tensor = attention.centroids
    else:
        centroids = means(latents.carried.assignments.mT, elements)
    for iteration in range(iterations):
        scores = (elements * attention.importance) @ centroids.mT
        assigned = (scores / math.sqrt(C / attention.heads)).softmax(-1)
        if iteration < iterations - 1:
            centroids = means(assigned, elements)
    return assigned, latents.components + latents.carried.update


DEFINED: dict[str, Callable[[Any, Tensor, AttendedLatents, int], tuple[Tensor, Tensor]]] = {
    "simplex": defined_simplex,
    "duplex": defined_duplex,
    "centroid": defined_k_means,
    "carried": defined_k_means,
}


def assert_is_defined(
    kind: str, heads: int = 1, integration: str = "mul", norm: str = "layer", iterations: int = 1
) -> None:
    attention = build(kind, heads, integration, norm, iterations)
    x, latents = inputs(heads)
    y = attend(attention, x, latents)
    weights, components = DEFINED[kind](attention, x, again(latents), iterations)
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
    assert_is_defined(kind, heads, integration, norm)


@pytest.mark.parametrize("kind", ["duplex", "centroid", "carried"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_is_its_definition_when_iterated(kind: str, heads: int) -> None:
    assert_is_defined(kind, heads, iterations=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("gates", [["image"], ["component"], ["image", "component"]], ids="-".join)
def test_gates_are_their_definition(kind: str, heads: int, gates: list[str]) -> None:
    attention = build(kind, heads, gates=gates)
    x, latents = inputs(heads)
    weights, components = DEFINED[kind](attention, x, again(latents), 1)
    parts = attention.gates
    if "image" in gates:
        opened = dense(parts["image"].content, x) + dense(parts["image"].place, attention.positions()) + 1
        weights = weights * opened.sigmoid().mT[:, :, :, None]
    if "component" in gates:
        opened = dense(parts["component"].content, components) + dense(parts["component"].place, latents.positions)
        weights = weights * opened.sigmoid().mT[:, :, None]
    expected = changed(attention, x, weights, components, "mul", "layer")
    torch.testing.assert_close(attend(attention, x, latents), expected)


# ------------------------------------------------------------------------------------------- what depends on what


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gates", [(), ("image", "component")], ids=["", "gated"])
def test_has_second_derivatives(kind: str, gates: tuple[str, ...]) -> None:
    attention = build(kind, gates=gates)
    x, latents = inputs()
    assignments = latents.carried.assignments[:1]

    def of(x: Tensor, components: Tensor) -> Tensor:
        left = Carried(assignments=assignments)
        return attend(
            attention, x, AttendedLatents(latents.style, components, latents.positions.detach(), left)
        ).square()

    arguments = (x[:1, :].detach().requires_grad_(), latents.components[:1].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(of, arguments, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("iterations", [1, 2])
def test_every_parameter_matters(kind: str, iterations: int) -> None:
    attention = build(kind, heads=2, integration="both", iterations=iterations, gates=["image", "component"])
    x, latents = inputs(heads=2)
    attend(attention, x, latents).square().sum().backward()
    assert [name for name, p in attention.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []
    assert latents.components.grad is not None
    assert latents.positions.grad is not None


def given(attention: Attention, x: Tensor, latents: AttendedLatents) -> Tensor:
    """The weights [B, h, m, n] that the image is given in the end."""
    seen: list[Tensor] = []
    hook = attention.gates.register_forward_hook(lambda *call: seen.append(call[-1]))
    attend(attention, x, latents)
    hook.remove()
    (weights,) = seen
    return weights


def test_constants_alone_decide_where_components_are_used() -> None:
    attention = build("centroid")
    x, latents = inputs()
    others = AttendedLatents(latents.style, latents.components + 1, latents.positions + 1)
    assert given(attention, x, again(latents)).equal(given(attention, x, others))
    assert not attend(attention, x, again(latents)).allclose(attend(attention, x, others))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 2])
def test_order_of_components_is_only_a_name(kind: str, heads: int) -> None:
    attention = build(kind, heads, gates=["image", "component"])
    x, latents = inputs(heads)
    order = torch.tensor([2, 0, 1])

    def shuffled() -> AttendedLatents:
        left = again(latents).carried
        left = Carried(left.update[:, order], left.assignments[:, :, order])
        return AttendedLatents(latents.style, latents.components[:, order], latents.positions[order], left)

    y, weights = attend(attention, x, again(latents)), given(attention, x, again(latents))
    if isinstance(attention, Centroid):
        attention.centroids.data = attention.centroids.data[:, :, order]
    torch.testing.assert_close(attend(attention, x, shuffled()), y)
    torch.testing.assert_close(given(attention, x, shuffled()), weights[:, :, order])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("iterations", [1, 2])
def test_what_is_absent_might_as_well_not_exist(kind: str, iterations: int) -> None:
    attention = build(kind, heads=2, iterations=iterations, gates=["image", "component"], softmax=PresentSoftmax)
    x, latents = inputs(heads=2)
    here = torch.tensor([0, 2])
    thinned = again(latents)
    thinned.components.data[:, 1] = 0
    y = attend(attention, x, thinned)
    assert not given(attention, x, again(latents))[:, :, 1].any()

    left = again(latents).carried
    left = Carried(left.update[:, here], left.assignments[:, :, here])
    fewer = AttendedLatents(latents.style, latents.components[:, here], latents.positions[here], left)
    if isinstance(attention, Centroid):
        attention.centroids.data = attention.centroids.data[:, :, here]
    torch.testing.assert_close(attend(attention, x, fewer), y)


# ------------------------------------------------------------------------------------------- what is carried on


def test_duplex_carries_on_what_it_changed() -> None:
    attention = build("duplex")
    x, latents = inputs()
    attend(attention, x, latents)
    updated = latents.components + latents.carried.update
    torch.testing.assert_close(updated, defined_duplex(attention, x, again(latents), 1)[1])

    mixed = AttendedLatents(latents.style, latents.components + 3, latents.positions, latents.carried)
    attend(attention, x, mixed)
    started_there = AttendedLatents(latents.style, updated + 3, latents.positions)
    expected = defined_duplex(attention, x, started_there, 1)[1]
    torch.testing.assert_close(mixed.components + latents.carried.update, expected)


@pytest.mark.parametrize("kind", ["centroid", "carried"])
def test_k_means_carries_on_what_it_assigned(kind: str) -> None:
    attention = build(kind, heads=2, dropout=0.5, gates=["image", "component"])
    x, latents = inputs(heads=2)
    attend(attention, x, latents)
    expected = defined_k_means(attention, x, again(latents), 1)[0].mT  # neither thinned out nor gated
    torch.testing.assert_close(latents.carried.assignments, expected)


def test_carried_centroids_are_means_of_what_was_assigned_a_layer_before() -> None:
    """Two pixels become eight: each centroid is the mean of its four, in whichever image of the batch."""
    torch.manual_seed(0)
    size = AttentionSize(C, D, components=2)
    parts = AttentionParts(
        positions.Trainable2d(2, 4, D),
        ComponentSoftmax(1),
        AttentionDropout(0.0),
        Gates(),
        INTEGRATIONS["mul"](NoNormalisation()),
    )
    attention = CarriedCentroid(size, parts, 1, Doubled(1, 2))
    left = Carried(assignments=torch.stack([torch.eye(2), torch.eye(2).flip(0)])[:, None])
    x = torch.randn(2, 8, C)
    pixels = Pixels(x, attention.positions())
    centroids = attention.beginning(
        pixels, AttendedLatents(torch.empty(2, 0), torch.zeros(2, 2, D), torch.zeros(2, D), left)
    )
    halves = (torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3, 6, 7]))  # left and right of 2 × 4 pixels
    for image, order in ((0, halves), (1, halves[::-1])):
        for component, chosen in enumerate(order):
            content = dense(attention.queries, x[image, chosen].mean(dim=0))
            place = dense(attention.query_positions, attention.positions()[chosen].mean(dim=0))
            torch.testing.assert_close(centroids[image, 0, component], torch.cat([content, place]))


def test_doubled_assignments_are_copies_row_by_row() -> None:
    weights = torch.arange(6.0).view(1, 1, 1, 6)  # 2 × 3 pixels
    doubled = Doubled(2, 3)(weights).view(4, 6)
    rows = [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert doubled.tolist() == [rows[0], rows[0], rows[1], rows[1]]
    torch.testing.assert_close(shares(Doubled(2, 3)(weights + 1)).sum(dim=3), torch.ones(1, 1, 1))


# ------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only(kind: str) -> None:
    attention = build(kind, dropout=0.5)
    x, latents = inputs()
    assert not attend(attention, x, again(latents)).equal(attend(attention, x, again(latents)))
    attention.eval()
    assert attend(attention, x, again(latents)).equal(attend(attention, x, again(latents)))
