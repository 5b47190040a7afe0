"""The one definition of how a picture becomes pixels of a pack: decode, orient, convert to sRGB, crop, resize."""

import io
import math
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from ganformer.config import ImageSpec

if TYPE_CHECKING:  # packing does not need torch, and its workers start faster without it
    from torch import Tensor

Pixels = NDArray[np.uint8]
Planes = TypeVar("Planes", NDArray[np.uint8], "Tensor")

# What has transparent parts is seen on white, as on a page.
BACKGROUND = (255, 255, 255, 255)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


class UnreadableImageError(Exception):
    """A picture cannot become pixels; the message is the reason, the same on every run."""


def read_image(file: Path | IO[bytes], shape: ImageSpec) -> Pixels:
    """Decodes a file and prepares it: uint8 [H, W, 3]. Raises UnreadableImageError, whatever is wrong with the file.

    Pillow's limits stay on: truncated files and decompression bombs are errors, the mere suspicion of a bomb too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                return prepare(image, shape)
        except MemoryError:
            raise
        except UnidentifiedImageError as error:
            raise UnreadableImageError("is not an image of a known format") from error
        except Exception as error:  # decoders raise nearly everything on damaged files
            raise UnreadableImageError(f"{error} ({type(error).__name__})") from error


def read_array(values: NDArray[Any], shape: ImageSpec, limits: tuple[float, float] | None = None) -> Pixels:
    """Prepares an image that comes as numbers, [H, W] or [H, W, C] of 1, 3 or 4 channels: uint8 [H, W, 3].

    uint8 is taken as it is, uint16 scaled; floats lie within `limits`, the values of black and white. Raises
    UnreadableImageError for everything else.
    """
    planes = values if values.ndim == 3 else values[:, :, None]
    if planes.ndim != 3 or planes.shape[2] not in CHANNELS or not planes.size:
        raise UnreadableImageError(f"an array of shape {list(values.shape)} is no image of 1, 3 or 4 channels")
    if planes.dtype.kind == "f" and limits is not None:
        planes = _scaled(planes, *limits)
    elif planes.dtype == np.uint16:
        planes = _scaled(planes, 0, 65535)
    elif planes.dtype != np.uint8:
        hint = "; state the limits of its values" if planes.dtype.kind == "f" else ""
        raise UnreadableImageError(
            f"{planes.dtype} values are neither uint8 nor uint16 nor floats of known limits{hint}"
        )
    mode = CHANNELS[planes.shape[2]]
    return prepare(Image.fromarray(np.ascontiguousarray(planes[:, :, 0] if mode == "L" else planes)), shape)


def prepare(image: Image.Image, shape: ImageSpec) -> Pixels:
    """Pixels [H, W, 3] uint8 of a picture: upright, sRGB, centre cropped to the shape, resized by antialiased Lanczos.

    Of an animation the first frame is taken. A picture that has the shape already keeps its pixels. Where the shape has
    black bars above and below, see `letterbox`.
    """
    colours = to_rgb(image)
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation in _UPRIGHT:
        colours = colours.transpose(_UPRIGHT[orientation])
    if shape.rows is not None and shape.columns is None:
        return letterbox(colours, shape.rows / shape.width, shape.width)
    window = colours.crop(crop_box(*colours.size, shape.height / shape.width))
    return np.asarray(window.resize((shape.width, shape.height), Image.Resampling.LANCZOS))


def letterbox(image: Image.Image, ratio: float, side: int) -> Pixels:
    """A square [side, side, 3] with the centre of the picture between black bars, made as GANformer's code does it.

    Padded to a square first, then resized by Lanczos to the nearest power of two, then averaged over blocks: bars and
    picture blur into each other, and a picture larger than the square is resized twice.
    """
    width, height = image.size
    wide = min(width, height / ratio)
    high = wide * ratio
    window = image.crop(((width - wide) // 2, (height - high) // 2, (width + wide) // 2, (height + high) // 2))
    square = Image.new("RGB", (max(window.size),) * 2)
    square.paste(window, ((square.width - window.width) // 2, (square.height - window.height) // 2))
    power = max(side, 2 ** round(math.log2(square.width)))
    pixels = np.asarray(square.resize((power, power), Image.Resampling.LANCZOS))
    blocks = pixels.reshape(side, power // side, side, power // side, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def central(images: Planes, rows: int, columns: int) -> Planes:
    """The middle of images [..., H, W]: [..., rows, columns]; where the margin is odd, half a pixel up or left."""
    top, left = (images.shape[-2] - rows) // 2, (images.shape[-1] - columns) // 2
    return images[..., top : top + rows, left : left + columns]


def crop_box(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """The largest centred window with height/width = `ratio`: (left, top, right, bottom) in whole pixels.

    Sides are rounded to the nearest pixel (halves up, at least 1). Where the margin is odd, the window stands half a
    pixel to the left or top of the centre.
    """
    wide = min(width, _nearest(height / ratio))
    high = min(height, _nearest(width * ratio))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in 8-bit sRGB; transparent parts show `BACKGROUND`.

    16-bit greys are scaled, not clipped; of 16-bit colours Pillow gives the upper bytes, at most one level off.
    Floating-point greys have no agreed range: 0 is black and 1 white where all values lie between, else the
    picture's own extremes are. An embedded colour profile is applied where it fits the picture; a damaged one is
    left aside, as viewers do. Raises ValueError where there is no sensible conversion.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    if "icc_profile" in image.info:
        image = _to_srgb(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    return image.convert("RGB")


def _nearest(length: float) -> int:
    return max(1, math.floor(length + 0.5))


def _to_8_bit(image: Image.Image) -> Image.Image:
    """A grey picture of more than 8 bits as L, or as LA where one value is marked transparent."""
    values = np.asarray(image).astype(np.float64)
    low, high = _float_range(values) if image.mode == "F" else _integer_range(values)
    grey = Image.fromarray(np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8))
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _scaled(values: NDArray[Any], low: float, high: float) -> Pixels:
    """`low` becomes 0 and `high` 255."""
    least, most = float(values.min()), float(values.max())
    if not (low <= least and most <= high):  # also where they are not numbers
        raise UnreadableImageError(f"values from {least:g} to {most:g} are not within the limits {low:g} to {high:g}")
    return np.rint((values.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)


def _integer_range(values: NDArray[np.float64]) -> tuple[float, float]:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"whole numbers from {values.min():.0f} to {values.max():.0f} are no 16-bit greys")
    return 0, 65535


def _float_range(values: NDArray[np.float64]) -> tuple[float, float]:
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    low, high = float(values.min()), float(values.max())
    return (low, high) if (low < 0 or high > 1) and low < high else (0.0, 1.0)


def _to_srgb(image: Image.Image) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image
