"""Inception score (Salimans et al. 2016): how sure the classifier is of each image, and how evenly classes occur."""

import numpy as np
from scipy.special import log_softmax, logsumexp

from ganformer.metrics.checks import require_images
from ganformer.metrics.statistics import Array, Observed

REAL: frozenset[str] = frozenset()
FAKE = frozenset({"logits"})

SPLITS = 10  # as in the paper: the mean and standard deviation over ten parts of the images


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """`is` and `is_std`, from 1 to the number of classes. DataError for fewer images than splits."""
    require_images(fake, SPLITS, f"the inception score, the mean over {SPLITS} parts of them")
    scores = [inception_score(part) for part in np.array_split(fake.arrays["logits"], SPLITS)]
    return {"is": float(np.mean(scores)), "is_std": float(np.std(scores))}


def inception_score(logits: Array) -> float:
    """exp E KL(p(y|x) ‖ p(y)) of class logits [N, K]."""
    log_conditional = log_softmax(logits.astype(np.float64), axis=1)
    log_marginal = logsumexp(log_conditional, axis=0) - np.log(len(logits))
    divergence = (np.exp(log_conditional) * (log_conditional - log_marginal)).sum(axis=1)
    return float(np.exp(divergence.mean()))
