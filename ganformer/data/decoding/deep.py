"""Pictures of more than 8 bits a sample: from whole numbers to 8-bit sRGB, rounded once."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.data.decoding import levels, profiles
from ganformer.data.decoding.encodings import Encoding
from ganformer.data.decoding.picture import Limits

TOP = 65535


def picture(
    colours: NDArray[Any],
    opacity: NDArray[np.uint8] | None,
    meaning: bytes | Encoding | None = None,
    limits: Limits | None = None,
) -> Image.Image:
    """Return L, LA, RGB or RGBA of colours [H, W, C], C = 1, 3, or 4 for CMYK, of uint8 or uint16, all bits in use.

    `meaning`: an ICC profile, or an encoding; None for sRGB. `limits`: black and white of uint16 where these are not 0
    and 65535.
    """
    if limits is not None and colours.dtype == np.uint16:
        colours = levels.scaled(colours, limits, TOP if meaning is not None else 255)
    converted = _converted(colours, meaning)
    image = Image.fromarray(converted[:, :, 0] if converted.shape[2] == 1 else converted)
    if opacity is not None:
        image.putalpha(Image.fromarray(opacity))
    return image


def to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return uint8 as it is, uint16 from 0 to 65535 as the nearest level; the same as dividing by 257."""
    if values.dtype == np.uint8:
        return cast(NDArray[np.uint8], values)
    return cast(NDArray[np.uint8], levels.scaled(values, (0, TOP), 255))


def _converted(colours: NDArray[Any], meaning: bytes | Encoding | None) -> NDArray[np.uint8]:
    """Return uint8 [H, W, 1 or 3]."""
    channels = colours.shape[2]
    if isinstance(meaning, Encoding):
        return meaning.to_8_bit(colours, has_colours=channels == 3)
    if meaning is not None and colours.dtype == np.uint8:
        mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
        plain = Image.frombytes(mode, colours.shape[1::-1], np.ascontiguousarray(colours).tobytes())
        converted = np.asarray(profiles.convert(plain, meaning))
        return converted.reshape(*converted.shape[:2], -1)
    if meaning is not None:
        colours = profiles.convert_deep(colours, meaning)
    return to_8_bit(colours) if colours.shape[2] < 4 else _without_inks(colours)


def _without_inks(inks: NDArray[Any]) -> NDArray[np.uint8]:
    """Return CMYK [H, W, 4] without a profile as RGB: the light that each ink and black let through."""
    through = 1 - inks.astype(np.float32) / np.iinfo(inks.dtype).max
    return np.rint(through[:, :, :3] * through[:, :, 3:] * 255).astype(np.uint8)
