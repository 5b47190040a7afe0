"""Positions of pixels."""

import math

import pytest
import torch
from torch import nn

from ganformer.models.ganformer import positions


def test_sinusoidal_positions_along_two_directions() -> None:
    size, height, width = 8, 3, 5
    grid = positions.Sinusoidal(height, width, size, directions=2)().view(height, width, size)
    for row in range(height):
        for column in range(width):
            x, y = -1 + 2 * column / (width - 1), -1 + 2 * row / (height - 1)
            omegas = [10000 ** (4 * i / size) for i in range(size // 4)]
            expected = [f(c / omega) for c in (x, y) for f in (math.sin, math.cos) for omega in omegas]
            assert grid[row, column].tolist() == pytest.approx(expected, abs=1e-6)


def test_sinusoidal_positions_along_three_directions() -> None:
    grid = positions.Sinusoidal(2, 2, 6, directions=3)()
    x, y = 1.0, -1.0  # second pixel of the first row
    lengths = [x * math.cos(angle) + y * math.sin(angle) for angle in (0, math.pi / 3, 2 * math.pi / 3)]
    assert grid[1].tolist() == pytest.approx([f(c) for c in lengths for f in (math.sin, math.cos)], abs=1e-6)


def test_linear_positions_grow_along_their_directions() -> None:
    part = positions.Linear(3, 3, 4, directions=2)
    nn.init.constant_(part.slopes, 2.0)
    assert part()[0].tolist() == pytest.approx([-2, -2, -2, -2], abs=1e-6)
    assert part()[5].tolist() == pytest.approx([2, 2, 0, 0], abs=1e-6)  # right end of the middle row


def test_trainable_positions_are_a_column_beside_a_row() -> None:
    part = positions.Trainable(2, 3, 4)
    assert part()[5].equal(torch.cat([part.columns[2], part.rows[1]]))


@pytest.mark.parametrize(
    "part",
    [positions.Linear(2, 3, 4, 2), positions.Trainable(2, 3, 4), positions.Trainable2d(2, 3, 4)],
)
def test_learned_positions_begin_between_zero_and_one_and_learn(part: nn.Module) -> None:
    assert part().shape == (6, 4)
    part().square().sum().backward()
    for parameter in part.parameters():
        assert 0 <= parameter.min() < parameter.max() < 1
        assert parameter.grad is not None
        assert parameter.grad.all()
