"""The one training loop. What it drives is a `Learner`; resuming a run is running it again."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganformer import artifacts, devices
from ganformer.config import ImageSpec, Spec, parse
from ganformer.data.batches import batch
from ganformer.data.dataset import Images
from ganformer.data.shuffle import Order
from ganformer.errors import ConfigError, DataError, TrainingError
from ganformer.learning import distribution, keeper, record
from ganformer.learning.checkpoint import Checkpoints, Identity, build, step_of
from ganformer.learning.journal import bring_back
from ganformer.learning.keeper import GRID_IMAGES, Keeper
from ganformer.learning.learner import Reals
from ganformer.learning.samples import normalise
from ganformer.learning.stop import Stop
from ganformer.locking import acquired
from ganformer.seeds import mix

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
    check_data: bool = False,
    restart: bool = False,
) -> None:
    """Trains one run on a pack, from its last checkpoint where there is one, and writes the folder `out`.

    At the end `weights.safetensors` and then `run.json`; on the way `log.jsonl`, `tensorboard/`, `samples/`, and
    `state/` with checkpoints and snapshots. A checkpoint is saved every `checkpoint_minutes`, and on SIGTERM or SIGINT.
    `names`: what `dataset` and `model` are called, for the record. With several `gpus` each has a process of its own
    and an equal share of every batch. With `check_data` every shard is compared with its checksum when first read.

    On the same machine, with the same `threads` and `gpus`, a run that was stopped or killed any number of times ends
    with the same bytes as one that was not. The last checkpoint stays, so lost outputs are written without training,
    and a longer run of the same trajectory (`Spec.trajectory`) goes on from it and ends with the same bytes as one that
    was this long from the beginning. `restart` removes all checkpoints of this trajectory first.

    Where the spec leaves the channels of images to the data, they are those of the pack.

    Raises DataError where the pack does not fit the spec or `out` cannot be written, CheckpointError where a checkpoint
    is of another run or `out` holds one that was not trained there, TrainingError where a loss is not finite or a
    signal stopped the run.
    """
    record.refuse_foreign(out)
    images = Images(pack)
    spec = spec.with_channels(images.image.channels)
    _check_images(images, spec, pack)
    identity = Identity(spec.trajectory, images.digest)
    checkpoints = Checkpoints(keeper.folder(out, identity), identity)
    label = f"train {names['dataset']}/{names['model']} seed {spec.seed}"
    with alone(out, label):
        if restart:
            _forget(checkpoints)
        elif record.is_complete(out, spec, images.digest):
            print(f"{label}: {out} holds this run already, complete; {_nothing_trained(checkpoints)}", flush=True)
            return
        if record.is_another(out, identity):
            print(
                f"{label}: {out} holds a run of other settings or images, which this one replaces when it is done; the "
                f"checkpoints of that one stay in {out / record.STATE}, so training it again there writes it again",
                flush=True,
            )
        chosen = devices.acquire_all(gpus)
        _check_share(spec, len(chosen))
        until = _continued(spec, checkpoints, label)
        job = Job(
            spec.model_dump(mode="json"),
            pack,
            out,
            identity,
            names,
            label,
            threads,
            checkpoint_minutes * 60,
            check_data,
            until,
        )
        distribution.launch(train_rank, (job,), chosen)


def _nothing_trained(checkpoints: Checkpoints) -> str:
    """What is said where all steps were done already, and how they are done anew."""
    return (
        "nothing is trained; to train it anew, give --restart to `ganformer train`, or delete "
        f"{checkpoints.folder} and its run.json"
    )


def _forget(checkpoints: Checkpoints) -> None:
    """Removes the checkpoints and weights of a trajectory."""
    with artifacts.may_write(checkpoints.folder):
        for path in (*checkpoints.paths(), *checkpoints.folder.glob("step-*.safetensors")):
            path.unlink()


def _continued(spec: Spec, checkpoints: Checkpoints, label: str) -> int:
    """Number of steps that a checkpoint may have at most for this run to go on from it.

    Behind it is the first snapshot that this run has and an earlier one of the same trajectory did not keep; a printed
    line says so where training must go back for it.
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
    """Inside, no other process trains in the folder `out`; waits for one that does, say of a killed Snakemake.

    DataError where the folder cannot be written.
    """
    waiting = f"{label}: another process trains in {out}; waiting for it to end"
    with artifacts.may_write(out):
        lock = acquired(out / record.STATE / "lock", waiting, sys.stdout)
    with lock:
        yield


@dataclass(frozen=True)
class Job:
    """What every process of a training is told, in plain values that another process can be sent."""

    spec: Mapping[str, Any]
    pack: Path
    out: Path
    identity: Identity
    names: Mapping[str, str | int]
    label: str
    """Names what is being done, for lines that are printed."""
    threads: int
    checkpoint_seconds: float
    check_data: bool
    until: int
    """Number of steps that a checkpoint may have at most to be continued."""


def train_rank(job: Job, device: torch.device) -> None:
    """The part of one process, which has `device` for itself."""
    spec = parse(Spec, job.spec, "spec")
    checkpoints = Checkpoints(keeper.folder(job.out, job.identity), job.identity)
    with Stop() as stop, devices.reproducible(max(1, job.threads // distribution.ranks())):
        steps = Steps(spec, Images(job.pack, check=job.check_data), checkpoints, job.until, device)
        if distribution.rank() > 0:
            _advance(steps, stop, None)
            return
        gpus = distribution.ranks() if device.type == "cuda" else 0
        kept = Keeper(
            spec,
            job.out,
            checkpoints,
            steps.learner,
            steps.history,
            steps.images.manifest.label_counts,
            job.checkpoint_seconds,
            {**devices.describe(device, job.threads), "gpus": gpus},
        )
        if steps.history.step == spec.steps:
            print(f"{job.label}: all {spec.steps} steps are done; {_nothing_trained(checkpoints)}", flush=True)
            bring_back(job.out, job.identity.digest[:12], spec.steps)
        else:
            with kept.watch(job.label):
                if steps.history.step == 0:
                    kept.journal.show("reals", "reals", 0, steps.first_reals())
                _advance(steps, stop, kept)
        kept.finish(job.names, steps.images.manifest)


def _advance(steps: "Steps", stop: Stop, kept: Keeper | None) -> None:
    """Trains to the end, or to a signal; only the first process has something to keep."""
    for finished, scalars in steps:
        is_stopping = distribution.any_rank(stop.name is not None, steps.device)
        if kept is not None:
            kept.after(finished, scalars, is_stopping=is_stopping)
        if is_stopping and finished < steps.spec.steps:
            distribution.meet()  # the first process may still be saving
            raise TrainingError(f"stopped by {stop.name or 'a signal'} at step {finished}; run again to go on")


class Steps:
    """Iterating trains: yields the number of finished steps, and what the last of them returned."""

    def __init__(self, spec: Spec, images: Images, checkpoints: Checkpoints, until: int, device: torch.device) -> None:
        self.spec, self.images, self.checkpoints, self.device = spec, images, checkpoints, device
        self.order = Order(len(images), mix(spec.seed, "data"))
        self.learner = build(spec)
        self.learner.network.to(device)
        self.history = checkpoints.load(self.learner, until)

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        for step, portions in ahead(self._portions, range(self.history.step, self.spec.steps)):
            torch.manual_seed(mix(self.spec.seed, "step", distribution.rank(), step))
            try:
                scalars = self.learner.step([self._moved(portion) for portion in portions], step)
                check_finite(scalars)
            except TrainingError as error:
                last = next(iter(self.checkpoints.paths()), "none yet")
                raise TrainingError(
                    f"step {step + 1}: {error}; training cannot go on, nothing was overwritten. Last good checkpoint: "
                    f"{last}. A smaller learning rate or a larger r1_gamma often helps"
                ) from error
            distribution.share(b for b in self.learner.network.buffers() if b.dtype == torch.float32)
            yield step + 1, scalars

    def first_reals(self) -> Tensor:
        """Some images to look at, in the order of training."""
        count = min(GRID_IMAGES, len(self.images))
        return normalise(batch(self.images, self.order, 0, count, self.spec.image, mirror=False)[0])

    def _moved(self, portion: Reals) -> Reals:
        """On the device, and in [-1, 1]; the way there is that of bytes, a quarter as long as that of floats."""
        return Reals(normalise(portion.images.to(self.device)), portion.labels.to(self.device))

    def _portions(self, step: int) -> list[Reals]:
        """This rank's share of a step's batch, in portions of `microbatch`."""
        share = self.spec.training.batch // distribution.ranks()
        position = step * self.spec.training.batch + distribution.rank() * share
        images, labels = batch(self.images, self.order, position, share, self.spec.image, self.spec.mirror)
        size = self.spec.training.microbatch or share
        return [Reals(*portion) for portion in zip(images.split(size), labels.split(size), strict=True)]


def ahead(read: Callable[[int], T], steps: range) -> Iterator[tuple[int, T]]:
    """Each step with what `read` gives for it, read by a thread while the step before is computed."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(read, step) for step in steps[:1]]
        for step in steps:
            current = coming.pop().result()
            coming = [pool.submit(read, next_step) for next_step in steps[step + 1 - steps.start :][:1]]
            yield step, current


def check_finite(scalars: Mapping[str, Tensor]) -> None:
    """TrainingError where a logged value is not finite."""
    wrong = {name: float(value) for name, value in scalars.items() if not math.isfinite(value)}
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
    portion = spec.training.microbatch or 1
    if spec.training.batch % (ranks * portion):
        raise ConfigError(
            f"training.batch {spec.training.batch} cannot be shared by {ranks} GPUs in portions of {portion}; "
            "ask for another number of GPUs or change training.batch or training.microbatch"
        )


def _shape(image: ImageSpec) -> str:
    return f"{image.width}×{image.height} pixels, {image.channels} channels, {image.classes} classes"
