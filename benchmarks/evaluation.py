#!/usr/bin/env python
"""Memory of an evaluation besides the network: peaks of its stages, one after another in one process.

    python benchmarks/evaluation.py [--images 50000] [--features 2048] [--classes 1008] [--manifolds N] [--cores C]

Real and generated images go the way of an evaluation, through a stand-in for the network that draws features and
logits; then come the default measures, KID and the distance of infinitely many. Memory is anonymous, so all but mapped
files, such as libraries, counts. Linux only.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")

MORE = ("kid", "frechet-infinity")  # measured besides the default ones
MANIFOLDS = "precision-recall"  # takes time with the square of the number of images


def main() -> None:
    """Run the evaluation and prints what each stage needed."""
    options = _options()
    for library in ("OPENBLAS", "MKL", "OMP"):  # read when numpy and torch are imported
        os.environ[f"{library}_NUM_THREADS"] = str(options.cores)
    from comparisons import print_table

    from ganformer.config import Evaluation
    from ganformer.metrics import evaluate

    metrics = dict.fromkeys((*Evaluation.model_fields["metrics"].default, *MORE))
    chosen = evaluate.measures(Evaluation.model_construct(metrics=tuple(metrics)))
    with tempfile.TemporaryDirectory(prefix="ganformer-benchmark-") as folder, evaluate.computing(options.cores):
        rows = list(_stages(options, dict(zip(metrics, chosen, strict=True)), Path(folder)))
    print_table(f"Memory of an evaluation of {options.images:,} images, {options.cores} cores", rows)
    print("\nAll anonymous memory of the process counts, what libraries hold, too.")


def _stages(options: argparse.Namespace, chosen: "dict[str, ModuleType]", folder: Path) -> Iterator[dict[str, str]]:
    """Run every stage; yields its row of the table."""
    from ganformer.metrics import evaluate
    from ganformer.metrics.reference import Reference

    def make_reference() -> None:
        real = _observe(options, evaluate.needs(chosen.values(), "real"), seed=0)
        Reference(real, {}, mirrored=False, data_sha256="").write(folder / "reference.npz")

    yield _measured("libraries", lambda: None)[1]
    yield _measured("reference: real images", make_reference)[1]
    reference, row = _measured("reading the reference", lambda: Reference.read(folder / "reference.npz"))
    yield row
    keep = evaluate.needs(chosen.values(), "fake")
    fake, row = _measured("generated images", lambda: _observe(options, keep, seed=1))
    yield row
    for name, measure in chosen.items():
        count = min(options.manifolds, options.images) if name == MANIFOLDS else options.images
        sets = [_first(observed, count) for observed in (reference.observed, fake)]
        title = name if count == options.images else f"{name}, {count:,} images"
        yield _measured(title, partial(measure.compute, *sets))[1]


def _measured(name: str, work: Callable[[], T]) -> tuple[T, dict[str, str]]:
    """Return what the work gives, and its row: seconds, and megabytes at most and afterwards."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is the present size again
    files, start = _megabytes("RssFile"), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    row = {
        "": name,
        "seconds": f"{seconds:.1f}",
        "peak MB": f"{_megabytes('VmHWM') - files:,.0f}",
        "MB afterwards": f"{_megabytes('RssAnon'):,.0f}",
    }
    return result, row


def _megabytes(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _observe(options: argparse.Namespace, keep: frozenset[str], seed: int):  # type: ignore[no-untyped-def]
    """Yield what the stand-in sees in so many images: features not below 0, few of them large, and logits."""
    import torch

    from ganformer.metrics.sets import ALL, ImageSet, observe
    from ganformer.records.metrics import ComparedSet
    from ganformer.training.samples import batches

    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -2, options.features)

    class Blank(ImageSet):
        title, picture, about = "images", (1, 1), ComparedSet(kind="images", images=options.images)

        def __len__(self) -> int:
            return int(options.images)

        def batches(self, picture, device, share=ALL):  # type: ignore[no-untyped-def]
            for numbers in share.of(batches(range(len(self)))):
                yield torch.zeros(len(numbers), 3, *picture, dtype=torch.uint8)

    def network(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.empty(len(images), options.features).exponential_(generator=generator) * scales
        return features, torch.randn(len(images), options.classes, generator=generator)

    return observe(Blank(), network, keep, (1, 1), torch.device("cpu"), "see images")


def _first(observed, count: int):  # type: ignore[no-untyped-def]
    """Return the first images of a set, where it is not all of them; their features are not copied."""
    from ganformer.metrics.statistics import Observed

    if count == observed.count:
        return observed
    return Observed(observed.title, count, {"features": observed.arrays["features"][:count]})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000, help="real images and generated ones, each")
    parser.add_argument("--features", type=int, default=2048, help="features of an image")
    parser.add_argument("--classes", type=int, default=1008, help="class logits of an image")
    parser.add_argument("--manifolds", type=int, default=10_000, help=f"images of {MANIFOLDS}, at most --images")
    parser.add_argument("--cores", type=int, default=2, help="threads")
    options = parser.parse_args()
    if min(options.features, options.classes, options.cores) < 1 or options.manifolds < 4:
        parser.error("--features, --classes and --cores must be at least 1, --manifolds at least 4")
    if options.images < max(20, 4 * options.features):
        parser.error("--images must be at least 20 and four times --features")
    return options


if __name__ == "__main__":
    main()
