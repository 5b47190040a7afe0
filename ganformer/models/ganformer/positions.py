"""Position encodings of pixels: vectors of `size` values that attention adds to the features.

Every part returns [height · width, size], row by row. Coordinates run from -1 to 1 along each axis; a direction is one
coordinate, or a mixture of both, and `directions` of them are at equal angles, beginning with the horizontal one.
"""

import math

import torch
from torch import Tensor, nn

WAVELENGTH_RATIO = 10000.0  # ratio of the longest to the shortest wavelength (Transformer, section 3.5)


def along_directions(height: int, width: int, directions: int) -> Tensor:
    """Return coordinates of all pixels along every direction: [height · width, directions]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angles = torch.arange(directions) * (math.pi / directions)
    return x.reshape(-1, 1) * angles.cos() + y.reshape(-1, 1) * angles.sin()


class Sinusoidal(nn.Module):
    """Sines and cosines of size / (2 · directions) wavelengths along every direction."""

    grid: Tensor

    def __init__(self, height: int, width: int, size: int, directions: int) -> None:
        super().__init__()
        count = size // (2 * directions)
        wavelengths = WAVELENGTH_RATIO ** (torch.arange(count) / count)
        phases = along_directions(height, width, directions)[:, :, None] / wavelengths
        grid = torch.cat([phases.sin(), phases.cos()], dim=2).flatten(1)
        self.register_buffer("grid", grid, persistent=False)

    def forward(self) -> Tensor:
        return self.grid


class Linear(nn.Module):
    """Multiples of a learned vector of size / directions values for every direction."""

    distances: Tensor

    def __init__(self, height: int, width: int, size: int, directions: int) -> None:
        super().__init__()
        self.register_buffer("distances", along_directions(height, width, directions), persistent=False)
        self.slopes = nn.Parameter(torch.rand(directions, size // directions))

    def forward(self) -> Tensor:
        return (self.distances[:, :, None] * self.slopes).flatten(1)


class Trainable(nn.Module):
    """One learned vector of size / 2 values for every column, beside one for every row."""

    def __init__(self, height: int, width: int, size: int) -> None:
        super().__init__()
        self.columns = nn.Parameter(torch.rand(width, size // 2))
        self.rows = nn.Parameter(torch.rand(height, size // 2))

    def forward(self) -> Tensor:
        height, width = len(self.rows), len(self.columns)
        columns = self.columns[None].expand(height, -1, -1)
        rows = self.rows[:, None].expand(-1, width, -1)
        return torch.cat([columns, rows], dim=2).flatten(0, 1)


class Trainable2d(nn.Module):
    """One learned vector for every pixel."""

    def __init__(self, height: int, width: int, size: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.rand(height * width, size))

    def forward(self) -> Tensor:
        return self.grid
