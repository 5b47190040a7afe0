"""PNG: of up to 8 bits by Pillow, but for keys and colour spaces; of 16 by `png_deep` (PNG, third edition)."""

from typing import IO

import numpy as np
from isal import isal_zlib
from PIL import Image

from ganformer.data.decoding import pillow, png_colours
from ganformer.data.decoding.picture import ANIMATION, Decoded, Limits, UnreadableImageError, upright, upright_size
from ganformer.data.decoding.png_chunks import CHANNELS, GREY, Header, chunks, metadata, read_header

# First row, first column, and steps of rows and columns, by pass (section 8.1).
_ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]

_PIECE = 1 << 16  # bytes that are unpacked at once, to a thousand times as many at most


def decode(file: IO[bytes], limits: Limits | None) -> Decoded:
    """Return the picture, of an animation the first frame. `limits` hold for 16 bits."""
    header = read_header(file)
    left_out = {ANIMATION: header.further_frames} if header.further_frames else {}
    if header.depth == 16:
        from ganformer.data.decoding import png_deep

        return Decoded(png_deep.decode(file, header, limits), header.key is not None, left_out)
    image = pillow.opened(file, "PNG")
    image.load()
    _check_rows(file, header, image)
    conversion = pillow.conversion(png_colours.meaning(header, image.info.get("icc_profile")))
    picture = pillow.to_srgb(image if header.key is None else _with_key(image, header), conversion)
    return Decoded(upright(picture, pillow.orientation(image)), header.key is not None, left_out)


def size(file: IO[bytes]) -> tuple[int, int]:
    """Return width and height of what `decode` returns."""
    header = read_header(file)
    return upright_size(header.width, header.height, pillow.orientation(metadata(file)))


def _check_rows(file: IO[bytes], header: Header, image: Image.Image) -> None:
    """Refuse files of too few rows, of which Pillow leaves the rest at zero without a word."""
    width, height = header.width, header.height
    if not header.is_interlaced and image.crop((0, height - 1, width, height)).getbbox() is not None:
        return
    passes = _ADAM7 if header.is_interlaced else [(0, 0, 1, 1)]
    bits = header.depth * CHANNELS[header.colour]
    needed = 0
    for top, left, down, across in passes:
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        needed += rows * (1 + (columns * bits + 7) // 8) if rows > 0 and columns > 0 else 0
    if (length := _inflated_length(file)) < needed:
        raise UnreadableImageError(f"is truncated: {length} bytes of pixels in place of {needed}")


def _inflated_length(file: IO[bytes]) -> int:
    inflate, length = isal_zlib.decompressobj(), 0
    for name, left in chunks(file):
        while name == b"IDAT" and left > 0:
            length += len(inflate.decompress(file.read(min(left, _PIECE))))
            left -= _PIECE
    return length


def _with_key(image: Image.Image, header: Header) -> Image.Image:
    """Return LA or RGBA of a picture with a transparent grey or colour. Pillow takes keys for levels of 8 bits."""
    key = [value * 255 // (2**header.depth - 1) for value in header.key or ()]
    levels = np.asarray(image.convert("L" if header.colour == GREY else "RGB"))
    hit = (levels.reshape(*levels.shape[:2], -1) == key).all(axis=2)
    keyed = Image.fromarray(levels)
    keyed.putalpha(Image.fromarray(np.where(hit, np.uint8(0), np.uint8(255))))
    return keyed
