"""Weights divided by their largest singular value."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ganformer.models.sagan.spectral_norm import normalise_spectrally
from ganformer.nn import layers
from ganformer.nn.resampling import Convolve


def effective(layer: nn.Module) -> Tensor:
    """Return the effective weight of a layer as a matrix."""
    return (layer.weight * layer.scale).flatten(1)


def largest(layer: nn.Module) -> float:
    return torch.linalg.svdvals(effective(layer).detach())[0].item()


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        (layers.Convolution(5, 7, 3, Convolve()), 1.0),
        (layers.Convolution(5, 7, 1, Convolve(), gain=0.5), 0.5),
        (layers.Projection(6, 9), 1.0),
        (layers.Linear(6, 9, rate=0.01), 1.0),
    ],
)
def test_largest_singular_value_becomes_the_gain(layer: nn.Module, norm: float) -> None:
    torch.manual_seed(0)  # layers were made while tests were collected, from whatever had been drawn before
    nn.init.normal_(layer.weight)
    before = effective(layer).detach()
    normalise_spectrally(layer)
    for _ in range(1000):
        effective(layer)
    assert largest(layer) == pytest.approx(norm, rel=1e-3)
    after = effective(layer).detach()
    torch.testing.assert_close(after / after.norm(), before / before.norm())  # nothing but the scale has changed


def test_gradient_is_that_of_the_weight_over_its_largest_singular_value() -> None:
    layer = layers.Projection(4, 3)
    normalise_spectrally(layer)
    for _ in range(200):
        effective(layer)
    original = layer.parametrizations.weight.original
    slope = torch.randn(3, 4)
    (found,) = torch.autograd.grad((effective(layer) * slope).sum(), original)
    expected = original.detach().requires_grad_()
    (expected_gradient,) = torch.autograd.grad(
        (expected / torch.linalg.matrix_norm(expected, ord=2) * slope).sum(), expected
    )
    torch.testing.assert_close(found, expected_gradient, rtol=1e-3, atol=1e-4)


def test_follows_the_weight_in_training_only() -> None:
    layer = layers.Projection(4, 3)
    normalise_spectrally(layer)
    norm = layer.parametrizations.weight[0]
    for is_training in (True, False):
        layer.train(is_training)
        before = norm.left.clone()
        first = effective(layer)
        assert norm.left.equal(before) == (not is_training)
    assert effective(layer).equal(first)


def test_several_uses_are_differentiated_together() -> None:
    layer = layers.Linear(4, 3)
    normalise_spectrally(layer)
    x = torch.randn(2, 4, requires_grad=True)
    (layer(x).square().sum() - layer(2 * x).sum()).backward()
    assert layer.parametrizations.weight.original.grad.any()


def test_a_copy_and_a_saved_state_are_the_same_layer() -> None:
    layer = layers.ActivatedConvolution(3, 4, 3, Convolve())
    normalise_spectrally(layer)
    twin, other = copy.deepcopy(layer), layers.ActivatedConvolution(3, 4, 3, Convolve())
    normalise_spectrally(other)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 5, 5)
    for _ in range(2):  # the second time with the vectors of the first
        expected = layer(x)
        assert twin(x).equal(expected)
        assert other(x).equal(expected)


def test_normalises_whole_networks() -> None:
    network = nn.Sequential(
        layers.ActivatedLinear(6, 5), nn.Sequential(layers.ActivatedConvolution(3, 4, 3, Convolve()))
    )
    normalise_spectrally(network)
    assert [name for name, _ in network.named_buffers()] == [
        "0.parametrizations.weight.0.left",
        "1.0.convolution.parametrizations.weight.0.left",
    ]
    assert network[0](torch.randn(2, 6)).isfinite().all()
