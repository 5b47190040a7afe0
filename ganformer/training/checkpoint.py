"""Files of a training: checkpoints to resume from, and weights to sample from. Loading never executes code."""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from ganformer import artifacts, config, plugins
from ganformer.config import Spec
from ganformer.errors import CheckpointError
from ganformer.nn.recomputation import recompute
from ganformer.records.base import differing
from ganformer.records.checkpoint import CheckpointHeader, History, WeightsHeader
from ganformer.records.run import Run
from ganformer.seeds import mix
from ganformer.training.learner import Learner
from ganformer.training.state import load_module

FEATURES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types of features by the precisions in which they are not float32."""
CHECKPOINTS_KEPT = 2  # the newest may be damaged
METADATA = "ganformer"  # one key, since safetensors writes several in random order


@dataclass(frozen=True)
class Identity:
    """Identity of a training, whatever its length: sha256 of the trajectory (`Spec.trajectory`) and of the data."""

    trajectory: str
    pack: str

    @property
    def digest(self) -> str:
        """sha256 (hex) of both."""
        return artifacts.digest({"trajectory": self.trajectory, "pack": self.pack})


# ---------------------------------------------------------------------------------------------- building


def build(spec: Spec) -> Learner:
    """Return the untrained learner of a run, on the CPU; its initial weights are a function of the seed."""
    module = plugins.find("ganformer.models", spec.model.kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(spec.seed, "init"))
        learner: Learner = module.build(spec.model, spec.image)
    if spec.training.activation_checkpointing:
        recompute(learner.network)
    # Recomputation draws random numbers again by setting the generator back, which is no operation to be recorded.
    learner.replays = spec.training.replay and not spec.training.activation_checkpointing
    learner.use_dtype(FEATURES.get(spec.training.precision))
    return learner


def restore(run_json: Path, step: int | None = None) -> tuple[Learner, Run]:
    """Return a trained learner on the CPU, ready to `sample`, and the record of its run.

    `step` is one of the record's snapshots; None: the end of training. Only the sampler is trained in it.
    Raises DataError if `run_json` cannot be read, ConfigError if its spec is not valid, CheckpointError if the weights
    do not fit it.
    """
    record = Run.read(run_json)
    record.check_spec(run_json)
    learner = build(record.settings(run_json))
    kept = record.snapshot(step, run_json)
    path = run_json.parent / kept.file
    _check_digest(path, kept.sha256, run_json)
    read_weights(path, learner.sampler, record.spec)
    return learner, record


def _check_digest(path: Path, expected: str, run_json: Path) -> None:
    try:
        found = artifacts.file_digest(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: weights cannot be read ({error.strerror}); {run_json} names them, train the run again"
        ) from error
    if found != expected:
        from ganformer.interop import kinds  # which knows this module's files

        if what := kinds.disguised(path):
            raise CheckpointError(f"{path}: {what}; {run_json} names it as weights")
        raise CheckpointError(
            f"{path}: weights do not fit their run.json: {differing(found, expected, run_json)}; the file was damaged "
            "or replaced, train the run again"
        )


# ----------------------------------------------------------------------------------------------- weights


def write_weights(path: Path, sampler: nn.Module, trajectory: str, step: int) -> str:
    """Write a sampler's state, the same bytes for the same state, and return their sha256.

    `trajectory`: of the spec that they were trained with; the file names it.
    """
    with artifacts.atomic(path) as temporary:
        state, metadata = _content(sampler, trajectory, step)
        save_file(state, temporary, metadata)
        return artifacts.file_digest(temporary)


def weights_digest(sampler: nn.Module, trajectory: str, step: int) -> str:
    """Return the sha256 of the file that `write_weights` would write."""
    state, metadata = _content(sampler, trajectory, step)
    return hashlib.sha256(save(state, metadata)).hexdigest()


def _content(sampler: nn.Module, trajectory: str, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a file of weights."""
    state = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in sampler.state_dict().items()}
    header = WeightsHeader(trajectory_sha256=trajectory, step=step)
    return state, {METADATA: artifacts.canonical(header.content())}


def read_weights(path: Path, sampler: nn.Module, spec: Mapping[str, Any]) -> None:
    """Fill `sampler`; CheckpointError if the file is damaged, of another spec or of another network.

    `spec`: as the record of the run has it, perhaps without settings that were added later.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            metadata = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is not a whole safetensors file ({error}); train the run again") from error
    found, expected = WeightsHeader.parse(metadata, path).trajectory_sha256, config.trajectory(spec)
    if found not in (expected, artifacts.digest(spec)):
        raise CheckpointError(
            f"{path}: weights do not fit their run.json: they are of trajectory {found[:12]}… but trajectory "
            f"{expected[:12]}… was expected"
        )
    load_module(sampler, state, f"{path}: weights do not fit their run.json: the file")


# ------------------------------------------------------------------------------------------- checkpoints


def step_of(path: Path) -> int:
    """Return the number of steps of a checkpoint, from the name of its file."""
    return int(path.stem.rpartition("-")[2])


class Checkpoints:
    """The last checkpoints of one training, and weights at single steps of it, in a folder of its own."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity

    def paths(self, until: int | None = None) -> list[Path]:
        """Return the checkpoints, of at most `until` steps, the newest first."""
        found = sorted(self.folder.glob("checkpoint-*.pt"), reverse=True)
        return [path for path in found if until is None or step_of(path) <= until]

    def _path(self, step: int) -> Path:
        return self.folder / f"checkpoint-{step:08d}.pt"

    def weights(self, step: int) -> Path:
        """Return the path of the sampler's weights after `step` steps."""
        return self.folder / f"step-{step:08d}.safetensors"

    def first_without_weights(self, steps: Iterable[int]) -> int | None:
        """Return the first of these steps whose weights are missing; None if all are there."""
        return next((step for step in steps if not self.weights(step).exists()), None)

    def save(self, learner: Learner, history: History, keep: int = CHECKPOINTS_KEPT) -> None:
        """Write a checkpoint, and remove all but the newest `keep` up to it; DataError if the disk is full.

        Checkpoints of more steps stay: they belong to a longer run.
        """
        header = CheckpointHeader(
            trajectory_sha256=self.identity.trajectory, data_sha256=self.identity.pack, history=history
        )
        content = {**header.content(), "learner": learner.save()}
        with artifacts.atomic(self._path(history.step)) as temporary:
            torch.save(content, temporary)
        for path in self.paths(history.step)[keep:]:
            path.unlink()

    def load(self, learner: Learner, until: int | None = None) -> History:
        """Fill `learner` from the newest whole checkpoint of at most `until` steps; without one, return no steps.

        A damaged checkpoint is skipped with a printed line. Raises CheckpointError if all are damaged, or if one is of
        another training.
        """
        paths = self.paths(until)
        for path in paths:
            found = self._open(path)
            if found is not None:
                state, header = found
                learner.load(state)
                return header.history
        if paths:
            raise CheckpointError(
                f"{self.folder}: all checkpoints are damaged; delete the folder to train from the start"
            )
        return History()

    def latest(self) -> tuple[Any, CheckpointHeader] | None:
        """Return the learner's state in the newest whole checkpoint, on the CPU, and its header; None without one.

        A training that goes on removes old ones, perhaps one that was listed and not read yet: then they are listed
        again.
        """
        damaged: set[Path] = set()
        while paths := [path for path in self.paths() if path not in damaged]:
            found = self._open(paths[0])
            if found is not None:
                return found
            if paths[0].exists():
                damaged.add(paths[0])
        return None

    def read(self, step: int) -> Mapping[str, Any] | None:
        """Return the learner's state after `step` steps, on the CPU; None if no whole checkpoint has it."""
        path = self._path(step)
        found = self._open(path) if path.exists() else None
        return None if found is None else found[0]

    def _open(self, path: Path) -> tuple[Any, CheckpointHeader] | None:
        """Return the learner's state in a checkpoint, and its header; None, with a printed line, if it is damaged.

        None without a line if it is gone.
        """
        content = _read(path)
        if content is None:
            return None
        state = content.pop("learner", None)
        header = CheckpointHeader.parse(content, path)
        self._check(header, path)
        return state, header

    def _check(self, header: CheckpointHeader, path: Path) -> None:
        expected = {
            "trajectory_sha256": (header.trajectory_sha256, self.identity.trajectory),
            "data_sha256": (header.data_sha256, self.identity.pack),
        }
        for key, (found, value) in expected.items():
            if found != value:
                raise CheckpointError(
                    f"{path}: is of another training: {key} is {found} but this one's is {value}; "
                    f"move the file away, or delete {self.folder} to train from the start"
                )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever reading a damaged file comes to
        reason = str(error).partition("\n")[0]
        print(f"{path}: checkpoint is damaged ({reason}); looking for the one before", file=sys.stderr, flush=True)
        return None
    return content
