"""Common result of all readers of official snapshots, written as a run that can be sampled like a trained one."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganformer import artifacts, config
from ganformer.config import ImageSpec, Spec
from ganformer.errors import CheckpointError, ConfigError
from ganformer.records.run import (
    DISCRIMINATOR,
    RUN_FILE,
    WEIGHTS,
    Origin,
    Run,
    RunClaim,
    RunName,
    Snapshot,
    TrainingData,
)
from ganformer.training.checkpoint import build, write_weights
from ganformer.training.learner import Learner
from ganformer.training.state import load_module

NO_DISCRIMINATOR = "without a discriminator, which it does not hold"


@dataclass(frozen=True)
class Imported:
    """An official snapshot in the terms of this project.

    `model`: settings as they would stand in config.yaml, `kind` among them. `sampler` and `discriminator`: states of
    the learner's `sampler` and of `network.discriminator`; None if the snapshot has no discriminator, or one that
    no model here is equal to. `origin`: which code wrote it. `notes`: sentences about what was left out or folded.
    """

    model: Mapping[str, Any]
    image: ImageSpec
    sampler: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor] | None
    origin: str
    notes: tuple[str, ...] = field(default=())


def square(side: int, channels: int, where: Path | str, classes: int = 0) -> ImageSpec:
    """Return the shape of images that a network makes; CheckpointError if none here can have it."""
    raw = {"height": side, "width": side, "channels": channels, "classes": classes}
    try:
        return config.parse(ImageSpec, raw, "")
    except ConfigError as error:
        _, *problems = str(error).split("\n  ")
        raise CheckpointError(f"{where}: cannot be imported: its images have {'; '.join(problems)}") from error


def spec(imported: Imported, where: Path) -> Spec:
    """Return the resolved run that has this model; CheckpointError if the settings or the image do not fit it.

    What only training looks at has its default, since snapshots do not say it.
    """
    raw = {"image": imported.image, "mirror": False, "model": imported.model, "training": {}, "seed": 0}
    try:
        resolved = config.parse(Spec, raw, str(where))
    except ConfigError as error:
        raise CheckpointError(f"{error}\nso this {imported.origin} snapshot cannot be imported") from error
    if problems := list(resolved.model.problems(resolved.image, resolved.training)):
        raise CheckpointError(f"{where}: this {imported.origin} snapshot cannot be imported: {'; '.join(problems)}")
    return resolved


def filled(imported: Imported, resolved: Spec, where: Path) -> Learner:
    """Return the learner of `spec` with the imported weights; CheckpointError names every one that does not fit."""
    learner = build(resolved)
    load_module(learner.sampler, imported.sampler, f"{where}: the {imported.origin} generator")
    if imported.discriminator is not None:
        load_module(discriminator(learner), imported.discriminator, f"{where}: the {imported.origin} discriminator")
    return learner


def discriminator(learner: Learner) -> nn.Module:
    """Return the discriminator of an adversarial learner."""
    return learner.network.get_submodule("discriminator")


def write(imported: Imported, source: Path, out: Path, address: str = "") -> None:
    """Write the weights and, last, `run.json` into the folder `out`: everything or, after an error, nothing.

    `source` is the file that `imported` was read from; `address`: where it was fetched. Raises CheckpointError if it
    does not fit its model, or where `out` holds a run that was trained or a file in the way.
    """
    _check_free(out)
    resolved = spec(imported, source)
    learner = filled(imported, resolved, source)
    with artifacts.may_write(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
            temporary = Path(place)
            _write_files(imported, resolved, learner, _origin(imported, source, address), temporary)
            if _is_there(out, temporary):
                print(f"{out}: holds this import already and stays; delete it to import again", flush=True)
                return
            out.mkdir(exist_ok=True)
            (out / DISCRIMINATOR).unlink(missing_ok=True)
            for path in sorted(temporary.iterdir(), key=lambda path: path.name == RUN_FILE):
                path.replace(out / path.name)


def _is_there(out: Path, made: Path) -> bool:
    """Return whether `out` holds the same import as `made`, whenever and with whatever version it was written."""
    new, old = Run.read(made / RUN_FILE), Run.find(out / RUN_FILE)
    origin = {key: value for key, value in new.content().items() if key not in ("code", "libraries")}
    if old is None or not artifacts.agrees(old.content(), origin):
        return False
    files = [path.name for path in made.iterdir() if path.name != RUN_FILE]
    return all(
        (out / name).is_file() and artifacts.file_digest(out / name) == artifacts.file_digest(made / name)
        for name in files
    )


def _check_free(out: Path) -> None:
    """Raise CheckpointError if a file is in the way that no earlier import wrote."""
    path = out / RUN_FILE
    known = RunClaim.read(path) if path.exists() else RunClaim(imported=Origin())
    if known is None or known.imported is None:
        raise CheckpointError(f"{path}: is the record of a run that was trained; choose another folder to import into")
    players = known.parameters
    for name, player in ((WEIGHTS, "generator"), (DISCRIMINATOR, "discriminator")):
        if player not in players and (out / name).exists():
            raise CheckpointError(
                f"{out / name}: is there already, and no import wrote it by what {RUN_FILE} says; choose another "
                "folder to import into, or move it away"
            )


def _write_files(imported: Imported, resolved: Spec, learner: Learner, origin: Origin, folder: Path) -> None:
    trajectory = resolved.trajectory
    weights = write_weights(folder / WEIGHTS, learner.sampler, trajectory, step=0)
    if imported.discriminator is not None:
        write_weights(folder / DISCRIMINATOR, discriminator(learner), trajectory, step=0)
    describe(imported, resolved, learner, origin, weights).write(folder / RUN_FILE)


def _origin(imported: Imported, source: Path, address: str) -> Origin:
    """Return the provenance of a snapshot."""
    fetched: dict[str, Any] = {"address": address} if address else {}
    return Origin(
        file=source.name,
        sha256=artifacts.file_digest(source),
        **fetched,
        origin=imported.origin,
        notes=imported.notes,
    )


def describe(imported: Imported, resolved: Spec, learner: Learner, origin: Origin, weights: str) -> Run:
    """Return the record of an imported run: of no steps, with one snapshot, made from no images of ours.

    Snapshots do not say how often each class was seen; labels to sample with are drawn evenly.
    """
    return Run(
        run=RunName(dataset="imported", model=Path(origin.file).stem, seed=resolved.seed),
        imported=origin,
        spec=resolved.model_dump(mode="json"),
        spec_sha256=resolved.digest,
        data=TrainingData(data_sha256=None, count=0, label_counts=[1] * imported.image.classes, class_names=()),
        code=artifacts.code_version(),
        libraries={"torch": torch.__version__, "numpy": np.__version__},
        parameters={name: sum(p.numel() for p in part.parameters()) for name, part in _parts(imported, learner)},
        steps=0,
        kimg=0.0,
        weights_sha256=weights,
        snapshots=[Snapshot(step=0, kimg=0.0, file=WEIGHTS, sha256=weights)],
    )


def _parts(imported: Imported, learner: Learner) -> Iterator[tuple[str, nn.Module]]:
    yield "generator", learner.sampler
    if imported.discriminator is not None:
        yield "discriminator", discriminator(learner)
