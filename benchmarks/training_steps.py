#!/usr/bin/env python
"""Training steps of one checkout's models, timed on request: for `python -m benchmarks --before`.

    PYTHONPATH=CHECKOUT python benchmarks/training_steps.py CHECKOUT STEPS [PRECISION]

Every line that comes in names a model of CHECKOUT's config.yaml; the line that goes out is JSON: processor seconds of
a mean step, megabytes by which a process grew, and the parameters and the batch, which say whether work is equal.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from measure import import_optimisers, in_process, peak, peak_from_here

import ganformer
from ganformer import devices
from ganformer.config import load
from ganformer.training.checkpoint import build
from ganformer.training.learner import Reals

DATASET = "scenes"
WARM_UP = 5  # steps with all regularisation, after which a checkout that repeats recorded steps does so


def main() -> None:
    """Answer one line after another."""
    root, steps, *changes = Path(sys.argv[1]).resolve(), int(sys.argv[2]), *sys.argv[3:]
    training = {"precision": changes[0]} if changes else {}  # earlier checkouts have no such setting
    if not Path(ganformer.__file__).is_relative_to(root):
        raise SystemExit(f"{ganformer.__file__} is imported, not what is in {root}")
    config = load(yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8")))
    torch.set_num_threads(1)
    import_optimisers()
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):  # some models print
            found = in_process(partial(_measure, config, line.strip(), steps, training))
        print(json.dumps(found), flush=True)


def _measure(config: Any, name: str, steps: int, training: Mapping[str, str]) -> dict[str, float | str]:
    """Return the mean over `steps` steps; number 0 is among them, in which regularisation is due."""
    before = peak_from_here()
    spec = config.spec(DATASET, name, 0)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=training)})
    torch.manual_seed(0)
    learner = build(spec)
    batch, image = spec.training.batch, spec.image
    images = torch.rand(batch, image.channels, image.height, image.width) * 2 - 1
    reals = [Reals(images, torch.zeros(batch, image.classes))]
    with devices.reproducible(1):
        for _ in range(WARM_UP):
            learner.step(reals, 0)
        torch.manual_seed(0)
        start = time.process_time()
        for step in range(steps):
            learner.step(reals, step)
        seconds = (time.process_time() - start) / steps
    count = sum(parameter.numel() for parameter in learner.network.parameters())
    work = f"{count:,} parameters, batch {batch}, {image.height} × {image.width}"
    return {"seconds": seconds, "megabytes": peak() - before, "work": work}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
