"""What one process of a training needs to know of the others; alone, it is rank 0 of 1 and nothing is exchanged."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch import distributed as dist


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces float32 tensors, the same ones on every rank, by their mean over the ranks, in one flat all-reduce."""
    tensors = list(tensors)
    if ranks() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= ranks()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(mean.view_as(tensor))
