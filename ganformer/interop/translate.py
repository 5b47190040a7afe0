"""From networks of the StyleGAN2 family, in the official tongue of `names`, to the states of our models."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import ImageSpec, Spec
from ganformer.errors import CheckpointError
from ganformer.interop import names
from ganformer.interop.imported import Imported, discriminator, spec
from ganformer.learning.learner import Learner
from ganformer.learning.state import refuse_misfit

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Official:
    """A snapshot by the names of `names`; the rest as in `Imported`."""

    model: Mapping[str, Any]
    image: ImageSpec
    generator: Tensors
    discriminator: Tensors | None
    origin: str
    notes: tuple[str, ...] = ()


def translated(official: Official, where: Path) -> Imported:
    """The states of our model; CheckpointError names all that is missing, left over or of another shape."""
    draft = Imported(
        official.model, official.image, official.generator, official.discriminator, official.origin, official.notes
    )
    learner, width = outline(spec(draft, where)), official.image.width
    said = f"{where}: the {official.origin}"
    sampler = _filled(learner.sampler, official.generator, partial(names.generator, width=width), f"{said} generator")
    other = official.discriminator
    if other is not None:
        rename = partial(names.discriminator, width=width)
        other = _filled(discriminator(learner), other, rename, f"{said} discriminator")
    return Imported(official.model, official.image, sampler, other, official.origin, official.notes)


def outline(resolved: Spec) -> Learner:
    """The learner of a run without memory for its values, however many a hostile file asks for."""
    with torch.device("meta"):
        learner: Learner = plugins.find("ganformer.models", resolved.model.kind).build(resolved.model, resolved.image)
    return learner


def _filled(module: nn.Module, official: Tensors, rename: Callable[[str], str], where: str) -> dict[str, Tensor]:
    state = module.state_dict()
    expected = {rename(name): _shape_of(official.get(rename(name)), value) for name, value in state.items()}
    refuse_misfit(expected, {name: tuple(value.shape) for name, value in official.items()}, where)
    return {
        name: official[rename(name)].reshape(value.shape).to(value.dtype, copy=True) for name, value in state.items()
    }


def _shape_of(official: Tensor | None, ours: Tensor) -> tuple[int, ...]:
    """How the official value should look: as ours, but for dimensions of size 1."""
    if official is not None and official.squeeze().shape == ours.squeeze().shape:
        return tuple(official.shape)
    return tuple(ours.shape)


def without(tensors: Tensors, patterns: Iterable[str]) -> dict[str, Tensor]:
    """All but those whose name one of the patterns matches from its start."""
    dead = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return {name: value for name, value in tensors.items() if not dead.match(name)}


def refuse(where: Path, what: str) -> CheckpointError:
    """The error that says why a snapshot cannot be imported."""
    return CheckpointError(f"{where}: cannot be imported: {what}")
