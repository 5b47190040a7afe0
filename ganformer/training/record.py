"""Record of a training: written at its end, and compared with the training that is asked for."""

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
from ganformer.errors import CheckpointError
from ganformer.records.checkpoint import History
from ganformer.records.manifest import Manifest
from ganformer.records.run import RUN_FILE, STATE, WEIGHTS, Origin, Run, RunClaim, RunName, Snapshot, TrainingData
from ganformer.records.training import SPEC_FILE, TrainingRecord
from ganformer.training.checkpoint import Identity


def folder(out: Path, identity: Identity) -> Path:
    """Return the folder of the state of a training: one for each trajectory and pack."""
    return out / STATE / identity.digest[:12]


def is_complete(out: Path, spec: Spec, pack: str) -> bool:
    """Return whether the folder holds a finished run of exactly this spec and pack, with all its files unchanged.

    `pack`: sha256 of the data.
    """
    found = Run.find(out / RUN_FILE)
    if found is None or (found.spec_sha256, found.data.data_sha256) != (spec.digest, pack):
        return False
    return not found.changed_files(out)


def is_another(out: Path, identity: Identity) -> bool:
    """Return whether the folder holds the record of a run of another trajectory or of other images."""
    found = Run.find(out / RUN_FILE)
    return found is not None and not found.is_of(identity.trajectory, identity.pack)


def damaged(out: Path, identity: Identity) -> list[Path]:
    """Return the files of weights that are not the bytes which the record of this training in the folder names."""
    found = Run.find(out / RUN_FILE)
    if found is None or not found.is_of(identity.trajectory, identity.pack):
        return []
    return [file for file in found.changed_files(out) if file.exists()]


def refuse_foreign(out: Path) -> None:
    """Raise CheckpointError if a folder holds a run that was not trained there, which training would replace."""
    path = out / RUN_FILE
    if not path.exists():
        _refuse_files_without_record(out)
        return
    found = RunClaim.read(path)
    if found is not None and found.imported is not None:
        raise CheckpointError(
            f"{path}: is the record of an imported run, which training would replace; choose another folder"
        )
    if found is None or not found.is_of_training:
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


def begin(out: Path, spec: Spec, identity: Identity, names: Mapping[str, str], data: Manifest) -> None:
    """Write the settings of a training beside its checkpoints, so that these can be sampled.

    A file that has them stays. Raises DataError if it cannot be written.
    """
    path = folder(out, identity) / SPEC_FILE
    found = TrainingRecord(
        run=_run_name(spec, names),
        spec=spec.model_dump(mode="json"),
        spec_sha256=spec.digest,
        trajectory_sha256=identity.trajectory,
        data=_data(identity, data),
        steps=spec.steps,
    )
    if artifacts.read_existing(path) != found.content():
        found.write(path)


def _run_name(spec: Spec, names: Mapping[str, str]) -> RunName:
    return RunName(dataset=names["dataset"], model=names["model"], seed=spec.seed)


def _data(identity: Identity, data: Manifest) -> TrainingData:
    return TrainingData(
        data_sha256=identity.pack, count=data.count, label_counts=data.label_counts, class_names=data.class_names
    )


def describe(
    spec: Spec,
    identity: Identity,
    *,
    names: Mapping[str, str],
    data: Manifest,
    parameters: Mapping[str, int],
    history: History,
    snapshots: Sequence[Snapshot],
    begun_from: Origin | None = None,
    diverged: int | None = None,
) -> Run:
    """Return the record of a finished run on `data`; `snapshots` end with the final weights.

    `begun_from`: imported weights that it started from; `diverged`: finished steps of a run that diverged then.

    `code`, `hardware` and `libraries` belong to the last stretch; `stretches` has them for all.
    """
    kimg = spec.kimg_at(spec.steps)
    begin, end = history.stretches[0], history.stretches[-1]
    memory: Mapping[str, Any] = history.peak_memory_mb
    trained = kimg if diverged is None else spec.kimg_at(max(diverged, 1))
    ended: dict[str, Any] = {} if diverged is None else {"diverged_kimg": spec.kimg_at(diverged)}
    begun: dict[str, Any] = {} if begun_from is None else {"begun_from": begun_from}
    return Run(
        run=_run_name(spec, names),
        **begun,
        spec=spec.model_dump(mode="json"),
        spec_sha256=spec.digest,
        trajectory_sha256=identity.trajectory,
        data=_data(identity, data),
        code=end.code,
        hardware=end.hardware,
        libraries=end.libraries,
        parameters=parameters,
        steps=spec.steps,
        kimg=kimg,
        wall_seconds=history.wall_seconds,
        seconds_per_kimg=history.wall_seconds / trained,
        **ended,
        **memory,
        started=begin.started,
        finished=end.ended,
        sessions=len(history.stretches),
        stretches=history.stretches,
        weights_sha256=snapshots[-1].sha256,
        snapshots=snapshots,
    )


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
