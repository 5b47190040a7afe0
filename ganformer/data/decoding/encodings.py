"""Colour spaces given by a transfer curve and primaries, as in PNG's gAMA, cHRM and cICP, without an ICC profile."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue, in this order."""

D65 = (0.3127, 0.3290)
BT709 = (*D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)  # also of sRGB

BLOCK = 1 << 18  # numbers that are converted at once, so that a large picture takes no more memory in floats

# Bradford's cone responses (ICC.1:2022, annex E.3).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Encoding:
    """Meaning of levels as light: `to_light` maps [0, 1] to [0, 1]; `primaries` None: sRGB's, and for greys."""

    to_light: Callable[[Floats], Floats]
    primaries: Chromaticities | None = None

    def to_8_bit(self, levels: NDArray[Any], has_colours: bool) -> NDArray[np.uint8]:
        """Convert greys uint8 or uint16, or colours [..., 3], to 8-bit sRGB; colours beyond it are clipped."""
        light = self.to_light(np.linspace(0, 1, np.iinfo(levels.dtype).max + 1))
        if self.primaries is None or self.primaries == BT709 or not has_colours:
            grey: NDArray[np.uint8] = nearest(to_srgb(light))[levels]
            return grey
        matrix = _from_xyz(BT709) @ adaptation(self.primaries[:2], D65) @ _to_xyz(self.primaries)
        colours = np.empty(levels.shape, np.uint8)
        flat, result = levels.reshape(-1, 3), colours.reshape(-1, 3)
        for start in range(0, len(flat), BLOCK):
            block = slice(start, start + BLOCK)
            result[block] = nearest(to_srgb(light[flat[block]] @ matrix.T))
        return colours

    def convert(self, image: Image.Image) -> Image.Image:
        """Return a picture L or RGB in sRGB."""
        return Image.fromarray(self.to_8_bit(np.asarray(image), has_colours=image.mode == "RGB"))


def nearest(values: Floats) -> NDArray[np.uint8]:
    """Return numbers from 0 to 1 as levels from 0 to 255."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def to_srgb(light: Floats) -> Floats:
    """Return the transfer curve of sRGB (IEC 61966-2-1): linear light from 0 to 1 as levels from 0 to 1."""
    light = np.clip(light, 0, 1)
    levels: Floats = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return levels


def from_srgb(levels: Floats) -> Floats:
    """Return the inverse of `to_srgb`."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def power(exponent: float) -> Callable[[Floats], Floats]:
    """Return the curve light = level ** exponent."""
    return lambda levels: levels**exponent


def from_bt709(levels: Floats) -> Floats:
    """Invert the camera's curve of BT.709, BT.601 and BT.2020 (ITU-T H.273, transfer 1, 6, 14 and 15)."""
    return np.where(levels < 0.081242, levels / 4.5, ((levels + 0.099297) / 1.099297) ** (1 / 0.45))


def from_smpte240(levels: Floats) -> Floats:
    """Return the inverse of the curve of SMPTE ST 240 (ITU-T H.273, transfer 7)."""
    return np.where(levels < 0.0913, levels / 4, ((levels + 0.1115) / 1.1115) ** (1 / 0.45))


def from_lab(lab: Floats, white: tuple[float, ...]) -> NDArray[np.uint8]:
    """Return CIE L*a*b* [..., 3], L* from 0 to 100, of a white (x, y), as 8-bit sRGB (CIE 15, section 8.2.1)."""
    middle = (lab[..., :1] + 16) / 116
    roots = np.concatenate([middle + lab[..., 1:2] / 500, middle, middle - lab[..., 2:3] / 200], axis=-1)
    share = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    matrix = _from_xyz(BT709) @ adaptation(white, D65)
    return nearest(to_srgb((share * _xyz(white)) @ matrix.T))


@lru_cache(8)
def _to_xyz(primaries: Chromaticities) -> Floats:
    """Return matrix from linear light of these primaries to CIE XYZ with Y = 1 for white."""
    white, *colours = (_xyz(primaries[start : start + 2]) for start in (0, 2, 4, 6))
    columns = np.stack(colours, axis=1)
    matrix: Floats = columns * np.linalg.solve(columns, white)
    return matrix


def _from_xyz(primaries: Chromaticities) -> Floats:
    matrix: Floats = np.linalg.inv(_to_xyz(primaries)).astype(np.float64)
    return matrix


def _xyz(chromaticity: tuple[float, ...]) -> Floats:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])


def adaptation(white: tuple[float, ...], other: tuple[float, ...]) -> Floats:
    """Return bradford's matrix, which makes colours seen under one white those seen under another."""
    gains = (_BRADFORD @ _xyz(other)) / (_BRADFORD @ _xyz(white))
    matrix: Floats = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD
    return matrix
