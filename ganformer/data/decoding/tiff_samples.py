"""The numbers in a TIFF as they are stored: pieces found, unpacked and put together, nothing said of their meaning."""

import math

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import TiffPage

from ganformer.data.decoding.picture import UnreadableImageError

Samples = NDArray[np.generic]

MISSING = "is a truncated or damaged TIFF: pixels are missing"

JPEG = 7
_END_OF_JPEG = b"\xff\xd9"
SEPARATE = 2  # PlanarConfiguration: each channel in pieces of its own

# Compressions that are read. Of the others imagecodecs has some, but no files were at hand to test them.
_FAX = {2, 3, 4}
_BYTES = {5, 8, 32773, 32946, 34925, 50000}  # LZW, deflate, PackBits, deflate, LZMA, Zstandard: of any bytes
_IMAGES = {JPEG, 34712, 34887, 34933, 34934, 50001, 50002}  # JPEG 2000, LERC, PNG, JPEG XR, WebP, JPEG XL
_PREDICTORS = {1, 2, 3}
FLOATS = 3
_FORMATS = {1: "unsigned", 2: "signed", FLOATS: "floats"}


def read(page: TiffPage) -> Samples:
    """Read the samples of a directory, [H, W, S] for S samples a pixel, in the type of its tags; 1 bit: uint8 0 or 1.

    JPEG in YCbCr is returned as RGB. Other YCbCr is upsampled to full resolution, but not converted. Raises
    UnreadableImageError if a strip or tile is missing or its encoding is not supported.
    """
    _check_type(page)
    _check_storage(page)
    _check_pieces(page)
    if page.is_subsampled and page.compression != JPEG:
        return _subsampled(page)
    planes, _, height, width, samples = page.shaped
    result = np.empty((planes, height, width, samples), page.dtype)
    for piece, (plane, _, row, column, _), _ in page.segments(maxworkers=1):
        if piece is None or piece.dtype not in (page.dtype, np.uint8 if page.compression in _FAX else page.dtype):
            found = None if piece is None else piece.dtype
            raise UnreadableImageError(f"holds {found} where its tags say {page.dtype}")
        place = result[plane, row : row + piece.shape[1], column : column + piece.shape[2]]
        place[:] = piece[0, : place.shape[0], : place.shape[1]]
    whole = result[0] if planes == 1 else np.moveaxis(result[..., 0], 0, -1)
    return whole.astype(np.uint8) if whole.dtype == np.bool_ else whole


def bits_of(page: TiffPage) -> int:
    """Return bits of a sample."""
    return int(page.bitspersample)


def _check_type(page: TiffPage) -> None:
    if isinstance(page.bitspersample, tuple) or isinstance(page.sampleformat, tuple):
        bits = page.bitspersample
        raise UnreadableImageError(f"has samples of different types (BitsPerSample {bits}), which are not read")
    if page.sampleformat not in _FORMATS:
        names = {4: "undefined", 5: "complex integer", 6: "complex"}
        name = names.get(page.sampleformat, str(page.sampleformat))
        raise UnreadableImageError(f"has {name} samples, which are no levels of grey or colour")
    if page.dtype is None or (page.bitspersample == 24 and page.sampleformat == 1):
        kind = _FORMATS[page.sampleformat]
        raise UnreadableImageError(f"has samples of {page.bitspersample} bits ({kind}), which are not read")


def _check_storage(page: TiffPage) -> None:
    """Refuse compressions that are not read, and predictors without compression, which programs read differently."""
    # Of fax only newer versions of imagecodecs have the decoders.
    if page.compression not in {1, *_FAX, *_BYTES, *_IMAGES} or page.compression not in tifffile.TIFF.DECOMPRESSORS:
        known = {one.value: one.name for one in tifffile.COMPRESSION}
        name = known.get(page.compression, "unknown")
        raise UnreadableImageError(
            f"is compressed by number {page.compression} ({name}), which is not read; save it with another compression"
        )
    if page.predictor not in _PREDICTORS or (page.predictor != 1 and page.compression == 1):
        raise UnreadableImageError(f"has predictor {page.predictor} with compression {page.compression}, not read")


def _check_pieces(page: TiffPage) -> None:
    """Refuse what tifffile would fill with zeros: strips or tiles that are missing or are behind the end."""
    pieces = math.prod(page.chunked)
    end = page.parent.filehandle.size
    offsets, lengths = page.dataoffsets, page.databytecounts
    if not len(offsets) == len(lengths) == pieces:
        raise UnreadableImageError(f"is a damaged TIFF: it has {min(len(offsets), len(lengths))} of {pieces} pieces")
    for offset, length in zip(offsets, lengths, strict=True):
        if offset <= 0 or length <= 0 or offset + length > end:
            raise UnreadableImageError(MISSING)
        if page.compression == JPEG and _END_OF_JPEG not in _stored(
            page, offset + max(0, length - 64), offset + length
        ):
            raise UnreadableImageError(MISSING)  # libjpeg would make them grey


def _subsampled(page: TiffPage) -> Samples:
    """Upsample YCbCr chrominance, except JPEG: a unit holds all Y, then Cb and Cr (TIFF 6.0, section 21)."""
    across, down = page.subsampling or (2, 2)
    plain = page.compression in {1, *_BYTES} and page.predictor == 1 and page.planarconfig != SEPARATE
    if not plain or page.dtype != np.uint8 or page.samplesperpixel != 3 or not {across, down} <= {1, 2, 4}:
        raise UnreadableImageError(
            f"has YCbCr with chrominance sub-sampled {across}×{down} in a way that is not read; save it as RGB"
        )
    height, width = page.imagelength, page.imagewidth
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    beside = math.ceil(width / columns)
    result = np.empty((height, width, 3), np.uint8)
    for number in range(math.prod(page.chunked)):
        top, left = number // beside * rows, number % beside * columns
        here = rows if page.is_tiled else min(rows, height - top)
        piece = _units(page, number, math.ceil(here / down), math.ceil(columns / across))
        place = result[top : top + here, left : left + columns]
        place[:] = piece[: place.shape[0], : place.shape[1]]
    return result


def _units(page: TiffPage, number: int, rows: int, columns: int) -> Samples:
    """Strip or tile of `rows` × `columns` units of YCbCr as pixels [rows · down, columns · across, 3]."""
    across, down = page.subsampling or (2, 2)
    length = rows * columns * (down * across + 2)
    content = _bytes(page, number, length)
    if len(content) < length:
        raise UnreadableImageError(MISSING)
    units = np.frombuffer(content, np.uint8, length).reshape(rows, columns, -1)
    luma = units[:, :, :-2].reshape(rows, columns, down, across).transpose(0, 2, 1, 3)
    chroma = units[:, :, -2:].repeat(down, axis=0).repeat(across, axis=1)
    return np.dstack([luma.reshape(rows * down, columns * across), chroma])


def _bytes(page: TiffPage, number: int, length: int) -> bytes:
    """Return the first `length` bytes of a strip or tile, uncompressed."""
    start = page.dataoffsets[number]
    content = _stored(page, start, start + page.databytecounts[number])
    if page.fillorder == 2:
        content = _reversed(content)
    return (
        content if page.compression == 1 else bytes(tifffile.TIFF.DECOMPRESSORS[page.compression](content, out=length))
    )


def _stored(page: TiffPage, start: int, end: int) -> bytes:
    handle = page.parent.filehandle
    handle.seek(start)
    return bytes(handle.read(end - start))


def _reversed(content: bytes) -> bytes:
    """Return bytes with their bits the other way round."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8).reshape(-1, 1), axis=1)
    return np.packbits(bits[:, ::-1], axis=1).tobytes()
