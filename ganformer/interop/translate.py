"""Translation of networks of the StyleGAN2 family, by the official names (`names`), into states of our models."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import Spec
from ganformer.errors import CheckpointError
from ganformer.interop import names
from ganformer.interop.imported import Imported, discriminator, spec
from ganformer.interop.options import Options
from ganformer.nn.discriminator import GROUP
from ganformer.nn.resampling import Filter
from ganformer.training.learner import Learner
from ganformer.training.state import refuse_misfit

Tensors = Mapping[str, Tensor]

TOLERANCE = 1e-4  # between constants computed there and here
FILTERS = r"\.resample_(kernel|filter)$"


def translated(official: Imported, where: Path) -> Imported:
    """Return a snapshot whose values have the names of `names`, with ours instead.

    CheckpointError names all that is missing, left over or of another shape.
    """
    learner, width = outline(spec(official, where)), official.image.width
    said = f"{where}: the {official.origin}"
    sampler = _filled(learner.sampler, official.sampler, partial(names.generator, width=width), f"{said} generator")
    other = official.discriminator
    if other is not None:
        rename = partial(names.discriminator, width=width)
        other = _filled(discriminator(learner), other, rename, f"{said} discriminator")
    return replace(official, sampler=sampler, discriminator=other)


def outline(resolved: Spec) -> Learner:
    """Return the learner of a run without memory for its values, however many a hostile file asks for."""
    with torch.device("meta"):
        learner: Learner = plugins.find("ganformer.models", resolved.model.kind).build(resolved.model, resolved.image)
    return learner


def _filled(module: nn.Module, official: Tensors, rename: Callable[[str], str], where: str) -> dict[str, Tensor]:
    state = module.state_dict()
    expected = {rename(name): _shape_of(official.get(rename(name)), value) for name, value in state.items()}
    refuse_misfit(expected, {name: tuple(value.shape) for name, value in official.items()}, where)
    return {name: official[rename(name)].reshape(value.shape) for name, value in state.items()}


def _shape_of(official: Tensor | None, ours: Tensor) -> tuple[int, ...]:
    """Return the shape of the official value: as ours, but for dimensions of size 1."""
    if official is not None and official.squeeze().shape == ours.squeeze().shape:
        return tuple(official.shape)
    return tuple(ours.shape)


# ------------------------------------------------------------------------------ what all readers have to do


def without(tensors: Tensors, patterns: Iterable[str]) -> dict[str, Tensor]:
    """Return all but those whose name one of the patterns matches from its start."""
    dead = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return {name: value for name, value in tensors.items() if not dead.match(name)}


def without_filters(tensors: Tensors, where: Path) -> dict[str, Tensor]:
    """Remove the filters of resampling layers; CheckpointError if one differs from that of `nn.resampling`."""
    for name, value in tensors.items():
        if re.search(FILTERS, name) and not are_close(value, Filter().kernel):
            raise refuse(where, f"its {name} is not the filter [1, 3, 3, 1]")
    return without(tensors, [f".*{FILTERS}"])


def are_close(found: Tensor, expected: Tensor) -> bool:
    """Return whether what is computed there and here, and saved there, is the same."""
    return found.shape == expected.shape and bool(torch.allclose(found.float(), expected, atol=TOLERANCE))


def width_misfits(discriminator: Options, model: Mapping[str, Any]) -> Iterator[str]:
    """Return why no model here has a generator and a discriminator of such widths; None if one has."""
    for name, default in (("channel_base", 32768), ("channel_max", 512)):
        if (found := discriminator.get(default, name)) != model[name]:
            yield f"its {name} is {found} and that of the generator {model[name]}"


def given_group_misfit(epilogue: Options) -> Iterator[str]:
    """Yield `group_misfit` of what arguments say; those that say nothing are of a network with the code's 4."""
    whole = epilogue.given("mbstd_group_size") == [None]
    group = None if whole else epilogue.get(GROUP, "mbstd_group_size")
    yield from group_misfit(group, epilogue.get(1, "mbstd_num_channels", "mbstd_num_features"))


def group_misfit(group: int | None, channels: int) -> Iterator[str]:
    """Return why the minibatch statistics of a discriminator differ from ours; group None: the whole batch."""
    if group != GROUP:
        compared = "all" if group is None else group
        yield f"it compares {compared} images of a batch (mbstd_group_size); here it is {GROUP}"
    if channels != 1:
        yield f"it appends {channels} channels of statistics (mbstd_num_channels); here it is 1"


def widths(channels: Mapping[int, int]) -> dict[str, int]:
    """Return channel_base and channel_max of a ladder whose layers have so many features at these resolutions."""
    return {
        "channel_base": max(resolution * count for resolution, count in channels.items()),
        "channel_max": max(channels.values()),
    }


def refuse(where: Path, what: str) -> CheckpointError:
    """Return the error that says why a snapshot cannot be imported."""
    return CheckpointError(f"{where}: cannot be imported: {what}")
