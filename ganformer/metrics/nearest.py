"""Whether a model repeats what it was trained on: the real image that is nearest to each sample, among features."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ganformer.metrics import neighbours
from ganformer.metrics.checks import refuse, require_same_features, too_few
from ganformer.metrics.statistics import Array, Observed

# M samples, N real images, D features
ROWS = 2048  # samples whose features are subtracted at a time


class Nearest(NamedTuple):
    """For each sample the real image that is nearest to it."""

    indices: NDArray[np.int64]
    """Its number among the real images [M]; the lowest where several are as near."""
    distances: Array
    """Its Euclidean distance in feature space [M], 0 where the features are the same."""

    def or_nearer(self, other: "Nearest") -> "Nearest":
        """For each sample the nearer one of both, this one where both are as near."""
        is_nearer = other.distances < self.distances
        return Nearest(
            np.where(is_nearer, other.indices, self.indices), np.where(is_nearer, other.distances, self.distances)
        )


def nearest(real: Observed, samples: Observed) -> Nearest:
    """The real image nearest to each sample, both known by their `features`; distances are held in tiles only.

    Distances tell memorisation by comparison: those of samples to training images against those of real images that
    were held out. DataError where there are no real images, or where both are not seen by the same extractor.
    """
    refuse(too_few(real, 1, "the nearest real image"))
    require_same_features(real, samples)
    reals, features = real.arrays["features"], samples.arrays["features"]
    least = torch.full((len(features),), torch.inf, dtype=torch.float64)
    indices = torch.zeros(len(features), dtype=torch.int64)
    for rows, columns, distances, *_ in neighbours.tiles(features, reals):
        places = distances.argmin(dim=1)
        found = distances.gather(1, places[:, None])[:, 0]
        is_nearer = found < least[rows]
        least[rows] = torch.where(is_nearer, found, least[rows])
        indices[rows] = torch.where(is_nearer, columns.start + places, indices[rows])
    return Nearest(indices.numpy(), _distances(features, reals, indices.numpy()))


def _distances(features: Array, reals: Array, indices: NDArray[np.int64]) -> Array:
    """Of each sample to its nearest image. The tiles are of |x|² + |y|² − 2xy, which is not 0 where x is y."""
    distances = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        distances[rows] = np.linalg.norm(features[rows].astype(np.float64) - reals[indices[rows]], axis=1)
    return distances
