"""`upfirdn2d` against its definition, written as loops."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

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


def defined(x: Tensor, kernel: Tensor, up: int, down: int, padding: tuple[int, int, int, int], gain: float) -> Tensor:
    left, right, top, bottom = padding
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


@pytest.mark.parametrize(("up", "down", "padding"), CASES)
def test_is_its_definition(up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    kernel = torch.randn(4, 3, dtype=torch.float64)
    expected = defined(x, kernel, up, down, padding, gain=1.7)
    torch.testing.assert_close(upfirdn2d(x, kernel, up, down, padding, gain=1.7), expected)


@pytest.mark.parametrize(("up", "down", "padding"), CASES)
def test_has_first_and_second_derivatives(up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 3, dtype=torch.float64)
    assert gradcheck(lambda x: upfirdn2d(x, kernel, up, down, padding), x)
    assert gradgradcheck(lambda x: upfirdn2d(x, kernel, up, down, padding).square(), x)


def test_keeps_type_and_memory_format() -> None:
    x = torch.randn(2, 4, 6, 6).to(torch.bfloat16, memory_format=torch.channels_last)
    kernel = torch.ones(4, 4)
    for up, down, padding in ((2, 1, (2, 1, 2, 1)), (1, 2, (1, 1, 1, 1)), (1, 1, (2, 2, 2, 2))):
        y = upfirdn2d(x, kernel, up, down, padding)
        assert y.dtype == torch.bfloat16
        assert y.is_contiguous(memory_format=torch.channels_last)
