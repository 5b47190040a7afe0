"""Application of functions that have gradients of their own, and choice of the gradients that they compute.

PyTorch's own operations skip gradients that nobody asked for. An autograd function written in Python is not told which
these are, and computes one for each argument that requires it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

_skipped = False


@contextmanager
def of_features_only() -> Iterator[None]:
    """Skip gradients of convolutions' weights and of biases inside the context.

    For penalties of gradients with respect to images and latents, whose own gradients with respect to weights are
    computed behind the context.
    """
    global _skipped
    before, _skipped = _skipped, True
    try:
        yield
    finally:
        _skipped = before


def of_weights() -> bool:
    """Return whether gradients of weights and biases are to be computed."""
    return not _skipped


def applied(function: type[Function], *arguments: Any) -> Tensor:
    """Return `function.apply(*arguments)`; while TorchScript traces a program, the result of its forward pass alone.

    Such a program cannot hold functions written in Python, and is not differentiated.
    """
    if is_recorded():
        no_gradients = SimpleNamespace(save_for_backward=lambda *_: None, needs_input_grad=())
        result: Tensor = function.forward(no_gradients, *arguments)
    else:
        result = function.apply(*arguments)
    return result


def is_recorded() -> bool:
    """Return whether TorchScript is tracing a program."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
