"""`run.json`: inputs, code, hardware, cost and weights of a finished run."""

import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganformer import artifacts
from ganformer.config import Spec
from ganformer.data.manifest import Manifest
from ganformer.errors import CheckpointError
from ganformer.learning.checkpoint import FORMAT, History, Identity

NAME = "run.json"
WEIGHTS = "weights.safetensors"
STATE = "state"  # folder of checkpoints and snapshots


def is_complete(out: Path, spec: Spec, pack: str) -> bool:
    """Return whether the folder holds a finished run of exactly this spec and pack, with all its files unchanged.

    `pack`: sha256 of the data.
    """
    path = out / NAME
    if not path.exists():
        return False
    record = artifacts.read_json(path)
    if record.get("format") != FORMAT or record["spec_sha256"] != spec.digest:
        return False
    if record["data"]["data_sha256"] != pack:
        return False
    return all(file.exists() and artifacts.file_digest(file) == digest for file, digest in _files(out, record))


def _files(out: Path, record: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield every file of weights that a record names, and its sha256."""
    return ((out / snapshot["file"], snapshot["sha256"]) for snapshot in record["snapshots"])


def is_another(out: Path, identity: Identity) -> bool:
    """Return whether the folder holds the record of a run of another trajectory or of other images."""
    record = artifacts.read_existing(out / NAME)
    return record is not None and not _is_of(record, identity)


def _is_of(record: Mapping[str, Any], identity: Identity) -> bool:
    expected = {"trajectory_sha256": identity.trajectory, "data": {"data_sha256": identity.pack}}
    return artifacts.agrees(record, expected)


def damaged(out: Path, identity: Identity) -> list[Path]:
    """Return the files of weights that are not the bytes which the record of this training in the folder names."""
    record = artifacts.read_existing(out / NAME)
    if record is None or not _is_of(record, identity):
        return []
    return [file for file, digest in _files(out, record) if file.exists() and artifacts.file_digest(file) != digest]


def refuse_foreign(out: Path) -> None:
    """Raise CheckpointError if a folder holds a run that was not trained there, which training would replace."""
    path = out / NAME
    if not path.exists():
        _refuse_files_without_record(out)
        return
    record = artifacts.read_json(path)
    if isinstance(record, Mapping) and "imported" in record:
        raise CheckpointError(
            f"{path}: is the record of an imported run, which training would replace; choose another folder"
        )
    if not isinstance(record, Mapping) or not {"format", "spec_sha256", "data", "snapshots"} <= set(record):
        raise CheckpointError(
            f"{path}: is no record of a run of this program, and training would replace it; choose another folder"
        )


def _refuse_files_without_record(out: Path) -> None:
    """Raise CheckpointError if a folder without training state holds files with the names that training uses."""
    if (out / STATE).exists():
        return
    for path in (out / WEIGHTS, out / "log.jsonl", out / "samples", out / "tensorboard"):
        if path.exists():
            raise CheckpointError(
                f"{path}: was written by something else than a training here, which would replace it; choose another "
                "folder, or move it away"
            )


def origin(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a stretch of training for its record; called when it begins."""
    return {
        "started": now(),
        "code": dict(artifacts.code_version()),
        "libraries": {"torch": str(torch.__version__), "numpy": np.__version__},
        "hardware": dict(hardware),
    }


def describe(
    spec: Spec,
    identity: Identity,
    *,
    names: Mapping[str, str | int],
    data: Manifest,
    parameters: Mapping[str, int],
    history: History,
    snapshots: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the record of a finished run on `data`; `snapshots` end with the final weights.

    `code`, `hardware` and `libraries` belong to the last stretch; `stretches` has them for all.
    """
    kimg = spec.kimg_at(spec.steps)
    begin, end = history.stretches[0], history.stretches[-1]
    return {
        "format": FORMAT,
        "run": {"dataset": names["dataset"], "model": names["model"], "seed": spec.seed},
        "spec": spec.model_dump(mode="json"),
        "spec_sha256": spec.digest,
        "trajectory_sha256": identity.trajectory,
        "data": {
            "data_sha256": identity.pack,
            "count": data.count,
            "label_counts": list(data.label_counts),
            "class_names": list(data.class_names),
        },
        "code": dict(end.code),
        "hardware": dict(end.hardware),
        "libraries": dict(end.libraries),
        "parameters": dict(parameters),
        "steps": spec.steps,
        "kimg": kimg,
        "wall_seconds": history.wall_seconds,
        "seconds_per_kimg": history.wall_seconds / kimg,
        **history.peak_memory_mb,
        "started": begin.started,
        "finished": end.ended,
        "sessions": len(history.stretches),
        "stretches": [asdict(stretch) for stretch in history.stretches],
        "weights_sha256": snapshots[-1]["sha256"],
        "snapshots": list(snapshots),
    }


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory of this process in MB (10⁶ bytes): of the host, and of the GPU if it uses one."""
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    if device.type != "cuda":
        return {"peak_memory_mb": host}
    return {"peak_memory_mb": torch.cuda.max_memory_allocated(device) / 1e6, "peak_host_memory_mb": host}
