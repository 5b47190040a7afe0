"""Order of images that depends on their features alone, not on the order of files.

Folders of classes, packs of such folders and arrays written class by class put alike images side by side; measures that
part their images would then compare classes.
"""

import numpy as np
from numpy.typing import NDArray

from ganformer.metrics.statistics import Array

SEED = 2020
ROWS = 4096  # whose copies in float64 are in memory at a time


def by_value(rows: Array) -> NDArray[np.intp]:
    """Return numbers of the rows of [N, D], sorted by a sum of their values with weights that are the same each time.

    The same rows in another order are sorted alike; only equal ones may change places.
    """
    weights = np.random.RandomState(SEED).standard_normal(rows.shape[1])
    keys = [
        np.einsum("nd,d->n", rows[start : start + ROWS].astype(np.float64), weights)
        for start in range(0, len(rows), ROWS)
    ]
    return np.argsort(np.concatenate(keys), kind="stable")


def parts(rows: Array, count: int) -> list[NDArray[np.intp]]:
    """Return numbers of the rows of [N, D] in `count` parts, drawn by a fixed permutation of `by_value`.

    Part i has those from i N / count to (i + 1) N / count, as in the original code of the inception score.
    """
    images = len(rows)
    drawn = by_value(rows)[np.random.RandomState(SEED).permutation(images)]
    return [drawn[i * images // count : (i + 1) * images // count] for i in range(count)]
