"""From a pack and a run to `metrics.json`: images → features → statistics → numbers."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganformer import artifacts, devices, plugins
from ganformer.config import Evaluation, Extractor, ImageSpec
from ganformer.data.batches import filled
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.errors import DataError
from ganformer.learning import checkpoint
from ganformer.learning.learner import Reconstructor
from ganformer.learning.samples import batches, normalise, quantise
from ganformer.metrics.measures import frechet
from ganformer.metrics.names import label
from ganformer.metrics.reference import Reference
from ganformer.metrics.sets import Generated, ImageSet, Network, Packed, Picture, is_canvas, observe
from ganformer.metrics.statistics import Observed

FORMAT = 1

Side = Literal["real", "fake"]


def reference(
    evaluation: Evaluation, pack: Path, out: Path, *, threads: int, gpus: int, check_data: bool = False
) -> None:
    """Measures all images of a pack and writes what the metrics need of them to `out` (`Reference`).

    With `check_data` every shard is compared with its checksum when it is first read.
    """
    images = Packed(Images(pack, check=check_data))
    device = devices.acquire(gpus)
    needed = needs(measures(evaluation), "real")
    with computing(threads):
        network = load_network(evaluation.extractor, device)
        observed = observe(images, network, needed, images.picture, device, f"reference {images.title}")
    Reference(observed, evaluation.extractor.model_dump(mode="json"), images.images.digest).write(out)


def evaluate(
    evaluation: Evaluation,
    run: Path,
    step: int | None,
    pack: Path,
    reference: Path,
    out: Path,
    *,
    threads: int,
    gpus: int,
) -> None:
    """Measures generated images of a run at a snapshot (None: the last) and writes `metrics.json` to `out`.

    `reference` was measured on `pack`, which the run was trained on, or, where the run was imported, on images of the
    same shape. Where the model has an autoencoder, the Fréchet distance of reconstructions is measured too. Raises
    DataError where the three do not belong together, or where images or features are not finite.
    """
    started = time.monotonic()
    learner, record = checkpoint.restore(run, step)
    images, real = Images(pack), Reference.read(reference)
    _check_pack(images, record, run)
    chosen = measures(evaluation)
    real.check(reference, evaluation.extractor.model_dump(mode="json"), images.digest, needs(chosen, "real"))
    generated = Generated(learner, record, run, step, evaluation)
    picture, device = images.image.picture, devices.acquire(gpus)
    with computing(threads):
        network = load_network(evaluation.extractor, device)
        title = "evaluate {dataset}/{model}".format(**record["run"])
        fake = observe(generated, network, needs(chosen, "fake"), picture, device, title)
        values = measure(chosen, real.observed, fake)
        if isinstance(learner, Reconstructor) and frechet in chosen:
            copies = Reconstructed(learner, images, evaluation.images, f"{run}: reconstructions")
            reconstructed = observe(copies, network, frechet.FAKE, picture, device, f"{title}: reconstructions")
            values["rfd"] = frechet.compute(real.observed, reconstructed)["fd"]
    snapshot = checkpoint.snapshot(record, step, run)
    content = {
        "format": FORMAT,
        "run": record["run"],
        "step": snapshot["step"],
        "kimg": snapshot["kimg"],
        "weights_sha256": snapshot["sha256"],
        "values": {
            key: {"name": label(key, evaluation.extractor.model_dump(mode="json"), evaluation.images), "value": value}
            for key, value in values.items()
        },
        "recipe": {
            **evaluation.model_dump(mode="json"),
            "real_images": real.observed.count,
            "image": record["spec"]["image"],
            "picture": list(images.image.picture),
            "weights_sha256": {str(path): artifacts.file_digest(path) for path in evaluation.extractor.inputs},
        },
        "reference": {"manifest_sha256": real.manifest_sha256},
        "seconds": time.monotonic() - started,
        "code": artifacts.code_version(),
        "hardware": devices.describe(device, threads),
    }
    artifacts.write_json(out, content)


class Reconstructed(ImageSet):
    """The first `count` images of a pack, or all, after the autoencoder."""

    def __init__(self, learner: Reconstructor, images: Images, count: int, title: str) -> None:
        self.learner, self.images, self.title = learner, images, title
        self.count = min(count, len(images))
        self.picture = images.image.picture
        self.about = {"kind": "reconstructions", "images": self.count}

    def __len__(self) -> int:
        return self.count

    def portions(self, picture: Picture, device: torch.device) -> Iterator[Tensor]:
        for numbers in batches(range(self.count)):
            pictures = central(self.images.read(np.array(numbers)), *self.picture)
            pixels = torch.from_numpy(filled(pictures, self.images.image.canvas)).to(device)
            yield central(quantise(self.learner.reconstruct(normalise(pixels))), *picture)


def _check_pack(images: Images, record: Mapping[str, Any], run: Path) -> None:
    trained_on = record["data"]["manifest_sha256"]
    if trained_on is not None and trained_on != images.digest:
        raise DataError(
            f"{images.folder}: is the pack with manifest {images.digest[:12]}…, but {run} was trained on that with "
            f"{trained_on[:12]}…; name the pack of the run"
        )
    made = ImageSpec.model_validate(record["spec"]["image"])
    if not is_canvas(made, images.image.canvas):
        rows, columns = images.image.picture
        raise DataError(
            f"{images.folder}: holds images of {columns}×{rows} pixels, but {run} makes "
            f"{made.width}×{made.height}; name a pack of that shape"
        )


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Inside, torch computes reproducibly, without gradients and in whole float32: TF32 of GPUs has 3 digits."""
    whole = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with devices.reproducible(threads), torch.inference_mode(), whole:
        yield


def load_network(extractor: Extractor, device: torch.device) -> Network:
    """The extractor's network on the device."""
    loaded: Network = plugins.find("ganformer.metrics.extractors", extractor.kind).load(extractor, device)
    return loaded


def measures(evaluation: Evaluation) -> list[ModuleType]:
    """The modules of the chosen metrics."""
    return [plugins.find("ganformer.metrics.measures", name) for name in evaluation.metrics]


def needs(chosen: Iterable[ModuleType], side: Side) -> frozenset[str]:
    """Arrays that these measures need of the real or of the fake images."""
    return frozenset[str]().union(*(getattr(module, side.upper()) for module in chosen))


def measure(chosen: Iterable[ModuleType], real: Observed, fake: Observed) -> dict[str, float]:
    """The values of all these measures."""
    values: dict[str, float] = {}
    for module in chosen:
        values |= module.compute(real, fake)
    return values
