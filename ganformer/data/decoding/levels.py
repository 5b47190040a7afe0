"""Numbers of all types become levels, by ranges that are known and never by what happens to be in one picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganformer.data.decoding.picture import Limits, UnreadableImageError

SLACK = 4  # roundings of their type by which numbers may be outside limits: a few operations of a network's last layer


def to_8_bit(values: NDArray[Any], limits: Limits | None = None) -> NDArray[np.uint8]:
    """Return numbers as levels from 0 to 255: uint8 as they are, uint16 from 0 to 65535, all others between `limits`.

    `limits` also hold for uint16, as in (0, 4095) for 12 bits, and never for uint8. Booleans are 0 and 255. Numbers
    that are outside by no more than their type rounds are taken for the limit itself. Raises UnreadableImageError if
    numbers are outside, are not finite, or where limits are needed and missing.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(255), np.uint8(0))
    return scaled(values, range_of(values.dtype, limits), 255).astype(np.uint8, copy=False)


def range_of(dtype: np.dtype[Any], limits: Limits | None, bits: int = 16) -> Limits:
    """Return the numbers of black and white: `limits`, else the range of unsigned integers of `bits` ≤ 16 bits.

    Raises UnreadableImageError if neither is known.
    """
    if limits is not None:
        return limits
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return 0, 2**bits - 1
    if dtype.kind not in "iuf":
        raise UnreadableImageError(f"holds {dtype} numbers, which are no levels of grey or colour")
    raise UnreadableImageError(
        f"holds {dtype} numbers, which have no agreed range; state the values of black and white in limits, "
        "e.g. limits: [0, 1]"
    )


def scaled(values: NDArray[Any], limits: Limits, top: int) -> NDArray[Any]:
    """Scale numbers from the lower to the upper limit to the nearest levels 0 to `top`: uint8 for 255, else uint16.

    Raises UnreadableImageError if numbers are outside the limits or not finite.
    """
    _check(values, limits)
    low, high = limits
    kind = np.uint8 if top < 256 else np.uint16
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        possible = np.arange(2 ** (8 * values.dtype.itemsize))
        scaled: NDArray[Any] = np.rint(np.clip((possible - low) / (high - low), 0, 1) * top).astype(kind)[values]
        return scaled
    precise = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    return np.rint(np.clip((precise - low) / (high - low), 0, 1) * top).astype(kind)


def _check(values: NDArray[Any], limits: Limits) -> None:
    low, high = limits
    least, most = values.min(), values.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise UnreadableImageError(f"holds numbers that are not finite ({least!s} to {most!s})")
    is_float = values.dtype.kind == "f"
    slack = SLACK * float(np.finfo(values.dtype).eps) * max(abs(low), abs(high)) if is_float else 0.0
    if least.item() < low - slack or most.item() > high + slack:
        raise UnreadableImageError(
            f"holds {values.dtype} numbers from {least!s} to {most!s}, "
            f"which are not within the limits {low:.17g} to {high:.17g}"
        )
