"""Meaning of the samples of a TIFF: photometric interpretation, opacity, palette, inks (TIFF 6.0, sections 3 to 23).

The tags TransferFunction and PrimaryChromaticities are not heeded, as by other programs; profiles are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffPage

from ganformer.data.decoding import deep, encodings, levels
from ganformer.data.decoding.picture import Limits, UnreadableImageError
from ganformer.data.decoding.tiff_samples import FLOATS, JPEG, SEPARATE, bits_of

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3, CIELAB: 3, ICCLAB: 3}

ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: opacity that colours are multiplied by, and opacity that they are not

_PHOTOMETRIC, _WHITE, _COLOUR_MAP, _INK_SET, _COEFFICIENTS, _REFERENCE = 262, 318, 320, 332, 529, 532
_PROFILE = 34675
_D50 = (0.3457, 0.3585)


@dataclass(frozen=True)
class Meaning:
    """Photometric interpretation of a directory, and the number of channels that it is about."""

    photometric: int
    channels: int


def meaning_of(page: TiffPage) -> Meaning:
    """Read what a directory says of itself. Raises UnreadableImageError, by name, where that is not read."""
    if _PHOTOMETRIC not in page.tags and page.samplesperpixel == 1 and page.sampleformat == FLOATS:
        return Meaning(BLACK_IS_ZERO, 1)  # which numbers are black and white is said by limits
    if _PHOTOMETRIC not in page.tags:
        raise UnreadableImageError("does not say what its samples mean (it has no PhotometricInterpretation)")
    photometric = int(page.photometric)
    if photometric not in _CHANNELS:
        names = {one.value: one.name for one in tifffile.PHOTOMETRIC}
        name = names.get(photometric, "unknown")
        raise UnreadableImageError(f"has PhotometricInterpretation {photometric} ({name}), which is not read")
    channels = _CHANNELS[photometric]
    if page.samplesperpixel < channels:
        raise UnreadableImageError(f"has {page.samplesperpixel} samples a pixel, where its colours need {channels}")
    if photometric == INKS and page.tags.valueof(_INK_SET, 1) != 1:
        raise UnreadableImageError("is of other inks than CMYK (InkSet 2), which are not read")
    if page.compression == JPEG and photometric == YCBCR and page.samplesperpixel > 3:
        raise UnreadableImageError("is JPEG in YCbCr with further samples, which is not read")
    return Meaning(photometric, channels)


def separated(page: TiffPage, meaning: Meaning, samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Return colours [H, W, C] not multiplied by opacity, and opacity uint8 [H, W] where a sample is that."""
    colours = samples[:, :, : meaning.channels]
    extras = page.extrasamples[: samples.shape[2] - meaning.channels]
    place = next((place for place, kind in enumerate(extras) if kind in (ASSOCIATED, UNASSOCIATED)), None)
    if place is None:
        return colours, None
    opacity = samples[:, :, meaning.channels + place]
    if opacity.dtype.kind == "i":
        raise UnreadableImageError("has signed numbers for opacity, which have no agreed range")
    range_ = (0.0, 1.0) if opacity.dtype.kind == "f" else (0, 2 ** bits_of(page) - 1)
    if extras[place] == ASSOCIATED:
        colours = _divided(colours, opacity, meaning, bits_of(page))
    return colours, levels.scaled(opacity, range_, 255)


def picture(
    page: TiffPage, meaning: Meaning, colours: NDArray[Any], opacity: NDArray[np.uint8] | None, limits: Limits | None
) -> Image.Image:
    """Return L, LA, RGB or RGBA, as stored (not turned). `limits` hold for grey and RGB of more than 8 bits."""
    profile = page.tags.valueof(_PROFILE)
    profile = profile if isinstance(profile, bytes) else None
    if meaning.photometric == PALETTE:
        return _by_palette(page, colours[:, :, 0], opacity, profile)
    if meaning.photometric in (CIELAB, ICCLAB):
        return deep.picture(_from_lab(page, meaning, colours), opacity)
    bits = bits_of(page)
    is_small = colours.dtype.kind == "u" and colours.dtype.itemsize <= 2
    if meaning.photometric in (INKS, YCBCR) and not is_small:
        raise UnreadableImageError(f"has {colours.dtype} samples of inks or YCbCr, which are not read")
    if meaning.photometric in (INKS, YCBCR) or colours.dtype == np.uint8:
        limits = None
    range_ = levels.range_of(colours.dtype, limits, bits)
    if meaning.photometric == YCBCR and (page.compression != JPEG or page.planarconfig == SEPARATE):
        colours, range_ = _from_ycbcr(page, colours), (0, 255 if bits <= 8 else deep.TOP)
    top = deep.TOP if bits > 8 and (profile is not None or meaning.photometric == INKS) else 255
    if colours.dtype != np.uint8 or bits < 8:
        colours = levels.scaled(colours, range_, top)
    if meaning.photometric == WHITE_IS_ZERO:
        colours = ~colours
    return deep.picture(colours, opacity, profile)


def _divided(colours: NDArray[Any], opacity: NDArray[Any], meaning: Meaning, bits: int) -> NDArray[Any]:
    """Return colours without the opacity that they were multiplied by, in the type and range that they had."""
    if meaning.photometric not in (BLACK_IS_ZERO, RGB) or colours.dtype.kind != "u" or colours.dtype.itemsize > 2:
        raise UnreadableImageError(
            "has colours multiplied by opacity other than grey or RGB of up to 16 bits, which are not read"
        )
    top = 2**bits - 1
    share = np.float32(top) / np.maximum(opacity, 1)[:, :, None]
    divided: NDArray[Any] = np.rint(np.minimum(colours * share, top)).astype(colours.dtype)
    return divided


def _by_palette(
    page: TiffPage, numbers: NDArray[Any], opacity: NDArray[np.uint8] | None, profile: bytes | None
) -> Image.Image:
    """Look colours up in a 16-bit palette. Some programs store bytes in it, or bytes followed by a zero byte."""
    table = page.tags.valueof(_COLOUR_MAP)
    if table is None or numbers.dtype.kind != "u" or numbers.dtype.itemsize > 2:
        raise UnreadableImageError("has colours by a palette, but no palette that fits")
    palette = np.array(table, np.uint16).reshape(3, -1).T
    if numbers.max() >= len(palette):
        raise UnreadableImageError(f"has colour {numbers.max()} of a palette of {len(palette)}")
    if palette.max() < 256:
        palette = palette * np.uint16(257)
    elif not (palette & 255).any():
        palette |= palette >> 8
    converted = np.asarray(deep.picture(palette[None], None, profile))[0]
    is_grey = (palette == palette[:, :1]).all()
    image = Image.fromarray((converted[:, 1] if is_grey else converted)[numbers])
    if opacity is not None:
        image.putalpha(Image.fromarray(opacity))
    return image


def _from_ycbcr(page: TiffPage, colours: NDArray[Any]) -> NDArray[Any]:
    """Return RGB uint8 or uint16 of YCbCr, by the tags of its coefficients and range (section 21)."""
    bits = bits_of(page)
    red, green, blue = _rationals(page, _COEFFICIENTS, (0.299, 0.587, 0.114))
    half, top = 2 ** (bits - 1), 2**bits - 1
    reference = np.array(_rationals(page, _REFERENCE, (0, top, half, top, half, top))).reshape(3, 2)
    spans = np.array([top, half - 1, half - 1]) / (reference[:, 1] - reference[:, 0])
    result = np.empty(colours.shape, np.uint8 if bits <= 8 else np.uint16)
    most = 255 if bits <= 8 else deep.TOP
    for row, codes in enumerate(colours):
        y, cb, cr = ((codes - reference[:, 0]) * spans / top).T
        r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
        g = (y - red * r - blue * b) / green
        result[row] = np.rint(np.clip(np.stack([r, g, b], axis=-1), 0, 1) * most)
    return result


def _from_lab(page: TiffPage, meaning: Meaning, colours: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 8-bit sRGB of CIE L*a*b* (section 23) or ICC L*a*b* (Adobe's TIFF Technical Notes), 8 or 16 bits."""
    bits = bits_of(page)
    if bits not in (8, 16) or colours.dtype.kind != "u":
        raise UnreadableImageError(f"is L*a*b* of {bits} bits as {colours.dtype}, which is not read")
    unit = 1 if bits == 8 else 256
    if meaning.photometric == CIELAB:
        most, chroma = 2**bits - 1, colours[:, :, 1:].astype(f"i{bits // 8}")
    else:
        most, chroma = 255 * unit, colours[:, :, 1:].astype(np.int32) - 128 * unit
    white = _rationals(page, _WHITE, _D50)
    result = np.empty(colours.shape, np.uint8)
    for row in range(len(colours)):
        lightness = colours[row, :, :1] * (100 / most)
        result[row] = encodings.from_lab(np.concatenate([lightness, chroma[row] / unit], axis=1), white)
    return result


def _rationals(page: TiffPage, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return values of a tag of fractions; the default where it is missing, or has a denominator of zero."""
    parts = page.tags.valueof(tag)
    if not isinstance(parts, tuple) or len(parts) != 2 * len(default) or 0 in parts[1::2]:
        return default
    return tuple(above / below for above, below in zip(parts[::2], parts[1::2], strict=True))
