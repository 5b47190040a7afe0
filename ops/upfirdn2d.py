"""Resampling with a finite impulse response: insert zeros, pad, filter, keep every few pixels."""

import torch.nn.functional as F
from torch import Tensor


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Convolve `x` [B, C, H, W] with `kernel` [h, w] between zero insertion and decimation, channel by channel.

    Every pixel is followed by `up - 1` zeros on both axes; `padding` (left, right, top, bottom) zeros are added, or
    taken away where negative; the result of a true convolution without further padding is multiplied by `gain`; every
    `down`-th pixel is kept, beginning with the first. Result [B, C, H', W'] with
    W' = ceil((W·up + left + right − w + 1) / down). Differentiable twice in `x`; `kernel` is a constant.
    """
    weight = (kernel * gain).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    if up > 1:
        return _upsampled(x, weight, up, padding)[:, :, ::down, ::down]
    common = max(0, min(padding))  # the convolution pads all edges alike for free
    x = _padded(x, [edge - common for edge in padding])
    return F.conv2d(x, weight.flip(2, 3), stride=down, padding=common, groups=x.shape[1])


def _upsampled(x: Tensor, weight: Tensor, up: int, padding: tuple[int, int, int, int]) -> Tensor:
    """Return the filtered image before decimation, by a transposed convolution, which skips the inserted zeros.

    It has kernel − 1 pixels at every edge that a convolution without padding lacks, and lacks the response to the
    up − 1 zeros behind the last pixel, which is zero.
    """
    height, width = weight.shape[2:]
    left, right, top, bottom = padding
    edges = (left - width + 1, right - width + up, top - height + 1, bottom - height + up)
    common = max(0, -max(edges))  # the transposed convolution cuts all edges alike for free
    full = F.conv_transpose2d(x, weight, stride=up, padding=common, groups=x.shape[1])
    return _padded(full, [edge + common for edge in edges])


def _padded(x: Tensor, padding: list[int]) -> Tensor:
    return F.pad(x, padding) if any(padding) else x
