"""Kernel Inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy of features.

With the kernel (x·y / D + 1)³ it sees means, covariances and third moments, and its estimate has no bias, so values
from few images compare with those from many.
"""

import numpy as np

from ganformer.metrics import order
from ganformer.metrics.checks import Sized, refuse, require_same_features, too_few
from ganformer.metrics.statistics import Array, Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

SUBSETS = 100
SIZE = 1000
SEED = 2020  # with numpy's RandomState, generated images first: the subsets of torch-fidelity of sorted images


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can."""
    what = "KID, whose subsets of half the images hold at least 2"
    return too_few(real, 4, what) or too_few(fake, 4, what)


def recipe(real: Sized, fake: Sized) -> dict[str, int]:
    """Return the settings that the values depend on: number of subsets, and of images in each."""
    return {"subsets": SUBSETS, "size": min(SIZE, real.count // 2, fake.count // 2)}


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `kid`, the mean over 100 random subsets of 1000 images of either set; it may be below 0 by chance.

    `kid_std` is the standard deviation over the subsets, as in the paper: the spread of values from 1000 images, not
    the error of their mean. With fewer than 2000 images subsets hold half of the smaller set: of larger ones, two would
    hardly differ. Which images are in them does not depend on their order. DataError for fewer than 4 images.
    """
    refuse(lacking(real, fake))
    require_same_features(real, fake)
    size = recipe(real, fake)["size"]
    random = np.random.RandomState(SEED)
    sets = [(features, order.by_value(features)) for features in (fake.arrays["features"], real.arrays["features"])]
    distances = []
    for _ in range(SUBSETS):
        x, y = (features[images[random.choice(len(images), size, replace=False)]] for features, images in sets)
        distances.append(kernel_distance(x.astype(np.float64), y.astype(np.float64)))
    return {"kid": float(np.mean(distances)), "kid_std": float(np.std(distances))}


def kernel_distance(x: Array, y: Array) -> float:
    """Return unbiased estimate from features [n, D] and [n, D], float64: no image is compared with itself."""
    count = len(x)
    within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(x, x), _kernel(y, y)))
    return float(within / (count * (count - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: Array, y: Array) -> Array:
    products = x @ y.T / x.shape[1] + 1
    cubes: Array = np.square(products) * products  # as ** 3, many times faster
    return cubes
