"""Improved precision and recall (Kynkäänniemi et al. 2019): the part of either set within the other's manifold."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ganformer.errors import DataError
from ganformer.metrics.statistics import Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

NEIGHBOURS = 3  # k: the manifold is a ball around each image that reaches to its k-th neighbour
BLOCK = 1 << 24  # distances held at a time


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """`precision` and `recall`, from 0 to 1. DataError for fewer than k + 1 images."""
    for observed in (real, fake):
        if observed.count <= NEIGHBOURS:
            raise DataError(
                f"{observed.title}: {observed.count} images are too few for precision and recall, "
                f"which look at {NEIGHBOURS} neighbours of each; take at least {NEIGHBOURS + 1}"
            )
    # |x|² + |y|² − 2xy cancels where x and y are close; float64 has the digits to spare.
    return precision_recall(*(torch.from_numpy(observed.arrays["features"]).double() for observed in (real, fake)))


def precision_recall(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Of features [N, D] and [M, D] float64: the part of `fake` in the balls of `real`, and the other way round."""
    real_radii, fake_radii = _radii(real), _radii(fake)
    precise = torch.zeros(len(fake), dtype=torch.bool)
    recalled = []
    for rows, distances in _squared_distances(real, fake):
        precise |= (distances <= real_radii[rows, None]).any(dim=0)
        recalled.append((distances <= fake_radii).any(dim=1))
    return {"precision": precise.double().mean().item(), "recall": torch.cat(recalled).double().mean().item()}


def _radii(points: Tensor) -> Tensor:
    """Squared distance of each point to its k-th neighbour [N]; the nearest of k + 1 is the point itself."""
    return torch.cat([d.kthvalue(NEIGHBOURS + 1, dim=1).values for _, d in _squared_distances(points, points)])


def _squared_distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows of the matrix of squared distances [N, M], with where the rows are."""
    squares = b.square().sum(dim=1)
    size = max(1, BLOCK // len(b))
    for start in range(0, len(a), size):
        rows = slice(start, min(start + size, len(a)))
        distances = torch.addmm(squares, a[rows], b.T, alpha=-2)
        yield rows, distances.add_(a[rows].square().sum(dim=1, keepdim=True)).clamp_(min=0)
