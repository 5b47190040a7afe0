"""Fréchet distance between Gaussians fitted to features (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)."""

import numpy as np
from scipy.linalg import lapack

from ganformer.metrics.checks import Sized, require_same_features, too_few
from ganformer.metrics.statistics import Array, Observed

REAL = frozenset({"mean", "covariance"})
FAKE = REAL


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can, and if their number is unknown (0)."""
    return next((too_few(images, 2, "a covariance") for images in (real, fake) if images.count == 1), "")


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `fd`, at least 0; it is too large by chance, the more so the fewer the images (`frechet-infinity`)."""
    require_same_features(real, fake)
    a, b = real.arrays, fake.arrays
    return {"fd": frechet(a["mean"], a["covariance"], b["mean"], b["covariance"])}


def frechet(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> float:
    """Return |m − m'|² + tr(C + C' − 2 (C C')^½), for any covariances, singular ones too.

    With C = F Fᵀ and C' = F' F'ᵀ the trace of the root is the sum of singular values of S = Fᵀ F', the roots of the
    eigenvalues of S Sᵀ. That matrix is symmetric, so there is none of the imaginary part that the root of a general
    matrix leaves, and only as large as the smaller rank: few images cost little.
    """
    difference = mean - other_mean
    small, large = sorted((_factor(covariance), _factor(other_covariance)), key=lambda factor: factor.shape[1])
    shared = small.T @ large
    squares = np.linalg.eigvalsh(shared @ shared.T)
    distance = difference @ difference + np.trace(covariance) + np.trace(other_covariance)
    return max(0.0, float(distance - 2 * np.sqrt(squares.clip(min=0)).sum()))


def _factor(covariance: Array) -> Array:
    """Return F [D, rank] with F Fᵀ = C: pivoted Cholesky, until only rounding errors remain."""
    factor, order, rank, _ = lapack.dpstrf(covariance, lower=1)
    rows: Array = np.empty_like(factor[:, :rank])
    rows[order - 1] = np.tril(factor)[:, :rank]
    return rows
