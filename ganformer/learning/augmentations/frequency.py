"""Amplification of frequency bands by ADA (Karras et al. 2020, appendix B)."""

# B batch, C channels, H×W pixels, T taps

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.learning.augmentations.change import Change, Draws, Frame
from ganformer.learning.augmentations.sampling import reflected

# Power of the low-pass filter of the wavelet sym2, H(z)·H(1/z)/2, and of the high-pass filter that completes it to 1.
LOW = np.array([-1, 0, 9, 16, 9, 0, -1]) / 32
HIGH = np.array([1, 0, -9, 16, -9, 0, 1]) / 32
OCTAVES = 3  # bands at the upper end of the finest scale; the fourth band is the rest
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected in each band, from the lowest to the highest


def bank(octaves: int) -> Tensor:
    """Return filters [octaves + 1, T] of the bands, from the lowest to the highest, that add up to the identity."""
    bands = [np.ones(1)]
    for _ in range(octaves):
        bands = [np.convolve(_zeros_inserted(band), LOW) for band in bands]
        bands.append(np.pad(HIGH, (len(bands[0]) - len(HIGH)) // 2))
    return torch.tensor(np.stack(bands), dtype=torch.float32)


def _zeros_inserted(band: np.ndarray) -> np.ndarray:
    wide = np.zeros(2 * len(band) - 1)
    wide[::2] = band
    return wide


class BandFilter(Change):
    """Multiplies each of four bands by a factor whose log₂ has the standard deviation 1, and keeps the expected power.

    A band is the same part of an image at every scale: an image of half the size lacks the highest one.
    """

    power: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("power", torch.tensor(POWER), persistent=False)
        for octaves in range(OCTAVES + 1):
            self.register_buffer(f"bank_{octaves}", bank(octaves), persistent=False)

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        gains = self.gains(torch.stack([draws.sometimes(draws.normal(1.0).exp2(), 1.0) for _ in POWER], dim=1))
        frame = Frame.of(images)
        return tuple(self._filtered(image, gains, frame) for image in images)

    def gains(self, factors: Tensor) -> Tensor:
        """Return factors of the bands [B, 4], each normalised to keep the expected power before they meet."""
        return factors * (1 + self.power * (factors.square() - 1)).rsqrt().prod(dim=1, keepdim=True)

    def _filtered(self, image: Tensor, gains: Tensor, frame: Frame) -> Tensor:
        halvings = (frame.width // image.shape[3]).bit_length() - 1
        octaves = max(OCTAVES - halvings, 0)
        taps = gains[:, : octaves + 1] @ self.get_buffer(f"bank_{octaves}")  # B T
        return convolved(image, taps.to(image.dtype))


def convolved(image: Tensor, taps: Tensor) -> Tensor:
    """Convolve `image` [B, C, H, W], mirrored at its edges, along both axes with the symmetric filters [B, T]."""
    batch, channels = image.shape[:2]
    weight = taps.repeat_interleave(channels, dim=0)[:, None, None]  # BC 1 1 T
    flat = reflected(image, taps.shape[1] // 2).flatten(0, 1)[None]  # 1 BC H+T-1 W+T-1
    flat = F.conv2d(flat, weight, groups=batch * channels)
    return F.conv2d(flat, weight.transpose(2, 3), groups=batch * channels).view_as(image)
