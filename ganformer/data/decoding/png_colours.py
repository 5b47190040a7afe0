"""Meaning of the levels of a PNG, by the first of cICP, iCCP, sRGB, and gAMA with cHRM (third edition, section 4.3)."""

import struct

from ganformer.data.decoding import cicp, encodings
from ganformer.data.decoding.encodings import BT709, Encoding
from ganformer.data.decoding.picture import UnreadableImageError
from ganformer.data.decoding.png_chunks import Header

USUAL_GAMMA = 45455  # 1/2.2, which programs write for sRGB
_NEAR_GAMMA = 455
_NEAR_CHROMATICITY = 0.002


def meaning(header: Header, profile: bytes | None) -> bytes | Encoding | None:
    """Return the profile of the chunk iCCP, if this counts, or a colour space; None for sRGB."""
    code_points = header.small.get(b"cICP", b"")
    if len(code_points) == 4 and cicp.UNSPECIFIED not in code_points[:2]:
        return _by_code_points(code_points)
    return profile or _by_gamma(header)


def _by_code_points(content: bytes) -> Encoding | None:
    """Return the colour space of the chunk cICP (section 11.3.2.6)."""
    primaries, transfer, matrix, is_full = content
    if matrix != 0 or is_full != 1:
        what = "a matrix" if matrix else "a narrow range"
        raise UnreadableImageError(f"its levels have {what} by its chunk cICP, which is not read; convert it to sRGB")
    return cicp.encoding(primaries, transfer)


def _by_gamma(header: Header) -> Encoding | None:
    """Return the colour space of gAMA and cHRM if there is no sRGB. cHRM alone defines no levels and is ignored."""
    small = header.small
    if b"sRGB" in small or len(small.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(small[b"gAMA"])
    primaries = _primaries(small.get(b"cHRM", b""))
    if gamma == 0 or (abs(gamma - USUAL_GAMMA) <= _NEAR_GAMMA and primaries is None):
        return None
    return Encoding(encodings.power(100_000 / gamma), primaries)


def _primaries(content: bytes) -> tuple[float, ...] | None:
    """Return chromaticities of the chunk cHRM; None for sRGB's and for impossible ones."""
    if len(content) != 32:
        return None
    found = tuple(value / 100_000 for value in struct.unpack(">8I", content))
    if min(found[1::2]) <= 0 or all(abs(a - b) <= _NEAR_CHROMATICITY for a, b in zip(found, BT709, strict=True)):
        return None
    return found
