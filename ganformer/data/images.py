"""The one definition of how a picture becomes pixels of a pack: decoded to sRGB (`decoding`), cropped, resized."""

import math
from collections.abc import Mapping
from enum import IntFlag
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data import decoding
from ganformer.data.decoding import UnreadableImageError

if TYPE_CHECKING:  # packing does not need torch, and its workers start faster without it
    from torch import Tensor

Pixels = NDArray[np.uint8]
Planes = TypeVar("Planes", NDArray[np.uint8], "Tensor")

# Transparent parts are shown on white, as on a page.
BACKGROUND = (255, 255, 255, 255)

CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


class Traits(IntFlag):
    """Colours and opacity of a picture as it is stored, whatever the shape that it is prepared in."""

    NONE = 0
    GREY = 1
    """It has one channel of grey, or a palette of greys only."""
    OPACITY = 2
    """It has an opacity channel, or a palette with entries of any opacity."""
    TRANSPARENT = 4
    """Some pixel is not opaque."""


class Picture(NamedTuple):
    """Decoded picture: pixels uint8 [H, W, C] in the requested shape, and properties of its file."""

    pixels: Pixels
    traits: Traits
    size: tuple[int, int]
    """Rows and columns before it was cropped and resized."""
    left_out: Mapping[str, int] = {}
    """Number of other things in its file, by kind (`decoding.Decoded`)."""


def read_image(
    file: IO[bytes], shape: ImageSpec, limits: decoding.Limits | None = None, page: int | None = None
) -> Picture:
    """Decode a file and prepares it: pixels uint8 [H, W, C], C as `shape` has it.

    `limits`: the numbers of black and white where samples are floats or integers of more than 8 bits. `page`: which
    picture of a TIFF of several. Raises UnreadableImageError, whatever is wrong with the file.
    """
    decoded = decoding.decode(file, limits, page)
    return _picture(decoded.image, shape, decoded.is_keyed, decoded.left_out)


def read_array(values: NDArray[Any], shape: ImageSpec, limits: decoding.Limits | None = None) -> Picture:
    """Prepare an image that comes as numbers, [H, W] or [H, W, C] of 1, 3 or 4 channels: pixels uint8 [H, W, C'].

    uint8 is taken as it is, uint16 from 0 to 65535 where `limits`, the values of black and white, say nothing else;
    all other numbers need them. C' is as `shape` has it. Raises UnreadableImageError for everything else.
    """
    planes = values if values.ndim == 3 else values[:, :, None]
    if planes.ndim != 3 or planes.shape[2] not in CHANNELS or not planes.size:
        raise UnreadableImageError(f"an array of shape {list(values.shape)} is no image of 1, 3 or 4 channels")
    levels = np.ascontiguousarray(decoding.to_8_bit(planes, limits))
    mode = CHANNELS[planes.shape[2]]
    image = Image.fromarray(levels[:, :, 0] if mode == "L" else levels)
    return _picture(image, shape)


def _picture(
    image: Image.Image, shape: ImageSpec, is_keyed: bool = False, left_out: Mapping[str, int] | None = None
) -> Picture:
    return Picture(prepare(image, shape), traits(image, is_keyed), (image.height, image.width), left_out or {})


def traits(image: Image.Image, is_keyed: bool = False) -> Traits:
    """Return traits of a picture of mode L, LA, RGB or RGBA; `is_keyed`: its opacity is one transparent colour."""
    found = Traits.GREY if image.mode in ("L", "LA") else Traits.NONE
    if image.mode in ("LA", "RGBA"):
        least, _ = image.getchannel("A").getextrema()
        assert isinstance(least, int | float)
        found |= Traits.NONE if is_keyed else Traits.OPACITY
        found |= Traits.TRANSPARENT if least < 255 else Traits.NONE
    return found


def prepare(image: Image.Image, shape: ImageSpec) -> Pixels:
    """Convert a picture L, LA, RGB or RGBA to pixels uint8 [H, W, C]: centre crop, then antialiased Lanczos resize.

    C as in `shape`: 1 is grey, colours weighted as in ITU-R BT.601; 4 keeps opacity; with 1 and 3 transparent
    parts show `BACKGROUND`. A picture that has the shape already keeps its pixels. If the shape has black bars above
    and below, see `letterbox`.
    """
    colours = _with_channels(image, shape.channels)
    if shape.rows is not None and shape.columns is None:
        return _planes(letterbox(colours, shape.rows / shape.width, shape.width), shape.channels)
    window = colours.crop(crop_box(*colours.size, shape.height / shape.width))
    return _planes(np.asarray(window.resize((shape.width, shape.height), Image.Resampling.LANCZOS)), shape.channels)


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    if channels == 4:
        return image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
    return image.convert(CHANNELS[channels])


def in_colours(images: Pixels, axis: int) -> Pixels:
    """Convert images uint8 of 1, 3 or 4 channels along `axis` to 3: grey is repeated, opacity laid on `BACKGROUND`.

    The result is bit-identical to `prepare` of RGBA.
    """
    channels = images.shape[axis]
    if channels == 3:
        return images
    if channels == 1:
        return np.repeat(images, 3, axis)
    colours, opacity = np.split(images.astype(np.int32), [3], axis)
    return ((colours * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return pixels uint8 [H, W, 3] of a picture in so many channels, as `prepare` makes them."""
    return pixels if channels == 3 else _planes(np.asarray(_with_channels(Image.fromarray(pixels), channels)), channels)


def _planes(pixels: Pixels, channels: int) -> Pixels:
    return pixels.reshape(*pixels.shape[:2], channels)


def letterbox(image: Image.Image, ratio: float, side: int) -> Pixels:
    """Return a square [side, side, C] with the picture's centre between black bars, made as GANformer's code does it.

    The picture is padded to a square, resized by Lanczos to the nearest power of two, then averaged over blocks: bars
    and picture blur into each other, and a picture larger than the square is resized twice.
    """
    width, height = image.size
    wide = min(width, height / ratio)
    high = wide * ratio
    window = image.crop(((width - wide) // 2, (height - high) // 2, (width + wide) // 2, (height + high) // 2))
    square = Image.new(image.mode, (max(window.size),) * 2, (0, 0, 0, 255) if image.mode == "RGBA" else 0)
    square.paste(window, ((square.width - window.width) // 2, (square.height - window.height) // 2))
    power = max(side, 2 ** round(math.log2(square.width)))
    pixels = np.asarray(square.resize((power, power), Image.Resampling.LANCZOS))
    blocks = pixels.reshape(side, power // side, side, power // side, -1)
    means: Pixels = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return means


def central(images: Planes, rows: int, columns: int) -> Planes:
    """Crop images [..., H, W] to the middle [..., rows, columns]; an odd margin is smaller above and on the left."""
    top, left = (images.shape[-2] - rows) // 2, (images.shape[-1] - columns) // 2
    return images[..., top : top + rows, left : left + columns]


def crop_box(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """Return the largest centred window with height/width = `ratio`: (left, top, right, bottom) in whole pixels.

    Sides are rounded to the nearest pixel (halves up, at least 1). Where the margin is odd, the window stands half a
    pixel to the left or top of the centre.
    """
    wide = min(width, _nearest(height / ratio))
    high = min(height, _nearest(width * ratio))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _nearest(length: float) -> int:
    return max(1, math.floor(length + 0.5))
