"""JPEG by Pillow: grey, colours, and the inks of CMYK and YCCK; the kinds that it has no decoder for by name."""

from typing import IO

from ganformer.data.decoding import pillow
from ganformer.data.decoding.picture import Decoded, UnreadableImageError, upright

FURTHER = "further pictures of JPEGs (MPO)"

_KINDS = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "hierarchical", 9: "arithmetically coded"}
_KINDS |= {10: "arithmetically coded", 11: "lossless", 13: "hierarchical", 14: "hierarchical", 15: "hierarchical"}
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # markers among frames': tables and a reserved one
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}


def decode(file: IO[bytes]) -> Decoded:
    """Return a picture in one of Pillow's modes. CMYK is taken to be inverted, as Adobe's programs and browsers do."""
    try:
        image = pillow.opened(file, "JPEG")
        further = getattr(image, "n_frames", 1) - 1
        picture = pillow.to_srgb(image, pillow.conversion(image.info.get("icc_profile")))
    except (UnreadableImageError, OSError, SyntaxError) as error:
        kind = _unread_kind(file)
        if kind is None:
            raise
        raise UnreadableImageError(f"is a {kind} JPEG, which is not read; convert it, e.g. to PNG") from error
    return Decoded(upright(picture, pillow.orientation(image)), left_out={FURTHER: further} if further else {})


def _unread_kind(file: IO[bytes]) -> str | None:
    """Return the uncommon property of the frame (ITU-T T.81, table B.1 and section B.2.2); None if it has none."""
    file.seek(2)
    while len(header := file.read(4)) == 4:
        marker = header[1]
        if header[0] != 0xFF:
            return None
        if marker in _WITHOUT_LENGTH or marker == 0xFF:
            file.seek(-2 if marker != 0xFF else -3, 1)
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            bits = int.from_bytes(file.read(1))
            kind = _KINDS.get(marker - 0xC0)
            return kind if bits == 8 else f"{bits}-bit {kind}" if kind else f"{bits}-bit"
        else:
            file.seek(int.from_bytes(header[2:]) - 2, 1)
    return None
