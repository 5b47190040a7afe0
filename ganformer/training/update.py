"""Step of one optimiser: gradients over all microbatches and ranks, checked before they change a weight."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ganformer.errors import TrainingError
from ganformer.training import distribution

P = TypeVar("P")


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
    """Updates of `parameters` by `optimiser`; messages call them `name`."""

    def __init__(self, name: str, parameters: Iterable[nn.Parameter], optimiser: Optimizer) -> None:
        self.name = name
        self.parameters = list(parameters)
        self.optimiser = optimiser

    def minimise(self, loss: Callable[[P], Tensor], microbatches: Sequence[P]) -> Tensor:
        """Take one step down the mean of `loss` over the microbatches of a batch and over the ranks; return that mean.

        Gradients reach `parameters` only, whatever else the loss depends on. Raises TrainingError, with no weight
        changed, if the loss or a gradient is not finite.
        """
        self.optimiser.zero_grad(set_to_none=True)
        total = self._accumulate(loss, microbatches)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        distribution.average([*gradients, total])
        self._check(total, gradients)
        self.optimiser.step()
        return total

    def _accumulate(self, loss: Callable[[P], Tensor], microbatches: Sequence[P]) -> Tensor:
        losses = []
        for microbatch in microbatches:
            part = loss(microbatch) / len(microbatches)
            part.backward(inputs=self.parameters)
            losses.append(part.detach())
        return torch.stack(losses).sum()

    def _check(self, total: Tensor, gradients: Sequence[Tensor]) -> None:
        norm = get_total_norm([total, *gradients]).item()  # the only wait for the device
        if not math.isfinite(norm):
            what = f"gradient has the norm {norm}" if math.isfinite(total) else f"loss is {total.item()}"
            raise TrainingError(f"the {self.name}'s {what}")
