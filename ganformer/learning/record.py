"""`run.json`: what a finished run was made from, with what, at what cost, and the weights it left."""

import resource
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganformer import artifacts
from ganformer.config import Spec
from ganformer.data.manifest import Manifest
from ganformer.learning.checkpoint import FORMAT, History, Identity

NAME = "run.json"
WEIGHTS = "weights.safetensors"


def is_complete(out: Path, identity: Identity) -> bool:
    """Whether the folder holds a finished run of exactly this spec and pack, and every file it names, unchanged."""
    path = out / NAME
    if not path.exists():
        return False
    record = artifacts.read_json(path)
    if record.get("format") != FORMAT or record["spec_sha256"] != identity.spec:
        return False
    if record["data"]["data_sha256"] != identity.pack:
        return False
    files = [(out / snapshot["file"], snapshot["sha256"]) for snapshot in record["snapshots"]]
    return all(file.exists() and artifacts.file_digest(file) == digest for file, digest in files)


def describe(
    spec: Spec,
    identity: Identity,
    *,
    names: Mapping[str, str | int],
    data: Manifest,
    hardware: Mapping[str, Any],
    parameters: Mapping[str, int],
    history: History,
    snapshots: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The record of a finished run on `data`; `snapshots` end with the final weights."""
    kimg = spec.kimg_at(spec.steps)
    return {
        "format": FORMAT,
        "run": {"dataset": names["dataset"], "model": names["model"], "seed": spec.seed},
        "spec": spec.model_dump(mode="json"),
        "spec_sha256": identity.spec,
        "data": {
            "data_sha256": identity.pack,
            "count": data.count,
            "label_counts": list(data.label_counts),
            "class_names": list(data.class_names),
        },
        "code": artifacts.code_version(),
        "hardware": dict(hardware),
        "libraries": {"torch": torch.__version__, "numpy": np.__version__},
        "parameters": dict(parameters),
        "steps": spec.steps,
        "kimg": kimg,
        "wall_seconds": history.wall_seconds,
        "seconds_per_kimg": history.wall_seconds / kimg,
        **history.peak_memory_mb,
        "started": history.started,
        "finished": now(),
        "sessions": history.sessions,
        "weights_sha256": snapshots[-1]["sha256"],
        "snapshots": list(snapshots),
    }


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory(device: torch.device) -> dict[str, float]:
    """Most memory this process had so far, in MB (10⁶ bytes): of the GPU and of the host where it uses a GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    if device.type != "cuda":
        return {"peak_memory_mb": host}
    return {"peak_memory_mb": torch.cuda.max_memory_allocated(device) / 1e6, "peak_host_memory_mb": host}
