"""Convolutions and all their derivatives, against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganformer.ops import compiled, convolution
from ganformer.ops.convolution import convolve, convolve_transposed
from ganformer.ops.gradients import of_features_only

# each: batch, input and output channels, height and width; the compiled convolution serves all of them
SHAPES = [(1, 16, 16, 16, 16), (2, 16, 48, 13, 9), (3, 80, 32, 12, 7), (1, 112, 16, 17, 30), (16, 64, 128, 4, 4)]
# each: size of the kernel, stride, padding
OTHERS = [(3, 1, 1), (3, 1, 0), (3, 2, 0), (3, 2, 1), (1, 1, 0), (5, 3, 2), (4, 2, 1)]


def tensors(
    batch: int, inputs: int, outputs: int, height: int, width: int, size: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Return features in the memory format of the networks, and a weight."""
    torch.manual_seed(0)
    x = torch.randn(batch, inputs, height, width, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_(), torch.randn(outputs, inputs, size, size, dtype=dtype, requires_grad=True)


def derivatives(y: Tensor, x: Tensor, weight: Tensor) -> list[Tensor]:
    """Return y, its first derivatives, and those of a penalty of the derivative in x (as R1) and in the weight."""
    torch.manual_seed(1)
    first = torch.autograd.grad(y, (x, weight), torch.randn_like(y), create_graph=True)
    penalty = first[0].pow(3).sum() + first[1].pow(3).sum()
    return [part.detach() for part in (y, *first, *torch.autograd.grad(penalty, (x, weight)))]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_pytorch_to_the_second_derivative(shape: tuple[int, int, int, int, int]) -> None:
    x, weight = tensors(*shape)
    expected = derivatives(F.conv2d(x, weight, padding=1), x, weight)
    for mine, theirs in zip(derivatives(convolve(x, weight, padding=1), x, weight), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("size", "stride", "padding"), OTHERS)
@pytest.mark.parametrize("side", [8, 9])
def test_equals_pytorch_for_other_kernels_and_strides(size: int, stride: int, padding: int, side: int) -> None:
    x, weight = tensors(2, 3, 5, side, side + 2, size)
    expected = derivatives(F.conv2d(x, weight, stride=stride, padding=padding), x, weight)
    for mine, theirs in zip(derivatives(convolve(x, weight, stride, padding), x, weight), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_equals_pytorch(stride: int) -> None:
    _, weight = tensors(2, 3, 5, 6, 7)
    x, _ = tensors(2, 5, 3, 6, 7)
    expected = derivatives(F.conv_transpose2d(x, weight, stride=stride), x, weight)
    for mine, theirs in zip(derivatives(convolve_transposed(x, weight, stride), x, weight), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("backend")
def test_has_first_and_second_derivatives() -> None:
    x, weight = tensors(1, 16, 16, 13, 14)
    assert gradcheck(lambda *each: convolve(*each, padding=1), (x, weight), fast_mode=True)
    assert gradgradcheck(lambda *each: convolve(*each, padding=1), (x, weight), fast_mode=True)


@pytest.mark.usefixtures("has_compiler")
@pytest.mark.parametrize("shape", SHAPES)
def test_rounding_is_that_of_a_direct_convolution_times_eight(shape: tuple[int, int, int, int, int]) -> None:
    exact = derivatives(F.conv2d(*(pair := tensors(*shape)), padding=1), *pair)
    x, weight = (each.detach().float().requires_grad_() for each in pair)

    def error(y: Tensor) -> list[float]:
        found = derivatives(y, x, weight)
        return [float((f - e).square().mean().sqrt()) for f, e in zip(found[:3], exact[:3], strict=True)]

    direct, mine = error(F.conv2d(x, weight, padding=1)), error(convolve(x, weight, padding=1))
    for few, many in zip(direct, mine, strict=True):
        assert 0 < many < 8 * few


@pytest.mark.usefixtures("has_compiler")
def test_bfloat16_is_rounded_once() -> None:
    x, weight = (each.detach().bfloat16().requires_grad_() for each in tensors(2, 32, 16, 32, 33))
    wide = x.detach().float().requires_grad_(), weight.detach().float().requires_grad_()
    y = convolve(x, weight, padding=1)
    grad = torch.randn_like(y)
    exact = F.conv2d(*wide, padding=1)
    expected = [exact, *torch.autograd.grad(exact, wide, grad.float())]
    for mine, theirs in zip([y, *torch.autograd.grad(y, (x, weight), grad)], expected, strict=True):
        assert mine.dtype == torch.bfloat16
        assert float((mine.float() - theirs).detach().abs().max()) < 2**-8 * float(theirs.detach().abs().max())


@pytest.mark.usefixtures("has_compiler")
def test_compiled_serves_both_directions_and_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    class Library:
        def __getattr__(self, name: str) -> object:
            called.append(name)
            return getattr(torch.ops.ganformer, name)

    library = Library()
    monkeypatch.setattr(compiled, "library", lambda *_: library)
    for dtype, side in ((torch.float32, 16), (torch.float64, 16), (torch.bfloat16, 48)):
        x, weight = tensors(1, 16, 32, side, side, dtype=dtype)
        convolve(x, weight, padding=1).sum().backward()
        assert called == ["convolve", "convolve", "weight_gradient"]
        called.clear()
    for x, weight, options in (
        (*tensors(1, 16, 16, 12, 12), {"padding": 1}),  # 9 tiles
        (*tensors(1, 16, 24, 16, 16), {"padding": 1}),
        (*tensors(1, 24, 16, 16, 16), {"padding": 1}),
        (*tensors(1, 16, 16, 16, 16), {}),
        (*tensors(1, 16, 16, 16, 16), {"padding": 1, "stride": 2}),
        (*tensors(1, 16, 16, 16, 16, size=1), {"padding": 1}),
        (*tensors(1, 16, 16, 44, 44, dtype=torch.bfloat16), {"padding": 1}),
    ):
        convolve(x, weight, **options).sum().backward()
    assert called == []


@pytest.mark.usefixtures("has_compiler")
def test_number_of_threads_changes_no_bit() -> None:
    x, weight = tensors(3, 32, 80, 40, 41, dtype=torch.float32)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            found.append(derivatives(convolve(x, weight, padding=1), x, weight))
        finally:
            torch.set_num_threads(1)
    for one, two, three in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.mark.usefixtures("has_compiler")
def test_values_that_are_not_finite_stay_so() -> None:
    x, weight = tensors(1, 16, 16, 16, 16, dtype=torch.float32)
    with torch.no_grad():
        x[0, 3, 5, 5] = torch.nan
    y = convolve(x, weight, padding=1)
    assert y[0, :, 4:7, 4:7].isnan().all()


@pytest.mark.usefixtures("backend")
def test_keeps_type_and_memory_format() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x, weight = tensors(2, 16, 32, 40, 40, dtype=dtype)
        y = convolve(x, weight, padding=1)
        assert y.dtype == dtype
        assert y.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(y, convolve(x.contiguous(), weight, padding=1))


@pytest.mark.usefixtures("backend")
def test_gradients_of_weights_are_skipped_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = convolution._weight_gradient
    monkeypatch.setattr(convolution, "_weight_gradient", lambda *each: calls.append(each) or original(*each))
    x, weight = tensors(1, 16, 16, 16, 16)
    for y in (convolve(x, weight, padding=1), convolve_transposed(x, weight)):
        with of_features_only():
            (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert calls == []
        slope.square().sum().backward()
        assert len(calls) == 1
        calls.clear()
