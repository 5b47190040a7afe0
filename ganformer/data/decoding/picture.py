"""The result of decoding: a picture in 8-bit sRGB, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

Limits = tuple[float, float]
"""The numbers that are black and white."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that make a picture upright, by its Orientation (TIFF 6.0, section 8; the same numbers in Exif)."""

ANIMATION = "further frames of animations"


class UnreadableImageError(Exception):
    """A picture cannot become pixels; the message is the reason, the same on every run."""


@dataclass(frozen=True)
class Decoded:
    """One decoded picture.

    `image` has the mode L, LA, RGB or RGBA with 8 bits a sample: upright, in sRGB (grey: sRGB's transfer curve), its
    colours not multiplied by opacity. It has an opacity channel exactly where the file has one, or a colour key or
    palette with transparent entries. It is L or LA exactly where the file stores one channel of grey, or a palette of
    greys only.
    """

    image: Image.Image
    is_keyed: bool = False
    """Tells whether opacity comes from one transparent colour, not from a channel or the entries of a palette."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of other things in the file that were not decoded, by kind, as in {"further frames of animations": 41}."""


def check_size(width: int, height: int) -> None:
    """Refuse sizes from a header before anything is decoded: none at all, and more pixels than Pillow's limit allows.

    Pillow itself only warns up to twice its limit. Here the mere suspicion of a decompression bomb is an error.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"its header says {width}×{height} pixels, which is no picture")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise UnreadableImageError(
            f"{width}×{height} pixels: exceeds limit of {limit} pixels, could be decompression bomb"
        )


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the picture as it is to be seen; numbers other than 2 to 8 change nothing."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return width and height of a picture once it is upright."""
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)
