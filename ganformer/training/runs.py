"""Runs by their folder, ready to be sampled: finished, imported, or still in training."""

import sys
from pathlib import Path
from typing import NamedTuple

from ganformer.errors import CheckpointError
from ganformer.records.run import Run, Snapshot, find_run
from ganformer.records.training import SPEC_FILE, TrainingRecord, is_unfinished, trainings
from ganformer.training.checkpoint import Checkpoints, Identity, build, restore, weights_digest
from ganformer.training.learner import Learner


class Opened(NamedTuple):
    """A run: the path that messages name, its learner, whose sampler is trained, and its record."""

    path: Path
    """Its run.json; of an unfinished run its folder."""
    learner: Learner
    record: Run
    """Its record, with the step and the weights that were opened; the snapshots are all there are."""


def open_run(path: Path, step: int | None = None) -> Opened:
    """Return a run named by its folder, run.json or weights, on the CPU, at its snapshot `step`; None: its end.

    Of a folder whose training has not ended the newest whole checkpoint is used, and a printed line says so; nothing in
    the folder is changed. Raises ConfigError if there is no run, CheckpointError if it cannot be read or has no such
    snapshot.
    """
    if is_unfinished(path):
        return _at_checkpoint(path, step)
    run_json = find_run(path)
    learner, record = restore(run_json, step)
    return Opened(run_json, learner, record.at(step, run_json))


def _at_checkpoint(folder: Path, step: int | None) -> Opened:
    """Return the newest checkpoint of the training in `folder` that was written to last."""
    state, *others = trainings(folder)
    training = TrainingRecord.of(state)
    latest = Checkpoints(state, Identity(training.trajectory_sha256, str(training.data.data_sha256))).latest()
    if latest is None:
        raise CheckpointError(
            f"{folder}: its training has not ended and has no whole checkpoint yet; wait for the first one (option "
            "--checkpoint-minutes of `ganformer train`), or start it again if it was stopped"
        )
    saved, header = latest
    spec, finished = training.settings(state / SPEC_FILE), header.history.step
    learner = build(spec)
    learner.load(saved)
    record = _record(training, finished, spec.kimg_at(finished), learner)
    record.snapshot(step, folder)
    among = f"; it is the latest of {len(others) + 1} trainings there" if others else ""
    print(
        f"{folder}: still training or stopped; its checkpoint of step {finished} of {training.steps} "
        f"({record.kimg:g} kimg) is used{among}",
        file=sys.stderr,
        flush=True,
    )
    return Opened(folder, learner, record)


def _record(training: TrainingRecord, step: int, kimg: float, learner: Learner) -> Run:
    """Return the record of a run that ended at this step, with the sha256 that its weights would have."""
    sha256 = weights_digest(learner.sampler, training.trajectory_sha256, step)
    return Run(
        run=training.run,
        spec=training.spec,
        spec_sha256=training.spec_sha256,
        trajectory_sha256=training.trajectory_sha256,
        data=training.data,
        steps=step,
        kimg=kimg,
        weights_sha256=sha256,
        snapshots=[Snapshot(step=step, kimg=kimg, file="", sha256=sha256)],
    )
