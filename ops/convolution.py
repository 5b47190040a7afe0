"""Convolutions whose derivatives, of any order, are again a convolution, its adjoint or a gradient of a weight.

Left to itself, PyTorch computes the weight's part of a second derivative by a convolution with a kernel as large as the
image. The three functions here are the derivatives of one form, linear in each of image x, weight w and result g:
Σ g · convolve(x, w).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.ops import compiled
from ganformer.ops.gradients import applied, of_weights

CHANNELS = 16  # the compiled convolution takes multiples of this number of channels
TILES = {torch.float32: 16, torch.float64: 16, torch.bfloat16: 128}
"""Tiles of 4 × 4 results, of all images together, from which on the compiled convolution is faster."""


def convolve(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Return x [B, I, H, W] convolved with `weight` [O, I, k, k], as `torch.nn.functional.conv2d` does it.

    Differentiable any number of times. 3 × 3 convolutions that keep the size are compiled for the CPU: minimal
    filtering with a quarter of the multiplications, whose rounding errors are about twice as large.
    """
    geometry = _Geometry(stride, padding, x.shape[2], x.shape[3])
    return applied(_Convolution, x, weight, geometry)


def convolve_transposed(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Return the adjoint of `convolve` without padding, of x [B, O, H, W] and `weight` [O, I, k, k].

    The result is [B, I, (H − 1) · stride + k, (W − 1) · stride + k], as of `torch.nn.functional.conv_transpose2d`.
    """
    height, width = ((length - 1) * stride + size for length, size in zip(x.shape[2:], weight.shape[2:], strict=True))
    return applied(_Adjoint, x, weight, _Geometry(stride, 0, height, width))


class _Geometry(NamedTuple):
    """Stride and padding of a convolution, height and width of the image that it is applied to."""

    stride: int
    padding: int
    height: int
    width: int

    def is_compiled(self, x: Tensor, weight_shape: torch.Size) -> bool:
        """Return whether the compiled convolution serves features like x with a weight of this shape."""
        outputs, inputs, *size = weight_shape
        tiles = x.shape[0] * -(-self.height // 4) * -(-self.width // 4)
        return (
            size == [3, 3]
            and (self.stride, self.padding) == (1, 1)
            and outputs % CHANNELS == inputs % CHANNELS == 0
            and x.device.type == "cpu"
            and compiled.serves(x)
            and tiles >= TILES[x.dtype]
        )


class _Convolution(torch.autograd.Function):
    """The form's derivative in g: x, w → g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        if geometry.is_compiled(x, weight.shape):
            return _compiled(x, weight, adjoint=False)
        return F.conv2d(x, weight, stride=geometry.stride, padding=geometry.padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        return (
            _Adjoint.apply(grad, weight, ctx.geometry) if of_x else None,  # type: ignore[no-untyped-call]
            _weight_gradient(x, grad, weight, ctx.geometry) if of_weight and of_weights() else None,
            None,
        )


class _Adjoint(torch.autograd.Function):
    """The form's derivative in x: g, w → x."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        if geometry.is_compiled(grad, weight.shape):
            return _compiled(grad, weight, adjoint=True)
        stride, padding, *size = geometry
        behind = [
            length - (results - 1) * stride + 2 * padding - kernel
            for length, results, kernel in zip(size, grad.shape[2:], weight.shape[2:], strict=True)
        ]
        return F.conv_transpose2d(grad, weight, stride=stride, padding=padding, output_padding=behind)

    @staticmethod
    def backward(ctx: Any, x: Tensor) -> tuple[Tensor | None, ...]:
        grad, weight = ctx.saved_tensors
        of_grad, of_weight, _ = ctx.needs_input_grad
        return (
            _Convolution.apply(x, weight, ctx.geometry) if of_grad else None,  # type: ignore[no-untyped-call]
            _weight_gradient(x, grad, weight, ctx.geometry) if of_weight and of_weights() else None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """The form's derivative in w: x, g → w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.geometry = geometry
        if geometry.is_compiled(x, weight.shape):
            gradient: Tensor = compiled.operations(x).weight_gradient(_rows(x), _rows(grad))
            return gradient
        stride, padding = [geometry.stride] * 2, [geometry.padding] * 2
        mask = [False, True, False]
        parts = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, mask
        )
        of_weight: Tensor = parts[1]
        return of_weight

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        x, grad = ctx.saved_tensors
        of_x, of_grad, *_ = ctx.needs_input_grad
        return (
            _Adjoint.apply(grad, weight, ctx.geometry) if of_x else None,  # type: ignore[no-untyped-call]
            _Convolution.apply(x, weight, ctx.geometry) if of_grad else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    """Return the gradient of `weight`, of which only shape and type are used."""
    gradient: Tensor = _WeightGradient.apply(x, grad, weight.detach(), geometry)  # type: ignore[no-untyped-call]
    return gradient


def _compiled(x: Tensor, weight: Tensor, *, adjoint: bool) -> Tensor:
    y: Tensor = compiled.operations(x).convolve(_rows(x), weight.contiguous(), adjoint)
    return y.permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """Return [B, H, W, C] of [B, C, H, W], contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()
