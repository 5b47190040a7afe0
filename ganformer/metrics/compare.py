"""Any two sets of images compared, each as it is at hand: images → features → statistics → numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from ganformer import artifacts, devices
from ganformer.config import Evaluation
from ganformer.errors import ConfigError, DataError
from ganformer.metrics import foreign
from ganformer.metrics.checks import Size
from ganformer.metrics.evaluate import Side, computing, lacking, load_network, measure, measures, needs, recipes
from ganformer.metrics.names import label
from ganformer.metrics.sets import Generated, ImageSet, Known, Network, Picture, common_picture, observe, open_set
from ganformer.metrics.statistics import Observed
from ganformer.metrics.summary import lines, settings, values
from ganformer.records.manifest import other_files
from ganformer.records.metrics import ComparedSet, Comparison, ComparisonRecipe, Value

SIDES: tuple[Side, ...] = ("real", "fake")
EXTRACTORS_BY_SIZE = {2048: "Inception networks, such as inception-2015", 4096: "VGG16"}
"""Whose features are so many."""

Sets = Mapping[Side, ImageSet | Known]


def compare(
    evaluation: Evaluation, real: str, fake: str, *, step: int | None = None, threads: int, gpus: int
) -> Comparison:
    """Measure the set `fake` against the set `real`; either names anything that `sets.open_set` opens.

    Return the values with their names, and the recipe. Images come as they are, of one shape on both sides; of a run
    come the images that `evaluation` names, at the snapshot `step` or the end. Where a set is known by its statistics
    only, or has too few images, measures that need more are left out, or are a ConfigError if `evaluation.metrics` was
    set. Raises ConfigError if `images`, `seed` or `step` were set and neither is a run, DataError if the sets cannot be
    compared.
    """
    started = time.monotonic()
    sets: Sets = {
        "real": open_set(real, evaluation, step, "--real"),
        "fake": open_set(fake, evaluation, step, "--fake"),
    }
    _refuse_idle_options(evaluation, step, sets)
    picture = common_picture(sets["real"], sets["fake"])
    chosen, left_out = _choose(evaluation, _every(evaluation), lambda module: _lacking(module, sets))
    device = devices.acquire(0 if picture is None else gpus)
    with computing(threads):
        network = None if picture is None else load_network(evaluation.extractor, device)
        sizes = _sizes(evaluation.extractor.kind, sets, network, picture, device)
        chosen, too_few = _choose(evaluation, chosen, lambda module: lacking(module, *sizes))
        observed = _observe(sets, list(chosen.values()), network, picture, device)
        measured = {name: measure([module], *observed) for name, module in chosen.items()}
    extractor = _extractor(evaluation, sets)
    return Comparison(
        values={
            key: Value(name=_name(key, chosen[name], extractor, sets), value=value)
            for name, values in measured.items()
            for key, value in values.items()
        },
        recipe=ComparisonRecipe(
            extractor=extractor,
            metrics=list(chosen),
            measures=recipes(chosen, *sizes),
            left_out=left_out | too_few,
            picture=picture,
            real=_described(sets["real"], evaluation),
            fake=_described(sets["fake"], evaluation),
        ),
        seconds=time.monotonic() - started,
        code=artifacts.code_version(),
        hardware=devices.describe(device, threads),
    )


def _refuse_idle_options(evaluation: Evaluation, step: int | None, sets: Sets) -> None:
    """Raise ConfigError if something was chosen that matters to the images of a run only, and there is none."""
    if any(isinstance(images, Generated) for images in sets.values()):
        return
    asked = [
        f"{name} {getattr(evaluation, name)}" for name in ("images", "seed") if name in evaluation.model_fields_set
    ]
    asked += [] if step is None else [f"step {step}"]
    if asked:
        raise ConfigError(
            f"{' and '.join(asked)}: chooses images of a run, but neither {sets['real'].title} nor "
            f"{sets['fake'].title} is one; leave it out (of all else every image is measured)"
        )


# --------------------------------------------------------------------------------------- measures


def _every(evaluation: Evaluation) -> dict[str, ModuleType]:
    return dict(zip(evaluation.metrics, measures(evaluation), strict=True))


def _choose(
    evaluation: Evaluation, every: Mapping[str, ModuleType], problem: Callable[[ModuleType], str]
) -> tuple[dict[str, ModuleType], dict[str, str]]:
    """Return the measures that can be taken, and why others are left out; ConfigError if one of these was asked for."""
    left_out = {name: found for name, module in every.items() if (found := problem(module))}
    if left_out and ("metrics" in evaluation.model_fields_set or len(left_out) == len(every)):
        listed = "".join(f"\n  {name}: {found}" for name, found in left_out.items())
        raise ConfigError(
            f"metrics: {len(left_out)} of {len(every)} cannot be measured; name images instead of their statistics, or "
            f"more images, or choose other metrics{listed}"
        )
    return {name: module for name, module in every.items() if name not in left_out}, left_out


def _lacking(module: ModuleType, sets: Sets) -> str:
    """Return the unknown arrays that a measure needs of the sets; empty if it has all."""
    lacking = [(images.title, sorted(needs([module], side) - images.arrays)) for side, images in sets.items()]
    return "; ".join(f"needs {' and '.join(arrays)} of {title}" for title, arrays in lacking if arrays)


# ----------------------------------------------------------------------------------------- statistics


def _observe(
    sets: Sets,
    chosen: Sequence[ModuleType],
    network: Network | None,
    picture: Picture | None,
    device: torch.device,
) -> tuple[Observed, Observed]:
    """Observe the real and the fake images, reading those at hand."""

    def look(side: Side) -> Observed:
        images = sets[side]
        if isinstance(images, Known):
            return replace(images.observed, device=device)
        assert network is not None and picture is not None, "there are images, so these were needed"
        wanted = needs(chosen, side)
        if not wanted:
            return Observed(images.title, len(images), {}, device)
        return observe(images, network, wanted, picture, device, f"compare {images.title}")

    return look("real"), look("fake")


def _sizes(
    extractor: str, sets: Sets, network: Network | None, picture: Picture | None, device: torch.device
) -> tuple[Size, Size]:
    """Return the numbers of images and of features; DataError if statistics are of another network."""
    features = {images.title: images.features for images in sets.values() if isinstance(images, Known)}
    seen = 0
    if network is not None and picture is not None:
        seen = network(torch.zeros(1, 3, *picture, dtype=torch.uint8, device=device))[0].shape[1]
        features[extractor] = seen
    known = {title: count for title, count in features.items() if count}
    if len(set(known.values())) > 1:
        (one, count), (other, different) = known.items()
        usual = "".join(
            f"; {number} are usual for {EXTRACTORS_BY_SIZE[number]}"
            for number in known.values()
            if number in EXTRACTORS_BY_SIZE
        )
        raise DataError(
            f"{one}: is of {count} features, but {other} of {different}: they are of different extractors{usual}; "
            "choose the --extractor that the statistics were made with, or make them again"
        )
    real, fake = (_size(images, seen) for images in (sets["real"], sets["fake"]))
    return real, fake


def _size(images: ImageSet | Known, seen: int) -> Size:
    if isinstance(images, Known):
        return Size(images.title, images.observed.count, images.observed.features)
    return Size(images.title, len(images), seen)


def _extractor(evaluation: Evaluation, sets: Sets) -> Mapping[str, Any] | None:
    """Return settings of the extractor; None if both sets come from files that do not name it."""
    is_told = any(isinstance(images, ImageSet) or images.extractor for images in sets.values())
    return evaluation.extractor.model_dump(mode="json") if is_told else None


# ------------------------------------------------------------------------------------------------ in words


def _name(key: str, module: ModuleType, extractor: Mapping[str, Any] | None, sets: Sets) -> str:
    """Return the name of a value; where it is of statistics that may be of another extractor, it is the key alone."""
    compared = [sets[side].about for side in SIDES if needs([module], side)]
    if extractor is None or not all(_is_seen_alike(about, extractor) for about in compared):
        return key
    return label(key, extractor, sets["fake"].about.images, mirrored=sets["real"].about.mirrored)


def _is_seen_alike(about: ComparedSet, extractor: Mapping[str, Any]) -> bool:
    """Return whether these settings fit the layout of a set's statistics, which are of an unknown extractor."""
    return about.layout is None or foreign.sees_alike(about.layout, extractor)


def _described(images: ImageSet | Known, evaluation: Evaluation) -> ComparedSet:
    """Return the record of a set, with settings of its extractor; None if its file does not name it."""
    known = images.extractor if isinstance(images, Known) else evaluation.extractor.model_dump(mode="json")
    return images.about.model_copy(update={"extractor": known})


def summary(measured: Comparison) -> str:
    """Format the result of `compare` for a terminal: every value by its name, then settings and notes."""
    recipe = measured.recipe
    sides = {"real": recipe.real, "fake": recipe.fake}
    rows = [*values(measured.values), *((side, _images(about)) for side, about in sides.items())]
    rows.append(("extractor", artifacts.canonical(recipe.extractor) if recipe.extractor else "not known"))
    rows += settings(recipe.measures)
    if recipe.picture is not None:
        rows.append(("images", "{1}×{0} pixels, neither cropped nor resized before".format(*recipe.picture)))
    rows += [("left out", f"{metric}: {reason}") for metric, reason in recipe.left_out.items()]
    rows += [("note", note) for about in sides.values() if (note := _note(about, recipe.extractor))]
    return lines(rows)


def _note(about: ComparedSet, extractor: Mapping[str, Any] | None) -> str:
    """Return a note on unknown properties of the statistics of one side of a comparison."""
    if extractor is None or about.layout is None or foreign.sees_alike(about.layout, extractor):
        return ""
    usual = artifacts.canonical(foreign.EXTRACTORS[about.layout][0])
    return (
        f"{about.path} does not name its extractor, so distances from it are no {extractor['kind']} distances that "
        f"compare; statistics made by {about.layout} compare with --extractor '{usual}'"
    )


def _images(about: ComparedSet) -> str:
    """Return a line about one side of a comparison."""
    count = "an unknown number of" if about.images is None else f"{about.images:,}"
    kind = f"statistics as {about.layout} writes them" if about.layout else about.kind
    words = f"{about.path}: {kind}, {count} images"
    if about.left_out:
        words += f"; left out: {other_files(about.left_out)}"
    if about.seeds is None:
        return words
    return f"{words} of step {about.step}, seeds {about.seeds[0]} to {about.seeds[1]}, truncation none"
