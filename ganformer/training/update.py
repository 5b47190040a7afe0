"""Step of one optimiser: gradients over all microbatches and ranks, checked before they change a weight."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganformer.errors import TrainingError
from ganformer.training import distribution
from ganformer.training.replay import Replayed

LARGEST_REPAIRED = 1e5  # StyleGAN2-ADA

Loss = Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
"""Tensors of a microbatch → its mean loss, and other values that the learner uses, by name."""


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Make the parameters of `network` constants inside the context, so that none of their gradients is computed."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


class Update:
    """Updates of `parameters` by `optimiser`; messages call them `name`.

    With `replays` the operations of each loss and of its gradients are recorded, and repeated without Python. With
    `repairs` values of gradients that are not finite are replaced, NaN by 0, infinity by ± 1e5, as StyleGAN2-ADA does.
    """

    def __init__(
        self,
        name: str,
        parameters: Iterable[nn.Parameter],
        optimiser: Optimizer,
        *,
        replays: bool = False,
        repairs: bool = False,
    ) -> None:
        self.name = name
        self.parameters = list(parameters)
        self.optimiser = optimiser
        self._replays = replays
        self._repairs = repairs
        self._replayed: dict[tuple[Loss, int], Replayed] = {}

    def minimise(
        self, loss: Loss, microbatches: Sequence[tuple[Tensor, ...]]
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """Take one step down the mean of `loss` over the microbatches of a batch and over the ranks.

        Return that mean, and by name the other values of all microbatches, without gradients. Gradients reach
        `parameters` only, whatever else the loss depends on. Raises TrainingError, with no weight changed, if the loss
        or a gradient, unless it is repaired, is not finite.
        """
        self.optimiser.zero_grad(set_to_none=True)
        differentiate = self._differentiated(loss, len(microbatches))
        losses: list[Tensor] = []
        others: dict[str, list[Tensor]] = {}
        for microbatch in microbatches:
            part, values, gradients = differentiate(*microbatch)
            losses.append(part)
            for name, value in values.items():
                others.setdefault(name, []).append(value)
            self._add(gradients)
        total = torch.stack(losses).sum()
        summed = [p.grad for p in self.parameters if p.grad is not None]
        distribution.average([*summed, total])
        if self._repairs:
            for gradient in summed:
                torch.nan_to_num_(gradient, nan=0.0, posinf=LARGEST_REPAIRED, neginf=-LARGEST_REPAIRED)
        self._check(total, summed)
        self.optimiser.step()
        return total, others

    def _differentiated(self, loss: Loss, count: int) -> Callable[..., Any]:
        """Return `_differentiate` for one of `count` microbatches, replayed if this update replays."""
        if not self._replays:
            return partial(self._differentiate, loss, count)
        key = (loss, count)
        if key not in self._replayed:
            self._replayed[key] = Replayed(partial(self._differentiate, loss, count), f"the {self.name}'s loss")
        return self._replayed[key]

    def _differentiate(
        self, loss: Loss, count: int, *microbatch: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor | None]]:
        """Return the loss of one of `count` microbatches, divided by `count`, other values, and the gradients."""
        kept = [parameter.grad for parameter in self.parameters]
        self._set([None] * len(kept))
        value, others = loss(*microbatch)
        part = value / count
        part.backward(inputs=self.parameters)
        gradients = [parameter.grad for parameter in self.parameters]
        self._set(kept)
        return part.detach(), {name: other.detach() for name, other in others.items()}, gradients

    def _set(self, gradients: Iterable[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def _add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradients of a microbatch to the sum of the others, if there are others."""
        pairs = [(p.grad, new) for p, new in zip(self.parameters, gradients, strict=True) if new is not None]
        sums = [before for before, _ in pairs if before is not None]
        if sums:
            torch._foreach_add_(sums, [new for _, new in pairs])
        else:
            self._set(gradients)

    def _check(self, total: Tensor, gradients: Sequence[Tensor]) -> None:
        norm = get_total_norm([total, *gradients]).item()  # the only wait for the device
        if not math.isfinite(norm):
            what = f"gradient has the norm {norm}" if math.isfinite(total) else f"loss is {total.item()}"
            raise TrainingError(f"the {self.name}'s {what}")
