"""Pictures of 8 bits a sample by Pillow: opened without its guesses, and its many modes made few."""

from collections.abc import Callable
from typing import IO

from PIL import ExifTags, Image, UnidentifiedImageError, features

from ganformer.data.decoding import other_tags, profiles
from ganformer.data.decoding.encodings import Encoding
from ganformer.data.decoding.picture import ANIMATION, Decoded, UnreadableImageError, check_size, upright, upright_size

Conversion = Callable[[Image.Image], Image.Image]
"""Transform of colours L, RGB or CMYK to L or RGB in sRGB."""

_OPTIONAL = ("AVIF", "WebP")  # formats that Pillow can be built without


def opened(file: IO[bytes], name: str) -> Image.Image:
    """Return the file, its header read, as the format of that name. Raises UnreadableImageError if it is none."""
    file.seek(0)
    try:
        image = Image.open(file, formats=(name.upper(),))
    except (UnidentifiedImageError, KeyError) as error:
        if name in _OPTIONAL and not features.check(name.lower()):
            raise UnreadableImageError(f"is {name}, which this installation of Pillow does not read") from error
        raise UnreadableImageError(f"begins like {name}, but is truncated, damaged or of a kind not read") from error
    check_size(*image.size)
    return image


def decode(file: IO[bytes], name: str) -> Decoded:
    """Return a picture in WebP, GIF, AVIF or BMP."""
    about = other_tags.read(file, name)
    image = opened(file, name)
    left_out = further_frames(image)  # counted before the first is loaded, as counting may unload it
    meaning = image.info.get("icc_profile") or about.meaning
    picture = upright(to_srgb(image, conversion(meaning)), orientation(image))
    picture = picture.convert(picture.mode.replace("RGB", "L")) if about.is_grey else picture
    return Decoded(picture, is_keyed=name == "GIF", left_out=left_out)  # whose transparency is one entry of the palette


def size(file: IO[bytes], name: str) -> tuple[int, int]:
    """Return width and height of what `decode` returns."""
    image = opened(file, name)
    return upright_size(*image.size, orientation(image))


def further_frames(image: Image.Image) -> dict[str, int]:
    """Count the frames of an animation that are left out."""
    further = getattr(image, "n_frames", 1) - 1
    return {ANIMATION: further} if further else {}


def orientation(image: Image.Image) -> int:
    """Return the orientation by Exif, 1 if there is none that can be read. PNGs may store it after their pixels."""
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) else 1


def conversion(meaning: bytes | Encoding | None) -> Conversion | None:
    """Make the conversion from the colour space of a profile or an encoding; None for none."""
    if isinstance(meaning, bytes):
        return lambda colours: profiles.convert(colours, meaning)
    return None if meaning is None else meaning.convert


def to_srgb(image: Image.Image, convert: Conversion | None) -> Image.Image:
    """Convert a loaded picture of any 8-bit mode to sRGB: L, LA, RGB or RGBA; opacity is not colour-managed."""
    image.load()
    picture = _plain(image)
    if convert is not None:
        picture = _converted(picture, convert)
    if image.mode == "P" and _has_grey_palette(image):
        return picture.convert(picture.mode.replace("RGB", "L"))
    return picture.convert("RGB") if picture.mode == "CMYK" else picture


def _converted(picture: Image.Image, convert: Conversion) -> Image.Image:
    if picture.mode not in ("LA", "RGBA"):
        return convert(picture)
    colours = convert(picture.convert(picture.mode[:-1]))
    colours.putalpha(picture.getchannel("A"))
    return colours


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture as L, LA, RGB, RGBA or CMYK, nothing lost."""
    if image.mode == "P":
        return _without_palette(image)
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        return image.convert(image.mode + "A")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    plain = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB"}.get(image.mode)
    if plain is None:
        raise UnreadableImageError(f"its samples, Pillow's mode {image.mode}, have no agreed meaning")
    return image.convert(plain)


def _without_palette(image: Image.Image) -> Image.Image:
    """Return RGB, or RGBA where an entry of the palette is transparent."""
    transparency = image.info.get("transparency")
    is_opaque = transparency is None or (isinstance(transparency, bytes) and min(transparency, default=255) == 255)
    return image.convert("RGB" if is_opaque else "RGBA")


def _has_grey_palette(image: Image.Image) -> bool:
    palette = image.getpalette("RGB") or []
    return palette[::3] == palette[1::3] == palette[2::3]
