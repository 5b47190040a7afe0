"""`bias_act` against numbers worked out by hand, and its derivatives."""

from typing import Literal

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ganformer.ops.bias_act import bias_act


def test_adds_bends_multiplies_and_clamps() -> None:
    x = torch.tensor([[-3.0, -1.0, 1.0, 9.0]])
    bias = torch.tensor([1.0, 1.0, 1.0, 1.0])
    assert bias_act(x, bias, gain=2.0).tolist() == [[pytest.approx(-0.8), 0.0, 4.0, 20.0]]
    assert bias_act(x, bias, alpha=0.5, gain=2.0, clamp=1.5).tolist() == [[-1.5, 0.0, 1.5, 1.5]]
    assert bias_act(x, bias, act="linear").tolist() == [[-2.0, 0.0, 2.0, 10.0]]
    assert bias_act(x, None, act="linear").equal(x)


@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -3])
def test_adds_the_bias_along_one_dimension(dim: int) -> None:
    x = torch.zeros(2, 3, 4, 5)
    bias = torch.arange(1.0, 1 + x.shape[dim])
    y = bias_act(x, bias, dim=dim)
    for index in range(x.shape[dim]):
        assert y.select(dim, index).unique().tolist() == [1.0 + index]


@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_has_first_and_second_derivatives(act: Literal["linear", "lrelu"], clamp: float | None) -> None:
    torch.manual_seed(0)  # no value within the step of the numerical derivative of a kink
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, b: bias_act(x, b, act=act, gain=1.3, clamp=clamp), (x, bias))
    assert gradgradcheck(lambda x, b: bias_act(x, b, act=act, gain=1.3, clamp=clamp).square(), (x, bias))
