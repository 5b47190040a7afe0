"""Activation checkpointing (Chen et al. 2016): blocks keep their inputs, and compute the rest again for gradients."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """Part of a network between two of which few features pass."""

    is_recomputed = False
    """True if the activations inside are computed again in the backward pass instead of being kept."""

    def __call__(self, *given: Any) -> Any:
        if self.is_recomputed and torch.is_grad_enabled():
            return checkpoint(super().__call__, *given, use_reentrant=False)  # draws the same random numbers
        return super().__call__(*given)


def recompute(network: nn.Module) -> None:
    """Let all blocks of `network` compute their activations again in the backward pass.

    Images and gradients stay the same bit for bit.
    """
    for part in network.modules():
        if isinstance(part, Block):
            part.is_recomputed = True
