"""Resampling with a separable finite impulse response: insert zeros, pad, filter, keep every few pixels."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.ops import compiled
from ganformer.ops.gradients import applied


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Convolve `x` [B, C, H, W] with `taps` [k] along both axes between zero insertion and decimation.

    Every pixel is followed by `up - 1` zeros on both axes; `padding` (left, right, top, bottom) zeros are added, or
    taken away where negative; the result of a true convolution without further padding is multiplied by `gain`; every
    `down`-th pixel is kept, beginning with the first. Result [B, C, H', W'] with
    W' = ceil((W·up + left + right − k + 1) / down). Differentiable any number of times in `x`; `taps` are constants.
    Raises ValueError if nothing is left.
    """
    left, right, top, bottom = padding
    size = [
        -(-(length * up + sum(edges) - len(taps) + 1) // down)
        for length, edges in zip(x.shape[2:], ((top, bottom), (left, right)), strict=True)
    ]
    if min(size) < 1:
        raise ValueError(
            f"an image of {tuple(x.shape[2:])} pixels, times {up}, with padding {padding} is smaller than "
            f"{len(taps)} taps"
        )
    geometry = _Geometry(up, down, left, top, size[0], size[1], gain)
    return applied(_UpFirDn, x, taps, geometry)


class _Geometry(NamedTuple):
    """Factors, padding at the left and at the top, height and width of the result, and gain."""

    up: int
    down: int
    left: int
    top: int
    height: int
    width: int
    gain: float
    is_reversed: bool = False
    """True: the taps are in reverse order."""

    def adjoint(self, x: Tensor, taps: Tensor) -> "_Geometry":
        """Return the geometry of the gradient."""
        edge = len(taps) - 1
        return _Geometry(
            self.down,
            self.up,
            edge - self.left,
            edge - self.top,
            x.shape[2],
            x.shape[3],
            self.gain,
            not self.is_reversed,
        )


class _UpFirDn(torch.autograd.Function):
    """Filter whose gradient is the adjoint filter, and so on.

    Left to itself, PyTorch computes the gradient of a constant in the second derivative of a convolution: a convolution
    for every channel with a kernel as large as the image.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(taps)
        ctx.adjoint = geometry.adjoint(x, taps)
        if not compiled.serves(x):
            return composed(x, taps, geometry)
        rows = x.permute(0, 2, 3, 1).contiguous()
        ordered = taps.flip(0) if geometry.is_reversed else taps
        y: Tensor = compiled.operations(x).upfirdn2d(rows, compiled.as_computed(ordered, x), *geometry[:-1])
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (taps,) = ctx.saved_tensors
        return _UpFirDn.apply(grad, taps, ctx.adjoint), None, None  # type: ignore[no-untyped-call]


def composed(x: Tensor, taps: Tensor, geometry: _Geometry) -> Tensor:
    """Return the filtered image composed of convolutions of PyTorch: the definition."""
    up, down, left, top, height, width, gain, is_reversed = geometry
    weight = torch.outer(taps, taps)
    weight = (weight if gain == 1 else weight * gain).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    if is_reversed == (up > 1):  # PyTorch's convolution is a correlation, which reverses the taps
        weight = weight.flip(2, 3)
    right, bottom = (
        (results - 1) * down + len(taps) - before - length * up
        for length, before, results in ((x.shape[3], left, width), (x.shape[2], top, height))
    )
    edges = [left, right, top, bottom]
    if up > 1:
        return _upsampled(x, weight, up, edges)[:, :, ::down, ::down]
    common = max(0, min(edges))  # the convolution pads all edges alike for free
    x = _padded(x, [edge - common for edge in edges])
    return F.conv2d(x, weight, stride=down, padding=common, groups=x.shape[1])


def _upsampled(x: Tensor, weight: Tensor, up: int, padding: list[int]) -> Tensor:
    """Return the filtered image before decimation, by a transposed convolution, which skips the inserted zeros.

    It has kernel − 1 pixels at every edge that a convolution without padding lacks, and lacks the response to the
    up − 1 zeros behind the last pixel, which is zero.
    """
    height, width = weight.shape[2:]
    left, right, top, bottom = padding
    edges = [left - width + 1, right - width + up, top - height + 1, bottom - height + up]
    common = max(0, -max(edges))  # the transposed convolution cuts all edges alike for free
    full = F.conv_transpose2d(x, weight, stride=up, padding=common, groups=x.shape[1])
    return _padded(full, [edge + common for edge in edges])


def _padded(x: Tensor, padding: list[int]) -> Tensor:
    return F.pad(x, padding) if any(padding) else x
