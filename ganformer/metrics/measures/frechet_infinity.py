"""Fréchet distance of infinitely many generated images (Chong & Forsyth 2020).

The distance of N images is too large by about b / N, for another b with each model: of two models the one with the
smaller distance may be the worse one. A line through distances of several N, drawn over 1 / N, gives the distance
at N → ∞.
"""

import numpy as np
from numpy.typing import NDArray

from ganformer.metrics import order
from ganformer.metrics.checks import Sized, refuse, require_same_features, too_few
from ganformer.metrics.measures.frechet import distance
from ganformer.metrics.statistics import Observed, Statistics

REAL = frozenset({"mean", "covariance"})
FAKE = frozenset({"features"})

POINTS = 15
SEED = 0
BATCH = 4096  # images whose features are copied at a time


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can."""
    least = _least(real)
    what = f"the distance of infinitely many, from a line through distances of {least}, twice the features, and of more"
    return too_few(fake, 2 * least, what)


def recipe(real: Sized, fake: Sized) -> dict[str, list[int]]:
    """Return the settings that the values depend on: the numbers of images that the line is fitted to."""
    return {"counts": _counts(real, fake).tolist()}


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `fd_infinity` and `fd_bias`, by how much the distance of all N images is larger.

    The line goes through 15 numbers of images, evenly from a tenth of N (5000 of 50,000, as in the paper) to N, each
    time others drawn with a fixed seed, whatever their order. The first is at least 2 D, twice the features: with fewer
    images the distance is far from linear in 1 / N. Even so, with 4 D images up to a tenth too much of the bias is
    taken off, and values near 0 may come out below it. Reals are taken as they are. No error is given: all points
    share images, so their scatter about the line is 1.5 to 4 times less than the true error, which several seeds tell.
    DataError for fewer than 4 D images.
    """
    require_same_features(real, fake)
    refuse(lacking(real, fake))
    counts, images = _counts(real, fake), order.by_value(fake.arrays["features"])
    random = np.random.default_rng(SEED)
    distances = [_distance(real, fake, images[random.permutation(fake.count)[:count]]) for count in counts]
    infinity = limit(counts, distances)
    return {"fd_infinity": infinity, "fd_bias": distances[-1] - infinity}


def _least(real: Sized) -> int:
    return 2 * real.features


def _counts(real: Sized, fake: Sized) -> NDArray[np.integer]:
    return np.linspace(max(fake.count // 10, _least(real)), fake.count, POINTS).astype(int)


def limit(counts: NDArray[np.integer], distances: list[float]) -> float:
    """Return the intercept at 0 of the line fitted to distances over 1 / counts."""
    return float(np.polyfit(1 / counts, distances, deg=1)[1])


def _distance(real: Observed, fake: Observed, chosen: NDArray[np.integer]) -> float:
    statistics = Statistics(fake.title, fake.device)
    for batch in np.split(np.sort(chosen), range(BATCH, len(chosen), BATCH)):
        statistics.update(fake.arrays["features"][batch])
    return distance(real, statistics.mean, statistics.covariance)
