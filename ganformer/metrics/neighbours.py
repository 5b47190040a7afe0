"""Who lies near whom among features, in tiles of the matrix of distances: memory does not grow with its size."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganformer.metrics.statistics import Array

# N real images, M generated ones, D features
TILE = 2048  # rows and columns of distances held at a time
PAIRS = 1024  # pairs whose differences are held at a time
EPSILON = torch.finfo(torch.float64).eps


class Near:
    """Counts of a relation between N real and M generated images, which arrives in tiles."""

    def __init__(self, reals: int, fakes: int) -> None:
        self.of_real = torch.zeros(reals, dtype=torch.int64)
        """Number of generated images near each real one [N]."""
        self.of_fake = torch.zeros(fakes, dtype=torch.int64)
        """Number of real images near each generated one [M]."""
        self._one = torch.zeros(reals, dtype=torch.int64)

    def update(self, tile: "Tile", near: Tensor) -> None:
        """Add whether the real images of the tile's rows and the generated ones of its columns are near, bool."""
        counts, one = near.sum(dim=1), near.byte().argmax(dim=1)
        self.of_real[tile.rows] += counts
        self.of_fake[tile.columns] += near.sum(dim=0)
        self._one[tile.rows] = torch.where(counts > 0, tile.columns.start + one, self._one[tile.rows])

    def covered(self) -> tuple[float, float]:
        """Return the part of real images that are near a generated one, and its standard error.

        The error is the jackknife's over the generated images: by how much the part falls without each of them, with
        all else as it is. That is the number of real images to which this one alone is near.
        """
        reals, fakes = len(self.of_real), len(self.of_fake)
        lost = torch.bincount(self._one[self.of_real == 1], minlength=fakes).double() / reals
        part = (self.of_real > 0).double().mean()
        return part.item(), (lost.var(correction=0) * (fakes - 1)).sqrt().item()


def mean(values: Tensor) -> tuple[float, float]:
    """Return mean of independent values [M], and its standard error."""
    values = values.double()
    return values.mean().item(), (values.var() / len(values)).sqrt().item()


class Tile(NamedTuple):
    """Squared distances between some of the real and some of the generated images."""

    rows: slice
    columns: slice
    distances: Tensor
    """[n, m] float64, but for rounding: of |x|² + |y|² − 2xy, so that distances of equal images are not quite 0."""
    rounding: float
    """Largest error of the distances."""
    real: Array
    fake: Array

    def within(self, radii: Tensor, *, strictly: bool = False) -> Tensor:
        """Return whether distances are at most squared `radii` [n, 1] or [m], or less where `strictly`: [n, m] bool.

        Where rounding might decide, the distance is taken from the differences, as `radii` are.
        """
        radii = radii.expand_as(self.distances)
        beyond = self.distances - radii
        near = beyond < 0
        doubtful = beyond.abs_() <= self.rounding
        if doubtful.any():
            i, j = doubtful.nonzero(as_tuple=True)
            exact = exact_distances(self.real, self.fake, i + self.rows.start, j + self.columns.start)
            near[i, j] = exact < radii[i, j] if strictly else exact <= radii[i, j]
        return near


def radii(points: Array, neighbours: int) -> Tensor:
    """Return the squared distance of each point [N, D] to its neighbour of this rank, [N] float64, by differences."""
    kept = neighbours + 1  # the nearest of all is the point itself
    count = len(points)
    nearest = torch.full((count, kept), torch.inf, dtype=torch.float64)
    numbers = torch.zeros((count, kept), dtype=torch.int64)

    def keep(rows: slice, columns: slice, distances: Tensor) -> None:
        new = distances.topk(min(kept, distances.shape[1]), dim=1, largest=False)
        known = torch.cat([nearest[rows], new.values], dim=1).topk(kept, dim=1, largest=False)
        both = torch.cat([numbers[rows], new.indices + columns.start], dim=1)
        nearest[rows], numbers[rows] = known.values, both.gather(1, known.indices)

    for rows, columns in combinations_with_replacement(_parts(count), 2):
        distances = _tile(points, points, rows, columns).distances
        keep(rows, columns, distances)
        if rows != columns:
            keep(columns, rows, distances.T)
    places = torch.arange(count).repeat_interleave(kept)
    return exact_distances(points, points, places, numbers.flatten()).view(count, kept).amax(dim=1)


def tiles(real: Array, fake: Array) -> Iterator[Tile]:
    """Return the matrix of squared distances between features [N, D] and [M, D]."""
    return (_tile(real, fake, *place) for place in product(_parts(len(real)), _parts(len(fake))))


def exact_distances(a: Array, b: Array, i: Tensor, j: Tensor) -> Tensor:
    """Return squared distances of pairs a[i], b[j] of features [N, D] and [M, D]; equal rows give equal bits."""
    distances = torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), PAIRS):
        some = slice(start, start + PAIRS)
        difference = a[i[some].numpy()].astype(np.float64) - b[j[some].numpy()]
        distances[some] = torch.from_numpy(np.einsum("nd,nd->n", difference, difference))
    return distances


def _parts(count: int) -> list[slice]:
    return [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]


def _tile(real: Array, fake: Array, rows: slice, columns: slice) -> Tile:
    x, y = (torch.from_numpy(array.astype(np.float64)) for array in (real[rows], fake[columns]))
    of_rows, of_columns = x.square().sum(dim=1, keepdim=True), y.square().sum(dim=1)
    distances = torch.addmm(of_columns, x, y.T, alpha=-2).add_(of_rows).clamp_(min=0)
    # Each of the three sums of D products is off by at most D roundings of what its terms sum up to.
    rounding = 4 * x.shape[1] * EPSILON * (of_rows.max() + of_columns.max()).item()
    return Tile(rows, columns, distances, rounding, real, fake)
