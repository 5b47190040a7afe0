"""`state/…/spec.json`: settings of a training, beside its checkpoints from its beginning on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ganformer import artifacts, config
from ganformer.config import Spec
from ganformer.errors import CheckpointError, UserError
from ganformer.records.base import JsonRecord
from ganformer.records.run import RUN_FILE, STATE, RunName, TrainingData

SPEC_FILE = "spec.json"


class TrainingRecord(JsonRecord):
    """Part of the record of a run that is known when its training begins."""

    KIND: ClassVar[str] = "record of a training"
    REMEDY: ClassVar[str] = "start the training again, which writes it"
    ERROR: ClassVar[type[UserError]] = CheckpointError

    run: RunName
    spec: Mapping[str, Any]
    """Resolved settings."""
    spec_sha256: str
    trajectory_sha256: str
    """sha256 of all settings but the length of the training."""
    data: TrainingData
    steps: int
    """Steps of the whole training."""

    @classmethod
    def of(cls, state: Path) -> "TrainingRecord":
        """Read the record in the folder of a training's state; CheckpointError if it has none."""
        path = state / SPEC_FILE
        if not path.exists():
            raise CheckpointError(
                f"{path}: is not there, as in trainings of earlier versions, so nothing tells the settings of the "
                "checkpoints; start the training again, which writes it and resumes"
            )
        return cls.read(path)

    def settings(self, path: Path) -> Spec:
        """Return the settings, checked; `path`: of the record. Raises CheckpointError if they were changed."""
        if artifacts.digest(self.spec) != self.spec_sha256:
            raise CheckpointError(f"{path}: the spec was changed by hand; {self.REMEDY}")
        return config.parse(Spec, self.spec, f"{path}: spec")


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder holds a training that has not ended."""
    return not (folder / RUN_FILE).exists() and bool(trainings(folder))


def trainings(folder: Path) -> list[Path]:
    """Return the state of every training in the folder of a run, the one that was written to last before the others."""
    found = {path.parent for name in (SPEC_FILE, "checkpoint-*.pt") for path in (folder / STATE).glob(f"*/{name}")}
    return sorted(found, key=lambda state: max(map(_modified, state.iterdir()), default=0.0), reverse=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # a training has just removed it
        return 0.0
