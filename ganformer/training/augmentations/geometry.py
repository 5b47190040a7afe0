"""Flips, rotations, scalings and translations of ADA, composed and carried out as one (Karras et al. 2020, appendix B).

A change is the matrix [B, 3, 3] that leads from a place in the changed image to the place in the image that is seen
there. Places are columns and rows in pixels of the finest scale, counted from the centre of the image, so that a
rotation turns a rectangle as it turns a square: what leaves the frame is cut off, and where the image does not reach,
it is mirrored at its edges, as often as it takes.
"""

# B batch, C channels, H×W pixels

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from ganformer.ops.upfirdn2d import upfirdn2d
from ganformer.training.augmentations.change import Change, Draws, Frame
from ganformer.training.augmentations.sampling import fold, pick, reflected, sample, sample_grid

# Low-pass filter of the orthogonal wavelet sym6 (Daubechies 1992, the least asymmetric one of 12 taps).
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
TAPS = len(SYM6)
# Taps from its first one to its centre of gravity. The middle, which the official code takes, is 0.4 taps off, and what
# it flips or turns around is therefore off by 0.4 pixels.
DELAY = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
MARGIN = TAPS // 4  # pixels beyond the edge that the filter reaches at twice the resolution
WHOLE = 1e-4  # pixels: a place this near to a pixel is the pixel

# ------------------------------------------------------------------------------------------- draws

Step = Callable[[Draws, Frame], Tensor]


def flip(draws: Draws, frame: Frame) -> Tensor:
    """Flip left to right with probability 1/2."""
    sign = draws.sometimes(draws.sign(), 1.0)
    return _scaled(sign, torch.ones_like(sign))


def quarter_turns(draws: Draws, frame: Frame) -> Tensor:
    """Rotate by 0 to 3 right angles; on a rectangle the centre is turned, and the rest mirrored or cut off."""
    angle = draws.sometimes(draws.whole(0, 3), 0.0) * (math.pi / 2)
    return _rotated(angle.cos().round(), angle.sin().round())


def whole_translation(draws: Draws, frame: Frame) -> Tensor:
    """Shift by at most an eighth of the width and of the height, in whole pixels of the finest scale."""
    shares = draws.sometimes(draws.uniform(-1 / 8, 1 / 8, 2), 0.0)
    return _moved((shares[:, 0] * frame.width).round(), (shares[:, 1] * frame.height).round())


def scaling(draws: Draws, frame: Frame) -> Tensor:
    """Scale by a factor whose log₂ has the standard deviation 0.2."""
    factor = draws.sometimes(draws.normal(0.2).exp2(), 1.0)
    return _scaled(1 / factor, 1 / factor)


def rotation(draws: Draws, frame: Frame) -> Tensor:
    """Rotate by any angle. There are two chances for it, which together have the probability of a change."""
    angle = draws.sometimes(draws.uniform(-math.pi, math.pi), 0.0, 1 - (1 - draws.probability).sqrt())
    return _rotated(angle.cos(), angle.sin())


def stretching(draws: Draws, frame: Frame) -> Tensor:
    """Stretch to one side and shrink to the other; log₂ of the factor has the standard deviation 0.2."""
    factor = draws.sometimes(draws.normal(0.2).exp2(), 1.0)
    return _scaled(1 / factor, factor)


def translation(draws: Draws, frame: Frame) -> Tensor:
    """Shift by parts of the width and the height, each with the standard deviation 1/8."""
    shares = draws.sometimes(draws.normal(1 / 8, 2), 0.0)
    return _moved(shares[:, 0] * frame.width, shares[:, 1] * frame.height)


BLITTING: tuple[Step, ...] = (flip, quarter_turns, whole_translation)
GENERAL: tuple[Step, ...] = (scaling, rotation, stretching, rotation, translation)


def _matrix(*entries: Tensor) -> Tensor:
    """Return matrices [B, 3, 3] of their upper six entries, row by row, each [B]."""
    zero, one = torch.zeros_like(entries[0]), torch.ones_like(entries[0])
    matrices: Tensor = torch.stack([*entries, zero, zero, one], dim=1).unflatten(1, (3, 3))
    return matrices


def _scaled(across: Tensor, down: Tensor) -> Tensor:
    zero = torch.zeros_like(across)
    return _matrix(across, zero, zero, zero, down, zero)


def _rotated(cosine: Tensor, sine: Tensor) -> Tensor:
    zero = torch.zeros_like(cosine)
    return _matrix(cosine, -sine, zero, sine, cosine, zero)


def _moved(across: Tensor, down: Tensor) -> Tensor:
    """Return matrices that look up each pixel as many pixels before as the image moves."""
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    return _matrix(one, zero, -across, zero, one, -down)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Multiply matrices without `matmul`, whose rounding on GPUs (TF32) is too coarse for pixels of large images."""
    return (first[:, :, :, None] * second[:, None]).sum(dim=2)


# ------------------------------------------------------------------------------------------ how it is done


def origins(matrix: Tensor, frame: Frame, size: Frame, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the origin of the places `columns` [w] × `rows` [h] of a changed image: columns and rows, [B, h, w].

    Places are counted in pixels of an image of `size`, origins in pixels of the finest scale, both from the centre of
    the first pixel.
    """
    x = (columns + 0.5) * (frame.width / size.width) - frame.width / 2
    y = ((rows + 0.5) * (frame.height / size.height) - frame.height / 2)[:, None]
    from_x, from_y = (
        entries[:, 0, None, None] * x + entries[:, 1, None, None] * y + entries[:, 2, None, None]
        for entries in (matrix[:, 0], matrix[:, 1])
    )
    return from_x + (frame.width - 1) / 2, from_y + (frame.height - 1) / 2


def _in_pixels(places: Tensor, finest: int, size: int) -> Tensor:
    """Return places on an axis of `finest` pixels as places on the same axis of `size` pixels."""
    return (places + 0.5) / (finest / size) - 0.5


def translated(image: Tensor, across: Tensor, down: Tensor, frame: Frame) -> Tensor:
    """Shift `image` [B, C, H, W] by [B] pixels of the finest scale, with zeros at the edges."""
    size = Frame.of([image])
    columns, rows = origins(_moved(across, down), frame, size, *_axes(image, size))
    across_only, down_only = columns[:, 0], rows[:, :, 0]  # all rows have the same columns, and the reverse
    return sample_grid(
        image,
        _in_pixels(across_only, frame.width, size.width),
        _in_pixels(down_only, frame.height, size.height),
    )


class Geometry(Change):
    """Makes the given steps one after another, with a single resampling.

    Where every pixel comes from a pixel it is copied. Else the image is mirrored at its edges, doubled in resolution
    with sym6, looked up with linear interpolation, and halved, which lets through no frequency it should not.
    """

    taps: Tensor

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        taps = torch.tensor(SYM6, dtype=torch.float64)
        taps = taps / taps.sum()
        self.register_buffer("taps", taps.float(), persistent=False)

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        frame = Frame.of(images)
        matrix = reduce(_product, (step(draws, frame) for step in self.steps))
        return tuple(self.warp(image, matrix, frame) for image in images)

    def warp(self, image: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
        """Change `image` [B, C, H, W], at any scale, by `matrix` [B, 3, 3]."""
        columns, rows = _mirrored(image, matrix, frame, *_axes(image, Frame.of([image])))
        off = torch.maximum((columns - columns.round()).abs(), (rows - rows.round()).abs()).amax(dim=(1, 2))
        copied = pick(image, columns.round(), rows.round())
        return torch.where((off < WHOLE)[:, None, None, None], copied, self._resampled(image, matrix, frame))

    def _resampled(self, image: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
        edges = (TAPS - 1, TAPS - 2) * 2  # everything the filter makes of the image
        doubled = upfirdn2d(reflected(image, MARGIN), self.taps, up=2, padding=edges, gain=4.0)
        # Halving sees TAPS − 2 places more than twice the pixels.
        height, width = image.shape[-2:]
        around = Frame(2 * height + TAPS - 2, 2 * width + TAPS - 2)
        places = _mirrored(image, matrix, frame, *((axis - DELAY) / 2 for axis in _axes(image, around)))
        changed = sample(doubled, *(2 * (place + MARGIN) + DELAY for place in places))
        return upfirdn2d(changed, self.taps.flip(0), down=2)


def _mirrored(image: Tensor, matrix: Tensor, frame: Frame, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the origin of places in `image`, mirrored at the edges of the finest scale, counted in its pixels."""
    size = Frame.of([image])
    from_columns, from_rows = origins(matrix, frame, size, columns, rows)
    return (
        _in_pixels(fold(from_columns, frame.width), frame.width, size.width),
        _in_pixels(fold(from_rows, frame.height), frame.height, size.height),
    )


def _axes(image: Tensor, size: Frame) -> tuple[Tensor, Tensor]:
    """Return the numbers of the columns and of the rows of an image of `size`."""
    return (
        torch.arange(size.width, device=image.device, dtype=torch.float32),
        torch.arange(size.height, device=image.device, dtype=torch.float32),
    )
