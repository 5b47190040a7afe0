"""Evaluation of a run: images → features → statistics → numbers in `metrics.json`."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganformer import artifacts, devices, plugins
from ganformer.config import Evaluation, Extractor
from ganformer.config.path_length import PathLength
from ganformer.data.batches import filled
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.errors import DataError
from ganformer.metrics import path_length, summary
from ganformer.metrics.checks import Size, Sized, refuse
from ganformer.metrics.measures import frechet
from ganformer.metrics.names import label, path_label
from ganformer.metrics.reference import Reference
from ganformer.metrics.sets import (
    ALL,
    Generated,
    ImageSet,
    Look,
    Network,
    Packed,
    Picture,
    Share,
    observe_with,
)
from ganformer.metrics.statistics import Observed
from ganformer.records.metrics import ComparedSet, Reals, Subject, Value
from ganformer.records.run import Run
from ganformer.training import checkpoint, distribution
from ganformer.training.learner import Learner, Reconstructor
from ganformer.training.samples import batches, in_colours, normalise, quantise

PATHS = "path-length"  # part of the values that are no extractor's

Side = Literal["real", "fake"]


def reference(
    evaluation: Evaluation, pack: Path, out: Path, *, threads: int, gpus: int, check_data: bool = False
) -> None:
    """Measure all images of a pack, and writes what metrics need of them (`Reference`) into the folder `out`.

    There is a file for each network that looks at images, called as in `Evaluation.parts`; one that is of these images
    and settings already stays. With `check_data` every shard is compared with its checksum when it is first read.
    """
    job = (evaluation, pack, out, threads, check_data)
    distribution.launch(refer, job, devices.acquire_all(gpus))


def refer(evaluation: Evaluation, pack: Path, out: Path, threads: int, check_data: bool, device: torch.device) -> None:
    """Compute one rank's part of `reference`."""
    images = Packed(Images(pack, check=check_data), mirrored=evaluation.mirrored)
    files = {name: out / f"{name}.npz" for name in evaluation.parts()}
    for file in files.values():
        artifacts.check_file(file)
    parts = {
        name: part
        for name, part in evaluation.parts().items()
        if not _has_reference(files[name], part, images.images.digest)
    }
    if not parts:
        return
    with computing(threads):
        looks = _looks(parts, "real", device)
        observed = observe_with(looks, images, images.picture, device, f"reference {images.title}")
    for name, real in observed.items():
        extractor = parts[name].extractor.model_dump(mode="json")
        Reference(real, extractor, evaluation.mirrored, images.images.digest).write(files[name])


def _has_reference(path: Path, part: Evaluation, data_sha256: str) -> bool:
    """Return whether the file is the one that `refer` would write, and prints that it stays."""
    extractor, needed = part.extractor.model_dump(mode="json"), needs(measures(part), "real")
    try:
        Reference.read(path).check(path, extractor, part.mirrored, data_sha256, needed)
    except DataError:
        return False
    if distribution.rank() == 0:
        artifacts.say_kept(path)
    return True


@dataclass(frozen=True)
class Job:
    """Images of a run to be measured, and the real images they are measured against."""

    evaluation: Evaluation
    run: Path
    """Its run.json."""
    step: int | None
    """One of its snapshots; None: the last."""
    pack: Path
    reference: Path
    """The folder that `reference` wrote of the pack."""
    other_data: bool = False
    """True if the run was trained on another pack on purpose."""


def evaluate(job: Job, out: Path, *, threads: int, gpus: int) -> None:
    """Measure generated images of a run, writes `metrics.json` to `out` and prints the numbers.

    A file that is of these weights, images and settings already stays, and nothing is measured.

    Where the model has an autoencoder, the Fréchet distance of reconstructions is measured too. Raises DataError if
    run, pack and reference do not belong together, or where images or features are not finite.
    """
    distribution.launch(_evaluate, (job, out, threads), devices.acquire_all(gpus))


def _evaluate(job: Job, out: Path, threads: int, device: torch.device) -> None:
    started = time.monotonic()
    artifacts.check_file(out)
    learner, record = checkpoint.restore(job.run, job.step)
    images, evaluation = Images(job.pack), job.evaluation
    record.check_pack(
        job.run,
        images.folder,
        images.manifest,
        "name the pack of the run, or say with --other-data that it is another one on purpose",
        other_data=job.other_data,
    )
    reals = _reals(job, images, device)
    origin = _origin(job, record, images, reals)
    if origin.is_measured(out, is_silent=distribution.rank() > 0):
        return
    with computing(threads):
        looks = _looks(evaluation.parts(), "fake", device)
        rounds = [
            _round(job, learner, record, images, reals, looks, number, device) for number in range(evaluation.repeats)
        ]
        # Every round has the same ones, as nothing is drawn for them.
        for part, distance in _reconstructed(job, learner, record, images, reals, looks, device).items():
            for values in rounds:
                values[part]["rfd"] = distance
    if distribution.rank() > 0:
        return
    gpus = distribution.ranks() if device.type == "cuda" else 0
    measured = origin.measured(
        _named(evaluation, _over_rounds(rounds)),
        seconds=time.monotonic() - started,
        hardware={**devices.describe(device, threads), "gpus": gpus},
    )
    print(summary.of_run(measured), flush=True)
    measured.write(out)


def _origin(job: Job, record: Run, images: Images, reals: Mapping[str, Reference]) -> Subject:
    """Return the part of `metrics.json` known before measuring; DataError if there are too few images."""
    snapshot = record.snapshot(job.step, job.run)
    return Subject(
        **record.diverged_before(snapshot.kimg),
        run=record.run,
        step=snapshot.step,
        kimg=snapshot.kimg,
        weights_sha256=snapshot.sha256,
        recipe={
            **job.evaluation.model_dump(mode="json"),
            "real_images": next(iter(reals.values())).observed.count,
            "image": record.spec["image"],
            "picture": list(images.image.picture),
            "truncation": None,
            "weights_sha256": _weights(job.evaluation),
            "measures": _recipes(job, reals),
        },
        reference=Reals(data_sha256=images.digest),
    )


Values = dict[str, dict[str, float]]  # by the name of the part of the evaluation


def _round(
    job: Job,
    learner: Learner,
    record: Run,
    images: Images,
    reals: Mapping[str, Reference],
    looks: Mapping[str, Look],
    number: int,
    device: torch.device,
) -> Values:
    """Return everything measured once, on the images of this round; nothing where another process has the numbers."""
    evaluation = job.evaluation.model_copy(update={"seed": job.evaluation.seed + number})
    generated = Generated(learner, record, job.run, job.step, evaluation.seeds)
    picture, title = images.image.picture, f"evaluate {record.run}"
    fakes = observe_with(looks, generated, picture, device, title)
    parts = evaluation.parts()
    values = {name: measure(measures(parts[name]), reals[name].observed, fake) for name, fake in fakes.items()}
    if paths := _paths(evaluation, learner):
        lengths = path_length.measure(paths, learner, record, picture, device, evaluation.seed)
        values |= {PATHS: lengths} if lengths else {}
    return values


def _reconstructed(
    job: Job,
    learner: Learner,
    record: Run,
    images: Images,
    reals: Mapping[str, Reference],
    looks: Mapping[str, Look],
    device: torch.device,
) -> dict[str, float]:
    """Return the Fréchet distance of reconstructions, by the part that it is of; none if there is no autoencoder."""
    chosen = {
        name: Look(looks[name].network, frechet.FAKE)
        for name, part in job.evaluation.parts().items()
        if frechet in measures(part)
    }
    if not (isinstance(learner, Reconstructor) and chosen):
        return {}
    copies = Reconstructed(learner, images, job.evaluation.images, f"{job.run}: reconstructions")
    title = f"evaluate {record.run}: reconstructions"
    seen = observe_with(chosen, copies, images.image.picture, device, title)
    return {name: frechet.compute(reals[name].observed, fake)["fd"] for name, fake in seen.items()}


def _paths(evaluation: Evaluation, learner: Learner) -> PathLength | None:
    """Return how path lengths are measured, in the spaces that this learner has; None if they are not."""
    if not isinstance(evaluation.path_length, PathLength):
        return None
    possible = tuple(space for space in evaluation.path_length.spaces if space in path_length.spaces(learner))
    return evaluation.path_length.model_copy(update={"spaces": possible}) if possible else None


def _over_rounds(rounds: Sequence[Values]) -> Values:
    """Return the numbers of one round; of several, means, and as `…_std` their standard deviations."""
    if len(rounds) == 1:
        return rounds[0]
    means: Values = {}
    for part, first in rounds[0].items():
        means[part] = {}
        for key in (key for key in first if not key.endswith("_std")):
            each = [values[part][key] for values in rounds]
            means[part] |= {key: float(np.mean(each)), f"{key}_std": float(np.std(each, ddof=1))}
    return means


def _named(evaluation: Evaluation, values: Values) -> dict[str, Value]:
    """Return every value with its name, and `by`, the network of its features if that is not the usual one."""
    named: dict[str, Value] = {}
    for part, numbers in values.items():
        if part == PATHS:
            named |= _named_paths(evaluation, numbers)
            continue
        extractor = evaluation.parts()[part].extractor
        for key, value in numbers.items():
            name = label(key, extractor.model_dump(mode="json"), evaluation.images, mirrored=evaluation.mirrored)
            other = {"by": extractor.kind} if extractor != evaluation.extractor else {}
            named[f"{evaluation.before(extractor)}{key}"] = Value(name=name, value=value, **other)
    return named


def _named_paths(evaluation: Evaluation, numbers: Mapping[str, float]) -> dict[str, Value]:
    assert isinstance(evaluation.path_length, PathLength), "there are numbers of it"
    settings, by = evaluation.path_length.model_dump(mode="json"), evaluation.path_length.network.kind
    return {key: Value(name=path_label(key, settings), value=value, by=by) for key, value in numbers.items()}


def _looks(parts: Mapping[str, Evaluation], side: Side, device: torch.device) -> dict[str, Look]:
    return {
        name: Look(load_network(part.extractor, device), needs(measures(part), side)) for name, part in parts.items()
    }


def _reals(job: Job, images: Images, device: torch.device) -> dict[str, Reference]:
    """Return the statistics of the real images, for each part of the evaluation; measures compute on the device."""
    reals = {}
    for name, part in job.evaluation.parts().items():
        path = job.reference / f"{name}.npz"
        reals[name] = Reference.read(path, device)
        extractor, needed = part.extractor.model_dump(mode="json"), needs(measures(part), "real")
        reals[name].check(path, extractor, part.mirrored, images.digest, needed)
    return reals


def _recipes(job: Job, reals: Mapping[str, Reference]) -> dict[str, Mapping[str, Any]]:
    """Return the recipe of each metric; DataError if there are too few images for one."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, part in job.evaluation.parts().items():
        real = reals[name].observed
        fake = Size(f"{job.run}: evaluation.images", job.evaluation.images, real.features)
        chosen = dict(zip(part.metrics, measures(part), strict=True))
        for module in chosen.values():
            refuse(lacking(module, real, fake))
        before = job.evaluation.before(part.extractor)
        found |= {f"{before}{metric}": recipe for metric, recipe in recipes(chosen, real, fake).items()}
    return found


def _weights(evaluation: Evaluation) -> dict[str, str]:
    """Return sha256 of every file of weights that some network was read from."""
    files = {path for part in evaluation.parts().values() for path in part.extractor.inputs}
    if isinstance(evaluation.path_length, PathLength):
        files |= set(evaluation.path_length.inputs)
    return {str(path): artifacts.file_digest(artifacts.placed(path)) for path in sorted(files)}


class Reconstructed(ImageSet):
    """Images of a pack after the autoencoder: `count` that are evenly spread over it, or all."""

    def __init__(self, learner: Reconstructor, images: Images, count: int, title: str) -> None:
        self.learner, self.images, self.title = learner, images, title
        self.count = min(count, len(images))
        self.picture = images.image.picture
        self.about = ComparedSet(kind="reconstructions", images=self.count)

    def __len__(self) -> int:
        return self.count

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        for numbers in share.of(batches(self.images.places(self.count).tolist())):
            pictures = central(self.images.read(np.array(numbers)), *self.picture)
            pixels = torch.from_numpy(filled(pictures, self.images.image.canvas)).to(device)
            yield in_colours(central(quantise(self.learner.reconstruct(normalise(pixels))), *picture))


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Make torch compute reproducibly, without gradients and in full float32."""
    with devices.reproducible(threads), torch.inference_mode():
        yield


def load_network(extractor: Extractor, device: torch.device) -> Network:
    """Return the extractor's network on the device."""
    loaded: Network = plugins.find("ganformer.metrics.extractors", extractor.kind).load(extractor, device)
    return loaded


def measures(evaluation: Evaluation) -> list[ModuleType]:
    """Return the modules of the chosen metrics."""
    return [plugins.find("ganformer.metrics.measures", name) for name in evaluation.metrics]


def needs(chosen: Iterable[ModuleType], side: Side) -> frozenset[str]:
    """Return arrays that these measures need of the real or of the fake images."""
    return frozenset[str]().union(*(getattr(module, side.upper()) for module in chosen))


def lacking(module: ModuleType, real: Sized, fake: Sized) -> str:
    """Return why a measure cannot be taken of so many images; empty if it can."""
    problem: str = module.lacking(real, fake) if hasattr(module, "lacking") else ""
    return problem


def recipes(chosen: Mapping[str, ModuleType], real: Sized, fake: Sized) -> dict[str, Mapping[str, Any]]:
    """Return by the name of each measure the settings its values depend on."""
    return {name: module.recipe(real, fake) for name, module in chosen.items() if hasattr(module, "recipe")}


def measure(chosen: Iterable[ModuleType], real: Observed, fake: Observed) -> dict[str, float]:
    """Return the values of all these measures."""
    values: dict[str, float] = {}
    for module in chosen:
        values |= module.compute(real, fake)
    return values
