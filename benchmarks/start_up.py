#!/usr/bin/env python
"""Start-up of training: processor seconds of this process until its first step is done, without those of the step.

    PYTHONPATH=CHECKOUT python benchmarks/start_up.py PACK

Trains the default configuration's duplex model on a pack of 32 × 32 pixels for two steps, and prints JSON.
"""

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml

from ganformer import devices
from ganformer.config import load
from ganformer.data.dataset import Images
from ganformer.training.checkpoint import Checkpoints, Identity
from ganformer.training.loop import Steps

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print the seconds."""
    config = load(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    spec = config.spec("scenes", "duplex", 0)
    with tempfile.TemporaryDirectory() as folder, devices.reproducible(1):
        checkpoints = Checkpoints(Path(folder), Identity("", ""))
        steps = Steps(spec, Images(Path(sys.argv[1])), checkpoints, spec.steps, torch.device("cpu"))
        first, second = (time.process_time() for _ in itertools.islice(steps, 2))
    print(json.dumps(first - (second - first)))


if __name__ == "__main__":
    main()
