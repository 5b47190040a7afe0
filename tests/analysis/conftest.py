"""Tiny trained runs on a pack of noise."""

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ganformer import artifacts, plugins
from ganformer.config import ImageSpec, Spec
from ganformer.records.manifest import Crop, Manifest, Shard
from ganformer.training.loop import train

IMAGE = ImageSpec(height=16, width=16)
TINY = {"channel_base": 64, "channel_max": 8, "latent_size": 16}
MODELS: dict[str, dict[str, Any]] = {
    "stylegan2": {"kind": "stylegan2", **TINY},
    "duplex": {"kind": "ganformer", "attention": "duplex", "components": 4, "heads": 2, **TINY},
    "simplex": {"kind": "ganformer", "attention": "simplex", "components": 4, "heads": 2, **TINY},
}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], None]:
    """Let 2.5 seconds pass between looks of a module at the clock."""

    def use(module: ModuleType) -> None:
        seconds = itertools.count(1000, 2.5)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))

    return use


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """manifest.json of a pack of 10 images of noise, 16×16."""
    return _packed(tmp_path_factory.mktemp("pack"), 3)


@pytest.fixture(scope="session")
def transparent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """manifest.json of a pack as `pack`, with opacity."""
    return _packed(tmp_path_factory.mktemp("transparent"), 4)


def _packed(folder: Path, channels: int) -> Path:
    layout, image = plugins.find("ganformer.data.formats", "npy"), IMAGE.with_channels(channels)
    path = folder / f"images-00000{layout.SUFFIX}"
    with layout.Writer(path, image) as writer:
        writer.append(np.random.default_rng(0).integers(0, 256, (10, channels, 16, 16), np.uint8))
    shard = Shard(file=path.name, count=10, sha256=artifacts.file_digest(path))
    crop = Crop(ratio=1.0)
    facts = {"count": 10, "image": image, "format": "npy", "source": {}, "crop": crop, "duplicates": 0}
    contents = Manifest(**facts, shards=[shard], content=shard.sha256)
    contents.write(folder / "manifest.json")
    return folder / "manifest.json"


@pytest.fixture(scope="session")
def runs(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """run.json of each model after two steps."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model in MODELS.items():
        training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
        spec = Spec.model_validate({"image": IMAGE, "mirror": False, "model": model, "training": training, "seed": 3})
        train(spec, pack, folder / name, names={"dataset": "noise", "model": name}, threads=1, gpus=0)
    return {name: folder / name / "run.json" for name in MODELS}
