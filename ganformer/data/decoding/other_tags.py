"""Tags of AVIFs and BMPs about their colours that Pillow does not tell."""

import re
import struct
from typing import IO, NamedTuple

from ganformer.data.decoding import cicp
from ganformer.data.decoding.encodings import Encoding

_BOXES = 1 << 16  # bytes at the start of an AVIF in which its boxes are looked for
_BMP_HEADER = 14  # where it begins


class Tags(NamedTuple):
    """A profile or encoding, where one is stated other than sRGB, and whether there is one channel of grey only."""

    meaning: bytes | Encoding | None = None
    is_grey: bool = False


def read(file: IO[bytes], name: str) -> Tags:
    """Return the tags of a file in the format of that name."""
    file.seek(0)
    return {"AVIF": _of_avif, "BMP": _of_bmp}.get(name, lambda _: Tags())(file)


def _of_avif(file: IO[bytes]) -> Tags:
    """Return code points from the box colr (ISO/IEC 14496-12, section 12.1.5), channels from av1C (AV1-ISOBMFF, 2.3).

    Opacity is a monochrome picture of its own, so an AVIF is grey if all its pictures are monochrome.
    """
    start = file.read(_BOXES)
    monochrome = [flags[0] & 0x10 for flags in re.findall(rb"av1C\x81.(.)", start, re.DOTALL)]
    points = re.search(rb"colrnclx(..)(..)", start, re.DOTALL)
    primaries, transfer = (int.from_bytes(one) for one in points.groups()) if points else (cicp.UNSPECIFIED,) * 2
    is_stated = cicp.UNSPECIFIED not in (primaries, transfer)
    return Tags(cicp.encoding(primaries, transfer) if is_stated else None, bool(monochrome) and all(monochrome))


def _of_bmp(file: IO[bytes]) -> Tags:
    """Return the profile in a BMP (BITMAPV5HEADER: bV5CSType is "MBED")."""
    file.seek(_BMP_HEADER)
    header = file.read(124)
    if len(header) < 124 or header[:4] != b"\x7c\0\0\0" or header[56:60] != b"DEBM":
        return Tags()
    start, length = struct.unpack("<II", header[112:120])
    file.seek(_BMP_HEADER + start)
    return Tags(file.read(length))
