"""Fréchet distance between Gaussians fitted to features (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)."""

import numpy as np

from ganformer.metrics.statistics import Array, Observed

REAL = frozenset({"mean", "covariance"})
FAKE = REAL


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """`fd`, at least 0."""
    a, b = real.arrays, fake.arrays
    return {"fd": frechet(a["mean"], a["covariance"], b["mean"], b["covariance"])}


def frechet(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> float:
    """|m − m'|² + tr(C + C' − 2 (C^½ C' C^½)^½), for any covariances, singular ones too.

    The products of the paper's form, C C', are not symmetric; these are, so every step is an eigenvalue problem of a
    symmetric matrix: faster, and free of the imaginary parts that a general matrix root leaves.
    """
    difference = mean - other_mean
    root = _factor(covariance)
    mixed = np.linalg.eigvalsh(root.T @ other_covariance @ root)
    distance = difference @ difference + np.trace(covariance) + np.trace(other_covariance)
    return max(0.0, float(distance - 2 * np.sqrt(mixed.clip(min=0)).sum()))


def _factor(covariance: Array) -> Array:
    """F [D, rank] with F Fᵀ = C; directions in which C has nothing but rounding errors are left out."""
    values, vectors = np.linalg.eigh(covariance)
    used = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, used] * np.sqrt(values[used])
