"""Layers against their definitions: scaling, modulation, noise."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn import layers
from ganformer.nn.resampling import Convolve, ConvolveDown, ConvolveUp, Downsample, Upsample


@pytest.mark.parametrize(
    ("layer", "scale"),
    [
        (layers.Linear(200, 300), 1 / math.sqrt(200)),
        (layers.Linear(200, 300, rate=0.01), 1 / math.sqrt(200)),
        (layers.ActivatedLinear(200, 300, rate=0.5), 1 / math.sqrt(200)),
        (layers.Projection(200, 300), 1 / math.sqrt(200)),
        (layers.Convolution(50, 60, 3, Convolve()), 1 / math.sqrt(50 * 9)),
        (layers.Convolution(50, 60, 3, Convolve(), gain=0.5), 0.5 / math.sqrt(50 * 9)),
        (layers.ModulatedConvolution(50, 60, 8, Convolve()), 1 / math.sqrt(50 * 9)),
        (layers.ModulatedToRGB(200, 300, 8), 1 / math.sqrt(200)),
    ],
)
def test_weights_begin_with_the_scale_of_their_inputs(layer: nn.Module, scale: float) -> None:
    weight = layer.get_parameter("weight").detach() * layer.scale
    assert weight.std().item() == pytest.approx(scale, rel=0.03)
    assert weight.mean().item() == pytest.approx(0, abs=scale / 20)


def test_rate_scales_weight_and_bias_alike() -> None:
    layer = layers.Linear(3, 2, bias=5.0, rate=0.1)
    nn.init.constant_(layer.weight, 10.0)
    expected = 3 * 10 * 0.1 / math.sqrt(3) + 5 * 0.1
    assert layer(torch.ones(1, 3)).tolist() == [[pytest.approx(expected)] * 2]


def test_activated_linear_bends_below_zero() -> None:
    layer = layers.ActivatedLinear(1, 1)
    nn.init.constant_(layer.weight, 1.0)
    assert layer(torch.tensor([[3.0], [-5.0]])).flatten().tolist() == pytest.approx([3 * 2**0.5, -(2**0.5)])


def test_normalise_gives_mean_square_one() -> None:
    x = layers.normalise(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(x, torch.tensor([[3.0, 4.0], [0.0, 0.0]]) / math.sqrt(12.5))


def test_small_numbers_are_divided_by_no_less_than_their_floor() -> None:
    """A mean square of 1e-8, where 1e-8 is added to it, is half of what is divided by."""
    torch.testing.assert_close(layers.normalise(torch.full((2, 3), 1e-4)), torch.full((2, 3), math.sqrt(0.5)))
    layer = layers.ModulatedConvolution(6, 5, 4, Convolve())
    nn.init.constant_(layer.weight, 1e-4)
    _, norm = layer.undemodulated(torch.zeros(2, 6, 4, 4), torch.zeros(2, 4))  # styles of one
    torch.testing.assert_close(norm, torch.full((2, 5), 1e4 * math.sqrt(0.5)))


def zeros_inserted(x: Tensor) -> Tensor:
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide


def filtered(x: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (gain * torch.outer(taps, taps)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, padding * 2), kernel, groups=x.shape[1])


def test_resampling_is_its_definition() -> None:
    x, weight = torch.randn(2, 3, 6, 4), torch.randn(5, 3, 3, 3)
    torch.testing.assert_close(Upsample()(x), filtered(zeros_inserted(x), (2, 1), 4.0))
    torch.testing.assert_close(Downsample()(x), filtered(x, (1, 1))[:, :, ::2, ::2])
    torch.testing.assert_close(Convolve()(x, weight), F.conv2d(x, weight, padding=1))
    raised = F.conv2d(zeros_inserted(x), weight.flip(2, 3), padding=2)[:, :, :-1, :-1]
    torch.testing.assert_close(ConvolveUp()(x, weight), filtered(raised, (1, 1), 4.0))
    lowered = F.conv2d(filtered(x, (2, 2)), weight)[:, :, ::2, ::2]
    torch.testing.assert_close(ConvolveDown()(x, weight), lowered)


def test_resampling_keeps_a_flat_image() -> None:
    flat = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(Upsample()(flat)[:, :, 2:-2, 2:-2], torch.ones(1, 1, 12, 12))
    torch.testing.assert_close(Downsample()(flat)[:, :, 1:-1, 1:-1], torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("operation", [Convolve, ConvolveUp, ConvolveDown])
def test_modulation_is_one_demodulated_weight_an_image(operation: type[nn.Module]) -> None:
    layer = layers.ModulatedConvolution(6, 5, 4, operation()).double()
    x, style = torch.randn(3, 6, 8, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    scales = layer.affine(style)
    for image, scale, y in zip(x, scales, layer(x, style), strict=True):
        weight = layer.weight / math.sqrt(6 * 9) * scale[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(y, operation()(image[None], weight)[0])


def test_modulated_colours_are_one_weight_an_image() -> None:
    layer = layers.ModulatedToRGB(6, 3, 4).double()
    nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 6, 3, 5, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    for image, scale, y in zip(x, layer.affine(style), layer(x, style), strict=True):
        weight = layer.weight * scale / math.sqrt(6)
        torch.testing.assert_close(y, torch.einsum("oc,chw->ohw", weight, image) + layer.bias[:, None, None])


@pytest.mark.parametrize("layer", [layers.ModulatedConvolution(6, 5, 4, Convolve()), layers.ModulatedToRGB(6, 3, 4)])
def test_styles_begin_at_one(layer: Any) -> None:
    assert layer.affine(torch.zeros(1, 4)).unique().tolist() == [1.0]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Linear(3, 4),
        layers.ActivatedLinear(3, 4),
        layers.ModulatedToRGB(6, 3, 4),
        layers.UnmodulatedToRGB(6, 3),
        layers.ActivatedConvolution(6, 5, 3, Convolve()),
    ],
)
def test_biases_begin_at_zero(layer: Any) -> None:
    assert layer.bias.unique().tolist() == [0.0]


def test_limits_are_multiples_of_the_gain_of_a_layer() -> None:
    network = nn.ModuleList([layers.ActivatedConvolution(6, 5, 3, Convolve(), 0.5), layers.ModulatedToRGB(6, 3, 4)])
    for limit, expected in ((256.0, [128.0, 256.0]), (None, [None, None])):
        layers.clamp_activations(network, limit)
        assert [layer.clamp for layer in network] == expected


def test_constant_noise_ends_with_its_context() -> None:
    network = nn.ModuleList([layers.Noise(2, 2), layers.Noise(2, 2)])
    network[1].is_constant = True
    with pytest.raises(ZeroDivisionError), layers.constant_noise(network):
        assert [noise.is_constant for noise in network] == [True, True]
        raise ZeroDivisionError
    assert [noise.is_constant for noise in network] == [False, True]


def test_unmodulated_layers_do_not_look_at_the_style() -> None:
    x = torch.randn(2, 4, 4, 4)
    convolution, colours = layers.UnmodulatedConvolution(4, 5, Convolve()), layers.UnmodulatedToRGB(4, 3)
    nn.init.normal_(colours.bias)
    expected = F.conv2d(x, convolution.convolution.weight / math.sqrt(4 * 9), padding=1)
    torch.testing.assert_close(convolution(x, torch.empty(2, 0)), expected)
    expected = F.conv2d(x, colours.convolution.weight / math.sqrt(4), colours.bias)
    torch.testing.assert_close(colours(x, torch.empty(2, 0)), expected)


def test_noise_is_fresh_but_for_those_who_want_it_constant() -> None:
    noise = layers.Noise(4, 6)
    x = torch.zeros(2, 3, 4, 6)
    assert not noise(x).any()  # strength begins at zero
    nn.init.constant_(noise.strength, 2.0)
    first = noise(x)
    assert not first.equal(noise(x))
    assert not first[0].equal(first[1])
    assert first.shape == (2, 1, 4, 6)  # the same in all channels
    with layers.constant_noise(nn.Sequential(noise)):
        assert noise(x).equal(2 * noise.constant)
        with layers.constant_noise(noise):
            pass
        assert noise(x).equal(noise(x))
    assert not noise(x).equal(noise(x))


def test_noise_follows_the_seed() -> None:
    noise = layers.Noise(4, 4)
    nn.init.constant_(noise.strength, 1.0)
    torch.manual_seed(3)
    first = noise(torch.zeros(1, 1, 4, 4))
    torch.manual_seed(3)
    assert first.equal(noise(torch.zeros(1, 1, 4, 4)))
