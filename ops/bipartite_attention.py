"""Attention between the pixels of an image and a few components, each direction in one step.

Keys and values come folded: whatever matrix would be applied to every pixel has been applied to them instead
(`ganformer.models.ganformer.parts`). B images, n pixels, C channels, m components, h heads.
"""

from typing import Any

import torch
from torch import Tensor

from ganformer.ops import compiled

EPSILON = 1e-8
COMPONENTS = 64
"""Most components, of all heads together, that fit into the shared memory of every GPU."""


def attend(
    x: Tensor,
    keys: Tensor,
    places: Tensor,
    values: Tensor,
    gain: Tensor,
    heads: int,
    *,
    normalise: bool,
    factor: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Multiply pixels by what they attend to: x [B, n, C] → features [B, n, C], and the weights [B, h·m, n].

    The weights are the softmax of keys [B, h·m, C] · x + places [B, h·m, n] over the m components of every head. Then
    x, divided by the root mean square of its channels if `normalise`, is multiplied by gain [C] plus the sum of values
    [B, h·m, C] with these weights, which `factor` [B, h·m, n] has multiplied. GANformer, section 3.1, with γ alone.
    The features are of the type of x, everything else of that of the keys. Differentiable any number of times in all
    tensors.
    """
    if not _is_compiled(x, keys):
        return attend_composed(x, keys, places, values, gain, heads, normalise=normalise, factor=factor)
    others = [compiled.as_computed(each, x) for each in (keys, places, values, gain, factor)]
    features, weights = _Attend.apply(x.contiguous(), *others, heads, normalise)  # type: ignore[no-untyped-call]
    return features, weights


def attend_composed(
    x: Tensor,
    keys: Tensor,
    places: Tensor,
    values: Tensor,
    gain: Tensor,
    heads: int,
    *,
    normalise: bool,
    factor: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return `attend` composed of operators of PyTorch: its definition."""
    weights = assign(x, keys, places, heads)
    thinned = weights if factor is None else weights * factor
    wide = x.to(keys.dtype)
    if normalise:
        wide = wide * (wide.square().mean(dim=2, keepdim=True) + EPSILON).rsqrt()
    return (wide * torch.baddbmm(gain, thinned.transpose(1, 2), values)).to(x.dtype), weights


def assign(x: Tensor, keys: Tensor, places: Tensor, heads: int) -> Tensor:
    """Return the weights of `attend` alone: x [B, n, C], keys [B, h·m, C], places [B, h·m, n] → [B, h·m, n]."""
    scores = torch.baddbmm(places, keys, x.to(keys.dtype).transpose(1, 2))
    weights: Tensor = scores.unflatten(1, (heads, -1)).softmax(dim=2).flatten(1, 2)
    return weights


def gather(x: Tensor, keys: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return what components attend to: sums [B, h·m, C] of pixels x [B, n, C], and their weights [B, h·m, n].

    The weights are the softmax of keys [B, h·m, C] · x + places [B, h·m, n] over the pixels. Differentiable any number
    of times in all tensors.
    """
    if not _is_compiled(x, keys):
        return gather_composed(x, keys, places)
    others = compiled.as_computed(keys, x), compiled.as_computed(places, x)
    sums, weights = _Gather.apply(x.contiguous(), *others)  # type: ignore[no-untyped-call]
    return sums, weights


def gather_composed(x: Tensor, keys: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return `gather` composed of operators of PyTorch: its definition."""
    wide = x.to(keys.dtype)
    weights = torch.baddbmm(places, keys, wide.transpose(1, 2)).softmax(dim=2)
    return weights @ wide, weights


def _is_compiled(x: Tensor, keys: Tensor) -> bool:
    return compiled.serves(x) and (x.device.type == "cpu" or keys.shape[1] <= COMPONENTS)


class _Attend(torch.autograd.Function):
    """`attend` in one pass over the image forward and one backward; a second derivative is that of the definition."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        keys: Tensor,
        places: Tensor,
        values: Tensor,
        gain: Tensor,
        factor: Tensor | None,
        heads: int,
        normalise: bool,
    ) -> tuple[Tensor, Tensor]:
        features, weights, scale = compiled.operations(x).attend(
            x, keys, places, factor, values, gain, heads, normalise
        )
        ctx.save_for_backward(x, keys, places, values, gain, factor, weights, scale)
        ctx.heads, ctx.normalise = heads, normalise
        ctx.set_materialize_grads(False)  # the weights seldom have a gradient
        return features, weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        x, keys, places, values, gain, factor, weights, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            given = (x, keys, places, values, gain, factor)
            with torch.enable_grad():
                out = attend_composed(*given[:5], ctx.heads, normalise=ctx.normalise, factor=factor)
            return (*_second(given, out, (grad, grad_weights), ctx.needs_input_grad), None, None)
        of_factor = ctx.needs_input_grad[5]
        grads = compiled.operations(x).attend_backward(
            torch.zeros_like(x) if grad is None else grad.contiguous(),
            None if grad_weights is None else grad_weights.contiguous(),
            x,
            keys,
            factor,
            values,
            gain,
            weights,
            scale,
            ctx.heads,
            ctx.normalise,
            of_factor,
        )
        of_x, of_keys, of_places, of_factors, of_values, of_gain = grads
        return (
            of_x,
            of_keys.sum(dim=1),
            of_places,
            of_values.sum(dim=1),
            of_gain.sum(dim=(0, 1)),
            of_factors if of_factor else None,
            None,
            None,
        )


class _Gather(torch.autograd.Function):
    """`gather` in one pass over the image forward and one backward; a second derivative is that of the definition.

    Forward, each part of the image is summed with weights relative to its own highest score; parts are joined here.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, keys: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        part_sums, scores, part_tops, part_totals = compiled.operations(x).gather(x, keys, places)
        top = part_tops.amax(dim=1)  # B h·m
        shares = (part_tops - top[:, None]).exp_()  # B parts h·m
        total = (shares * part_totals).sum(dim=1)[:, :, None]
        sums = (shares[..., None] * part_sums).sum(dim=1).div_(total)
        weights = scores.sub_(top[:, :, None]).exp_().div_(total)
        ctx.save_for_backward(x, keys, places, sums, weights)
        ctx.set_materialize_grads(False)
        return sums, weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        x, keys, places, sums, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                out = gather_composed(x, keys, places)
            return _second((x, keys, places), out, (grad, grad_weights), ctx.needs_input_grad)
        grad = torch.zeros_like(sums) if grad is None else grad.contiguous()
        along = (grad * sums).sum(dim=2)  # of every component's weights, the mean of their gradients
        if grad_weights is not None:
            grad_weights = grad_weights.contiguous()
            along = along + (grad_weights * weights).sum(dim=2)
        of_x, of_keys, of_places = compiled.operations(x).gather_backward(grad, along, grad_weights, x, keys, weights)
        return of_x, of_keys.sum(dim=1), of_places


def _second(
    given: tuple[Tensor | None, ...],
    out: tuple[Tensor, ...],
    grads: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Return gradients of the outputs with regard to what was given, where wanted, that can be differentiated again."""
    inputs = [each for each, is_wanted in zip(given, wanted, strict=False) if is_wanted and each is not None]
    pairs = [(each, grad) for each, grad in zip(out, grads, strict=True) if grad is not None]
    outputs, above = [each for each, _ in pairs], [grad for _, grad in pairs]
    found = iter(torch.autograd.grad(outputs, inputs, above, create_graph=True, allow_unused=True))
    return tuple(next(found) if is_wanted else None for _, is_wanted in zip(given, wanted, strict=False))
