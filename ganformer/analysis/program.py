"""A generator as one function of tensors, for other programs: latents, labels and ψ to images."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.analysis.explorer import Explorer
from ganformer.data.images import central
from ganformer.errors import CheckpointError
from ganformer.training.samples import latents

TOLERANCE = 1e-4
"""Largest difference of images, in parts of their largest value but at least of 1, between a program and its model."""
IMAGES = "images"
"""Name of the result."""
EXAMPLES, CHECKED = 3, 2
"""Images of the example that a program is recorded with, and those that it is compared with: another number."""


class Program(nn.Module):
    """z [n, *latent_shape] and ψ [] → images [n, C, h, w] float32, nominally in [-1, 1], without bars.

    The noise of layers is constant, so the images are those of `ganformer generate`.
    """

    inputs: tuple[str, ...] = ("z", "truncation")
    means: Tensor

    def __init__(self, opened: Explorer, mean: Literal["class", "global"]) -> None:
        """Take the generator of a run; `mean`: target of ψ, the mean of the image's class or of all images."""
        super().__init__()
        self.generator = opened.generator
        self.picture = opened.record.image.picture
        classes = torch.eye(opened.record.image.classes)
        means = opened.means(classes) if mean == "class" else None  # None without classes, too
        average = self.generator.w_average.expand(len(classes), -1).clone()
        self.register_buffer("means", average if means is None else means, persistent=False)

    def forward(self, z: Tensor, truncation: Tensor) -> Tensor:
        w = self.generator.map(z, z.new_zeros(z.shape[0], 0))
        return self.images(self.generator.truncate(w, truncation))

    def images(self, w: Tensor) -> Tensor:
        """Return the images of w [n, L, …, D] without bars."""
        return central(self.generator.synthesise(w), *self.picture)

    def example(self, count: int, first: int = 0) -> tuple[Tensor, ...]:
        """Return inputs of `count` images with the seeds from `first` on, classes in turn."""
        z = latents(self.generator.latent_shape, range(first, first + count))
        return (z, *self._labels(count), torch.tensor(0.7))

    def _labels(self, count: int) -> Sequence[Tensor]:
        return ()


class ClassProgram(Program):
    """The same for a model with classes: z, labels [n, classes], one-hot or mixed, and ψ."""

    inputs = ("z", "labels", "truncation")

    def forward(self, z: Tensor, labels: Tensor, truncation: Tensor) -> Tensor:  # type: ignore[override]
        w = self.generator.map(z, labels)
        return self.images(self.generator.truncate(w, truncation, labels @ self.means))

    def _labels(self, count: int) -> Sequence[Tensor]:
        classes = len(self.means)
        return (F.one_hot(torch.arange(count) % classes, classes).float(),)


def program(opened: Explorer, mean: Literal["class", "global"]) -> Program:
    """Return the program of a run on the CPU. ConfigError if its model has no latents."""
    kind = ClassProgram if opened.record.image.classes else Program
    return kind(opened, mean).eval()


def check(made: Program, exported: Callable[..., Tensor], count: int | None, where: str) -> float:
    """Compare what `exported` makes with the model's images, and return the largest difference.

    `count`: number of images that it makes at once; None: any.
    Raises CheckpointError, which names the form `where`, if the difference is above `TOLERANCE`.
    """
    inputs = made.example(count or CHECKED, first=EXAMPLES)
    expected = made(*inputs)
    worst = difference(exported(*inputs), expected)
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"{where}: its images differ from the model's by {worst:.2g} of their range, more than {TOLERANCE:g}, so "
            "nothing is written; please report the settings of this model"
        )
    return worst


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of images, in parts of the largest value expected, but at least of 1."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


@contextmanager
def silent() -> Iterator[None]:
    """Keep warnings and lines about recording inside torch to itself: they are about this project's code."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def facts(opened: Explorer) -> dict[str, Any]:
    """Return what a program says of the run that it was made from."""
    record = opened.record
    return {
        "run": str(record.run),
        "seed": record.run.seed,
        "kimg": record.kimg,
        "kind": record.kind,
        "weights_sha256": record.weights_sha256,
        "class_names": list(record.data.class_names),
    }
