"""Scale, noise, a bias, a piecewise linear activation, a gain and a clamp in one step."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.ops import compiled
from ganformer.ops.gradients import of_weights


def bias_act(
    x: Tensor,
    bias: Tensor | None,
    dim: int = 1,
    act: Literal["linear", "lrelu"] = "lrelu",
    alpha: float = 0.2,
    gain: float = 1.0,
    clamp: float | None = None,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Return act(x · scale + noise + bias) · gain, clamped, for `x` of any shape and `bias` [x.shape[dim]].

    With `x` [B, C, H, W] and dim 1 there can also be `scale` [B, C], which multiplies the channels of each image, and
    `noise` [B or 1, 1, H, W], which is added to all channels. `lrelu` multiplies negative values by `alpha`; `linear`
    keeps them. `gain` is positive. `clamp`, positive, limits the result to [-clamp, clamp]; where it is reached, the
    compiled derivative is 0. Differentiable any number of times in all tensors.
    """
    if x.ndim == 4 and dim == 1 and compiled.serves(x):
        options = (alpha if act == "lrelu" else 1.0, gain, clamp or 0.0)
        y: Tensor = _BiasAct.apply(  # type: ignore[no-untyped-call]
            x.contiguous(memory_format=torch.channels_last),
            compiled.as_computed(scale, x),
            compiled.as_computed(noise if noise is None else noise.expand(len(x), -1, -1, -1), x),
            compiled.as_computed(bias, x),
            options,
        )
        return y
    return composed(x, bias, dim, act, alpha, gain, clamp, scale=scale, noise=noise)


def composed(
    x: Tensor,
    bias: Tensor | None,
    dim: int = 1,
    act: Literal["linear", "lrelu"] = "lrelu",
    alpha: float = 0.2,
    gain: float = 1.0,
    clamp: float | None = None,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Return `bias_act` composed of operators of PyTorch: its definition."""
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    if bias is not None:
        x = x + bias.to(x.dtype).view([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    if act == "lrelu":
        x = F.leaky_relu(x, alpha)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


Options = tuple[float, float, float]  # alpha, gain, clamp; 0 is no clamp


class _BiasAct(torch.autograd.Function):
    """`bias_act` of x [B, C, H, W] in channels_last memory."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, noise: Tensor | None, bias: Tensor | None, options: Options
    ) -> Tensor:
        y: Tensor = compiled.operations(x).bias_act(x, scale, noise, bias, *options)
        # The slope of the activation follows from the sign of y; x is needed for the gradient of `scale` alone.
        ctx.save_for_backward(y, scale, x if scale is not None else None)
        ctx.options = options
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, scale, x = ctx.saved_tensors
        of_x, of_scale, of_noise, of_bias, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a second derivative is to come: composed of operations that have one
            inner = _Slope.apply(grad, y, ctx.options)  # type: ignore[no-untyped-call]
            return (
                (inner if scale is None else inner * scale[:, :, None, None]) if of_x else None,
                (inner * x).sum(dim=(2, 3)) if of_scale else None,
                inner.sum(dim=1, keepdim=True) if of_noise else None,
                inner.sum(dim=(0, 2, 3)) if of_bias and of_weights() else None,
                None,
            )
        grads = compiled.operations(grad).bias_act_backward(
            grad.contiguous(memory_format=torch.channels_last),
            y,
            x if of_scale else None,
            scale,
            *ctx.options,
            of_noise,
            of_bias,
        )
        return (
            grads[0],
            grads[1].sum(dim=1) if of_scale else None,
            grads[2] if of_noise else None,
            grads[3].sum(dim=(0, 1)) if of_bias else None,
            None,
        )


class _Slope(torch.autograd.Function):
    """grad [B, C, H, W] times the derivative of the activation whose result is y; linear in grad, constant in y."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, y: Tensor, options: Options) -> Tensor:
        ctx.save_for_backward(y)
        ctx.options = options
        grad = grad.contiguous(memory_format=torch.channels_last)
        inner: Tensor = compiled.operations(grad).bias_act_backward(grad, y, None, None, *options, False, False)[0]
        return inner

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        return _Slope.apply(grad, y, ctx.options), None, None  # type: ignore[no-untyped-call]
