"""Attention against its plain definition, what depends on what, and the state that it returns."""

# B batch, n pixels, m components, h heads, s values a head, C channels, D size of a latent

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from ganformer.models.ganformer import plain, positions
from ganformer.models.ganformer.attention import (
    Attention,
    AttentionParts,
    CarriedCentroid,
    Centroid,
    Doubled,
    Duplex,
    Simplex,
)
from ganformer.models.ganformer.components import AttendedLatents, ComponentState
from ganformer.models.ganformer.parts import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttentionDropout,
    AttentionSize,
    Change,
    ComponentGate,
    ComponentSoftmax,
    Gates,
    ImageGate,
    NoNormalisation,
    Pixels,
    PresentSoftmax,
    normalise_over_pixels,
)

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


def attend(
    attention: Attention, x: Tensor, latents: AttendedLatents, state: ComponentState
) -> tuple[Tensor, ComponentState]:
    y, state = attention(Pixels(x, attention.positions()), latents, state)
    return y, state


def normal(*shape: int) -> Tensor:
    """Return a leaf of standard normal values."""
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def inputs(heads: int = 1) -> tuple[Tensor, AttendedLatents, ComponentState]:
    torch.manual_seed(1)
    x, components, given = normal(B, HEIGHT * WIDTH, C), normal(B, M, D), normal(M, D)
    assignments = torch.randn(B, heads, M, HEIGHT * WIDTH).double().softmax(dim=2)
    return x, AttendedLatents(torch.empty(B, 0), components, given), ComponentState(normal(B, M, D), assignments)


def plainly(attention: Attention, x: Tensor, latents: AttendedLatents, state: ComponentState) -> tuple[Tensor, Tensor]:
    """Return the features by the plain definition, and the change of the components."""
    y, given = latents.components + state.update, (attention.positions(), latents.positions)
    match attention:
        case Simplex():
            return plain.simplex(attention, x, given[0], y, given[1]), state.update
        case Duplex():
            features, changed = plain.duplex(attention, x, given[0], y, given[1])
            return features, changed - latents.components
        case Centroid() | CarriedCentroid():
            return plain.centroid(attention, x, given[0], y, given[1], state.assignments.mT)[0], state.update
    raise AssertionError(attention)


def assert_is_defined(
    kind: str,
    heads: int = 1,
    integration: str = "mul",
    norm: str = "layer",
    iterations: int = 1,
    gates: Sequence[str] = (),
) -> None:
    attention = build(kind, heads, integration, norm, iterations, gates=gates)
    x, latents, state = inputs(heads)
    found = attend(attention, x, latents, state)
    expected = plainly(attention, x, latents, state)
    wanted = [x, latents.components, latents.positions, state.update, *attention.parameters()]
    slopes = []
    for features, update in ((found[0], found[1].update), expected):
        torch.manual_seed(3)
        loss = (features * torch.randn_like(features)).sum() + (update * torch.randn_like(update)).sum()
        slopes.append(torch.autograd.grad(loss, wanted, allow_unused=True))
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1].update, expected[1])
    for mine, reference in zip(*slopes, strict=True):
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
    assert_is_defined(kind, heads, gates=gates)


# ------------------------------------------------------------------------------------------- what depends on what


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gates", [(), ("image", "component")], ids=["", "gated"])
def test_has_second_derivatives(kind: str, gates: tuple[str, ...]) -> None:
    attention = build(kind, gates=gates)
    x, latents, state = inputs()
    state = ComponentState(assignments=state.assignments[:1])

    def of(x: Tensor, components: Tensor) -> Tensor:
        given = AttendedLatents(latents.style, components, latents.positions.detach())
        return attend(attention, x, given, state)[0].square()

    arguments = (x[:1, :].detach().requires_grad_(), latents.components[:1].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(of, arguments, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("iterations", [1, 2])
def test_every_parameter_matters(kind: str, iterations: int) -> None:
    attention = build(kind, heads=2, integration="both", iterations=iterations, gates=["image", "component"])
    x, latents, state = inputs(heads=2)
    attend(attention, x, latents, state)[0].square().sum().backward()
    assert [name for name, p in attention.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []
    assert latents.components.grad is not None
    assert latents.positions.grad is not None


def given(attention: Attention, x: Tensor, latents: AttendedLatents, state: ComponentState) -> Tensor:
    """Return the final weights [B, h, m, n] of the components for the image."""
    seen: list[Tensor] = []

    def keep(_: object, given: tuple[Tensor, Change], out: tuple[Tensor, Tensor]) -> None:
        factor = given[1].factor
        weights = out[1] if factor is None else out[1] * factor
        seen.append(weights.unflatten(1, (given[1].heads, -1)))

    hook = attention.integration.register_forward_hook(keep)
    attend(attention, x, latents, state)
    hook.remove()
    (weights,) = seen
    return weights


def test_constants_alone_decide_where_components_are_used() -> None:
    attention = build("centroid")
    x, latents, state = inputs()
    others = AttendedLatents(latents.style, latents.components + 1, latents.positions + 1)
    assert given(attention, x, latents, state).equal(given(attention, x, others, state))
    assert not attend(attention, x, latents, state)[0].allclose(attend(attention, x, others, state)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 2])
def test_order_of_components_is_only_a_name(kind: str, heads: int) -> None:
    attention = build(kind, heads, gates=["image", "component"])
    x, latents, state = inputs(heads)
    order = torch.tensor([2, 0, 1])
    y, weights = attend(attention, x, latents, state)[0], given(attention, x, latents, state)
    shuffled = AttendedLatents(latents.style, latents.components[:, order], latents.positions[order])
    state = ComponentState(state.update[:, order], state.assignments[:, :, order])
    if isinstance(attention, Centroid):
        attention.centroids.data = attention.centroids.data[:, :, order]
    torch.testing.assert_close(attend(attention, x, shuffled, state)[0], y)
    torch.testing.assert_close(given(attention, x, shuffled, state), weights[:, :, order])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("iterations", [1, 2])
def test_what_is_absent_might_as_well_not_exist(kind: str, iterations: int) -> None:
    attention = build(kind, heads=2, iterations=iterations, gates=["image", "component"], softmax=PresentSoftmax)
    x, latents, state = inputs(heads=2)
    here = torch.tensor([0, 2])
    latents.components.data[:, 1] = 0
    y = attend(attention, x, latents, state)[0]
    assert not given(attention, x, latents, state)[:, :, 1].any()

    fewer = AttendedLatents(latents.style, latents.components[:, here], latents.positions[here])
    state = ComponentState(state.update[:, here], state.assignments[:, :, here])
    if isinstance(attention, Centroid):
        attention.centroids.data = attention.centroids.data[:, :, here]
    torch.testing.assert_close(attend(attention, x, fewer, state)[0], y)


# ------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_given_changes(kind: str) -> None:
    attention = build(kind, iterations=2)
    x, latents, state = inputs()
    before = [each.clone() for each in (x, latents.components, latents.positions, state.update, state.assignments)]
    attend(attention, x, latents, state)
    after = (x, latents.components, latents.positions, state.update, state.assignments)
    assert all(one.equal(other) for one, other in zip(before, after, strict=True))


def test_simplex_hands_on_the_state_it_was_given() -> None:
    x, latents, state = inputs()
    assert attend(build("simplex"), x, latents, state)[1] is state


def test_a_change_of_components_reaches_other_components_by_style_mixing() -> None:
    attention = build("duplex")
    x, latents, state = inputs()
    _, first = attend(attention, x, latents, state)
    mixed = AttendedLatents(latents.style, latents.components + 3, latents.positions)
    _, second = attend(attention, x, mixed, first)
    expected = plainly(attention, x, mixed, first)[1]
    torch.testing.assert_close(second.update, expected)
    assert not second.update.allclose(plainly(attention, x, mixed, state)[1])


@pytest.mark.parametrize("kind", ["centroid", "carried"])
def test_k_means_hands_on_what_it_assigned(kind: str) -> None:
    attention = build(kind, heads=2, dropout=0.5, gates=["image", "component"])
    x, latents, state = inputs(heads=2)
    _, found = attend(attention, x, latents, state)
    y, before = latents.components + state.update, state.assignments.mT
    _, expected = plain.centroid(attention, x, attention.positions(), y, latents.positions, before)
    torch.testing.assert_close(found.assignments, expected.mT)  # neither thinned out nor gated
    assert found.update is state.update


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
    state = ComponentState(assignments=torch.stack([torch.eye(2), torch.eye(2).flip(0)])[:, None])
    x = torch.randn(2, 8, C)
    centroids = attention.beginning(Pixels(x, attention.positions()), state)
    halves = (torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3, 6, 7]))  # left and right of 2 × 4 pixels
    for image, order in ((0, halves), (1, halves[::-1])):
        for component, chosen in enumerate(order):
            content = attention.queries(x[image, chosen].mean(dim=0))
            place = attention.query_positions(attention.positions()[chosen].mean(dim=0))
            torch.testing.assert_close(centroids[image, 0, component], torch.cat([content, place]))


def test_doubled_assignments_are_copies_row_by_row() -> None:
    weights = torch.arange(6.0).view(1, 1, 1, 6)  # 2 × 3 pixels
    doubled = Doubled(2, 3)(weights).view(4, 6)
    rows = [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert doubled.tolist() == [rows[0], rows[0], rows[1], rows[1]]
    torch.testing.assert_close(normalise_over_pixels(Doubled(2, 3)(weights + 1)).sum(dim=3), torch.ones(1, 1, 1))


# ------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only(kind: str) -> None:
    attention = build(kind, dropout=0.5)
    given = inputs()
    assert not attend(attention, *given)[0].equal(attend(attention, *given)[0])
    attention.eval()
    assert attend(attention, *given)[0].equal(attend(attention, *given)[0])
