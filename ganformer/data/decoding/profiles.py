"""Embedded ICC profiles, by their content: their names promise nothing.

A profile that is damaged, of another kind of picture (as of colours in a grey one), or that converts nothing leaves the
levels alone. Conversions are for the perceptual intent, where a profile makes the difference (ICC.1:2022, section 6.2).
Conversions of one profile are made once, as a data set often has the same one in every file.
"""

import io
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Levels = NDArray[np.uint8] | NDArray[np.uint16]

CACHED_PROFILES = 8  # profiles; a conversion takes up to a megabyte
LEVEL_TOLERANCE = 1  # level by which profiles of sRGB differ from each other, from how they were rounded

_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def convert(image: Image.Image, profile: bytes) -> Image.Image:
    """Return colours L, RGB or CMYK in the colour space of the profile as 8-bit sRGB: L as L, RGB and CMYK as RGB."""
    if image.mode == "L":
        return image if (table := grey_table(profile, 8)) is None else image.point(table.tolist())
    transform = _transform(profile, image.mode)
    converted = image if transform is None else ImageCms.applyTransform(image, transform)
    return cast(Image.Image, converted).convert("RGB")


def convert_deep(levels: NDArray[np.uint16], profile: bytes) -> Levels:
    """Return colours uint16 [H, W, C], C = 1, 3 or 4 for grey, RGB and CMYK, as sRGB; all 16 bits take part.

    Greys become uint8 [H, W, 1]; colours uint16 [H, W, 3]. Pixels without a usable profile are returned as they are.
    """
    channels = levels.shape[2]
    if channels == 1:
        return levels if (table := grey_table(profile, 16)) is None else table[levels]
    if _transform(profile, _MODES[channels]) is None:
        return levels
    return _deep(levels, profile, "rgb" if channels == 3 else "cmyk")


@lru_cache(CACHED_PROFILES)
def grey_table(profile: bytes, bits: int) -> NDArray[np.uint8] | None:
    """Return a table from greys of 8 or 16 bits to sRGB; None if the profile changes nothing or is not for greys."""
    transform = _built(profile, "L")
    if transform is None:
        return None
    greys = np.arange(256, dtype=np.uint8)
    table = np.asarray(ImageCms.applyTransform(Image.fromarray(greys[None]), transform))[0, :, 1]
    if np.abs(table.astype(int) - greys).max() <= LEVEL_TOLERANCE:
        return None
    if bits == 8:
        return table
    deep = _deep(np.arange(65536, dtype=np.uint16)[None], profile, "gray")
    return np.rint(deep[0, :, 1] / 257).astype(np.uint8)


@lru_cache(CACHED_PROFILES)
def _transform(profile: bytes, mode: str) -> Any:
    """Return conversion of RGB or CMYK; None if the profile changes nothing or is none for that mode."""
    transform = _built(profile, mode)
    if transform is None or mode == "CMYK":
        return transform
    steps = np.rint(np.linspace(0, 255, 18)).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 18, 3)
    converted = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return None if np.abs(converted.astype(int) - colours).max() <= LEVEL_TOLERANCE else transform


def _built(profile: bytes, mode: str) -> Any:
    if profile[16:20] != _SPACES[{"L": 1, "RGB": 3, "CMYK": 4}[mode]]:
        return None
    # Little CMS makes tables of 33 steps of curves of greys unless told not to, ten levels off in dark parts.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, _standard(), mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError):
        return None


@lru_cache(1)
def _standard() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _deep(levels: NDArray[np.uint16], profile: bytes, space: str) -> NDArray[np.uint16]:
    """Convert uint16 [H, W, C], or greys [H, W], to 16-bit sRGB [H, W, 3] by imagecodecs: Pillow has only 8 bits."""
    import imagecodecs

    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(levels),
        profile,
        _standard().tobytes(),
        colorspace=space,
        outcolorspace="rgb",
        intent=int(ImageCms.Intent.PERCEPTUAL),
        flags=int(ImageCms.Flags.NOOPTIMIZE),  # curves and matrices as they are, not tables of them
    )
    return cast(NDArray[np.uint16], converted)
