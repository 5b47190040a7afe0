"""The one training loop. What it drives is a `Learner`; resuming a run is running it again."""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from ganformer import artifacts, devices
from ganformer.config import ImageSpec, Spec
from ganformer.data.dataset import Images, batch
from ganformer.data.order import Order
from ganformer.errors import CheckpointError, DataError, TrainingError
from ganformer.learning import distribution, record
from ganformer.learning.checkpoint import KEPT, Checkpoints, History, Identity, build, write_weights
from ganformer.learning.journal import Journal
from ganformer.progress import Progress
from ganformer.seeds import mix

LOG_STEPS = 10  # steps that one line of the log sums up
GRID_IMAGES = 32

T = TypeVar("T")


def train(
    spec: Spec,
    pack: Path,
    out: Path,
    *,
    names: Mapping[str, str | int],
    threads: int,
    gpus: int,
    checkpoint_minutes: float = 5.0,
) -> None:
    """Trains one run on a pack, from its last checkpoint where there is one, and writes the folder `out`.

    At the end `weights.safetensors` and then `run.json`; on the way `log.jsonl`, `tensorboard/`, `samples/`, and
    `state/` with checkpoints and snapshots. A checkpoint is saved at least every `checkpoint_minutes`, and on SIGTERM
    or SIGINT. `names`: what `dataset` and `model` are called, for the record.

    On the same machine, with the same `threads`, a run that was stopped or killed any number of times ends with the
    same bytes as one that was not. The last checkpoint stays, so that lost outputs are written again without training.

    Raises DataError where the pack does not fit the spec or `out` cannot be written, CheckpointError where a checkpoint
    is of another run, TrainingError where a loss is not finite or a signal stopped the run.
    """
    images = Images(pack)
    _check_images(images, spec, pack)
    identity = Identity(spec.digest, images.digest)
    label = f"train {names['dataset']}/{names['model']} seed {spec.seed}"
    if record.is_complete(out, identity):
        print(f"{label}: {out} holds this run already, complete; nothing to do", flush=True)
        return
    with devices.reproducible(threads), Stop() as stop:
        device = devices.acquire(gpus)
        session = Session(spec, images, out, identity, device)
        session.run(label, stop, checkpoint_minutes * 60)
        session.finish(names, threads)


class Stop:
    """Inside, SIGTERM and SIGINT are remembered instead of ending the process; the second one acts as ever."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self.__exit__(None, None, None)


class Session:
    """The part of a training that one process does: from the last checkpoint to the end, or to a signal."""

    def __init__(self, spec: Spec, images: Images, out: Path, identity: Identity, device: torch.device) -> None:
        self.spec, self.images, self.out, self.identity, self.device = spec, images, out, identity, device
        self.learner = build(spec)
        self.learner.network.to(device)
        self.order = Order(len(images), mix(spec.seed, "data"))
        self.state = out / "state" / identity.digest[:12]
        self.checkpoints = Checkpoints(self.state, identity)
        earlier = self.checkpoints.load(self.learner)
        if earlier is None:
            self.history = History(step=0, wall_seconds=0.0, sessions=1, peak_memory_mb={}, started=record.now())
        else:
            self.history = replace(earlier, sessions=earlier.sessions + 1)
            self._check_snapshots()
        self.wall_before, self.clock = self.history.wall_seconds, time.monotonic()

    def run(self, label: str, stop: Stop, checkpoint_seconds: float) -> None:
        """Trains from where the history ends; on return every step is done and saved."""
        spec, start = self.spec, self.history.step
        batch_size, run = spec.training.batch, self.identity.digest[:12]
        total, done = spec.steps * batch_size, start * batch_size
        with Journal(self.out, run, start) as journal, Progress(label, total, done=done) as bar:
            if start == 0:
                journal.show("reals", 0, self._reals())
            meter, saved = Meter(), time.monotonic()
            for step, portions in ahead(self._portions, range(start, spec.steps)):
                meter.add(self._step(portions, step), batch_size)
                finished = step + 1
                bar.update(batch_size, meter.shown)
                if finished % LOG_STEPS == 0 or finished in spec.snapshot_steps:
                    journal.log(finished, {"kimg": spec.kimg_at(finished), "seconds": self._seconds(), **meter.take()})
                if finished in spec.snapshot_steps:
                    self._snapshot(finished, journal)
                if stop.name or finished == spec.steps or time.monotonic() - saved >= checkpoint_seconds:
                    self._save(finished)
                    saved = time.monotonic()
                if stop.name and finished < spec.steps:
                    raise TrainingError(f"stopped by {stop.name} at step {finished}; run again to go on")

    def finish(self, names: Mapping[str, str | int], threads: int) -> None:
        """Writes the outputs of a run whose steps are all done, `run.json` last."""
        spec = self.spec
        write_weights(self.out / record.WEIGHTS, self.learner.sampler, self.identity.spec, spec.steps)
        hardware = artifacts.hardware()
        device = {
            "device": self.device.type,
            "device_name": devices.name(self.device, hardware["processor"]),
            "threads": threads,
        }
        content = record.describe(
            spec,
            self.identity,
            names=names,
            images=len(self.images),
            hardware={**hardware, **device},
            parameters=self.learner.parameters(),
            history=self.history,
            snapshots=[self._described(step) for step in spec.snapshot_steps],
        )
        artifacts.write_json(self.out / record.NAME, content)

    def _step(self, portions: Sequence[Tensor], step: int) -> Mapping[str, Tensor]:
        torch.manual_seed(mix(self.spec.seed, "step", distribution.rank(), step))
        try:
            scalars = self.learner.step([portion.to(self.device) for portion in portions], step)
            check_finite(scalars)
        except TrainingError as error:
            last = next(iter(self.checkpoints.paths()), None)
            raise TrainingError(
                f"step {step + 1}: {error}; training cannot go on. Last good checkpoint: {last or 'none yet'}. "
                "A smaller learning rate or a larger r1_gamma often helps"
            ) from error
        return scalars

    def _portions(self, step: int) -> list[Tensor]:
        """This rank's share of a step's batch, in portions of `microbatch`."""
        share = self.spec.training.batch // distribution.ranks()
        position = step * self.spec.training.batch + distribution.rank() * share
        reals = batch(self.images, self.order, position, share, self.spec.mirror)
        return list(reals.split(self.spec.training.microbatch or share))

    def _seconds(self) -> float:
        return self.wall_before + time.monotonic() - self.clock

    def _save(self, step: int) -> None:
        """A checkpoint; of a finished run only the last one stays."""
        peaks = record.peak_memory(self.device)
        before = self.history.peak_memory_mb
        self.history = replace(
            self.history,
            step=step,
            wall_seconds=self._seconds(),
            peak_memory_mb={name: max(value, before.get(name, 0.0)) for name, value in peaks.items()},
        )
        self.checkpoints.save(self.learner, self.history, keep=1 if step == self.spec.steps else KEPT)

    def _snapshot(self, step: int, journal: Journal) -> None:
        """Weights of this step, unless they are the final ones, and samples of the same latents at every snapshot."""
        if step < self.spec.steps:
            write_weights(self._snapshot_path(step), self.learner.sampler, self.identity.spec, step)
        generator = torch.Generator().manual_seed(mix(self.spec.seed, "samples"))
        portion = self.spec.training.microbatch or self.spec.training.batch
        portions = torch.arange(GRID_IMAGES).split(portion)
        images = [self.learner.sample(len(numbers), generator) for numbers in portions]
        journal.show(f"kimg{self.spec.kimg_at(step):010.3f}", step, torch.cat(images))

    def _snapshot_path(self, step: int) -> Path:
        return self.out / record.WEIGHTS if step == self.spec.steps else self.state / f"step-{step:08d}.safetensors"

    def _described(self, step: int) -> dict[str, Any]:
        path = self._snapshot_path(step)
        return {
            "step": step,
            "kimg": self.spec.kimg_at(step),
            "file": path.relative_to(self.out).as_posix(),
            "sha256": artifacts.file_digest(path),
        }

    def _check_snapshots(self) -> None:
        for step in self.spec.snapshot_steps:
            path = self._snapshot_path(step)
            if step <= self.history.step and step < self.spec.steps and not path.exists():
                raise CheckpointError(
                    f"{path}: the snapshot of step {step} is missing but training is at step {self.history.step}; "
                    f"put it back, or delete {self.state} to train from the start"
                )

    def _reals(self) -> Tensor:
        return batch(self.images, self.order, 0, min(GRID_IMAGES, len(self.images)), mirror=False)


class Meter:
    """Means of logged values and the speed since the last line; nothing waits for the device before `take`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self._images, self._since = 0, time.monotonic()
        self.shown: dict[str, float] = {}
        """What `take` returned last."""

    def add(self, scalars: Mapping[str, Tensor], images: int) -> None:
        """The scalars of one step on `images` images."""
        self._images += images
        for name, value in scalars.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] += 1

    def take(self) -> dict[str, float]:
        """Means since the last call, and `images_per_second`."""
        now = time.monotonic()
        self.shown = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        rate = self._images / max(now - self._since, 1e-9)
        self._sums, self._counts, self._images, self._since = {}, Counter(), 0, now
        return {**self.shown, "images_per_second": rate}


def ahead(read: Callable[[int], T], steps: range) -> Iterator[tuple[int, T]]:
    """Each step with what `read` gives for it, read by a thread while the step before is computed."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(read, steps.start) if steps else None
        for step in steps:
            assert coming is not None
            current = coming.result()
            if step + 1 in steps:
                coming = pool.submit(read, step + 1)
            yield step, current


def check_finite(scalars: Mapping[str, Tensor]) -> None:
    """TrainingError where a logged value is not finite."""
    wrong = {name: float(value) for name, value in scalars.items() if not math.isfinite(value)}
    if wrong:
        raise TrainingError(", ".join(f"{name} is {value}" for name, value in wrong.items()))


def _check_images(images: Images, spec: Spec, pack: Path) -> None:
    if images.image != spec.image:
        raise DataError(
            f"{pack}: holds images of {_shape(images.image)} but the spec is for {_shape(spec.image)}; "
            "pack the data set with the settings of this run"
        )
    if len(images) < spec.training.batch:
        raise DataError(
            f"{pack}: holds {len(images)} images but a batch is {spec.training.batch}; "
            "pack more images, or set training.batch to no more than there are"
        )


def _shape(image: ImageSpec) -> str:
    return f"{image.width}×{image.height}×{image.channels}"
