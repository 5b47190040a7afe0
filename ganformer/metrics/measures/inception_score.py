"""Inception score (Salimans et al. 2016): how sure the classifier is of each image, and how evenly classes occur."""

import numpy as np
from scipy.special import log_softmax, logsumexp

from ganformer.metrics import order
from ganformer.metrics.checks import Sized, refuse, too_few
from ganformer.metrics.statistics import Array, Observed

REAL: frozenset[str] = frozenset()
FAKE = frozenset({"logits"})

SPLITS = 10  # as in the paper: the mean and standard deviation over ten parts of the images


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can."""
    return too_few(fake, SPLITS, f"the inception score, the mean over {SPLITS} parts of them")


def recipe(real: Sized, fake: Sized) -> dict[str, int]:
    """Return the settings that the values depend on."""
    return {"parts": SPLITS}


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `is` and `is_std`, from 1 to the number of classes, over splits that do not depend on the order of images.

    DataError for fewer images than splits.
    """
    refuse(lacking(real, fake))
    logits = fake.arrays["logits"]
    scores = [inception_score(logits[part]) for part in order.parts(logits, SPLITS)]
    return {"is": float(np.mean(scores)), "is_std": float(np.std(scores))}


def inception_score(logits: Array) -> float:
    """Return exp E KL(p(y|x) ‖ p(y)) of class logits [N, K]."""
    log_conditional = log_softmax(logits.astype(np.float64), axis=1)
    log_marginal = logsumexp(log_conditional, axis=0) - np.log(len(logits))
    divergence = (np.exp(log_conditional) * (log_conditional - log_marginal)).sum(axis=1)
    return float(np.exp(divergence.mean()))
