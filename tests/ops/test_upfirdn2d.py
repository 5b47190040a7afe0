"""`upfirdn2d` against its definition, written as loops."""

import itertools
import re

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganformer.ops import compiled
from ganformer.ops.upfirdn2d import upfirdn2d

# each: up, down and the padding at the left, right, top and bottom edge
CASES = [
    (1, 1, (0, 0, 0, 0)),
    (1, 1, (1, 2, 3, 0)),
    (1, 2, (1, 1, 1, 1)),
    (2, 1, (2, 1, 2, 1)),
    (2, 1, (0, 0, 0, 0)),
    (2, 1, (4, 5, 6, 7)),
    (3, 2, (1, 0, 2, 3)),
    (2, 3, (5, 4, 1, 1)),
    (1, 1, (-1, 0, 2, -2)),
    (2, 1, (-1, 3, -2, 2)),
]


def defined(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int, int, int], gain: float) -> Tensor:
    left, right, top, bottom = padding
    kernel = torch.outer(taps, taps)
    batch, channels, height, width = x.shape
    inserted = x.new_zeros(batch, channels, height * up, width * up)
    inserted[:, :, ::up, ::up] = x
    margin = 20
    canvas = x.new_zeros(batch, channels, height * up + 2 * margin, width * up + 2 * margin)
    canvas[:, :, margin:-margin, margin:-margin] = inserted
    canvas = canvas[:, :, margin - top : margin + height * up + bottom, margin - left : margin + width * up + right]
    rows, columns = kernel.shape
    out = x.new_zeros(batch, channels, canvas.shape[2] - rows + 1, canvas.shape[3] - columns + 1)
    for row, column in itertools.product(range(out.shape[2]), range(out.shape[3])):
        for i, j in itertools.product(range(rows), range(columns)):
            pixel = canvas[:, :, row + rows - 1 - i, column + columns - 1 - j]
            out[:, :, row, column] += gain * kernel[i, j] * pixel
    return out[:, :, ::down, ::down]


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize(("up", "down", "padding"), CASES)
def test_is_its_definition(up: int, down: int, padding: tuple[int, int, int, int], length: int) -> None:
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    taps = torch.randn(length, dtype=torch.float64)
    expected = defined(x, taps, up, down, padding, gain=1.7)
    torch.testing.assert_close(upfirdn2d(x, taps, up, down, padding, gain=1.7), expected)


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize(("up", "down", "padding"), CASES)
def test_has_first_and_second_derivatives(up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    x = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(3, dtype=torch.float64)
    assert gradcheck(lambda x: upfirdn2d(x, taps, up, down, padding), x)
    assert gradgradcheck(lambda x: upfirdn2d(x, taps, up, down, padding).square(), x)


@pytest.mark.usefixtures("every_backend")
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 2), (2, 9)])
def test_is_its_definition_for_images_smaller_than_the_filter(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    taps = torch.randn(6, dtype=torch.float64)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        padding = (5, 5, 5, 5)
        expected = defined(x, taps, up, down, padding, gain=1.0)
        torch.testing.assert_close(upfirdn2d(x, taps, up, down, padding), expected)


@pytest.mark.usefixtures("every_backend")
def test_keeps_type_and_memory_format() -> None:
    x = torch.randn(2, 4, 6, 6).to(torch.bfloat16, memory_format=torch.channels_last)
    taps = torch.ones(4)
    for up, down, padding in ((2, 1, (2, 1, 2, 1)), (1, 2, (1, 1, 1, 1)), (1, 1, (2, 2, 2, 2))):
        y = upfirdn2d(x, taps, up, down, padding)
        assert y.dtype == torch.bfloat16
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("compiled_backend")
@pytest.mark.parametrize("channels", [1, 3, 16, 20, 64, 100])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_compiled_is_composed(
    channels: int, dtype: torch.dtype, tolerance: float, memory_format: torch.memory_format
) -> None:
    x = torch.randn(2, channels, 9, 12, dtype=torch.float64).to(dtype, memory_format=memory_format)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for up, down, padding in CASES:
        y = upfirdn2d(x, taps, up, down, padding, gain=2.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "library", lambda *_: None)
            expected = upfirdn2d(x, taps, up, down, padding, gain=2.0)
        assert (y - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.usefixtures("every_backend")
def test_its_second_derivative_has_no_kernel_as_large_as_the_image() -> None:
    """PyTorch's own has one, for the gradient of the constant taps."""
    x = torch.randn(2, 4, 32, 32, requires_grad=True)
    with torch.profiler.profile(record_shapes=True) as seen:
        (grad,) = torch.autograd.grad(
            upfirdn2d(x, torch.ones(4), padding=(2, 1, 2, 1)).square().sum(), x, create_graph=True
        )
        grad.square().sum().backward()
    shapes = [event.input_shapes[1] for event in seen.events() if event.name == "aten::convolution"]
    assert all(max(shape[2:]) <= 4 for shape in shapes)


@pytest.mark.usefixtures("every_backend")
def test_an_image_smaller_than_the_filter_is_refused() -> None:
    message = re.escape("an image of (2, 5) pixels, times 1, with padding (0, 0, 1, 0) is smaller than 4 taps")
    with pytest.raises(ValueError, match=message):
        upfirdn2d(torch.zeros(1, 1, 2, 5), torch.ones(4), padding=(0, 0, 1, 0))
