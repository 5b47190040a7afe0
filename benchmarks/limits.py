"""Limits of the processor for the work of a network: arithmetic of matrix products and convolutions, and memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Limits:
    """Highest rates seen, in 10⁹ a second, by the name of the type."""

    products: dict[str, float]
    """Floating-point operations of a matrix product."""
    convolutions: dict[str, float]
    """Floating-point operations of a 3 × 3 convolution, forward and backward."""
    copy: float
    """Bytes read and bytes written by a copy."""


@dataclass(frozen=True)
class Probes:
    """Sizes of the operations that are timed."""

    side: int = 2048
    """Rows and columns of the matrices."""
    batch: int = 4
    channels: int = 512
    width: int = 64
    """Batch, channels, rows and columns of the convolution."""
    megabytes: int = 256
    repeats: int = 8


def measure(probes: Probes) -> Limits:
    """Return the limits of this thread."""
    torch.set_num_threads(1)
    rows = torch.rand(probes.megabytes * 2**18), torch.empty(probes.megabytes * 2**18)
    return Limits(
        {name: _product(probes, dtype) for name, dtype in TYPES.items()},
        {name: _convolution(probes, dtype) for name, dtype in TYPES.items()},
        2 * rows[0].nbytes / _least(lambda: rows[1].copy_(rows[0]), probes.repeats) / 1e9,
    )


def _product(probes: Probes, dtype: torch.dtype) -> float:
    a, b = (torch.randn(probes.side, probes.side).to(dtype) for _ in range(2))
    return 2 * probes.side**3 / _least(lambda: a @ b, probes.repeats) / 1e9


def _convolution(probes: Probes, dtype: torch.dtype) -> float:
    x = torch.randn(probes.batch, probes.channels, probes.width, probes.width)
    x = x.to(dtype, memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(probes.channels, probes.channels, 3, 3).to(dtype).requires_grad_()

    def work() -> tuple[Tensor, ...]:
        y = F.conv2d(x, weight, padding=1)
        return torch.autograd.grad(y, (x, weight), y.detach())

    return 3 * 2 * 9 * x.numel() * probes.channels / _least(work, probes.repeats) / 1e9


def _least(work: Callable[[], object], repeats: int) -> float:
    """Return the fewest seconds of processor time."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)
