"""Tiny trainings for tests: packs of 8×8 noise, specs for them, and a program that trains in a process of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganformer import artifacts, plugins
from ganformer.config import ImageSpec, Spec
from ganformer.records.manifest import Crop, Manifest, Shard
from ganformer.training import loop
from ganformer.training.adversarial import Adversarial

IMAGE = ImageSpec(height=8, width=8)
NAMES = {"dataset": "noise", "model": "tiny"}

PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ganformer.config import Spec, parse
from ganformer.errors import UserError
from ganformer.training.loop import train
spec = parse(Spec, json.loads(sys.argv[2]), "spec")
try:
    train(spec, Path(sys.argv[3]), Path(sys.argv[4]), names={"dataset": "noise", "model": "tiny"}, threads=1, gpus=0,
          checkpoint_minutes=float(sys.argv[5]))
except UserError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def write_pack(folder: Path, count: int) -> Path:
    """Write a pack of `count` images of noise."""
    layout = plugins.find("ganformer.data.formats", "npy")
    path = folder / f"images-00000{layout.SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    with layout.Writer(path, IMAGE) as writer:
        writer.append(np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), np.uint8))
    shard = Shard(file=path.name, count=count, sha256=artifacts.file_digest(path))
    Manifest(
        count=count,
        image=IMAGE,
        format="npy",
        source={},
        crop=Crop(ratio=1.0),
        shards=[shard],
        duplicates=0,
        content=shard.sha256,
    ).write(folder / "manifest.json")
    return folder


def tiny_spec(steps: int = 12, *, seed: int = 0, batch: int = 4, kind: str = "tiny", **model: Any) -> Spec:
    """Return a run of so many steps; settings of the model by name."""
    return Spec(
        image=IMAGE,
        mirror=True,
        model={"kind": kind, **model},  # type: ignore[arg-type]
        training={"kimg": steps * batch / 1000, "batch": batch, "snapshots": 3},  # type: ignore[arg-type]
        seed=seed,
    )


def same(one: Any, other: Any) -> bool:
    """Return whether two saved states are equal, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def final_state(out: Path) -> Any:
    """Return the learner's state in the only checkpoint that a finished run keeps."""
    (path,) = out.glob("state/*/checkpoint-*.pt")
    return torch.load(path, weights_only=True)["learner"]


class InterruptionError(Exception):
    """Ends a training in the middle, without a word to it."""


def interrupt(monkeypatch: pytest.MonkeyPatch, at_step: int) -> None:
    """End the next training in this process at this step."""
    real = Adversarial.step

    def step(self: Adversarial, reals: Sequence[Tensor], step: int) -> Mapping[str, Tensor]:
        if step == at_step:
            monkeypatch.setattr(Adversarial, "step", real)
            raise InterruptionError
        return real(self, reals, step)

    monkeypatch.setattr(Adversarial, "step", step)


def partly_trained(spec: Spec, pack: Path, out: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> list[Path]:
    """Train so many steps with a checkpoint at each, and return those that are kept, the newest first."""
    interrupt(monkeypatch, steps)
    with pytest.raises(InterruptionError):
        loop.train(spec, pack, out, names=NAMES, threads=1, gpus=0, checkpoint_minutes=0)
    return sorted(out.glob("state/*/checkpoint-*.pt"), reverse=True)
