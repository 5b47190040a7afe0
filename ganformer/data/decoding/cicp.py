"""Code points of colour spaces, as in the chunk cICP of PNG and the box colr of AVIF (ITU-T H.273, tables 2 and 3)."""

from ganformer.data.decoding import encodings
from ganformer.data.decoding.encodings import BT709, D65, Encoding
from ganformer.data.decoding.picture import UnreadableImageError

UNSPECIFIED = 2

_C = (0.310, 0.316)
_PRIMARIES = {
    1: BT709,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_TRANSFERS = {
    **dict.fromkeys((1, 6, 14, 15), encodings.from_bt709),
    4: encodings.power(2.2),
    5: encodings.power(2.8),
    7: encodings.from_smpte240,
    8: encodings.power(1),
    13: encodings.from_srgb,
}
_SRGB = (1, 13)
_NAMES = {16: "PQ, a curve of high dynamic range", 18: "HLG, a curve of high dynamic range"}


def encoding(primaries: int, transfer: int) -> Encoding | None:
    """Return the colour space of two code points; None for sRGB. Raises UnreadableImageError if it is not supported."""
    if (primaries, transfer) == _SRGB:
        return None
    if transfer not in _TRANSFERS:
        name = _NAMES.get(transfer, f"number {transfer} of H.273")
        raise UnreadableImageError(f"its transfer curve is {name}, which is not read; convert it to sRGB")
    if primaries not in _PRIMARIES:
        raise UnreadableImageError(
            f"its primaries are number {primaries} of H.273, which are not read; convert it to sRGB"
        )
    return Encoding(_TRANSFERS[transfer], _PRIMARIES[primaries])
