"""Weights and checkpoints: what is written can be read, and nothing else is taken for it."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganformer import artifacts, config
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.records.checkpoint import CheckpointHeader, History
from ganformer.records.run import Stretch
from ganformer.training import checkpoint, loop
from ganformer.training.checkpoint import Checkpoints, Identity, restore
from tests.training.tiny_runs import NAMES, final_state, same, tiny_spec

STRETCH = Stretch(
    first=0,
    last=2,
    started="then",
    ended="later",
    wall_seconds=1.5,
    code={"ganformer": "1", "commit": "abc", "dirty": True},
    libraries={"torch": "2"},
    hardware={"device": "cpu"},
)
HISTORY = History(
    step=3,
    peak_memory_mb={"peak_memory_mb": 7.0},
    stretches=(STRETCH, STRETCH.model_copy(update={"first": 2, "last": 3})),
)


@pytest.fixture
def run(pack: Path, tmp_path: Path) -> Path:
    """run.json of a finished run."""
    loop.train(tiny_spec(), pack, tmp_path / "run", names=NAMES, threads=1, gpus=0)
    return tmp_path / "run" / "run.json"


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(run.read_text())
    change(record)
    run.write_text(json.dumps(record))


def rewrite_weights(run: Path, change: Callable[[dict[str, torch.Tensor]], object], **metadata: object) -> None:
    """Change the weights and make run.json agree with the new file."""
    path = run.parent / "weights.safetensors"
    state = load_file(path)
    change(state)
    about = {"format": 1, "trajectory_sha256": tiny_spec().trajectory, "step": 12} | metadata
    save_file(state, path, {"ganformer": json.dumps(about)})
    edit(run, lambda record: record["snapshots"][-1].update(sha256=artifacts.file_digest(path)))


# ----------------------------------------------------------------------------------------------- restore


def test_restored_weights_are_those_of_the_end(run: Path) -> None:
    learner, record = restore(run)
    trained = final_state(run.parent)["network"]
    for name, tensor in learner.sampler.state_dict().items():
        assert torch.equal(tensor, trained[f"sampler.{name}"])
    assert record.run.content() == {**NAMES, "seed": 0}
    assert learner.sample(torch.zeros(2, 0), range(2)).shape == (2, 3, 8, 8)


def test_each_snapshot_can_be_restored(run: Path) -> None:
    images = [restore(run, step)[0].sample(torch.zeros(2, 0), range(2)) for step in (4, 8, 12)]
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[2], restore(run)[0].sample(torch.zeros(2, 0), range(2)))


def test_building_is_a_function_of_the_seed_and_leaves_no_trace() -> None:
    torch.manual_seed(1)
    draw = torch.rand(())
    torch.manual_seed(1)
    states = [checkpoint.build(tiny_spec(seed=seed)).network.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(()), draw)
    weights = [state["generator.mapping.weight"] for state in states]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_step_without_a_snapshot_is_refused(run: Path) -> None:
    with pytest.raises(CheckpointError, match="no snapshot of step 5; the record has 4, 8, 12"):
        restore(run, 5)


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run.json: cannot be read"):
        restore(tmp_path / "run.json")


def test_a_record_of_another_format_is_refused(run: Path) -> None:
    edit(run, lambda record: record.update(format=0))
    with pytest.raises(CheckpointError, match="format 0 is not 1; train the run again with this version"):
        restore(run)
    edit(run, lambda record: record.update(format=2))
    message = r"run\.json: is of format 2, written by a newer version; this one reads 1: update the package"
    with pytest.raises(CheckpointError, match=message):
        restore(run)


@pytest.mark.parametrize("content", [{"format": 1}, {"format": 1, "spec": {}, "data": {}, "steps": 1}])
def test_an_incomplete_record_is_refused(run: Path, content: dict[str, Any]) -> None:
    run.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"run\.json: has no .*, so it is no record of a finished run; train"):
        restore(run)


def test_an_edited_spec_is_refused(run: Path) -> None:
    edit(run, lambda record: record["spec"].update(seed=1))
    with pytest.raises(CheckpointError, match="the spec was changed after training; delete the file and train again"):
        restore(run)


def test_a_spec_that_is_not_understood_is_refused(run: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["spec"]["model"]["latent_sise"] = 4
        record["spec_sha256"] = artifacts.digest(record["spec"])

    edit(run, change)
    with pytest.raises(ConfigError, match=r"model.latent_sise: unknown key; did you mean 'latent_size'"):
        restore(run)


def test_weights_with_another_digest_are_refused(run: Path) -> None:
    path = run.parent / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(
        CheckpointError, match=r"weights do not fit their run.json: sha256 is \w{12}… but .* says \w{12}…"
    ):
        restore(run)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "is a pointer of Git LFS in place of the",
        ),
        (b"", "is empty; fetch it again"),
        (b"\x1f\x8b\x08" + bytes(20), "is compressed by gzip; unpack it first"),
    ],
)
def test_weights_that_are_something_else_are_named(run: Path, content: bytes, words: str) -> None:
    path = run.parent / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        restore(run)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert str(caught.value).endswith(f"; {run} names it as weights")


def test_missing_weights_are_refused(run: Path) -> None:
    (run.parent / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        restore(run)


def test_weights_of_another_spec_are_refused(run: Path) -> None:
    rewrite_weights(run, lambda state: None, trajectory_sha256="0" * 64)
    expected = "they are of trajectory 000000000000… but trajectory.*… was expected"
    with pytest.raises(CheckpointError, match=expected):
        restore(run)


def test_runs_of_before_a_setting_are_read(run: Path) -> None:
    """A default that came later is neither in the record nor in what the weights name."""
    record = json.loads(run.read_text())
    del record["spec"]["finds_channels"]
    trajectory = config.trajectory(record["spec"])
    assert trajectory != tiny_spec().trajectory
    run.write_text(json.dumps({**record, "spec_sha256": artifacts.digest(record["spec"])}))
    rewrite_weights(run, lambda state: None, trajectory_sha256=trajectory)
    learner, _ = restore(run)
    assert same(learner.sampler.state_dict(), load_file(run.parent / "weights.safetensors"))


def test_weights_with_other_tensors_are_refused(run: Path) -> None:
    rewrite_weights(run, lambda state: state.update(more=state.pop("paint.weight")))
    with pytest.raises(CheckpointError, match=r"do not fit their run.json: .* missing: paint\.weight; not known: more"):
        restore(run)


def test_weights_of_other_shapes_are_refused(run: Path) -> None:
    rewrite_weights(run, lambda state: state.update({"mapping.bias": torch.zeros(5)}))
    with pytest.raises(CheckpointError, match=r"mis-shaped: mapping\.bias \[5\] instead of \[4\]"):
        restore(run)


def test_a_file_that_is_not_safetensors_is_refused(run: Path) -> None:
    path = run.parent / "weights.safetensors"
    path.write_bytes(b"not tensors")
    edit(run, lambda record: record["snapshots"][-1].update(sha256=artifacts.file_digest(path)))
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        restore(run)


def test_the_same_weights_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    learner, record = restore(run)
    path = tmp_path / "again.safetensors"
    trajectory = tiny_spec().trajectory
    assert checkpoint.write_weights(path, learner.sampler, trajectory, 12) == record.weights_sha256
    assert path.read_bytes() == (run.parent / "weights.safetensors").read_bytes()


def test_weights_in_another_order_of_memory_are_written(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    digest = checkpoint.write_weights(tmp_path / "weights.safetensors", network, "trajectory", 3)
    assert digest == artifacts.file_digest(tmp_path / "weights.safetensors")
    found = load_file(tmp_path / "weights.safetensors")
    assert same(found, {name: value.contiguous() for name, value in network.state_dict().items()})


def test_weights_that_share_memory_are_written(tmp_path: Path) -> None:
    network = torch.nn.ModuleDict({"first": torch.nn.Linear(2, 2), "second": torch.nn.Linear(2, 2)})
    network["second"].weight = network["first"].weight
    checkpoint.write_weights(tmp_path / "weights.safetensors", network, "trajectory", 3)
    assert same(load_file(tmp_path / "weights.safetensors"), network.state_dict())


# ------------------------------------------------------------------------------------------- checkpoints


def saved(folder: Path, identity: Identity) -> Path:
    Checkpoints(folder, identity).save(checkpoint.build(tiny_spec()), HISTORY)
    return folder / "checkpoint-00000003.pt"


def test_a_checkpoint_gives_back_its_history(tmp_path: Path) -> None:
    saved(tmp_path, Identity("a", "b"))
    assert Checkpoints(tmp_path, Identity("a", "b")).load(checkpoint.build(tiny_spec(seed=1))) == HISTORY


def test_without_checkpoints_there_is_no_history(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", Identity("a", "b")).load(checkpoint.build(tiny_spec())) == History()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Identity("x", "b"), "trajectory_sha256 is x but this one's is a"),
        (Identity("a", "y"), "data_sha256 is y but this one's is b"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(found: Identity, message: str, tmp_path: Path) -> None:
    path, learner = saved(tmp_path, found), checkpoint.build(tiny_spec(seed=1))
    before = copy.deepcopy(learner.save())
    with pytest.raises(CheckpointError) as error:
        Checkpoints(tmp_path, Identity("a", "b")).load(learner)
    assert f"{path}: is of another training: {message}; move the file away" in str(error.value)
    assert same(learner.save(), before)


def test_checkpoints_up_to_a_step_are_found_the_newest_first(tmp_path: Path) -> None:
    for step in (4, 12, 8):
        (tmp_path / f"checkpoint-{step:08d}.pt").touch()
    kept = Checkpoints(tmp_path, Identity("a", "b"))
    found = {until: [checkpoint.step_of(path) for path in kept.paths(until)] for until in (None, 12, 8, 7, 3)}
    assert found == {None: [12, 8, 4], 12: [12, 8, 4], 8: [8, 4], 7: [4], 3: []}


def test_the_two_newest_checkpoints_and_those_of_a_longer_run_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 9):
        (tmp_path / f"checkpoint-{step:08d}.pt").touch()
    saved(tmp_path, Identity("a", "b"))
    assert [checkpoint.step_of(path) for path in Checkpoints(tmp_path, Identity("a", "b")).paths()] == [9, 3, 2]


def test_recomputed_steps_are_not_replayed() -> None:
    spec = tiny_spec()
    for settings, replays in ({}, True), ({"activation_checkpointing": True}, False), ({"replay": False}, False):
        training = spec.training.model_copy(update=settings)
        assert checkpoint.build(spec.model_copy(update={"training": training})).replays == replays


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, message in ((0, "format 0 is not 1; train"), (2, "is of format 2, written by a newer version")):
        with monkeypatch.context() as patch:
            patch.setattr(CheckpointHeader, "FORMAT", number)
            saved(tmp_path, Identity("a", "b"))
        with pytest.raises(CheckpointError, match=message):
            Checkpoints(tmp_path, Identity("a", "b")).load(checkpoint.build(tiny_spec()))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_a_checkpoint_cannot_execute_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"learner": Bomb()}, tmp_path / "checkpoint-00000001.pt")
    (tmp_path / "checkpoint-00000002.pt").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(CheckpointError, match="all checkpoints are damaged"):
        Checkpoints(tmp_path, Identity("a", "b")).load(checkpoint.build(tiny_spec()))
    assert not (tmp_path / "exploded").exists()
    lines = capsys.readouterr().err.splitlines()
    assert [line.count("checkpoint is damaged (") for line in lines] == [1, 1]  # each reason in one line


def test_a_full_disk_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(content: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\); make room there, or"):
        saved(tmp_path, Identity("a", "b"))
    assert not list(tmp_path.iterdir())
