"""Runs as snapshots that official code loads: the way back from `pytorch` and `stylegan2_ada`."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganformer import artifacts
from ganformer.analysis import program
from ganformer.analysis.explorer import Explorer
from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError, ConfigError, listed
from ganformer.interop import imported, names, snapshot
from ganformer.interop.imported import Imported
from ganformer.interop.pickling import Network, pickled
from ganformer.nn.layers import constant_noise
from ganformer.records.training import is_unfinished
from ganformer.training.adversarial import evaluating
from ganformer.training.initial import of_average, states

Values = Mapping[str, Tensor]
Settings = Mapping[str, Any]

SAME = 1e-5
"""Largest difference of images, in parts of their largest value, between a run and its snapshot read back."""
LISTED = 8  # names in a message


class Shape(NamedTuple):
    """Shape of images: squares."""

    side: int
    channels: int
    classes: int


class Code(NamedTuple):
    """A code base that loads snapshots."""

    title: str
    average: str
    """Name of the moving average in its snapshots."""
    labels: str
    """The setting `discriminator_labels` that its discriminator has, if there are classes."""
    required: Mapping[str, Sequence[Any]]
    """Settings that its networks have, with all values that they can have; `classes` is one of them."""
    generator: Callable[[Settings, Shape], Mapping[str, Any]]
    """Arguments of its generator."""
    discriminator: Callable[[Settings, Shape], Mapping[str, Any]]
    generator_values: Callable[[Values, Shape], Values]
    """Values with its names, of values with the names of `names`."""
    discriminator_values: Callable[[Values, Shape], Values]
    others: Mapping[str, Any]
    """Plain values beside the networks."""


def write(code: Code, opened: Explorer, path: Path) -> list[str]:
    """Write a run as a snapshot of `code`, and return notes.

    Then it is read back: the run that it would be imported as makes the same images, and has the same values. Raises
    ConfigError if that code has no such networks.
    """
    record = opened.record
    settings = record.settings(opened.path).model.model_dump()
    image = record.image
    _check(code, settings, image, opened.path)
    shape = Shape(image.width, image.channels, image.classes)
    held = _states(opened)
    average = _official(code.generator_values, names.generator, held["sampler"], shape)
    now = _official(code.generator_values, names.generator, held["generator"], shape)
    arguments = code.generator(settings, shape)
    judge = _discriminator(code, settings, shape, held)
    networks: dict[str, Network | None] = {
        "G": Network("Generator", arguments, now),
        "D": judge,
        code.average: Network("Generator", arguments, average),
    }
    with artifacts.atomic(path) as temporary:
        temporary.write_bytes(pickled(networks, code.others))
        back = snapshot.read(temporary)
        if judge is not None and back.discriminator is None:
            networks["D"] = judge = None
            temporary.write_bytes(pickled(networks, code.others))
        _compare(back, held, opened, path)
    if judge is not None:
        return []
    reason = "that code has none like it" if held["discriminator"] else "none was kept"
    return [f"without a discriminator: {reason}"]


def _check(code: Code, settings: Settings, image: ImageSpec, where: Path) -> None:
    """Raise ConfigError with every setting that the networks of the code do not have."""
    is_square = image.height == image.width
    problems = [] if is_square else [f"its images are {image.width}×{image.height}, and that code makes squares"]
    for name, allowed in code.required.items():
        found = {**settings, "classes": image.classes}[name]
        if found not in allowed:
            only = " or ".join(json.dumps(value) for value in allowed)
            problems.append(f"{name} is {json.dumps(found)}, and that code has only {only}")
            if name == "kind":
                break
    if problems:
        raise ConfigError(
            f"{where}: cannot be exported for {code.title}: {'; '.join(problems)}; the formats onnx, torchscript and "
            "huggingface take the model as it is"
        )


def _states(opened: Explorer) -> dict[str, dict[str, Tensor]]:
    """Return values of "sampler", "generator" and "discriminator" (if it is kept) of an opened run.

    The generator is the average where only that is kept.
    """
    record = opened.record
    if is_unfinished(opened.path):
        found: Values = opened.learner.network.state_dict()
    elif record.steps == record.end.step:
        found = states(opened.path)[0]
    else:
        found = of_average(opened.learner)
    parts: dict[str, dict[str, Tensor]] = {"sampler": {}, "generator": {}, "discriminator": {}}
    for name, value in found.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = value.cpu()
    return parts


def _official(
    convert: Callable[[Values, Shape], Values], rename: Callable[[str, int], str], state: Values, shape: Shape
) -> Values:
    return _in_their_shapes(convert({rename(name, shape.side): value for name, value in state.items()}, shape))


def _in_their_shapes(values: Values) -> dict[str, Tensor]:
    """Return values with the shapes they have there, where these differ in dimensions of size 1."""

    def shaped(name: str, value: Tensor) -> Tensor:
        if name.endswith(".noise_const"):
            return value[0, 0]
        return value[..., None, None] if name.endswith(".torgb.weight") and value.ndim == 2 else value

    return {name: shaped(name, value) for name, value in values.items()}


def _discriminator(code: Code, settings: Settings, shape: Shape, held: Mapping[str, Values]) -> Network | None:
    """Return the discriminator; None if it is not kept or that code has none like it."""
    is_equal = settings["discriminator_labels"] == code.labels or not shape.classes
    if not held["discriminator"] or not is_equal or settings.get("discriminator_components"):
        return None
    values = _official(code.discriminator_values, names.discriminator, held["discriminator"], shape)
    return Network("Discriminator", code.discriminator(settings, shape), values)


def judged(model: Settings, shape: Shape) -> dict[str, Any]:
    """Return the arguments of a discriminator that all codes have."""
    return {
        "c_dim": shape.classes,
        "img_resolution": shape.side,
        "img_channels": shape.channels,
        "architecture": model["discriminator_architecture"],
        "channel_base": model["channel_base"],
        "channel_max": model["channel_max"],
    }


def _compare(back: Imported, held: Mapping[str, Values], opened: Explorer, path: Path) -> None:
    """Raise CheckpointError if the snapshot, read back, has other values than the run, or makes other images."""
    differing = [*_differing(held["sampler"], back.sampler)]
    if back.discriminator is not None:
        differing += _differing(held["discriminator"], back.discriminator)
    learner = imported.filled(back, imported.spec(back, path), path)
    generator = learner.sampling_generator
    assert generator is not None
    z, labels = opened.drawn(range(2))
    with evaluating(learner.sampler), constant_noise(learner.sampler):
        expected, found = opened.generator(z, labels).cpu(), generator(z.cpu(), labels.cpu())
    worst = program.difference(found, expected)
    if differing or not worst <= SAME:
        raise CheckpointError(
            f"{path}: read back it is another model (images differ by {worst:.2g}; other values: "
            f"{listed(differing, LISTED) or 'none'}), so nothing is written; please report the settings of this model"
        )


def _differing(ours: Values, theirs: Values) -> list[str]:
    """Return the names of values that are not bit for bit the same."""
    return [name for name in sorted(ours.keys() | theirs.keys()) if not _are_same(ours.get(name), theirs.get(name))]


def _are_same(ours: Tensor | None, theirs: Tensor | None) -> bool:
    return ours is not None and theirs is not None and torch.equal(ours, theirs)
