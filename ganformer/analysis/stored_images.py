"""Images for figures, real and generated, together with their provenance."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganformer import artifacts, devices
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.errors import DataError
from ganformer.records.npz import StoredImages
from ganformer.records.run import Run
from ganformer.training.checkpoint import restore
from ganformer.training.samples import BATCH, aligned, draw_labels, make, pixels


def reals(pack: Path, count: int, out: Path) -> None:
    """Write `count` real images, evenly spread over a pack, as `images` uint8 [count, H, W, C] into an npz file.

    Raises DataError if the pack is incomplete or has fewer images.
    """
    data = Images(pack)
    if count > len(data):
        raise DataError(f"{pack}: has {len(data)} images, {count} were asked for; ask for at most {len(data)}")
    images = central(data.spread(count), *data.image.picture).transpose(0, 2, 3, 1)
    labels = data.labels(data.places(count))
    classes = class_titles(data.manifest.class_names, labels.argmax(axis=1) if labels.shape[1] else ())
    code = artifacts.code_version()
    StoredImages(run=None, data_sha256=data.digest, classes=classes, code=code).write(out, {"images": images})


def sample(run: Path, images: int, out: Path, *, threads: int, gpus: int) -> None:
    """Write `images` images of a trained run as `images` uint8 [images, H, W, C] into an npz file.

    The latents are the same for every run with latents of the same shape. `run`: its run.json.
    """
    learner, record = restore(run)
    learner.sampler.to(devices.acquire(gpus))
    labels = partial(draw_labels, record.data.label_counts)
    image = record.image
    with devices.reproducible(threads), torch.no_grad():
        made = [
            pixels(central(make(learner, image, labels, seeds), *image.picture))
            for seeds in aligned(range(images), BATCH)
        ]
    facts(record, classes=classes_of(record, images)).write(out, {"images": np.concatenate(made)})


def classes_of(record: Run, count: int) -> list[str]:
    """Return the names of the classes of the first `count` images of a run; empty without classes."""
    labels = draw_labels(record.data.label_counts, range(count))
    return class_titles(record.data.class_names, labels.argmax(dim=1) if labels.shape[1] else ())


def class_titles(names: Sequence[str], labels: Iterable[Any]) -> list[str]:
    """Return the name of the class of each image, or its number if classes have no names."""
    return [names[int(label)] if names else str(int(label)) for label in labels]


def facts(record: Run, **more: Any) -> StoredImages:
    """Return the facts that a file of images of a run has, and `more` of them."""
    return StoredImages(**provenance(record), **more, code=artifacts.code_version())


def provenance(record: Run) -> dict[str, Any]:
    """Return the provenance of images of a run."""
    return {
        "run": record.run,
        "spec_sha256": record.spec_sha256,
        "weights_sha256": record.weights_sha256,
        "kimg": record.kimg,
        "data_sha256": record.data.data_sha256,
    }
