"""`bias_act` against numbers worked out by hand, its derivatives, and its compiled form against its definition."""

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganformer.ops import bias_act as module
from ganformer.ops.bias_act import bias_act

ACTS: list[Literal["linear", "lrelu"]] = ["linear", "lrelu"]


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1)])
def test_adds_bends_multiplies_and_clamps(shape: tuple[int, ...]) -> None:
    x = torch.tensor([-3.0, -1.0, 1.0, 9.0]).view(shape)
    bias = torch.tensor([1.0, 1.0, 1.0, 1.0])

    def flat(y: Tensor) -> list[float]:
        return y.flatten().tolist()

    assert flat(bias_act(x, bias, gain=2.0)) == [pytest.approx(-0.8), 0.0, 4.0, 20.0]
    assert flat(bias_act(x, bias, alpha=0.5, gain=2.0, clamp=1.5)) == [-1.5, 0.0, 1.5, 1.5]
    assert flat(bias_act(x, bias, act="linear")) == [-2.0, 0.0, 2.0, 10.0]
    assert bias_act(x, None, act="linear").equal(x)


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -3])
def test_adds_the_bias_along_one_dimension(dim: int) -> None:
    x = torch.zeros(2, 3, 4, 5)
    bias = torch.arange(1.0, 1 + x.shape[dim])
    y = bias_act(x, bias, dim=dim)
    for index in range(x.shape[dim]):
        assert y.select(dim, index).unique().tolist() == [1.0 + index]


@pytest.mark.usefixtures("every_backend")
def test_scales_channels_and_adds_one_noise_to_all() -> None:
    x = torch.ones(2, 3, 1, 2)
    scale = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    noise = torch.tensor([0.5, -0.5]).view(1, 1, 1, 2)
    y = bias_act(x, None, act="linear", scale=scale, noise=noise)
    assert y[:, :, 0, 0].tolist() == [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]
    assert y[:, :, 0, 1].tolist() == [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]


def given(dtype: torch.dtype, channels: int = 3, pixels: tuple[int, int] = (2, 3)) -> list[Tensor]:
    """Return x, bias, scale and noise."""
    torch.manual_seed(0)  # no value within the step of the numerical derivative of a kink
    shapes = [(2, channels, *pixels), (channels,), (2, channels), (2, 1, *pixels)]
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_has_first_and_second_derivatives(act: Literal["linear", "lrelu"], clamp: float | None) -> None:
    def work(x: Tensor, bias: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        return bias_act(x, bias, act=act, gain=1.3, clamp=clamp, scale=scale, noise=noise)

    inputs = given(torch.float64)
    assert gradcheck(work, inputs)
    assert gradgradcheck(lambda *each: work(*each).square(), inputs)
    assert gradcheck(lambda x, bias: bias_act(x, bias, act=act, gain=1.3, clamp=clamp), inputs[:2])


@pytest.mark.usefixtures("every_backend")
def test_the_slope_at_zero_is_that_of_negative_values() -> None:
    x = torch.zeros(1, 3, 1, 1, requires_grad=True)
    y = bias_act(x, torch.tensor([-1.0, 0.0, 1.0]), alpha=0.25, gain=2.0)
    assert torch.autograd.grad(y.sum(), x)[0].flatten().tolist() == [0.5, 0.5, 2.0]


def used_of(inputs: list[Tensor], used: str) -> list[Tensor | None]:
    """Return bias, scale and noise, but None for those that are not used."""
    named = zip(("bias", "scale", "noise"), inputs[1:], strict=True)
    return [each if used in (name, "all") else None for name, each in named]


USED = ["bias", "scale", "noise", "all", "none"]


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("channels", [1, 3, 4, 16, 20, 64, 100, 264])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("used", USED)
def test_compiled_is_its_definition(
    channels: int, dtype: torch.dtype, tolerance: float, memory_format: torch.memory_format, used: str
) -> None:
    inputs = given(dtype, channels, (5, 33))
    x, (bias, scale, noise) = inputs[0], used_of(inputs, used)
    wanted = [x, *(each for each in (bias, scale, noise) if each is not None)]
    results = []
    for function in (module.composed, bias_act):
        shaped = x.contiguous(memory_format=memory_format)
        y = function(shaped, bias, gain=1.3, clamp=2.0, scale=scale, noise=noise)
        above = torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)
        results.append([y, *torch.autograd.grad(y, wanted, above)])
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= tolerance * one.abs().max().clamp(min=1)
        assert one.dtype == other.dtype


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("used", USED)
def test_bfloat16_is_rounded_once(used: str) -> None:
    """Only the image is in bfloat16; what is computed from it is what float32 gives, rounded."""
    narrow = given(torch.bfloat16, 20, (5, 33))
    wide = [each.detach().float().requires_grad_() for each in narrow]
    results = []
    for inputs in (narrow, wide):
        bias, scale, noise = used_of(inputs, used)
        y = bias_act(inputs[0], bias, gain=1.3, scale=scale, noise=noise)
        results.append([y, *torch.autograd.grad(y, inputs[0], torch.ones_like(y))])
    for one, other in zip(*results, strict=True):
        assert one.dtype == torch.bfloat16
        assert one.equal(other.bfloat16())


@pytest.mark.usefixtures("every_backend")
def test_what_is_not_a_number_stays_so() -> None:
    x = torch.tensor([float("nan"), 1.0]).view(1, 2, 1, 1)
    assert bias_act(x, torch.zeros(2)).isnan().flatten().tolist() == [True, False]


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("channels", [1, 16])
def test_bfloat16_of_a_value_in_the_middle_is_the_even_one(channels: int) -> None:
    """Beside 1 the values of bfloat16 are 1/128 apart; float32 has what is added in the middle of two of them."""
    x = torch.ones(1, channels, 1, 4, dtype=torch.bfloat16)
    noise = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(1, 1, 1, 4) / 256
    y = bias_act(x, None, noise=noise)
    assert y.dtype == torch.bfloat16
    assert ((y.float() - 1) * 128)[0].tolist() == [[[0.0, 2.0, 2.0, 4.0]]] * channels


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, -0x400000, -1])
def test_what_is_not_a_number_stays_so_in_bfloat16(channels: int, bits: int) -> None:
    noise = torch.tensor([0, bits], dtype=torch.int32).view(torch.float32).view(1, 1, 1, 2)
    y = bias_act(torch.ones(1, channels, 1, 2, dtype=torch.bfloat16), None, noise=noise)
    assert y.isnan()[0].tolist() == [[[False, True]]] * channels
