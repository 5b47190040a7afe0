"""Chunks of a PNG before its pixels, and facts that are known without these (PNG, third edition)."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from PIL import Image

from ganformer.data.decoding import pillow
from ganformer.data.decoding.picture import UnreadableImageError, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, COLOURS, PALETTE, GREY_AND_OPACITY, COLOURS_AND_OPACITY = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOURS: 3, PALETTE: 1, GREY_AND_OPACITY: 2, COLOURS_AND_OPACITY: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}

_SMALL = {b"cICP", b"sRGB", b"cHRM", b"gAMA", b"tRNS", b"acTL"}
_METADATA = {b"iCCP", b"eXIf", b"tEXt", b"zTXt", b"iTXt"}


@dataclass
class Header:
    """Facts that stand before the pixels."""

    width: int
    height: int
    depth: int
    colour: int
    is_interlaced: bool
    small: dict[bytes, bytes] = field(default_factory=dict)
    """Content of the chunks of `_SMALL`."""
    further_frames: int = 0

    @property
    def key(self) -> tuple[int, ...] | None:
        """The one grey or colour that is transparent, in the file's own depth, of which only these bits count."""
        content = self.small.get(b"tRNS", b"")
        channels = {GREY: 1, COLOURS: 3}.get(self.colour, 0)
        if not channels or len(content) != 2 * channels:
            return None
        return tuple(value & (2**self.depth - 1) for value in struct.unpack(f">{channels}H", content))


def read_header(file: IO[bytes]) -> Header:
    """Return the facts from chunks before the pixels. Raises UnreadableImageError if that is damaged."""
    header, is_frame, frames = None, False, 0
    for name, length in chunks(file):
        if header is None:
            header = _image_header(name, file.read(length))
        elif name == b"IDAT":
            break
        elif name in _SMALL:
            header.small.setdefault(name, file.read(length))
        is_frame |= name == b"fcTL"
    if header is None:
        raise UnreadableImageError("is truncated: a PNG without a header")
    if len(frames_of := header.small.get(b"acTL", b"")) == 8:
        frames = int.from_bytes(frames_of[:4])
    header.further_frames = max(0, frames - is_frame)
    return header


def _image_header(name: bytes, content: bytes) -> Header:
    if name != b"IHDR" or len(content) != 13:
        raise UnreadableImageError("is a damaged PNG: it does not begin with its header")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", content)
    if colour not in CHANNELS or depth not in _DEPTHS.get(colour, (8, 16)):
        raise UnreadableImageError(f"is a damaged PNG: there are no {depth} bits for its type of colour, {colour}")
    check_size(width, height)
    return Header(width, height, depth, colour, interlace == 1)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield names and lengths of all chunks up to the last; the file is then at the content of the yielded chunk."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        start = file.read(8)
        if len(start) < 8:
            raise UnreadableImageError("is a truncated PNG")
        length, name = int.from_bytes(start[:4]), start[4:]
        yield name, length
        if name == b"IEND":
            return
        place += 12 + length


def metadata(file: IO[bytes]) -> Image.Image:
    """Return a one-pixel picture with the file's profile and texts, which Pillow reads before and after the pixels."""
    kept = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, COLOURS, 0, 0, 0))]
    for name, length in chunks(file):
        if name in _METADATA:
            file.seek(-8, io.SEEK_CUR)
            kept.append(file.read(12 + length))
    kept += [chunk(b"IDAT", zlib.compress(bytes(4))), chunk(b"IEND", b"")]
    image = pillow.opened(io.BytesIO(b"".join(kept)), "PNG")
    image.load()
    return image


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk as it stands in a file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
