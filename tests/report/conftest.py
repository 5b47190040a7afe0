"""Hand-made records of runs, in the form that training and evaluation write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganformer.report import drawing

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
def own_fonts() -> None:
    """Write PDFs as users get them in the test that asks for this."""


@pytest.fixture(autouse=True)
def _quick_fonts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embed fonts in PDFs as drawings of their glyphs, since TrueType fonts take longer than all else."""
    if "own_fonts" not in request.fixturenames:
        monkeypatch.setitem(cast("dict[str, Any]", drawing.STYLE), "pdf.fonttype", 3)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run.json; keywords replace what it says."""

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
            "data": {"data_sha256": "d" * 64, "count": 4000},
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
    """Write a metrics.json with the given values; keywords replace what it says."""

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
            "reference": {"data_sha256": "d" * 64},
            "seconds": 4.5,
            "code": {"ganformer": "0.1.0", "commit": "abc123def456"},
            "hardware": HARDWARE,
            **changes,
        }
        return _written(tmp_path / "runs" / dataset / model / f"seed{seed}" / f"step-{step}.json", record)

    return write


@pytest.fixture
def fd(metrics: Callable[..., Path]) -> Callable[..., Path]:
    """Write a metrics.json with nothing but this FD."""

    def write(value: float, **names: Any) -> Path:
        return metrics(values={"fd": {"name": "fd_random_vgg16", "value": value}}, **names)

    return write


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Provide every figure that is written."""
    found: list[Figure] = []
    write = drawing.write

    def watched(figure: Figure, out: Path, **words: Any) -> None:
        found.append(figure)
        write(figure, out, **words)

    monkeypatch.setattr(drawing, "write", watched)
    return found


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """Write an npz of images: generated ones, with attention maps of these sizes, or real ones (model None)."""

    def write(
        dataset: str = "scenes",
        model: str | None = "duplex",
        seed: int = 0,
        count: int = 4,
        size: int = 16,
        channels: int = 3,
        maps: tuple[int, ...] = (),
        **changes: Any,
    ) -> Path:
        random = np.random.default_rng(0)
        run = None if model is None else {"dataset": dataset, "model": model, "seed": seed}
        arrays = {}
        for i, side in enumerate(maps):
            weights = random.dirichlet(np.ones(3), (count, 2, side, side))
            arrays[f"maps_{i}"] = weights.transpose(0, 1, 4, 2, 3).astype(np.float16)
        arrays["images"] = random.integers(0, 256, (count, size, size, channels), np.uint8)
        provenance = {"format": 1, "run": run, "kimg": 16.0, "data_sha256": "d" * 64, **changes}
        path = tmp_path / (f"reals-{dataset}.npz" if model is None else f"{dataset}-{model}-{seed}.npz")
        np.savez(path, provenance=np.array(json.dumps(provenance)), **arrays)
        return path

    return write


def _written(path: Path, record: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path
