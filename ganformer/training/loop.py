"""The training loop of all models, which drives a `Learner`; resuming a run is running it again."""

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ganformer import artifacts, devices
from ganformer.config import ImageSpec, Logging, Spec
from ganformer.data.batches import batch
from ganformer.data.dataset import Images
from ganformer.data.shuffle import Order
from ganformer.errors import ConfigError, DataError, DivergedError, StoppedError, TrainingError
from ganformer.locking import acquired
from ganformer.records.run import LOCK, RUN_FILE, STATE
from ganformer.seeds import mix
from ganformer.training import distribution, initial, record, wandb_run
from ganformer.training.buffers import ChangedBuffers
from ganformer.training.checkpoint import Checkpoints, Identity, build, step_of
from ganformer.training.diversity import mean_distance
from ganformer.training.learner import Reals
from ganformer.training.logger import bring_back
from ganformer.training.samples import normalise
from ganformer.training.stop import Stop
from ganformer.training.writer import GRID_IMAGES, Measurement, RunWriter

T = TypeVar("T")


class Measured(NamedTuple):
    """Measurements on the way: `images` samples every `kimg` thousand real images shown."""

    kimg: float
    images: int


def train(
    spec: Spec,
    pack: Path,
    out: Path,
    *,
    names: Mapping[str, str],
    threads: int,
    gpus: int,
    checkpoint_minutes: float = 5.0,
    check_data: bool = False,
    restart: bool = False,
    measured: Measured | None = None,
    logging: Logging | None = None,
    max_minutes: float | None = None,
) -> None:
    """Train one run on a pack, from its last checkpoint if there is one, and write the folder `out`.

    At the end `weights.safetensors` and then `run.json`; on the way `log.jsonl`, `tensorboard/`, `samples/`, and
    `state/` with checkpoints and snapshots. A checkpoint is saved every `checkpoint_minutes`; on SIGTERM,
    SIGINT, SIGUSR1 or SIGHUP; and when `max_minutes` are over.
    `names`: names of `dataset` and `model`, for the record. With several `gpus` each has a process of its own
    and an equal share of every batch. With `check_data` every shard is compared with its checksum when first read.

    On the same machine, with the same `threads` and `gpus`, a run that was stopped or killed any number of times ends
    with the same bytes as one that was not. The last checkpoint stays, so lost outputs are written without training,
    and a longer run of the same trajectory (`Spec.trajectory`) resumes from it and ends with the same bytes as one that
    was this long from the beginning. `restart` removes all checkpoints of this trajectory first.

    With `measured`, or as `logging` says, the Fréchet distance is measured and logged on the way; weights and
    `run.json` stay as without it, but for the peak of memory.

    `logging`: logs beside those in `out`; a failure of them ends nothing.

    If the spec leaves the channels of images to the data, the pack has them.

    Raises DataError if the pack does not fit the spec or `out` cannot be written, CheckpointError if a checkpoint is of
    another run or `out` holds a run that was not trained there, ConfigError if the model starts from a run that is not
    there or of another kind, or `logging` names a service that cannot be used, TrainingError if a loss is not finite,
    StoppedError if a signal or the end of its time stopped the run.
    """
    ends = None if max_minutes is None else (time.monotonic() + 60 * max_minutes, f"--max-minutes {max_minutes:g}")
    if measured is None and logging is not None and logging.evaluation is not None:
        measured = Measured(logging.evaluation.every_kimg, logging.evaluation.images)
    record.refuse_foreign(out)
    wandb_run.check(logging)
    images = Images(pack)
    spec = initial.resolve(spec.with_channels(images.image.channels))
    _check_images(images, spec, pack)
    identity = Identity(spec.trajectory, images.digest)
    checkpoints = Checkpoints(record.folder(out, identity), identity)
    label = f"train {names['dataset']}/{names['model']} seed {spec.seed}"
    with alone(out, label):
        if restart:
            _forget(checkpoints)
        elif record.is_complete(out, spec, images.digest):
            print(f"{label}: {out} holds this run already, complete; {_nothing_trained(checkpoints)}", flush=True)
            return
        _remove_damaged(out, identity, label)
        _announce_replacement(out, identity, label)
        chosen = devices.acquire_all(gpus)
        _check_share(spec, len(chosen))
        until = _continued(spec, checkpoints, label)
        record.begin(out, spec, identity, names, images.manifest)
        seconds = checkpoint_minutes * 60
        job = Job(spec, pack, out, identity, names, label, threads, seconds, check_data, until, measured, logging, ends)
        distribution.launch(train_rank, (job,), chosen)


def _nothing_trained(checkpoints: Checkpoints) -> str:
    """Return the message for a run whose steps are all done, with the way to train it anew."""
    return (
        "nothing is trained; to train it anew, give --restart to `ganformer train`, or delete "
        f"{checkpoints.folder} and its run.json"
    )


def _forget(checkpoints: Checkpoints) -> None:
    """Remove the checkpoints and weights of a trajectory."""
    with artifacts.may_write(checkpoints.folder):
        for path in (*checkpoints.paths(), *checkpoints.folder.glob("step-*.safetensors")):
            path.unlink()


def _remove_damaged(out: Path, identity: Identity, label: str) -> None:
    """Remove weights that are not as this training left them, to be made again, and print their names."""
    with artifacts.may_write(out):
        for path in record.damaged(out, identity):
            print(f"{label}: {path} is damaged, its sha256 is not the one in {RUN_FILE}; making it again", flush=True)
            path.unlink()


def _announce_replacement(out: Path, identity: Identity, label: str) -> None:
    """Print a line if the folder holds another run, which this one will replace."""
    if record.is_another(out, identity):
        print(
            f"{label}: {out} holds a run of other settings or images, which this one replaces when it is done; the "
            f"checkpoints of that one stay in {out / STATE}, so training it again there writes it again",
            flush=True,
        )


def _continued(spec: Spec, checkpoints: Checkpoints, label: str) -> int:
    """Return the most steps that a checkpoint may have for this run to resume from it.

    Training must go back to the first snapshot that an earlier run of the same trajectory did not keep; a printed line
    says so.
    """
    missing = checkpoints.first_without_weights(spec.snapshot_steps[:-1])
    until = spec.steps if missing is None else missing
    if checkpoints.paths() and not checkpoints.paths(until):
        at = step_of(checkpoints.paths()[0])
        print(
            f"{label}: the weights of step {until} were not kept when this run was trained to step {at}; training "
            "again from the start, to the same weights",
            flush=True,
        )
    return until


@contextmanager
def alone(out: Path, label: str) -> Iterator[None]:
    """Hold the lock of the folder `out`; wait for another process that trains there, say of a killed Snakemake.

    Raises DataError if the folder cannot be written.
    """
    waiting = f"{label}: another process trains in {out}; waiting for it to end"
    with artifacts.may_write(out):
        lock = acquired(out / STATE / LOCK, waiting, sys.stdout)
    with lock:
        yield


@dataclass(frozen=True)
class Job:
    """Arguments of every process of a training; they can be pickled."""

    spec: Spec
    pack: Path
    out: Path
    identity: Identity
    names: Mapping[str, str]
    label: str
    """Name of the run in printed lines."""
    threads: int
    checkpoint_seconds: float
    check_data: bool
    until: int
    """Number of steps that a checkpoint may have at most to be continued."""
    measured: Measured | None = None
    logging: Logging | None = None
    ends: tuple[float, str] | None = None
    """Time of `time.monotonic` at which training stops and saves, and the reason to name."""


@contextmanager
def _modules_not_collected() -> Iterator[None]:
    """Keep the collection of garbage, which steps trigger often, from walking through all imported modules."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def train_rank(job: Job, device: torch.device) -> None:
    """Train on one device: the body of each rank."""
    spec = job.spec
    checkpoints = Checkpoints(record.folder(job.out, job.identity), job.identity)
    threads, tf32 = max(1, job.threads // distribution.ranks()), spec.training.precision == "tf32"
    with Stop(job.ends) as stop, devices.reproducible(threads, tf32=tf32), _modules_not_collected():
        steps = Steps(spec, Images(job.pack, check=job.check_data), checkpoints, job.until, device)
        if distribution.rank() > 0:
            _advance(steps, stop, None)
            return
        gpus = distribution.ranks() if device.type == "cuda" else 0
        kept = RunWriter(
            spec,
            job.out,
            checkpoints,
            steps.learner,
            steps.history,
            steps.images.manifest.label_counts,
            job.checkpoint_seconds,
            {**devices.describe(device, job.threads), "gpus": gpus},
            mean_distance(steps.first_reals()),
            _measurement(job, steps, threads),
            job.logging,
        )
        if steps.history.step == spec.steps:
            print(f"{job.label}: all {spec.steps} steps are done; {_nothing_trained(checkpoints)}", flush=True)
            bring_back(job.out, job.identity.digest[:12], spec.steps)
        else:
            try:
                with kept.watch(job.label):
                    for line in steps.beginning:
                        print(f"{job.label}: {line}", flush=True)
                    if steps.history.step == 0:
                        kept.logger.show("reals", "reals", 0, steps.first_reals())
                    _advance(steps, stop, kept)
            except DivergedError as error:
                if spec.training.on_divergence == "stop" or distribution.ranks() > 1:
                    raise
                print(f"{job.label}: diverged, kept as it was at the snapshot before. {error}", flush=True)
                kept.keep_diverged(error.step)
        kept.finish(job.names, steps.images.manifest)


def _measurement(job: Job, steps: "Steps", threads: int) -> Measurement | None:
    """Return the value to measure on the way, if any."""
    if job.measured is None:
        return None
    from ganformer.metrics import while_training  # a lot to import, for this alone

    folder = record.folder(job.out, job.identity)
    images = Images(job.pack)  # of its own, as a thread reads the others at the same time
    distance = while_training.Distance(images, job.measured.images, folder, threads, steps.device)
    return Measurement(while_training.NAME, job.measured.kimg, distance.measure)


def _advance(steps: "Steps", stop: Stop, kept: RunWriter | None) -> None:
    """Train to the end, or until a signal; only the first process writes files."""
    for finished, scalars in steps:
        is_stopping = distribution.any_rank(stop.name is not None, steps.device)
        if kept is not None:
            kept.after(finished, scalars, is_stopping=is_stopping)
        if is_stopping and finished < steps.spec.steps:
            distribution.meet()  # the first process may still be saving
            raise StoppedError(f"stopped by {stop.name or 'a signal'} at step {finished}; run again to resume")


class Steps:
    """Iterator that trains: it yields the number of finished steps and the scalars of the last one."""

    def __init__(self, spec: Spec, images: Images, checkpoints: Checkpoints, until: int, device: torch.device) -> None:
        self.spec, self.images, self.checkpoints, self.device = spec, images, checkpoints, device
        self.order = Order(len(images), mix(spec.seed, "data"))
        self.learner = build(spec)
        self.learner.network.to(device)
        self.history = checkpoints.load(self.learner, until)
        self.beginning = initial.fill(self.learner, spec) if self.history.step == 0 else []
        """Lines on the weights that training starts from, if they are those of another run."""
        self.changed = ChangedBuffers(self.learner.network)

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        for step, microbatches in ahead(self._microbatches, range(self.history.step, self.spec.steps)):
            torch.manual_seed(mix(self.spec.seed, "step", distribution.rank(), step))
            try:
                scalars = self.learner.step([self._moved(microbatch) for microbatch in microbatches], step)
                check_finite(scalars)
            except TrainingError as error:
                last = next(iter(self.checkpoints.paths()), "none yet")
                raise DivergedError(
                    step,
                    f"step {step + 1}: {error}; training cannot continue, nothing was overwritten. Last good "
                    f"checkpoint: {last}. A smaller learning rate or a larger r1_gamma often helps",
                ) from error
            self._share_buffers()
            yield step + 1, scalars

    def _share_buffers(self) -> None:
        """Give all ranks the buffers of the first one, as far as the step has changed them."""
        if distribution.ranks() > 1:
            distribution.share(buffer for _, buffer in self.changed() if buffer.dtype == torch.float32)
            self.changed.settle()

    def first_reals(self) -> Tensor:
        """Return the first images in the order of training, to be shown."""
        count = min(GRID_IMAGES, len(self.images))
        return normalise(batch(self.images, self.order, 0, count, self.spec.image, mirror=False)[0])

    def _moved(self, microbatch: Reals) -> Reals:
        """Move a microbatch to the device and scale it to [-1, 1]; it is copied as uint8, a quarter of the traffic."""
        images, labels = (part.to(self.device, non_blocking=True) for part in microbatch)
        return Reals(normalise(images), labels)

    def _microbatches(self, step: int) -> list[Reals]:
        """Read this rank's share of a step's batch, in microbatches."""
        share = self.spec.training.batch // distribution.ranks()
        position = step * self.spec.training.batch + distribution.rank() * share
        images, labels = batch(self.images, self.order, position, share, self.spec.image, self.spec.mirror)
        if self.device.type == "cuda":  # memory that a GPU reads by itself, while the step before is computed
            images, labels = images.pin_memory(), labels.pin_memory()
        size = self.spec.training.microbatch or share
        return [Reals(*microbatch) for microbatch in zip(images.split(size), labels.split(size), strict=True)]


def ahead(read: Callable[[int], T], steps: range) -> Iterator[tuple[int, T]]:
    """Yield each step and its batch from `read`, which a thread reads while the step before is computed."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(read, step) for step in steps[:1]]
        for step in steps:
            current = coming.pop().result()
            coming = [pool.submit(read, next_step) for next_step in steps[step + 1 - steps.start :][:1]]
            yield step, current


def check_finite(scalars: Mapping[str, Tensor]) -> None:
    """Raise TrainingError if a logged value is not finite."""
    if not scalars:
        return
    values = torch.stack([value.float() for value in scalars.values()]).tolist()  # one wait for the device
    wrong = {name: value for name, value in zip(scalars, values, strict=True) if not math.isfinite(value)}
    if wrong:
        raise TrainingError(", ".join(f"{name} is {value}" for name, value in wrong.items()))


def _check_images(images: Images, spec: Spec, pack: Path) -> None:
    if images.image.canvas != spec.image:
        raise DataError(
            f"{pack}: holds images of {_shape(images.image)} but the run is for {_shape(spec.image)}; "
            "pack the data set with the settings of this run (channels, resolution, ratio, classes)"
        )
    if len(images) < spec.training.batch:
        raise DataError(
            f"{pack}: holds {len(images)} images but a batch is {spec.training.batch}; "
            "pack more images, or set training.batch to no more than there are"
        )


def _check_share(spec: Spec, ranks: int) -> None:
    microbatch = spec.training.microbatch or 1
    if spec.training.batch % (ranks * microbatch):
        raise ConfigError(
            f"training.batch {spec.training.batch} cannot be shared by {ranks} GPUs in microbatches of {microbatch}; "
            "ask for another number of GPUs or change training.batch or training.microbatch"
        )


def _shape(image: ImageSpec) -> str:
    return f"{image.width}×{image.height} pixels, {image.channels} channels, {image.classes} classes"
