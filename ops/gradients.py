"""Choice of the gradients that operations compute.

PyTorch's own operations skip gradients that nobody asked for. An autograd function written in Python is not told which
these are, and computes one for each argument that requires it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

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
