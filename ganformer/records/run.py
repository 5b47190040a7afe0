"""`run.json`: inputs, code, hardware, cost and weights of a finished or imported run."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from ganformer import artifacts, config
from ganformer.config import ImageSpec, Spec, drive
from ganformer.errors import CheckpointError, ConfigError, DataError, UserError
from ganformer.records.base import Claim, JsonRecord, Part
from ganformer.records.manifest import Manifest

RUN_FILE = "run.json"
WEIGHTS = "weights.safetensors"
STATE = "state"
"""Folder of the checkpoints and snapshots of a training, in that of its run."""
LOCK = "lock"
"""File in `STATE` that is locked while a process trains."""
LOG_FILE = "log.jsonl"
DISCRIMINATOR = "discriminator.safetensors"
"""Weights of the discriminator of an imported run."""


def find_run(weights: Path) -> Path:
    """Return the run.json of a run named by its folder, that file or its weights; ConfigError if there is none."""
    is_snapshot = weights.suffix in (".pkl", ".pth", ".pt", ".ckpt") and not weights.is_dir()
    if is_snapshot or drive.is_one(weights):
        raise ConfigError(
            f"{weights}: is no run; import snapshots of official code first: "
            f"ganformer import {shlex.quote(str(weights))} --out FOLDER, then --weights FOLDER"
        )
    run = weights / RUN_FILE if weights.is_dir() else weights.with_name(RUN_FILE)
    if not run.is_file():
        raise ConfigError(f"{weights}: there is no {RUN_FILE} here; name the folder of a finished or imported run")
    return run


class RunName(Part):
    """Name of a run."""

    dataset: str
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}"


class Origin(Part):
    """Snapshot of another program that a run was imported from."""

    file: str = ""
    sha256: str = ""
    address: str = ""
    """Page of the file in Google Drive, if it was fetched there."""
    origin: str = ""
    """Program and format, e.g. "GANformer (PyTorch)"."""
    notes: Sequence[str] = ()
    """Differences between the snapshot and the imported run."""


class TrainingData(Part):
    """Images that a run was trained on."""

    # Runs of version 0.1.0 name the manifest of their pack, and no classes.
    data_sha256: str | None = Field(validation_alias=AliasChoices("data_sha256", "manifest_sha256"))
    """`Manifest.data_sha256` of the pack; None for imported runs."""
    count: int
    label_counts: Sequence[int] = ()
    """Number of images of each class."""
    class_names: Sequence[str] = ()


class Stretch(Part):
    """Steps that one process trained without a break, with its code and hardware, recorded at that time."""

    first: int
    """Number of steps finished before."""
    last: int
    """Number of steps finished at its end."""
    started: str
    """ISO 8601 in UTC; so is `ended`."""
    ended: str
    wall_seconds: float
    code: Mapping[str, Any]
    """`artifacts.code_version`, when the process began."""
    libraries: Mapping[str, str]
    hardware: Mapping[str, Any]


class Snapshot(Part):
    """Weights of a run after `step` steps: `file` is relative to the folder of run.json."""

    step: int
    kimg: float
    file: str
    sha256: str


class Run(JsonRecord):
    """Record of a run, trained or imported; `snapshots` end with its final weights."""

    KIND: ClassVar[str] = "record of a finished run"
    REMEDY: ClassVar[str] = "train the run again"
    ERROR: ClassVar[type[UserError]] = CheckpointError

    run: RunName
    imported: Origin | None = None
    begun_from: Origin | None = None
    """Snapshot of another program that training started from; None: it started from random weights or another run."""
    spec: Mapping[str, Any]
    """Resolved settings as they were written; see `settings`, `image`, `kind` and `is_mirrored`."""
    spec_sha256: str
    trajectory_sha256: str | None = None
    """sha256 of all settings but the length of the training; unknown for imported runs and runs of version 0.1.0."""
    data: TrainingData
    code: Mapping[str, Any] = {}
    """`artifacts.code_version` of the last stretch; so are `hardware` and `libraries`."""
    hardware: Mapping[str, Any] = {}
    libraries: Mapping[str, str] = {}
    parameters: Mapping[str, int] = {}
    """Number of parameters of each network."""
    steps: int
    kimg: float
    diverged_kimg: float | None = None
    """Thousands of images after which a loss was no longer finite, of a run that was kept (`training.on_divergence`):
    later snapshots have the weights of the one before. None: it was trained to its end."""
    wall_seconds: float | None = None
    seconds_per_kimg: float | None = None
    peak_memory_mb: float | None = None
    """Memory in 10⁶ bytes: of the GPU if the run used one, else of the host."""
    peak_host_memory_mb: float | None = None
    started: str | None = None
    """ISO 8601 in UTC; so is `finished`."""
    finished: str | None = None
    sessions: int | None = None
    """Number of `stretches`."""
    stretches: Sequence[Stretch] = ()
    weights_sha256: str
    snapshots: Sequence[Snapshot] = Field(min_length=1)

    @property
    def image(self) -> ImageSpec:
        """Shape of the images that the run makes."""
        return ImageSpec.model_validate(self.spec["image"])

    @property
    def kind(self) -> str:
        """Kind of its model."""
        return str(self.model["kind"])

    @property
    def model(self) -> Mapping[str, Any]:
        """Settings of its model as they were written."""
        found: Mapping[str, Any] = self.spec["model"]
        return found

    @property
    def is_mirrored(self) -> bool:
        """True if training images were mirrored at random."""
        return bool(self.spec["mirror"])

    @property
    def end(self) -> Snapshot:
        """Snapshot of its final weights."""
        return self.snapshots[-1]

    def settings(self, path: Path) -> Spec:
        """Return its settings, checked; `path`: of the record. ConfigError if this version does not know them."""
        return config.parse(Spec, self.spec, f"{path}: spec")

    def snapshot(self, step: int | None, path: Path) -> Snapshot:
        """Return the snapshot at `step`, None: the last one; CheckpointError names the steps in the record `path`."""
        wanted = self.steps if step is None else step
        for kept in self.snapshots:
            if kept.step == wanted:
                return kept
        steps = ", ".join(str(kept.step) for kept in self.snapshots)
        raise CheckpointError(f"{path}: no snapshot of step {wanted}; the record has {steps}")

    def at(self, step: int | None, path: Path) -> "Run":
        """Return the record of the run as it was at its snapshot `step`, None: at its end; CheckpointError as above.

        It has all snapshots; how long it took until an earlier one is not known.
        """
        kept = self.snapshot(step, path)
        if kept.step == self.steps:
            return self
        changed = {"steps": kept.step, "kimg": kept.kimg, "weights_sha256": kept.sha256, "wall_seconds": None}
        return self.model_copy(update=changed)

    def alone(self, kept: Snapshot) -> "Run":
        """Return the record of a copy that has only one of its snapshots, as its final weights."""
        return self.model_copy(update={"snapshots": [kept.model_copy(update={"file": WEIGHTS})]})

    def check_spec(self, path: Path) -> None:
        """Raise CheckpointError if the settings in the record `path` are not the ones that the run was trained with."""
        if artifacts.digest(self.spec) != self.spec_sha256:
            raise CheckpointError(f"{path}: the spec was changed after training; delete the file and train again")

    def is_of(self, trajectory: str, data: str) -> bool:
        """Return whether the run is of this trajectory and these images, both sha256."""
        return (self.trajectory_sha256, self.data.data_sha256) == (trajectory, data)

    def diverged_before(self, kimg: float) -> dict[str, Any]:
        """Return the field `diverged_kimg` of a record of the snapshot at `kimg`, if the run had diverged by then."""
        is_so = self.diverged_kimg is not None and self.diverged_kimg < kimg
        return {"diverged_kimg": self.diverged_kimg} if is_so else {}

    def changed_files(self, folder: Path) -> list[Path]:
        """Return the files of weights in the run's folder that are missing or not the bytes which the record names."""
        files = {folder / kept.file: kept.sha256 for kept in self.snapshots}
        return [file for file, sha256 in files.items() if not file.exists() or artifacts.file_digest(file) != sha256]

    def makes(self, canvas: ImageSpec) -> bool:
        """Return whether the run makes images of the shape that networks make of a data set with this canvas."""
        # GANformer's own snapshots make squares with black bars, whatever the data set.
        side, made = max(canvas.height, canvas.width), self.image
        return (made.height, made.width) in {(canvas.height, canvas.width), (side, side)}

    def check_pack(self, path: Path, folder: Path, pack: Manifest, advice: str, *, other_data: bool = False) -> None:
        """Raise DataError if the run, whose record is `path`, was not trained on this pack or makes other shapes.

        `advice`: what to do about another pack. Imported runs fit all images of their shape; with `other_data` so do
        trained ones.
        """
        trained_on = self.data.data_sha256
        if trained_on not in (None, pack.data_sha256) and not other_data:
            raise DataError(
                f"{folder}: holds the data {pack.data_sha256[:12]}…, but {path} was trained on the data "
                f"{trained_on[:12]}…; {advice}"
            )
        if not self.makes(pack.image.canvas):
            (rows, columns), made = pack.image.picture, self.image
            raise DataError(
                f"{folder}: holds images of {columns}×{rows} pixels, but {path} makes {made.width}×{made.height} "
                "pixels; name a pack of that shape"
            )


class RunClaim(Claim):
    """Fields by which a run.json is recognised as one, whatever its version and however incomplete it is."""

    format: Any = None
    imported: Origin | None = None
    spec_sha256: Any = None
    data: Any = None
    parameters: Mapping[str, int] = {}
    snapshots: Any = None

    @property
    def is_of_training(self) -> bool:
        """True if the record has what every trained run's has."""
        return {"format", "spec_sha256", "data", "snapshots"} <= self.model_fields_set


class TrainedRun(Run):
    """Record of a run that was trained here, so that its cost is known."""

    KIND: ClassVar[str] = "record of a trained run"

    hardware: Mapping[str, Any]
    parameters: Mapping[str, int]
    wall_seconds: float
    seconds_per_kimg: float
    started: str
    finished: str
    sessions: int
