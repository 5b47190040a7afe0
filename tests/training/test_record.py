"""Record of a training: units, times, and of which part of a training each field is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError
from ganformer.records.checkpoint import History
from ganformer.records.manifest import Crop, Manifest
from ganformer.records.run import Run, Snapshot, Stretch
from ganformer.training import record
from ganformer.training.checkpoint import Identity
from tests.training.tiny_runs import NAMES, tiny_spec


@pytest.mark.parametrize(
    ("platform", "device", "expected"),
    [
        ("linux", "cpu", {"peak_memory_mb": 2.048}),
        ("darwin", "cpu", {"peak_memory_mb": 0.002}),
        ("linux", "cuda", {"peak_memory_mb": 3.0, "peak_host_memory_mb": 2.048}),
    ],
)
def test_memory_is_in_millions_of_bytes(
    platform: str, device: str, expected: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(record.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2000))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3_000_000)
    assert record.peak_memory(torch.device(device)) == pytest.approx(expected)


def test_times_are_in_utc() -> None:
    found = datetime.fromisoformat(record.now())
    assert found.utcoffset() == timedelta(0)
    assert abs(found - datetime.now(UTC)) < timedelta(minutes=1)


def stretch(number: int) -> Stretch:
    words: dict[str, Any] = {"code": {"ganformer": str(number)}, "hardware": {"device": f"device {number}"}}
    times = {"started": f"start {number}", "ended": f"end {number}", "wall_seconds": 1.5 + number}
    libraries = {"torch": str(number)}
    return Stretch(first=number, last=number + 1, libraries=libraries, **words, **times)


def described(**changes: Any) -> Run:
    """Return the record of a run of 8 steps of 4 images in two stretches."""
    spec = tiny_spec(8)
    facts = {
        "format": "npy",
        "source": {},
        "crop": Crop(ratio=1.0),
        "shards": [{"file": "a", "sha256": "", "count": 3}],
    }
    image = ImageSpec(height=8, width=8, classes=2)
    labels = {"label_counts": [1, 2], "class_names": ["cat", "dog"]}
    data = Manifest(count=3, image=image, duplicates=0, content="d", **labels, **facts)
    history = History(step=8, peak_memory_mb={"peak_memory_mb": 7.0}, stretches=(stretch(0), stretch(1)))
    snapshots = [Snapshot(step=step, kimg=step / 250, file=f"{step}", sha256=f"of {step}") for step in (4, 8)]
    return record.describe(
        spec,
        Identity("t", "d"),
        names=NAMES,
        data=data,
        parameters={"generator": 5},
        history=history,
        snapshots=snapshots,
        **changes,
    )


@pytest.mark.parametrize(("steps", "trained"), [(None, 0.032), (6, 0.024), (1, 0.004), (0, 0.004)])
def test_the_speed_of_a_run_that_diverged_is_that_of_its_steps(steps: int | None, trained: float) -> None:
    found = described(diverged=steps)
    assert found.seconds_per_kimg == pytest.approx(4.0 / trained)
    assert (found.steps, found.kimg, found.wall_seconds) == (8, 0.032, 4.0)
    assert found.diverged_kimg == (None if steps is None else pytest.approx(steps * 0.004))


def test_code_and_hardware_are_of_the_last_stretch_and_the_beginning_of_the_first() -> None:
    found = described()
    assert (found.code, found.hardware, found.libraries) == ({"ganformer": "1"}, {"device": "device 1"}, {"torch": "1"})
    assert (found.started, found.finished, found.sessions) == ("start 0", "end 1", 2)
    assert (found.wall_seconds, found.seconds_per_kimg, found.kimg) == (4.0, 4.0 / 0.032, 0.032)
    assert (found.peak_memory_mb, found.weights_sha256, found.parameters) == (7.0, "of 8", {"generator": 5})
    told = found.data
    assert (told.data_sha256, told.count, list(told.label_counts), list(told.class_names)) == (
        *("d", 3),
        *([1, 2], ["cat", "dog"]),
    )


def test_only_weights_that_are_there_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing ones are no damage: they are written again without a word."""
    spec, files = tiny_spec(8), [tmp_path / "there", tmp_path / "missing"]
    files[0].touch()
    finished: Any = SimpleNamespace(
        spec_sha256=spec.digest,
        data=SimpleNamespace(data_sha256="d"),
        is_of=lambda trajectory, pack: (trajectory, pack) == ("t", "d"),
        changed_files=lambda out: files,
    )
    monkeypatch.setattr(Run, "find", lambda path: finished if path == tmp_path / "run.json" else None)
    assert record.damaged(tmp_path, Identity("t", "d")) == files[:1]
    assert record.damaged(tmp_path, Identity("t", "e")) == []
    assert [record.is_complete(tmp_path, spec, pack) for pack in ("d", "e")] == [False, False]
    files.clear()
    assert [record.is_complete(tmp_path, spec, pack) for pack in ("d", "e")] == [True, False]
    assert not record.is_complete(tmp_path, tiny_spec(4), "d")


@pytest.mark.parametrize("name", ["weights.safetensors", "log.jsonl", "samples", "tensorboard"])
def test_files_of_something_else_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f"{name}: was written by something else"):
        record.refuse_foreign(tmp_path)
    (tmp_path / "state").mkdir()
    record.refuse_foreign(tmp_path)
