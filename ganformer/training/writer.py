"""Writer of the files of a training: log, snapshots, checkpoints, and at the end the outputs."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from ganformer import artifacts
from ganformer.config import Logging, Spec
from ganformer.errors import DataError
from ganformer.progress import Progress
from ganformer.records.checkpoint import History
from ganformer.records.manifest import Manifest
from ganformer.records.run import RUN_FILE, WEIGHTS, Snapshot, Stretch
from ganformer.training import diversity, initial, record, wandb_run
from ganformer.training.checkpoint import (
    CHECKPOINTS_KEPT,
    Checkpoints,
    build,
    read_weights,
    write_weights,
)
from ganformer.training.learner import Learner
from ganformer.training.logger import RunLogger
from ganformer.training.samples import batches, draw_labels

LOG_STEPS = 10  # steps that one line of the log averages
GRID_IMAGES = 32


@dataclass(frozen=True)
class Measurement:
    """A value of the learner that is measured every `kimg` thousand images; `measure` raises DataError if it cannot."""

    name: str
    kimg: float
    measure: Callable[[Learner], float]

    def is_due(self, spec: Spec, step: int) -> bool:
        """Return whether the step is the first one with a whole multiple of `kimg`."""
        return self._times(spec.kimg_at(step)) > self._times(spec.kimg_at(step - 1))

    def _times(self, kimg: float) -> int:
        return math.floor(round(kimg / self.kimg, 9))  # 0.9 / 0.3 is less than 3


class RunWriter:
    """Writer of a run: after every step of `learner` it logs, samples and saves when due.

    `history`: progress so far; `label_counts`: images of each class; `seconds`: time between checkpoints;
    `hardware`: hardware of this process, for the record; `real_distance`: mean distance of real images, which that of
    samples is compared with (`diversity`); `measurement`: value to measure and log on the way; `logging`: logs beside
    those in `out`. Raises DataError if `out` cannot be written.
    """

    def __init__(
        self,
        spec: Spec,
        out: Path,
        checkpoints: Checkpoints,
        learner: Learner,
        history: History,
        label_counts: Sequence[int],
        seconds: float,
        hardware: Mapping[str, Any],
        real_distance: float,
        measurement: Measurement | None = None,
        logging: Logging | None = None,
    ) -> None:
        self.spec, self.out, self.checkpoints, self.learner, self.history = spec, out, checkpoints, learner, history
        self.identity, self.label_counts, self.checkpoint_seconds = checkpoints.identity, label_counts, seconds
        self._before, self._origin = history, record.origin(hardware)
        self._real_distance, self._measurement = real_distance, measurement
        self._diverged: int | None = None
        self._logging = logging
        self._remove_halves()
        self._keep_end_of_shorter_run()
        self._started = time.monotonic()
        self._saved, self._means, self._open = self._started, RunningMean(), ExitStack()

    def watch(self, label: str) -> Self:
        """Open the log and show progress as `label`; used as a context."""
        size, step = self.spec.training.batch, self.history.step
        self._label = label
        run, chosen = self.identity.digest[:12], wandb_run.wanted(self._logging)
        facts = self.spec.model_dump(mode="json")
        elsewhere = None if chosen is None else wandb_run.WandbRun(chosen, self.out, run, label, facts)
        self.logger = self._open.enter_context(RunLogger(self.out, run, step, elsewhere))
        self._bar = self._open.enter_context(Progress(label, self.spec.steps * size, done=step * size))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def after(self, step: int, scalars: Mapping[str, Tensor], *, is_stopping: bool) -> None:
        """Record that `step` steps are finished; `scalars`: result of the last one."""
        size = self.spec.training.batch
        self._means.add(scalars, size)
        self._bar.update(size, self._means.shown)
        is_snapshot = step in self.spec.snapshot_steps
        values: dict[str, float] = {}
        if step % LOG_STEPS == 0 or is_snapshot:
            values |= {"seconds": self._seconds(), **self._means.take()}
        if is_snapshot:
            values |= self._snapshot(step)
        if self._measurement is not None and self._measurement.is_due(self.spec, step):
            values |= self._measured(self._measurement, step)
        if values:
            self.logger.log(step, {"kimg": self.spec.kimg_at(step), **values})
        is_due = time.monotonic() - self._saved >= self.checkpoint_seconds
        if is_due or is_stopping or step == self.spec.steps:
            self._save(step)

    def finish(self, names: Mapping[str, str], data: Manifest) -> None:
        """Write the outputs of a training on `data` whose steps are all done, `run.json` last.

        Provenance was recorded when the steps were trained, so the outputs have the same bytes each time.
        """
        if self._diverged is None:
            write_weights(self._path(self.spec.steps), self.learner.sampler, self.identity.trajectory, self.spec.steps)
        described = record.describe(
            self.spec,
            self.identity,
            names=names,
            data=data,
            parameters=self.learner.parameters(),
            history=self.history,
            snapshots=[self._described(step) for step in self.spec.snapshot_steps],
            begun_from=initial.begun_from(self.spec),
            diverged=self._diverged,
        )
        described.write(self.out / RUN_FILE)

    def keep_diverged(self, step: int) -> None:
        """Write the weights of the last snapshot in `step` finished steps as those of all later ones.

        Before the first snapshot they are the initial weights. So the result does not depend on when checkpoints were
        saved. No checkpoint is saved.
        """
        self._diverged, self.history = step, self._progress(step)
        before = [each for each in self.spec.snapshot_steps if each <= step]
        learner = build(self.spec)
        initial.fill(learner, self.spec)
        sampler = learner.sampler
        if before:
            read_weights(self._path(before[-1]), sampler, self.spec.model_dump(mode="json"))
        for each in self.spec.snapshot_steps[len(before) :]:
            write_weights(self._path(each), sampler, self.identity.trajectory, each)

    def _seconds(self) -> float:
        return self._before.wall_seconds + time.monotonic() - self._started

    def _snapshot(self, step: int) -> dict[str, float]:
        """Write samples of the same latents each time, and weights; `finish` writes the final weights.

        Return the diversity of the samples; a printed line says if they are alike.
        """
        if step < self.spec.steps:
            write_weights(self._path(step), self.learner.sampler, self.identity.trajectory, step)
        size = self.spec.training.microbatch or self.spec.training.batch
        microbatches = batches(range(GRID_IMAGES), size)
        images = torch.cat(
            [self.learner.sample(draw_labels(self.label_counts, seeds), seeds) for seeds in microbatches]
        )
        self.logger.show("samples", f"kimg{self.spec.kimg_at(step):010.3f}", step, images)
        found = diversity.of(images, self._real_distance)
        # Other models, such as codes that a transformer learns to draw late, begin with samples that are alike.
        if self.learner.sampling_generator is not None and (told := diversity.warning(found)):
            print(f"{self._label}: step {step}: {told}", flush=True)
        return found

    def _measured(self, measurement: Measurement, step: int) -> dict[str, float]:
        """Return a value by its name, and print it; nothing, with a printed line, if it cannot be measured.

        Its time does not count as that of training.
        """
        began = time.monotonic()
        try:
            value = measurement.measure(self.learner)
        except DataError as error:
            print(f"{self._label}: step {step}: not measured. {error}", flush=True)
            return {}
        finally:
            self._set_aside(time.monotonic() - began)
        kimg = self.spec.kimg_at(step)
        print(f"{self._label}: {measurement.name} {value:.4g} at step {step} ({kimg:g} kimg)", flush=True)
        return {measurement.name: value}

    def _set_aside(self, seconds: float) -> None:
        """Leave out seconds in which nothing was trained, from the time of the training and from its speed."""
        self._started += seconds
        self._means.since += seconds

    def _save(self, step: int) -> None:
        """Write a checkpoint; of a finished training only the last one stays."""
        self.history = self._progress(step)
        self.checkpoints.save(self.learner, self.history, keep=1 if step == self.spec.steps else CHECKPOINTS_KEPT)
        self._saved = time.monotonic()

    def _progress(self, step: int) -> History:
        """Return the history with the present stretch of training, up to `step` finished steps."""
        device = next(self.learner.network.parameters()).device
        peaks, before = record.peak_memory(device), self._before
        stretch = Stretch(
            first=before.step,
            last=step,
            ended=record.now(),
            wall_seconds=time.monotonic() - self._started,
            **self._origin,
        )
        return History(
            step=step,
            peak_memory_mb={name: max(value, before.peak_memory_mb.get(name, 0.0)) for name, value in peaks.items()},
            stretches=(*before.stretches, stretch),
        )

    def _path(self, step: int) -> Path:
        if step == self.spec.steps:
            return self.out / WEIGHTS
        return self.checkpoints.weights(step)

    def _described(self, step: int) -> Snapshot:
        path = self._path(step)
        return Snapshot(
            step=step,
            kimg=self.spec.kimg_at(step),
            file=path.relative_to(self.out).as_posix(),
            sha256=artifacts.file_digest(path),
        )

    def _remove_halves(self) -> None:
        """Remove files that a killed process left half-written; `artifacts.atomic` names them so."""
        for place in (self.out, self.out / "samples", self.checkpoints.folder):
            for path in place.glob(".*.tmp"):
                if artifacts.of_temporary(path.name):
                    path.unlink()

    def _keep_end_of_shorter_run(self) -> None:
        """Keep the weights of the present step if they are a snapshot of this run but the end of a shorter one before.

        The end of a run is `weights.safetensors`, which the longer one replaces.
        """
        step = self.history.step
        if step in self.spec.snapshot_steps[:-1] and not self._path(step).exists():
            write_weights(self._path(step), self.learner.sampler, self.identity.trajectory, step)


class RunningMean:
    """Running means of logged values, and the speed, since the last line; `take` alone waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self._images, self.since = 0, time.monotonic()
        self.shown: dict[str, float] = {}
        """The means that `take` returned last."""

    def add(self, scalars: Mapping[str, Tensor], images: int) -> None:
        """Add the scalars of one step on `images` images."""
        self._images += images
        for name, value in scalars.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] += 1

    def take(self) -> dict[str, float]:
        """Return means since the last call, and `images_per_second`."""
        now = time.monotonic()
        self.shown = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        rate = self._images / max(now - self.since, 1e-9)
        self._sums, self._counts, self._images, self.since = {}, Counter(), 0, now
        return {**self.shown, "images_per_second": rate}
