"""Kernel Inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy of features.

With the kernel (x·y / D + 1)³ it sees means, covariances and third moments, and its estimate has no bias, so values
from few images compare with those from many.
"""

import numpy as np

from ganformer.metrics.checks import require_images, require_same_features
from ganformer.metrics.statistics import Array, Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

SUBSETS = 100
SIZE = 1000
SEED = 2020  # with numpy's RandomState, generated images first: the subsets of torch-fidelity


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """`kid`, the mean over 100 random subsets of 1000 images of either set; below 0 by chance where both are alike.

    `kid_std` is the standard deviation over the subsets, as in the paper: it tells how far values from 1000 images lie
    apart, not how far off their mean is. With fewer than 2000 images subsets hold half of the smaller set: of larger
    ones, two would hardly differ. Which images are in them depends on nothing but their numbers. DataError for fewer
    than 4 images.
    """
    for observed in (real, fake):
        require_images(observed, 4, "KID, whose subsets of half the images hold at least 2")
    require_same_features(real, fake)
    size = min(SIZE, real.count // 2, fake.count // 2)
    random = np.random.RandomState(SEED)
    distances = []
    for _ in range(SUBSETS):
        chosen = [(observed, random.choice(observed.count, size, replace=False)) for observed in (fake, real)]
        x, y = (observed.arrays["features"][images].astype(np.float64) for observed, images in chosen)
        distances.append(kernel_distance(x, y))
    return {"kid": float(np.mean(distances)), "kid_std": float(np.std(distances))}


def kernel_distance(x: Array, y: Array) -> float:
    """Unbiased estimate from features [n, D] and [n, D], float64: no image is compared with itself."""
    count = len(x)
    within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(x, x), _kernel(y, y)))
    return float(within / (count * (count - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: Array, y: Array) -> Array:
    products = x @ y.T / x.shape[1] + 1
    cubes: Array = np.square(products) * products  # as ** 3, many times faster
    return cubes
