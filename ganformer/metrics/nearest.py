"""Nearest real image of each sample by features: a test for models that repeat their training images."""

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
    """Nearest real image of each sample."""

    indices: NDArray[np.int64]
    """Its number among the real images [M]; the lowest where several are as near."""
    distances: Array
    """Its Euclidean distance in feature space [M], 0 if the features are the same."""

    def or_nearer(self, other: "Nearest") -> "Nearest":
        """Return for each sample the nearer of both, this one if they are equally near."""
        is_nearer = other.distances < self.distances
        return Nearest(
            np.where(is_nearer, other.indices, self.indices), np.where(is_nearer, other.distances, self.distances)
        )


def nearest(real: Observed, samples: Observed) -> Nearest:
    """Return the real image nearest to each sample, both known by their `features`; distances are held in tiles only.

    Distances tell memorisation by comparison: distances of samples to training images against distances of real images
    that were held out. DataError if there are no real images, or where both are not seen by the same extractor.
    """
    refuse(too_few(real, 1, "the nearest real image"))
    require_same_features(real, samples)
    reals, features = real.arrays["features"], samples.arrays["features"]
    least = torch.full((len(features),), torch.inf, dtype=torch.float64, device=samples.device)
    indices = torch.zeros(len(features), dtype=torch.int64, device=samples.device)
    for rows, columns, distances, *_ in neighbours.tiles(samples, real, torch.float64):
        places = distances.argmin(dim=1)
        nearest_here = distances.gather(1, places[:, None])[:, 0]
        is_nearer = nearest_here < least[rows]
        least[rows] = torch.where(is_nearer, nearest_here, least[rows])
        indices[rows] = torch.where(is_nearer, columns.start + places, indices[rows])
    found = indices.cpu().numpy()
    return Nearest(found, _distances(features, reals, found))


def _distances(features: Array, reals: Array, indices: NDArray[np.int64]) -> Array:
    """Compute each sample's distance to its nearest image exactly; the tiles' |x|² + |y|² − 2xy is not 0 for x = y."""
    distances = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        distances[rows] = np.linalg.norm(features[rows].astype(np.float64) - reals[indices[rows]], axis=1)
    return distances
