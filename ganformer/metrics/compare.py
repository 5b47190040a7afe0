"""Any two sets of images compared, each as it is at hand: images → features → statistics → numbers."""

import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

from ganformer import artifacts, devices
from ganformer.config import Evaluation
from ganformer.data.manifest import other_files
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.evaluate import Side, computing, load_network, measure, measures, needs
from ganformer.metrics.names import label
from ganformer.metrics.sets import Generated, ImageSet, Known, Network, Picture, common_picture, observe, open_set
from ganformer.metrics.statistics import Observed
from ganformer.metrics.summary import lines, values

FORMAT = 1
SIDES: tuple[Side, ...] = ("real", "fake")
USUAL = {2048: "Inception networks, such as inception-2015", 4096: "VGG16"}
"""Whose features are so many."""

Sets = Mapping[Side, ImageSet | Known]


def compare(
    evaluation: Evaluation, real: str, fake: str, *, step: int | None = None, threads: int, gpus: int
) -> dict[str, Any]:
    """Measures the set `fake` against the set `real`; either names anything that `sets.open_set` opens.

    Returns the values with their names, and the recipe. Images come as they are, of one shape on both sides; of a run
    come those that `evaluation` says, at the snapshot `step` or the end. Where a set is known by its statistics only,
    measures that need more are left out, or are a ConfigError where `evaluation.metrics` was set. Raises DataError
    where the sets cannot be compared.
    """
    started = time.monotonic()
    sets: Sets = {
        "real": open_set(real, evaluation, step, "--real"),
        "fake": open_set(fake, evaluation, step, "--fake"),
    }
    if step is not None and not any(isinstance(images, Generated) for images in sets.values()):
        raise ConfigError(f"step {step} was asked for, but neither {real} nor {fake} is a run; leave it out")
    picture = common_picture(sets["real"], sets["fake"])
    chosen, left_out = _choose(evaluation, sets)
    device = devices.acquire(0 if picture is None else gpus)
    with computing(threads):
        measured = measure(chosen.values(), *_observe(evaluation, sets, list(chosen.values()), picture, device))
    extractor = _extractor(evaluation, sets)
    return {
        "format": FORMAT,
        "values": {key: {"name": _name(key, extractor, sets), "value": value} for key, value in measured.items()},
        "recipe": {
            "extractor": extractor,
            "metrics": list(chosen),
            "left_out": left_out,
            "picture": None if picture is None else list(picture),
            **{side: images.about for side, images in sets.items()},
        },
        "seconds": time.monotonic() - started,
        "code": artifacts.code_version(),
        "hardware": devices.describe(device, threads),
    }


# --------------------------------------------------------------------------------------- what can be measured


def _choose(evaluation: Evaluation, sets: Sets) -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The measures for which enough is known of both sets, and why the others are left out."""
    every = dict(zip(evaluation.metrics, measures(evaluation), strict=True))
    left_out = {name: reason for name, module in every.items() if (reason := _lacking(module, sets))}
    chosen = {name: module for name, module in every.items() if name not in left_out}
    if left_out and ("metrics" in evaluation.model_fields_set or not chosen):
        problems = "".join(f"\n  {name}: {reason}" for name, reason in left_out.items())
        raise ConfigError(
            f"metrics: {len(left_out)} of {len(every)} cannot be measured; name the images themselves instead of "
            f"statistics, or choose other metrics{problems}"
        )
    return chosen, left_out


def _lacking(module: ModuleType, sets: Sets) -> str:
    """What a measure needs of the sets that is not known; empty where everything is."""
    lacking = [(images.title, sorted(needs([module], side) - images.arrays)) for side, images in sets.items()]
    return "; ".join(f"needs {' and '.join(arrays)} of {title}" for title, arrays in lacking if arrays)


# ----------------------------------------------------------------------------------------- what is known of it


def _observe(
    evaluation: Evaluation,
    sets: Sets,
    chosen: Sequence[ModuleType],
    picture: Picture | None,
    device: torch.device,
) -> tuple[Observed, Observed]:
    """What is known of the real and of the fake images, once those at hand were looked at."""
    network = None if picture is None else load_network(evaluation.extractor, device)
    _check_features(evaluation.extractor.kind, sets, network, picture, device)

    def look(side: Side) -> Observed:
        images = sets[side]
        if isinstance(images, Known):
            return images.observed
        assert network is not None and picture is not None, "there are images, so these were needed"
        wanted = needs(chosen, side)
        if not wanted:
            return Observed(images.title, len(images), {})
        return observe(images, network, wanted, picture, device, f"compare {images.title}")

    return look("real"), look("fake")


def _check_features(
    extractor: str, sets: Sets, network: Network | None, picture: Picture | None, device: torch.device
) -> None:
    """DataError where statistics are not of as many features as those that they are compared with."""
    known = {images.title: images.features for images in sets.values() if isinstance(images, Known) and images.features}
    if network is not None and picture is not None and known:
        known[extractor] = network(torch.zeros(1, 3, *picture, dtype=torch.uint8, device=device))[0].shape[1]
    if len(set(known.values())) > 1:
        (one, features), (other, different) = known.items()
        usual = "".join(f"; {count} are usual for {USUAL[count]}" for count in known.values() if count in USUAL)
        raise DataError(
            f"{one}: is of {features} features, but {other} of {different}: they are of different extractors{usual}; "
            "choose the --extractor that the statistics were made with, or make them again"
        )


def _extractor(evaluation: Evaluation, sets: Sets) -> Mapping[str, Any] | None:
    """Settings of the extractor; None where both sets come from files that do not tell it."""
    is_told = any(isinstance(images, ImageSet) or images.extractor for images in sets.values())
    return evaluation.extractor.model_dump(mode="json") if is_told else None


# ------------------------------------------------------------------------------------------------ in words


def _name(key: str, extractor: Mapping[str, Any] | None, sets: Sets) -> str:
    """The name of a value; of statistics of an unknown extractor it is the key alone."""
    if extractor is None:
        return key
    mirrored = sets["real"].about.get("mirrored", False)
    return label(key, extractor, sets["fake"].about["images"], mirrored=mirrored)


def summary(content: Mapping[str, Any]) -> str:
    """What `compare` returned, as lines for a terminal: every value by its name, then how they were measured."""
    recipe = content["recipe"]
    rows = [*values(content["values"]), *((side, _images(recipe[side])) for side in SIDES)]
    rows.append(("extractor", artifacts.canonical(recipe["extractor"]) if recipe["extractor"] else "not known"))
    if recipe["picture"] is not None:
        rows.append(("images", "{1}×{0} pixels, neither cropped nor resized before".format(*recipe["picture"])))
    rows += [("left out", f"{metric} {reason}") for metric, reason in recipe["left_out"].items()]
    return lines(rows)


def _images(about: Mapping[str, Any]) -> str:
    """One side of a comparison in words."""
    count = "an unknown number of" if about["images"] is None else f"{about['images']:,}"
    words = f"{about['path']}: {about['kind']}, {count} images"
    if about.get("left_out"):
        words += f"; left out: {other_files(about['left_out'])}"
    if about["kind"] != "run":
        return words
    return f"{words} of step {about['step']}, seeds {about['seeds'][0]} to {about['seeds'][1]}, truncation none"
