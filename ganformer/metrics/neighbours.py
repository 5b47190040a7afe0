"""Who lies near whom among features, in tiles of the matrix of distances: memory does not grow with its size.

Distances are computed in float32, which takes half the time of float64, with a bound of their error; those that the
error might decide about are computed again in float64, so that results are those of float64. Tiles are computed on the
device of the images. The few distances that are computed again are always computed on the CPU, in the same order: so
counts and radii are the same bits on every device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganformer.metrics.statistics import Array, Observed

# N real images, M generated ones, D features
TILE = 2048  # rows and columns of distances held at a time
PAIRS = 64  # pairs whose differences are held at a time, so few that a processor's cache holds them
RANKS = 5  # neighbours whose distances are computed at once, as many as any measure asks for
HELD = 2**32  # bytes: features of a set that are not more stay on a GPU, others are copied for every row of tiles
SPARE = 4  # neighbours that are looked at besides those that are asked for, as the order of the last is not certain
SAFE = 1e-12, 1e15  # largest feature whose squares float32 has, and sums of them
TINY = 1e-37  # more than what float32 loses below its smallest numbers


class Near:
    """Counts of a relation between N real and M generated images, which arrives in tiles."""

    def __init__(self, real: Observed, fake: Observed) -> None:
        reals, fakes = len(real.arrays["features"]), len(fake.arrays["features"])
        self._of_real, self._one, self._of_fake = (
            torch.zeros(count, dtype=torch.int64, device=real.device) for count in (reals, reals, fakes)
        )

    @property
    def of_fake(self) -> Tensor:
        """Number of real images near each generated one [M]."""
        return self._of_fake.cpu()

    def update(self, tile: "Tile", near: Tensor) -> None:
        """Add whether the real images of the tile's rows and the generated ones of its columns are near, bool."""
        counts, one = near.sum(dim=1), near.byte().argmax(dim=1)
        self._of_real[tile.rows] += counts
        self._of_fake[tile.columns] += near.sum(dim=0)
        self._one[tile.rows] = torch.where(counts > 0, tile.columns.start + one, self._one[tile.rows])

    def covered(self) -> tuple[float, float]:
        """Return the part of real images that are near a generated one, and its standard error.

        The error is the jackknife's over the generated images: by how much the part falls without each of them, with
        all else as it is. That is the number of real images to which this one alone is near.
        """
        of_real, one, fakes = self._of_real.cpu(), self._one.cpu(), len(self._of_fake)
        lost = torch.bincount(one[of_real == 1], minlength=fakes).double() / len(of_real)
        part = (of_real > 0).double().mean()
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
    """[n, m], but for rounding: of |x|² + |y|² − 2xy, so that distances of equal images are not quite 0."""
    rounding: tuple[Tensor, Tensor]
    """Bounds of each row [n, 1] and each column [m]; the error of a distance is at most their sum."""
    real: Array
    fake: Array

    def within(self, radii: Tensor, *, strictly: bool = False) -> Tensor:
        """Return whether distances are at most squared `radii` [n, 1] or [m], or less where `strictly`: [n, m] bool.

        Where rounding might decide, the distance is taken from the differences, as `radii` are.
        """
        radii = radii.to(self.distances.device).expand_as(self.distances)
        beyond = self.distances - radii
        near = beyond < 0
        doubtful = beyond.abs_().sub_(self.rounding[0]) <= self.rounding[1]
        i, j = doubtful.nonzero(as_tuple=True)
        if len(i):
            places = (i + self.rows.start).cpu(), (j + self.columns.start).cpu()
            exact = exact_distances(self.real, self.fake, *places).to(radii.device)
            near[i, j] = exact < radii[i, j] if strictly else exact <= radii[i, j]
        return near


def radii(images: Observed, neighbours: int) -> Tensor:
    """Return the squared distance of each image to its neighbour of this rank, [N] float64, by differences.

    Distances of all ranks that measures ask for are computed once.
    """
    features = images.arrays["features"]
    ranks = min(max(neighbours, RANKS), len(features) - 1)
    distances = images.once(f"distances of {ranks} neighbours", lambda: _distances(features, ranks, images.device))
    return distances[:, neighbours - 1]


def _distances(points: Array, ranks: int, device: torch.device) -> Tensor:
    """Return squared distances of each point [N, D] to its nearest neighbours, [N, ranks] float64."""
    every = torch.arange(len(points))
    distances, is_certain = _nearest(points, every, ranks, _Space(torch.float32, device, points))
    doubtful = (~is_certain).nonzero()[:, 0]
    if len(doubtful):
        doubtful = every if 2 * len(doubtful) > len(points) else doubtful  # of all, half of the matrix is enough
        distances[doubtful] = _nearest(points, doubtful, ranks, _Space(torch.float64, device, points))[0]
    return distances


def _nearest(points: Array, chosen: Tensor, ranks: int, space: "_Space") -> tuple[Tensor, Tensor]:
    """Return squared distances of the chosen points [n] to their nearest ones, and whether these are certainly so."""
    count, is_whole = len(chosen), len(chosen) == len(points)
    queries = points if is_whole else points[chosen.numpy()]
    kept = min(len(points), 1 + ranks + SPARE)  # the nearest of all is the point itself
    nearest = torch.full((count, kept), torch.inf, dtype=space.dtype, device=space.device)
    numbers = torch.zeros((count, kept), dtype=torch.int64, device=space.device)
    rounding = torch.zeros(count, dtype=torch.float64, device=space.device)

    def keep(rows: slice, columns: slice, distances: Tensor) -> None:
        new = distances.topk(min(kept, distances.shape[1]), dim=1, largest=False)
        known = torch.cat([nearest[rows], new.values], dim=1).topk(kept, dim=1, largest=False)
        both = torch.cat([numbers[rows], new.indices + columns.start], dim=1)
        nearest[rows], numbers[rows] = known.values, both.gather(1, known.indices)

    for some in space.parts(queries):
        for others in space.parts(points, some.place.start if is_whole else 0):
            tile = space.tile(some, others, queries, points)
            rows, columns = tile.rows, tile.columns
            of_rows, of_columns = tile.rounding[0][:, 0].double(), tile.rounding[1].double()
            keep(rows, columns, tile.distances)
            rounding[rows] = torch.maximum(rounding[rows], of_rows + of_columns.max())
            if is_whole and rows != columns:  # the other half of the matrix is the same
                keep(columns, rows, tile.distances.T)
                rounding[columns] = torch.maximum(rounding[columns], of_columns + of_rows.max())
    places = chosen.repeat_interleave(kept)
    exact = exact_distances(points, points, places, numbers.flatten().cpu()).view(count, kept)
    found = exact.sort(dim=1).values[:, 1 : 1 + ranks]
    beyond = (nearest[:, -1].double() - rounding).cpu()  # all other points are at least as far
    return found, (beyond >= found[:, -1]) | (kept == len(points))


def tiles(real: Observed, fake: Observed, dtype: torch.dtype = torch.float32) -> Iterator[Tile]:
    """Yield the matrix of squared distances between images, N × M, computed in a type on the device of the first."""
    features, others = real.arrays["features"], fake.arrays["features"]
    space = _Space(dtype, real.device, features, others)
    for rows in space.parts(features):
        for columns in space.parts(others):
            yield space.tile(rows, columns, features, others)


def exact_distances(a: Array, b: Array, i: Tensor, j: Tensor) -> Tensor:
    """Return squared distances of pairs a[i], b[j] of features [N, D] and [M, D]; equal rows give equal bits."""
    distances = torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), PAIRS):
        some = slice(start, start + PAIRS)
        difference = a[i[some].numpy()].astype(np.float64) - b[j[some].numpy()]
        distances[some] = torch.from_numpy(np.einsum("nd,nd->n", difference, difference))
    return distances


class _Part(NamedTuple):
    """Some points, and their squared lengths."""

    place: slice
    points: Tensor
    lengths: Tensor


class _Space:
    """Type that distances are computed in, and origin: the mean [D] of the first of the sets, for short lengths.

    The type is float64 if features are too large or too small for float32.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device, *sets: Array) -> None:
        largest = max(max(points.max(), -points.min()) for points in sets)
        self.dtype = dtype if SAFE[0] < largest < SAFE[1] else torch.float64
        self.device = device
        self._kept: dict[tuple[int, int], _Part] = {}  # by set and place
        self.origin = sets[0].mean(axis=0, dtype=np.float64).astype(np.float32)

    def parts(self, points: Array, first: int = 0) -> Iterator[_Part]:
        """Yield all points from the first on, some at a time."""
        for start in range(first, len(points), TILE):
            place = id(points), start
            part = self._kept.get(place) or self._part(points, start)
            if self.device.type != "cpu" and points.size * part.points.element_size() <= HELD:
                self._kept[place] = part
            yield part

    def _part(self, points: Array, start: int) -> _Part:
        dtype = np.float64 if self.dtype == torch.float64 else points.dtype
        place = slice(start, min(start + TILE, len(points)))
        # The same origin is taken from all points, and a difference is rounded relative to itself.
        some = torch.from_numpy(np.subtract(points[place], self.origin, dtype=dtype)).to(self.device, self.dtype)
        return _Part(place, some, torch.linalg.vector_norm(some, dim=1).square_())

    def tile(self, a: _Part, b: _Part, real: Array, fake: Array) -> Tile:
        """Return distances of some points of either set."""
        # A sum of D products is off by D roundings of the sum of their sizes, which is at most (|x|² + |y|²) / 2; so
        # is a squared length, and the factors and the sum of three terms are rounded, too.
        scale = (2 * a.points.shape[1] + 16) * torch.finfo(self.dtype).eps / 2
        distances = torch.addmm(b.lengths, a.points, b.points.T, alpha=-2).add_(a.lengths[:, None]).clamp_(min=0)
        return Tile(a.place, b.place, distances, (scale * a.lengths[:, None] + TINY, scale * b.lengths), real, fake)
