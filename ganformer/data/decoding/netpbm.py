"""PBM, PGM and PPM, as text or bytes, with any greatest value up to 65535 (netpbm's manuals pbm(5), pgm(5), ppm(5)).

Pillow takes numbers of 16 bits for colours of 8 and has no room for `limits`, and these formats are small.
"""

import re
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.data.decoding.levels import scaled
from ganformer.data.decoding.picture import Decoded, Limits, UnreadableImageError, check_size

_SPACE = rb"(?:[ \t\n\v\f\r]|#[^\n\r]*[\n\r])+"
_HEADERS = {
    True: re.compile(rb"P([14])" + _SPACE + rb"(\d+)" + _SPACE + rb"(\d+)(?:\s|#[^\n\r]*[\n\r])"),
    False: re.compile(rb"P([2356])" + _SPACE + rb"(\d+)" + _SPACE + rb"(\d+)" + _SPACE + rb"(\d+)\s"),
}
_HEADER_BYTES = 65536  # comments included


def decode(file: IO[bytes], limits: Limits | None) -> Decoded:
    """Return the first picture of a file. `limits` hold where its greatest value is above 255."""
    kind, width, height, top, start = _header(file)
    channels = 3 if kind in (3, 6) else 1
    file.seek(start)
    samples = _samples(file, kind, height, width * channels, top).reshape(height, width, channels)
    if top == 1 and kind in (1, 4):
        levels = np.where(samples, np.uint8(0), np.uint8(255))  # 1 is black
    else:
        if samples.min() < 0 or samples.max() > top:
            raise UnreadableImageError(
                f"holds numbers from {samples.min()} to {samples.max()}, but says that its greatest value is {top}"
            )
        range_ = limits if limits is not None and top > 255 else (0, top)
        levels = samples if samples.dtype == np.uint8 and top == 255 else scaled(samples, range_, 255)
    return Decoded(Image.fromarray(levels[:, :, 0] if channels == 1 else levels))


def size(file: IO[bytes]) -> tuple[int, int]:
    """Return width and height from the header."""
    _, width, height, _, _ = _header(file)
    return width, height


def _header(file: IO[bytes]) -> tuple[int, int, int, int, int]:
    """Return kind (the digit of the signature), width, height, greatest value, and where the samples begin."""
    start = file.read(_HEADER_BYTES)
    is_bitmap = start[1:2] in b"14"
    match = _HEADERS[is_bitmap].match(start)
    if match is None or any(len(number) > 9 for number in match.groups()):
        raise UnreadableImageError("its header is truncated or damaged")
    kind, width, height, *tops = map(int, match.groups())
    top = tops[0] if tops else 1
    if not 0 < top < 65536:
        raise UnreadableImageError(f"its greatest value is {top}, which is not within 1 and 65535")
    check_size(width, height)
    return kind, width, height, top, match.end()


def _samples(file: IO[bytes], kind: int, rows: int, columns: int, top: int) -> NDArray[Any]:
    """Return numbers [rows, columns] as they are stored."""
    if kind < 4:
        return _from_text(re.sub(rb"#[^\n\r]*", b"", file.read()), kind == 1, rows, columns)
    dtype = np.dtype(np.uint8 if top < 256 else ">u2")
    row = (columns + 7) // 8 if kind == 4 else columns * dtype.itemsize
    content = file.read(rows * row)
    if len(content) < rows * row:
        raise UnreadableImageError(f"is truncated: {len(content)} bytes of pixels in place of {rows * row}")
    if kind == 4:
        return np.unpackbits(np.frombuffer(content, np.uint8).reshape(rows, row), axis=1)[:, :columns]
    return np.frombuffer(content, dtype).reshape(rows, columns).astype(dtype.newbyteorder("="), copy=False)


def _from_text(text: bytes, is_bitmap: bool, rows: int, columns: int) -> NDArray[Any]:
    """Return decimal numbers; of bitmaps digits, which need no space between them."""
    words: list[Any] = re.findall(rb"[01]", text) if is_bitmap else text.split(None, rows * columns)[: rows * columns]
    if len(words) < rows * columns:
        raise UnreadableImageError(f"is truncated: {len(words)} numbers in place of {rows * columns}")
    try:
        return np.array(words[: rows * columns]).astype(np.int64).reshape(rows, columns)
    except (ValueError, OverflowError) as error:
        raise UnreadableImageError("holds words in place of numbers") from error
