#!/usr/bin/env python
"""Pictures of the demo: seconds from a seed to the picture with its attention maps, 64 × 64 pixels, and memory.

    python benchmarks/page.py [THREADS]

The networks are untrained GANformers (duplex, 16 components), as wide as in the default configuration and as in the
paper's.
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from measure import peak

from ganformer.analysis.explorer import Explorer
from ganformer.config import Spec
from ganformer.demo.studio import Recipe, Studio
from ganformer.records.run import Run, RunName, Snapshot, TrainingData
from ganformer.training.checkpoint import build

WIDTHS = {
    "default": {"channel_base": 512, "channel_max": 64, "latent_size": 128},
    "paper": {"channel_base": 32768, "channel_max": 512},
}
COMPONENTS, SEEDS = 16, 9


def studio(width: dict[str, int], threads: int) -> Studio:
    """Return an untrained run of this width, opened as the page opens one."""
    model = {"kind": "ganformer", "attention": "duplex", "components": COMPONENTS, **width}
    image = {"height": 64, "width": 64}
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": {"kimg": 1}, "seed": 0})
    record = Run(
        run=RunName(dataset="none", model="duplex", seed=0),
        spec=spec.model_dump(mode="json"),
        spec_sha256=spec.digest,
        data=TrainingData(data_sha256=None, count=0),
        steps=0,
        kimg=0.0,
        weights_sha256="",
        snapshots=[Snapshot(step=0, kimg=0.0, file="", sha256="")],
    )
    return Studio(Explorer(Path("run.json"), record, build(spec), torch.device("cpu")), threads)


def main() -> None:
    """Print a line for each width: the median over seeds, the slowest one, and the peak of memory."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for name, width in WIDTHS.items():
        opened, seconds = studio(width, threads), []
        for seed in range(SEEDS):
            start = time.perf_counter()
            opened.seen(opened.latents(Recipe((seed,) * (COMPONENTS + 1))))
            seconds.append(time.perf_counter() - start)
        middle, most = statistics.median(seconds), max(seconds)
        print(f"{name} width, {threads} threads: {middle:.3f} s, at most {most:.3f} s; peak {peak():.0f} MB")


if __name__ == "__main__":
    main()
