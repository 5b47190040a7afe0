"""Picture files become 8-bit sRGB: the one place that decides what the numbers in a file mean, by the file's own tags.

A file is recognised by its first bytes, whatever it is called. Ordinary pictures of 8 bits are decoded by Pillow; where
it takes a tag for something else, or keeps fewer bits than there are, the module of the format reads for itself.
Damaged files are errors, and so are sizes above Pillow's limit, before anything is decoded.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image

from ganformer.data.decoding import jpeg, netpbm, pillow, png, tiff_directories
from ganformer.data.decoding.levels import to_8_bit
from ganformer.data.decoding.picture import Decoded, Limits, UnreadableImageError
from ganformer.data.decoding.signatures import EXTENSIONS, PAGED, READ, START, recognise, refusal

__all__ = [
    "EXTENSIONS",
    "PAGED",
    "START",
    "Decoded",
    "Limits",
    "UnreadableImageError",
    "count",
    "decode",
    "recognise",
    "size",
    "to_8_bit",
]


def decode(file: IO[bytes], limits: Limits | None = None, page: int | None = None) -> Decoded:
    """Decode one picture of a file that can seek: of a TIFF of several the one with the number `page`, from 0.

    `limits` are the numbers of black and white of floats and of integers of more than 8 bits. Raises
    UnreadableImageError with the reason, whatever is wrong with the file; MemoryError passes.
    """
    with _reasons():
        name = _format(file, page)
        if name == "TIFF":
            from ganformer.data.decoding import tiff  # takes a tenth of a second, which other pictures need not

            return tiff.decode(file, limits, page)
        if name == "PNG":
            return png.decode(file, limits)
        if name == "JPEG":
            return jpeg.decode(file)
        return netpbm.decode(file, limits) if name == "PNM" else pillow.decode(file, name)


def size(file: IO[bytes], page: int | None = None) -> tuple[int, int]:
    """Return width and height of what `decode` returns, from the file's header. Raises UnreadableImageError."""
    with _reasons():
        name = _format(file, page)
        if name == "TIFF":
            from ganformer.data.decoding import tiff

            return tiff.size(file, page)
        if name == "PNG":
            return png.size(file)
        return netpbm.size(file) if name == "PNM" else pillow.size(file, name)


def count(file: IO[bytes]) -> int:
    """Return number of pictures in a file: for TIFF of its pages that are pictures of their own, else 1.

    Raises UnreadableImageError if the file's beginning is damaged or of no format that is read.
    """
    with _reasons():
        return len(tiff_directories.pictures(file)[0]) if _format(file, None) == "TIFF" else 1


def _format(file: IO[bytes], page: int | None) -> str:
    """Return the name of a file's format and rewind the file. `page` is checked where it can be."""
    file.seek(0)
    start = file.read(START)
    file.seek(0)
    name = recognise(start)
    if name not in READ:
        raise UnreadableImageError(refusal(start))
    if page and name != "TIFF":
        raise UnreadableImageError(f"holds 1 picture, so there is no number {page}, counted from 0")
    return name


@contextmanager
def _reasons() -> Iterator[None]:
    """Make an UnreadableImageError of all that goes wrong with a file, the suspicion of a decompression bomb too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (UnreadableImageError, MemoryError):
            raise
        except Exception as error:  # decoders raise nearly everything on damaged files
            raise UnreadableImageError(f"{error} ({type(error).__name__})") from error
