"""Fréchet distance between Gaussians fitted to features (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)."""

import numpy as np
import torch
from scipy.linalg import lapack

from ganformer.metrics.checks import Sized, require_same_features, too_few
from ganformer.metrics.statistics import CPU, Array, Observed

REAL = frozenset({"mean", "covariance"})
FAKE = REAL


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can, and if their number is unknown (0)."""
    return next((too_few(images, 2, "a covariance") for images in (real, fake) if images.count == 1), "")


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `fd`, at least 0; it is too large by chance, the more so the fewer the images (`frechet-infinity`)."""
    require_same_features(real, fake)
    return {"fd": distance(real, fake.arrays["mean"], fake.arrays["covariance"])}


def distance(real: Observed, mean: Array, covariance: Array) -> float:
    """Return `frechet` of real images and another Gaussian, computed on the device of the real images."""
    reals = real.arrays["covariance"]
    factor = real.once("factor of the covariance", lambda: _factor(reals))
    return frechet(real.arrays["mean"], reals, mean, covariance, factor=factor, device=real.device)


def frechet(
    mean: Array,
    covariance: Array,
    other_mean: Array,
    other_covariance: Array,
    *,
    factor: Array | None = None,
    device: torch.device = CPU,
) -> float:
    """Return |m − m'|² + tr(C + C' − 2 (C C')^½), for any covariances, singular ones too.

    With C = F Fᵀ and C' = F' F'ᵀ the trace of the root is the sum of singular values of S = Fᵀ F', the roots of the
    eigenvalues of S Sᵀ. That matrix is symmetric, so there is none of the imaginary part that the root of a general
    matrix leaves, and only as large as the smaller rank: few images cost little.

    `factor`: F of the first covariance, if it is known. Factors are computed on the CPU, as PyTorch has no pivoted
    Cholesky; the rest is computed on `device`, in float64.
    """
    difference = mean - other_mean
    factor = _factor(covariance) if factor is None else factor
    small, large = sorted((factor, _factor(other_covariance)), key=lambda factor: factor.shape[1])
    squares = _squares(small, large, device)
    distance = difference @ difference + np.trace(covariance) + np.trace(other_covariance)
    return max(0.0, float(distance - 2 * np.sqrt(squares.clip(min=0)).sum()))


def _squares(small: Array, large: Array, device: torch.device) -> Array:
    """Return squares of the singular values of smallᵀ large, factors [D, rank] of the lower and the higher rank."""
    squares: Array
    if device.type == "cpu":
        shared = small.T @ large
        squares = np.linalg.eigvalsh(shared @ shared.T)
        return squares
    product = torch.from_numpy(small).to(device).T @ torch.from_numpy(large).to(device)
    squares = torch.linalg.eigvalsh(product @ product.T).cpu().numpy()
    return squares


def _factor(covariance: Array) -> Array:
    """Return F [D, rank] with F Fᵀ = C: pivoted Cholesky, until only rounding errors remain."""
    factor, order, rank, _ = lapack.dpstrf(covariance, lower=1)
    rows: Array = np.empty_like(factor[:, :rank])
    rows[order - 1] = np.tril(factor)[:, :rank]
    return rows
