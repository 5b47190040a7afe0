"""Hand-made records of runs, in the form that training and evaluation write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

IMAGE = {"height": 32, "width": 32, "channels": 3}
HARDWARE = {
    "machine": "x86_64",
    "processor": "Example CPU 3000",
    "cores": 2,
    "system": "Linux 6.1",
    "python": "3.11.7",
    "device": "cpu",
    "device_name": "Example CPU 3000",
    "gpus": 0,
    "threads": 2,
}
RECIPE = {
    "extractor": {"kind": "random-vgg16"},
    "images": 1000,
    "metrics": ["frechet", "inception-score", "precision-recall"],
    "seed": 0,
    "real_images": 4000,
    "image": IMAGE,
}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run.json; keywords replace what it says."""

    def write(dataset: str = "scenes", model: str = "duplex", seed: int = 0, **changes: Any) -> Path:
        record = {
            "format": 1,
            "run": {"dataset": dataset, "model": model, "seed": seed},
            "spec": {
                "image": IMAGE,
                "mirror": True,
                "model": {"kind": "ganformer", "attention": "duplex"},
                "training": {"kimg": 16.0, "batch": 16, "microbatch": None, "snapshots": 4},
                "seed": seed,
            },
            "spec_sha256": "5" * 64,
            "data": {"manifest_sha256": "d" * 64, "count": 4000},
            "code": {"ganformer": "0.1.0", "commit": "abc123def456"},
            "hardware": HARDWARE,
            "libraries": {"torch": "2.13.0", "numpy": "2.4.0"},
            "parameters": {"generator": 1_234_567, "discriminator": 845_000},
            "steps": 1000,
            "kimg": 16.0,
            "wall_seconds": 135.0,
            "seconds_per_kimg": 8.0,
            "peak_memory_mb": 512.4,
            "started": "2026-11-20T10:00:00Z",
            "finished": "2026-11-20T10:02:15Z",
            "sessions": 1,
            "weights_sha256": "a" * 64,
            "snapshots": [{"step": 1000, "kimg": 16.0, "file": "snapshots/1000.safetensors", "sha256": "a" * 64}],
            **changes,
        }
        return _written(tmp_path / "runs" / dataset / model / f"seed{seed}" / "run.json", record)

    return write


@pytest.fixture
def metrics(tmp_path: Path) -> Callable[..., Path]:
    """Writes a metrics.json with the given values; keywords replace what it says."""

    def write(dataset: str = "scenes", model: str = "duplex", seed: int = 0, step: int = 1000, **changes: Any) -> Path:
        numbers = {"fd": 12.34, "is": 2.5, "is_std": 0.1, "precision": 0.5, "recall": 0.25}
        record = {
            "format": 1,
            "run": {"dataset": dataset, "model": model, "seed": seed},
            "step": step,
            "kimg": step * 16 / 1000,
            "weights_sha256": "a" * 64,
            "values": {key: {"name": f"{key}_random_vgg16", "value": value} for key, value in numbers.items()},
            "recipe": RECIPE,
            "reference": {"manifest_sha256": "d" * 64},
            "seconds": 4.5,
            "code": {"ganformer": "0.1.0", "commit": "abc123def456"},
            "hardware": HARDWARE,
            **changes,
        }
        return _written(tmp_path / "runs" / dataset / model / f"seed{seed}" / f"step-{step}.json", record)

    return write


@pytest.fixture
def fd(metrics: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a metrics.json with nothing but this FD."""

    def write(value: float, **names: Any) -> Path:
        return metrics(values={"fd": {"name": "fd_random_vgg16", "value": value}}, **names)

    return write


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """Writes an npz of images, with attention maps of these sizes where they are given."""

    def write(
        dataset: str = "scenes", model: str | None = "duplex", count: int = 4, maps: tuple[int, ...] = ()
    ) -> Path:
        random = np.random.default_rng(0)
        run = None if model is None else {"dataset": dataset, "model": model, "seed": 0}
        provenance = {"format": 1, "dataset": dataset, "run": run}
        arrays = {
            f"maps_{i}": random.dirichlet(np.ones(3), (count, 2, size, size))
            .transpose(0, 1, 4, 2, 3)
            .astype(np.float16)
            for i, size in enumerate(maps)
        }
        path = tmp_path / f"{dataset}-{model}-{len(maps)}.npz"
        np.savez(
            path,
            images=random.integers(0, 256, (count, 16, 16, 3), np.uint8),
            provenance=np.array(json.dumps(provenance)),
            **arrays,
        )
        return path

    return write


def _written(path: Path, record: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path
