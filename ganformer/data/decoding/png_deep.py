"""PNG of 16 bits a sample, by libpng: Pillow keeps 8 of them. Nothing of this is imported for other pictures."""

from typing import IO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.data.decoding import deep, pillow, png_chunks, png_colours
from ganformer.data.decoding.picture import Limits, UnreadableImageError, upright


def decode(file: IO[bytes], header: png_chunks.Header, limits: Limits | None) -> Image.Image:
    """Return L, LA, RGB or RGBA, upright; rounded to 8 bits once, at the end."""
    samples = _samples(file)
    about = png_chunks.metadata(file)
    channels = 1 if header.colour in (png_chunks.GREY, png_chunks.GREY_AND_OPACITY) else 3
    colours, opacity = samples[:, :, :channels], None
    if samples.shape[2] > channels:
        opacity = deep.to_8_bit(samples[:, :, channels])
    elif header.key is not None:
        opacity = np.where((samples == np.array(header.key, np.uint16)).all(axis=2), np.uint8(0), np.uint8(255))
    meaning = png_colours.meaning(header, about.info.get("icc_profile"))
    return upright(deep.picture(colours, opacity, meaning, limits), pillow.orientation(about))


def _samples(file: IO[bytes]) -> NDArray[np.uint16]:
    """Decode uint16 [H, W, C] from only the chunks that pixels need: others may be larger than libpng allows."""
    kept = [png_chunks.SIGNATURE]
    for name, length in png_chunks.chunks(file):
        if name in (b"IHDR", b"IDAT", b"IEND"):
            file.seek(-8, 1)
            kept.append(file.read(12 + length))
    try:
        samples = imagecodecs.png_decode(b"".join(kept))
    except (imagecodecs.PngError, UnicodeError) as error:  # the latter for chunks whose names are no text
        detail = "" if isinstance(error, UnicodeError) else f": {error}"
        raise UnreadableImageError(f"is a damaged or truncated PNG{detail}") from error
    return samples.reshape(*samples.shape[:2], -1)
