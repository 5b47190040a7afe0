"""Images of any run, trained or imported, as pictures, as one picture, or as an array for evaluation elsewhere."""

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from ganformer import artifacts, devices
from ganformer.config import ImageSpec
from ganformer.data.generated import Record
from ganformer.data.images import Pixels, central
from ganformer.data.pictures import grid, save_picture
from ganformer.errors import ConfigError, listed
from ganformer.nn.layers import constant_noise
from ganformer.ops import compiled
from ganformer.progress import Progress
from ganformer.records.generated import GeneratedCall
from ganformer.records.run import Run, TrainingData
from ganformer.training.learner import Learner
from ganformer.training.runs import open_run
from ganformer.training.samples import aligned, block_size, draw_labels, make, pixels

GENERATED = "generated"  # folder of images for which none was named
MAX_LISTED_CLASSES = 20  # names of classes in a message
MAX_TRUNCATION = 1000.0
MAX_SEED = 2**32 - 1  # of numpy's RandomState, which gives the latents


@dataclass(frozen=True)
class Request:
    """Images to generate: `count` of the seeds from `seed` on, about `batch` of them at a time.

    `truncation`: ψ; `label`: name or number of the class of all images, None: drawn as in the data; `is_noisy`: noise
    of layers is from the image's seed, else the same for all images. Batches hold whole blocks of seeds
    (`samples.make`), so an image is a function of its seed, whatever `batch`, `seed` and `count` are.
    """

    count: int
    seed: int
    batch: int
    truncation: float
    label: str | None
    is_noisy: bool
    mean: Literal["class", "global"] = "class"
    """Target that ψ moves latents towards: the mean of the image's own class, or of all classes."""


def generate(
    weights: Path, request: Request, out: Path | None, *, as_grid: bool, as_npz: bool, threads: int, gpus: int
) -> None:
    """Write images of a run into the folder `out`: `seed000000.png`, …, or in the other form asked for.

    None: into `generated/DATASET-MODEL-seedN` of the working folder.

    If there are classes, their names end with the number of the class: `seed000000-class2.png`. `generated.json`
    has their settings, and whether they are complete. `as_grid`: all in one picture, `grid.png`. `as_npz`:
    `images.npz` with `arr_0` uint8 [count, H, W, C] and, if there are classes, `arr_1` int64 [count], as evaluation
    suites read it. `weights`: a run's folder, its run.json or its weights.safetensors; of a training that has not ended
    the last checkpoint is used (`runs.open_run`). Raises ConfigError if something else is asked for than the run can
    give or the folder holds anything but what the same call wrote before, CheckpointError if the run cannot be read.
    """
    run, learner, known = open_run(weights)
    image = known.image
    label = class_number(request.label, known.data, run)
    check(request.truncation, request.seed, request.seed + request.count - 1)
    _aim(learner, request, run)
    out = Path(GENERATED, f"{known.run.dataset}-{known.run.model}-seed{known.run.seed}") if out is None else out
    kept = Record(out, _call(request, known, label, as_grid=as_grid, as_npz=as_npz))
    device = devices.acquire(gpus)
    compiled.backend(device.type)  # which refuses a wrong GANFORMER_OPS
    kept.begin()
    learner.sampler.to(device)
    with ExitStack() as opened, devices.reproducible(threads), torch.no_grad():
        takes = [opened.enter_context(form) for form in _forms(out, request, as_grid, as_npz)]
        progress = opened.enter_context(Progress(f"generate {run if run.is_dir() else run.parent}", request.count))
        for seeds, labels, images in _images(learner, image, request, label, known.data.label_counts):
            for take in takes:
                take(seeds, labels, images)
            progress.update(len(seeds))
    kept.finish()
    number = "1 image" if request.count == 1 else f"{request.count:,} images"
    print(f"{out}: {number} of {image.width}×{image.height} pixels", flush=True)


def _call(request: Request, known: Run, label: int | None, *, as_grid: bool, as_npz: bool) -> GeneratedCall:
    """Return the settings that decide the images of a call; the size of batches changes no image."""
    names = known.data.class_names
    return GeneratedCall(
        run=known.run,
        weights_sha256=known.weights_sha256,
        first_seed=request.seed,
        count=request.count,
        truncation=request.truncation,
        truncation_mean=request.mean,
        label=label,
        class_name=names[label] if label is not None and names else None,
        noise="fresh" if request.is_noisy else "constant",
        form=[form for form, is_chosen in (("grid", as_grid), ("npz", as_npz)) if is_chosen] or ["pictures"],
    )


def class_number(label: str | None, data: TrainingData, run: Path) -> int | None:
    """Return the number of the class of a name or a number; a name wins. ConfigError if there is none."""
    names, classes = data.class_names, len(data.label_counts)
    if label is None:
        return None
    if label in names:
        return int(names.index(label))
    if label.isdecimal() and int(label) < classes:
        return int(label)
    if not classes:
        known = "it was trained without labels; leave the label out"
    elif names:
        known = f"its classes are {listed(names, MAX_LISTED_CLASSES)}, or 0 to {classes - 1}"
    else:
        known = f"its classes are 0 to {classes - 1}"
    raise ConfigError(f"label {label}: {run} has no such class; {known}")


def check(truncation: float, first: int, last: int) -> None:
    """Raise ConfigError if ψ, or one of the seeds from `first` to `last`, is out of range."""
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ConfigError(
            f"truncation ψ {truncation:g}: is not from 0 (the mean) to {MAX_TRUNCATION:g}; 0.5 to 1 is usual"
        )
    if first < 0 or last > MAX_SEED:
        raise ConfigError(f"seeds {first} to {last}: are not all from 0 to {MAX_SEED}; choose others")


def _aim(learner: Learner, request: Request, run: Path) -> None:
    """Let the learner truncate towards the mean asked for; ConfigError if it truncates towards none."""
    if learner.truncation_mean is not None:
        learner.truncation_mean = request.mean
    elif request.mean == "global":
        raise ConfigError(
            f"--truncation-mean global: {run} is of a model whose truncation moves nothing towards a mean "
            "(ψ multiplies the temperature at which codes are drawn); leave --truncation-mean out"
        )


def labelled(label: int | None, label_counts: Sequence[int]) -> Callable[[Sequence[int]], Tensor]:
    """Return a function from seeds to one-hot labels [n, classes]: all of class `label`; None: drawn as in the data."""
    if label is None:
        return partial(draw_labels, label_counts)
    return lambda seeds: F.one_hot(torch.full((len(seeds),), label), len(label_counts)).float()


def _images(
    learner: Learner, image: ImageSpec, request: Request, label: int | None, label_counts: Sequence[int]
) -> Iterator[tuple[Sequence[int], Tensor, Pixels]]:
    """Yield seeds, labels [n, classes] and images uint8 [n, H, W, C] without bars, batch by batch."""
    labels = labelled(label, label_counts)
    block = block_size(image)
    size = math.ceil(request.batch / block) * block
    with nullcontext() if request.is_noisy else constant_noise(learner.sampler):
        for seeds in aligned(range(request.seed, request.seed + request.count), size):
            images = make(learner, image, labels, seeds, request.truncation)
            yield seeds, labels(seeds), pixels(central(images, *image.picture))


# --------------------------------------------------------------------------------------------------- forms

Take = Callable[[Sequence[int], Tensor, Pixels], None]  # seeds, labels [n, classes], images [n, H, W, C]


def _forms(out: Path, request: Request, as_grid: bool, as_npz: bool) -> list[AbstractContextManager[Take]]:
    """Open a writer of the images, whose files are whole when it is left."""
    chosen: list[AbstractContextManager[Take]] = []
    if as_grid:
        chosen.append(_one_picture(out / "grid.png"))
    if as_npz:
        chosen.append(_array(out / "images.npz", request.count))
    return chosen or [_pictures(out)]


@contextmanager
def _pictures(out: Path) -> Iterator[Take]:
    def take(seeds: Sequence[int], labels: Tensor, images: Pixels) -> None:
        suffixes = (
            [f"-class{number}" for number in labels.argmax(dim=1).tolist()] if labels.shape[1] else [""] * len(seeds)
        )
        for seed, suffix, image in zip(seeds, suffixes, images, strict=True):
            save_picture(out / f"seed{seed:06d}{suffix}.png", image)

    yield take


@contextmanager
def _one_picture(path: Path) -> Iterator[Take]:
    made: list[Pixels] = []
    yield lambda seeds, labels, images: made.append(images)
    save_picture(path, grid(np.concatenate(made)))


@contextmanager
def _array(path: Path, count: int) -> Iterator[Take]:
    """Write batches to the file as they come, so that memory does not grow with their number."""
    classes: list[NDArray[np.int64]] = []
    with artifacts.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        with archive.open(zipfile.ZipInfo("arr_0.npy"), "w", force_zip64=True) as file:

            def take(seeds: Sequence[int], labels: Tensor, images: Pixels) -> None:
                if not classes:
                    shape = (count, *images.shape[1:])
                    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                file.write(np.ascontiguousarray(images).data)
                classes.append(labels.argmax(dim=1).numpy() if labels.shape[1] else np.zeros(0, np.int64))

            yield take
        if any(map(len, classes)):
            with archive.open(zipfile.ZipInfo("arr_1.npy"), "w") as file:
                npy.write_array(file, np.concatenate(classes), allow_pickle=False)
