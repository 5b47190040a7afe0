"""Who lies near whom among features, in tiles of the matrix of distances: memory does not grow with its size."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from torch import Tensor

from ganformer.metrics.statistics import Array

# N real images, M generated ones, D features
TILE = 2048  # rows and columns of distances held at a time


class Near:
    """Counts of a relation between N real and M generated images, which arrives in tiles."""

    def __init__(self, reals: int, fakes: int) -> None:
        self.of_real = torch.zeros(reals, dtype=torch.int64)
        """How many generated images are near each real one [N]."""
        self.of_fake = torch.zeros(fakes, dtype=torch.int64)
        """How many real images are near each generated one [M]."""
        self._one = torch.zeros(reals, dtype=torch.int64)

    def update(self, rows: slice, columns: slice, near: Tensor) -> None:
        """Adds a tile: whether the real images `rows` and the generated ones `columns` are near, bool."""
        counts, one = near.sum(dim=1), near.byte().argmax(dim=1)
        self.of_real[rows] += counts
        self.of_fake[columns] += near.sum(dim=0)
        self._one[rows] = torch.where(counts > 0, columns.start + one, self._one[rows])

    def covered(self) -> tuple[float, float]:
        """The part of real images that are near a generated one, and its standard error.

        The error is the jackknife's over the generated images: by how much the part falls without each of them, with
        all else as it is. That is the number of real images to which this one alone is near.
        """
        reals, fakes = len(self.of_real), len(self.of_fake)
        lost = torch.bincount(self._one[self.of_real == 1], minlength=fakes).double() / reals
        part = (self.of_real > 0).double().mean()
        return part.item(), (lost.var(correction=0) * (fakes - 1)).sqrt().item()


def mean(values: Tensor) -> tuple[float, float]:
    """Mean of independent values [M], and its standard error."""
    values = values.double()
    return values.mean().item(), (values.var() / len(values)).sqrt().item()


def radii(points: Array, neighbours: int) -> Tensor:
    """Squared distance of each of the points [N, D] to its neighbour of this rank [N], float64."""
    kept = neighbours + 1  # the nearest of all is the point itself
    nearest = torch.full((len(points), kept), torch.inf, dtype=torch.float64)
    for rows, columns in combinations_with_replacement(_parts(len(points)), 2):
        distances = _squared_distances(points[rows], points[columns])
        nearest[rows] = _least(nearest[rows], distances, kept)
        if rows != columns:
            nearest[columns] = _least(nearest[columns], distances.T, kept)
    return nearest[:, -1]


def tiles(real: Array, fake: Array) -> Iterator[tuple[slice, slice, Tensor]]:
    """The matrix of squared distances [N, M] float64 between features [N, D] and [M, D], with where each tile is."""
    for rows, columns in product(_parts(len(real)), _parts(len(fake))):
        yield rows, columns, _squared_distances(real[rows], fake[columns])


def _parts(count: int) -> list[slice]:
    return [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]


def _squared_distances(a: Array, b: Array) -> Tensor:
    # |x|² + |y|² − 2xy cancels where x and y are close; float64 has the digits to spare.
    x, y = (torch.from_numpy(array.astype(np.float64)) for array in (a, b))
    distances = torch.addmm(y.square().sum(dim=1), x, y.T, alpha=-2)
    return distances.add_(x.square().sum(dim=1, keepdim=True)).clamp_(min=0)


def _least(known: Tensor, distances: Tensor, kept: int) -> Tensor:
    """The smallest of each row of both, ascending."""
    new = distances.topk(min(kept, distances.shape[1]), dim=1, largest=False).values
    return torch.cat([known, new], dim=1).topk(kept, dim=1, largest=False).values
