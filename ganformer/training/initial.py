"""Weights of another run, or of a snapshot of official code, as the beginning of a training."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ganformer import artifacts
from ganformer.config import Spec, drive
from ganformer.errors import ConfigError, listed
from ganformer.locking import one_at_a_time
from ganformer.records.run import DISCRIMINATOR, RUN_FILE, Origin, Run, find_run
from ganformer.training import record
from ganformer.training.checkpoint import Checkpoints, Identity, read_weights, restore
from ganformer.training.learner import Learner
from ganformer.training.state import shapes

# Children of an adversarial learner's network, and what they are called in printed lines.
PARTS = {"generator": "generator", "discriminator": "discriminator", "sampler": "average of the generator"}
LISTED = 8  # names in a printed line

_IN_DISCRIMINATOR = re.compile(r"discriminator\.([a-z_]+)\.(\d+)\.(.+)")


def resolve(spec: Spec) -> Spec:
    """Return a run with the sha256 of the weights that it starts from, if its model names a run.

    A snapshot in Google Drive is fetched and imported first, unless that was done before. Raises ConfigError if there
    is no run or it is of another kind, CheckpointError if its record cannot be read or the snapshot cannot be imported,
    DataError if it cannot be fetched.
    """
    _bring(spec)
    start = _start(spec)
    if start is None:
        return spec
    found = Run.read(start)
    if found.kind != spec.model.kind:
        raise ConfigError(
            f"{start}: is of kind {found.kind}, and a model of kind {spec.model.kind} cannot start from it; name a run "
            "of that kind as initial"
        )
    return spec.with_initial(found.weights_sha256)


def fill(learner: Learner, spec: Spec) -> list[str]:
    """Give an untrained learner the weights of the run that its model names as `initial`, where they fit.

    A tensor fits if it has the same name and shape; layers of the discriminator are counted from its end, since at a
    higher resolution it has more of them at its beginning. Return lines that say what was taken and what is new.
    Raises CheckpointError if the run's weights cannot be read, ConfigError if none of the generator's fits.
    """
    start = _start(spec)
    if start is None:
        return []
    state, found = states(start)
    own = learner.network.state_dict()
    state = from_the_end(state, own)
    fitting = shapes(own).items() & shapes(state).items()
    taken = {name: state[name] for name, _ in fitting}
    # Biases of colours and strengths of noise have the same shape in every network.
    matrices = [name for name, value in learner.network.named_parameters() if value.ndim > 1]
    if not any(name in taken for name in matrices if name.startswith("generator.")):
        raise ConfigError(
            f"{start}: no matrix or kernel of its generator has a name and shape that one of this run's has; start "
            "from a run with the same number of channels and latents"
        )
    learner.network.load_state_dict({**own, **taken})
    name, seed = found.run, found.run.seed
    return [
        f"starts from {start} ({name} seed {seed}, {found.kimg:g} thousand images)",
        *(f"{title}: {_told(part, own, taken)}" for part, title in PARTS.items()),
    ]


def begun_from(spec: Spec) -> Origin | None:
    """Return the snapshot of another program that a run starts from, if its weights were imported; None otherwise."""
    start = _start(spec)
    return None if start is None else Run.read(start).imported


def _bring(spec: Spec) -> None:
    """Fetch and import the snapshot that training starts from, if it is one that was not imported before."""
    snapshot, path = spec.model.initial_snapshot, spec.model.initial_record
    if snapshot is None or path is None:
        return
    folder = artifacts.placed(path).parent
    with one_at_a_time(folder):
        if not (folder / RUN_FILE).exists():
            from ganformer.interop.snapshot import bring  # many readers, for this alone

            for line in bring(snapshot, folder, artifacts.placed(drive.CACHE)):
                print(line, flush=True)


def _start(spec: Spec) -> Path | None:
    """Return the run.json of the run that training starts from."""
    path = spec.model.initial_record
    return None if path is None else find_run(artifacts.placed(path))


def states(run_json: Path) -> tuple[Mapping[str, Tensor], Run]:
    """Return tensors of the networks at the end of a run, by the names that they have in `Adversarial.network`.

    From its last checkpoint, if it is there. Else the generator has the weights of its average, and the discriminator
    those beside it, which imported runs have.
    """
    learner, found = restore(run_json)
    kept = of_average(learner)
    checkpoint = _checkpoint(run_json, found)
    if checkpoint is not None:
        return {**kept, **_of_parts(checkpoint, ("generator", "discriminator"))}, found
    beside = run_json.with_name(DISCRIMINATOR)
    if not beside.exists():
        return kept, found
    read_weights(beside, learner.network.get_submodule("discriminator"), found.spec)
    return {**kept, **_of_parts(learner.network.state_dict(), ("discriminator",))}, found


def of_average(learner: Learner) -> dict[str, Tensor]:
    """Return tensors of the networks where only the average is trained; the generator has the same weights."""
    average = learner.sampler.state_dict()
    return {f"{part}.{name}": value for part in ("sampler", "generator") for name, value in average.items()}


def _checkpoint(run_json: Path, found: Run) -> Mapping[str, Tensor] | None:
    """Return the state of the networks at the end of a run; None if its checkpoint is not there."""
    if found.trajectory_sha256 is None or found.data.data_sha256 is None:
        return None
    identity = Identity(found.trajectory_sha256, found.data.data_sha256)
    content = Checkpoints(record.folder(run_json.parent, identity), identity).read(found.steps)
    return None if content is None else content["network"]


def _of_parts(state: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.partition(".")[0] in parts}


def from_the_end(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with the names of layers of the discriminator that are as far from its end as `own` has them."""
    longer = _lengths(own)
    shorter = _lengths(state)

    def renamed(name: str) -> str:
        match = _IN_DISCRIMINATOR.fullmatch(name)
        if not match or match[1] not in longer:
            return name
        return f"discriminator.{match[1]}.{int(match[2]) + longer[match[1]] - shorter[match[1]]}.{match[3]}"

    return {renamed(name): value for name, value in state.items()}


def _lengths(state: Iterable[str]) -> dict[str, int]:
    """Return the number of layers in every list of the discriminator."""
    lengths: dict[str, int] = {}
    for match in filter(None, map(_IN_DISCRIMINATOR.fullmatch, state)):
        lengths[match[1]] = max(lengths.get(match[1], 0), int(match[2]) + 1)
    return lengths


def _told(part: str, own: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> str:
    """Return in words which tensors of a part of the network were taken."""
    names = [name.removeprefix(f"{part}.") for name in own if name.startswith(f"{part}.")]
    new = [name for name in names if f"{part}.{name}" not in taken]
    if not new:
        return f"all {len(names)} tensors taken"
    if len(new) == len(names):
        return "new"
    return f"{len(names) - len(new)} of {len(names)} tensors taken; new are {listed(new, LISTED)}"
