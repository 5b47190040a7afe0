"""PNGs that are quick to write and to read: one compressed piece, and every row stored less the row above it.

That is the filter "Up" of PNG (its specification, section 9.2), which numpy undoes for all columns at once. Any viewer
reads these files, and Pillow reads here what other programs wrote.
"""

import io
import struct
import zlib

import numpy as np
from isal import isal_zlib  # inflates about twice as fast as zlib, and that is most of reading
from PIL import Image

from ganformer.data.images import Pixels

UP = 2  # number of the filter
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA: PNG's numbers for so many channels (section 11.2.1)
# zlib's, not isal's, whose bytes may depend on the processor. Photographs are a tenth larger than Pillow's PNGs at
# this level and rendered scenes a quarter, but written four times as fast; lower levels also take longer to read.
LEVEL = 3

_PIECE = 33  # where the compressed piece begins: after the signature and the header


def encode(pixels: Pixels) -> bytes:
    """Return a PNG file of one image uint8 [C, H, W], C being 1, 3 or 4."""
    channels, height, width = pixels.shape
    rows = pixels.transpose(1, 2, 0).reshape(height, channels * width)
    filtered = np.empty((height, 1 + channels * width), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    start = _start(channels, height, width)
    return start + _chunk(b"IDAT", zlib.compress(filtered.data, LEVEL)) + _END


def decode(png: memoryview, shape: tuple[int, int, int]) -> Pixels:
    """Decode the image of a shape [C, H, W] in a PNG file: uint8 [H, W, C].

    Raises ValueError with the reason if there is none of this shape. The checksum of the pixels is compared,
    checksums of the chunks around them are not.
    """
    channels, height, width = shape
    rows = _inflated(png, shape) if _is_simple(png, shape) else None
    if rows is None or (rows[:, 0] != UP).any():
        return _decoded_by_pillow(png, shape)
    return _summed(rows[:, 1:]).reshape(height, width, channels)


def _is_simple(png: memoryview, shape: tuple[int, int, int]) -> bool:
    """Return whether it has this shape, 8 bits a sample, no interlacing, and exactly one compressed chunk."""
    length, kind = struct.unpack_from(">L4s", png, _PIECE) if len(png) > _PIECE + 8 else (0, b"")
    return (
        png[:_PIECE] == _start(*shape)
        and kind == b"IDAT"
        and len(png) == _PIECE + 12 + length + len(_END)
        and png[-len(_END) :] == _END
    )


def _inflated(png: memoryview, shape: tuple[int, int, int]) -> Pixels:
    """Return rows as they are filtered, each behind the number of its filter: uint8 [H, 1 + C W]."""
    channels, height, width = shape
    size = height * (1 + channels * width)
    try:
        inflated = isal_zlib.decompress(png[_PIECE + 8 : -len(_END) - 4], bufsize=size)
    except isal_zlib.error as error:  # type: ignore[misc] # a class, whatever its stub says
        raise ValueError(str(error)) from error
    if len(inflated) != size:
        raise ValueError(f"{len(inflated)} bytes of pixels instead of {size}")
    return np.frombuffer(inflated, np.uint8).reshape(height, 1 + channels * width)


def _summed(rows: Pixels) -> Pixels:
    """Return running sums down the columns, modulo 256, by doubling the distance: cumsum takes five times as long."""
    rows = rows.copy()
    step = 1
    while step < len(rows):
        rows[step:] += rows[:-step]
        step *= 2
    return rows


def _decoded_by_pillow(png: memoryview, shape: tuple[int, int, int]) -> Pixels:
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            pixels = np.asarray(picture)
    except (OSError, SyntaxError) as error:  # the latter is what Pillow calls broken pieces
        raise ValueError(str(error)) from error
    expected = (height, width, channels)
    if channels == 1 and pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise ValueError(f"a picture of {pixels.dtype} {pixels.shape} instead of uint8 {expected}")
    return pixels


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(content, zlib.crc32(kind)))


def _start(channels: int, height: int, width: int) -> bytes:
    eight_bit = struct.pack(">LLBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", eight_bit)


_END = _chunk(b"IEND", b"")
