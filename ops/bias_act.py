"""A bias, a piecewise linear activation, a gain and a clamp in one step."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def bias_act(
    x: Tensor,
    bias: Tensor | None,
    dim: int = 1,
    act: Literal["linear", "lrelu"] = "lrelu",
    alpha: float = 0.2,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Return act(x + bias) · gain, clamped, for `x` of any shape and `bias` [x.shape[dim]], elementwise.

    `lrelu` multiplies negative values by `alpha`; `linear` keeps them. `clamp` limits the result to [-clamp, clamp].
    Differentiable twice in `x` and `bias`.
    """
    if bias is not None:
        x = x + bias.to(x.dtype).view([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    if act == "lrelu":
        x = F.leaky_relu(x, alpha)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)
