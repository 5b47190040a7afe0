"""Diversity of a few samples, as an early warning that a generator makes the same image of all latents."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

NAME = "sample_diversity"
WARNING = 0.2
"""Diversity below which a line warns."""


def mean_distance(images: Tensor) -> float:
    """Return the mean Euclidean distance of all pairs of images [N, C, H, W], clipped to [-1, 1]; 0 if N < 2."""
    if len(images) < 2:
        return 0.0
    return float(torch.pdist(images.cpu().clamp(-1, 1).flatten(1)).mean())


def of(samples: Tensor, real_distance: float) -> dict[str, float]:
    """Return `sample_diversity`, the mean distance of samples [N, C, H, W] divided by that of real images.

    About 1 if samples differ as much as real images (0.85 to 1.02 for the GANs in `pretrained/`), 0 if they are all
    alike. Nothing if real images do not differ or a sample is not finite.
    """
    found = mean_distance(samples) / real_distance if real_distance > 0 else math.nan
    return {NAME: found} if math.isfinite(found) else {}


def warning(found: Mapping[str, float]) -> str:
    """Return a sentence on samples that are alike, by the result of `of`; empty if they are not."""
    if found.get(NAME, math.inf) >= WARNING:
        return ""
    return (
        f"samples differ {found[NAME]:.2g} times as much as real images ({NAME}; usual is about 1), so the generator "
        "may have collapsed; look at the pictures in samples/. If the next ones are no better, start again with a "
        "larger r1_gamma, a smaller learning rate, or augmentation"
    )
