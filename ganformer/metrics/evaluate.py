"""From images to `metrics.json`: images → features → statistics → numbers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganformer import artifacts, devices, plugins
from ganformer.config import Evaluation, Extractor
from ganformer.data.batches import filled
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.errors import DataError
from ganformer.learning import checkpoint
from ganformer.learning.learner import Learner, Reconstructor
from ganformer.learning.samples import batches, draw_labels, normalise, quantise
from ganformer.metrics.measures import frechet
from ganformer.metrics.names import label
from ganformer.metrics.reference import Reference
from ganformer.metrics.statistics import Observed, Observer
from ganformer.progress import Progress

FORMAT = 1

# Images [n, 3, H, W] uint8 -> features [n, D] and class logits [n, K], float32.
Network = Callable[[Tensor], tuple[Tensor, Tensor]]


def reference(
    evaluation: Evaluation, pack: Path, out: Path, *, threads: int, gpus: int, check_data: bool = False
) -> None:
    """Measures all images of a pack and writes what the metrics need of them to `out` (`Reference`).

    With `check_data` every shard is compared with its checksum when it is first read.
    """
    images = Images(pack, check=check_data)
    observer = Observer(str(pack), _needed(evaluation, "REAL"))
    device = devices.acquire(gpus)
    with _computing(threads), Progress(f"reference {images.folder}", len(images)) as progress:
        network = _network(evaluation.extractor, device)
        for numbers in batches(range(len(images))):
            _observe(observer, network, torch.from_numpy(_pictures(images, numbers)).to(device))
            progress.update(len(numbers))
    Reference(observer.observed(), evaluation.extractor.model_dump(mode="json"), images.digest).write(out)


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
    extractor = evaluation.extractor.model_dump(mode="json")
    real.check(reference, extractor, images.digest, _needed(evaluation, "REAL"))
    snapshot = checkpoint.snapshot(record, step, run)
    observer = Observer(f"{run} at step {snapshot['step']}", _needed(evaluation, "FAKE"))
    device = devices.acquire(gpus)
    with _computing(threads):
        _generate(evaluation, learner, record, images.image.picture, observer, device)
        fake = observer.observed()
        values: dict[str, float] = {}
        for module in _measures(evaluation):
            values |= module.compute(real.observed, fake)
        if isinstance(learner, Reconstructor) and frechet in _measures(evaluation):
            reconstructed = _reconstruct(evaluation, learner, images, f"{run}: reconstructions", device)
            values["rfd"] = frechet.compute(real.observed, reconstructed)["fd"]
    content = {
        "format": FORMAT,
        "run": record["run"],
        "step": snapshot["step"],
        "kimg": snapshot["kimg"],
        "weights_sha256": snapshot["sha256"],
        "values": {
            key: {"name": label(key, evaluation.extractor.kind, evaluation.images), "value": value}
            for key, value in values.items()
        },
        "recipe": {
            **evaluation.model_dump(mode="json"),
            "real_images": real.observed.count,
            "image": record["spec"]["image"],
            "picture": list(images.image.picture),
        },
        "reference": {"manifest_sha256": real.manifest_sha256},
        "seconds": time.monotonic() - started,
        "code": artifacts.code_version(),
        "hardware": devices.describe(device, threads),
    }
    artifacts.write_json(out, content)


def _generate(
    evaluation: Evaluation,
    learner: Learner,
    record: Mapping[str, Any],
    picture: tuple[int, int],
    observer: Observer,
    device: torch.device,
) -> None:
    """Samples `evaluation.images` images, of the classes of the data set, and shows the picture in the middle of each,
    without bars, to the observer."""
    learner.network.to(device)
    network = _network(evaluation.extractor, device)
    first = evaluation.seed * evaluation.images
    title = "evaluate {dataset}/{model}".format(**record["run"])
    with Progress(title, evaluation.images) as progress:
        for seeds in batches(range(first, first + evaluation.images)):
            images = learner.sample(draw_labels(record["data"]["label_counts"], seeds), seeds)
            if not images.isfinite().all():
                raise DataError(
                    f"{observer.title}: generated images hold NaN or infinity, so the training diverged; "
                    "a smaller learning rate or a larger r1_gamma often helps"
                )
            _observe(observer, network, central(quantise(images), *picture))
            progress.update(len(seeds))


def _reconstruct(
    evaluation: Evaluation, learner: Reconstructor, images: Images, title: str, device: torch.device
) -> Observed:
    """What is known of the first `evaluation.images` real images, or all, after the autoencoder."""
    observer = Observer(title, frechet.FAKE)
    network = _network(evaluation.extractor, device)
    for numbers in batches(range(min(evaluation.images, len(images)))):
        pixels = torch.from_numpy(filled(_pictures(images, numbers), images.image.canvas)).to(device)
        reconstructed = quantise(learner.reconstruct(normalise(pixels)))
        _observe(observer, network, central(reconstructed, *images.image.picture))
    return observer.observed()


def _pictures(images: Images, numbers: Sequence[int]) -> NDArray[np.uint8]:
    """The pictures in the middle of these images, without bars or margins: uint8 [n, C, rows, columns]."""
    return central(images.read(np.array(numbers)), *images.image.picture)


def _check_pack(images: Images, record: Mapping[str, Any], run: Path) -> None:
    trained_on = record["data"]["manifest_sha256"]
    if trained_on is not None and trained_on != images.digest:
        raise DataError(
            f"{images.folder}: is the pack with manifest {images.digest[:12]}…, but {run} was trained on that with "
            f"{trained_on[:12]}…; name the pack of the run"
        )
    made, canvas = record["spec"]["image"], images.image.canvas
    # GANformer's own snapshots make squares with black bars, whatever the data set.
    squares = (canvas.width, canvas.width) if canvas.height < canvas.width else (canvas.height, canvas.width)
    if (made["height"], made["width"]) not in {(canvas.height, canvas.width), squares}:
        rows, columns = images.image.picture
        raise DataError(
            f"{images.folder}: holds images of {columns}×{rows} pixels, but {run} makes "
            f"{made['width']}×{made['height']}; name a pack of that shape"
        )


def _observe(observer: Observer, network: Network, images: Tensor) -> None:
    features, logits = network(images)
    observer.update(features.cpu().numpy(), logits.cpu().numpy())


@contextmanager
def _computing(threads: int) -> Iterator[None]:
    """Inside, torch computes reproducibly, without gradients and in whole float32: TF32 of GPUs has 3 digits."""
    whole = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with devices.reproducible(threads), torch.inference_mode(), whole:
        yield


def _network(extractor: Extractor, device: torch.device) -> Network:
    loaded: Network = plugins.find("ganformer.metrics.extractors", extractor.kind).load(extractor, device)
    return loaded


def _measures(evaluation: Evaluation) -> list[ModuleType]:
    return [plugins.find("ganformer.metrics.measures", name) for name in evaluation.metrics]


def _needed(evaluation: Evaluation, side: str) -> frozenset[str]:
    """Arrays that the chosen measures need of the `REAL` or the `FAKE` images."""
    return frozenset[str]().union(*(getattr(module, side) for module in _measures(evaluation)))
