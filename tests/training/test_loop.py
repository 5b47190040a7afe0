"""The loop: outputs, resuming after anything, and messages when it cannot continue."""

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from ganformer import artifacts
from ganformer.config import ImageSpec, Spec
from ganformer.data.dataset import Images
from ganformer.data.shuffle import Order
from ganformer.errors import CheckpointError, ConfigError, DataError, TrainingError
from ganformer.records.run import Run
from ganformer.seeds import mix
from ganformer.training import checkpoint, distribution, loop, writer
from ganformer.training import record as records
from ganformer.training.adversarial import Adversarial
from ganformer.training.writer import RunWriter
from tests.training.tiny_runs import (
    NAMES,
    InterruptionError,
    final_state,
    interrupt,
    partly_trained,
    same,
    tiny_spec,
    write_pack,
)

pytestmark = pytest.mark.slow

Start = Callable[[Spec, Path, float], "subprocess.Popen[str]"]


def train(spec: Spec, pack: Path, out: Path, minutes: float = 5.0) -> None:
    loop.train(spec, pack, out, names=NAMES, threads=1, gpus=0, checkpoint_minutes=minutes)


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# ----------------------------------------------------------------------------------------------- outputs


def test_a_run_leaves_its_record_weights_and_snapshots(pack: Path, tmp_path: Path) -> None:
    spec = tiny_spec(12)
    train(spec, pack, tmp_path)
    record = artifacts.read_json(tmp_path / "run.json")
    assert record["format"] == 1
    assert record["run"] == {"dataset": "noise", "model": "tiny", "seed": 0}
    assert record["spec"] == spec.model_dump(mode="json")
    assert record["spec_sha256"] == spec.digest
    assert record["data"] == {"data_sha256": Images(pack).digest, "count": 40, "label_counts": [], "class_names": []}
    assert record["hardware"]["device"] == "cpu"
    assert record["hardware"]["threads"] == 1
    assert record["hardware"]["gpus"] == 0
    assert record["libraries"] == {"torch": torch.__version__, "numpy": np.__version__}
    assert record["parameters"] == {"generator": 1941, "discriminator": 1553}
    assert (record["steps"], record["kimg"], record["sessions"]) == (12, 0.048, 1)
    assert record["seconds_per_kimg"] == pytest.approx(record["wall_seconds"] / 0.048)
    assert record["peak_memory_mb"] > 0
    assert record["started"] <= record["finished"]
    assert [snapshot["step"] for snapshot in record["snapshots"]] == [4, 8, 12]
    assert record["snapshots"][-1]["file"] == "weights.safetensors"
    for snapshot in record["snapshots"]:
        assert artifacts.file_digest(tmp_path / snapshot["file"]) == snapshot["sha256"]
    assert record["weights_sha256"] == record["snapshots"][-1]["sha256"]


def test_a_run_can_be_watched(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_spec(20), pack, tmp_path)
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == [7, 10, 13, 20]
    assert lines[-1]["kimg"] == 0.08
    assert lines[-1].keys() >= {"seconds", "images_per_second", "generator", "discriminator"}
    assert "r1" in lines[-1]  # step 17 had it
    with Image.open(tmp_path / "samples" / "kimg000000.080.png") as grid:
        assert grid.size == (8 * 8, 4 * 8)
    assert (tmp_path / "samples" / "reals.png").exists()
    (events,) = (tmp_path / "tensorboard").iterdir()
    board = EventAccumulator(str(events)).Reload()
    assert [event.step for event in board.Scalars("generator")] == [7, 10, 13, 20]
    assert [event.step for event in board.Images("samples")] == [7, 13, 20]
    assert [event.step for event in board.Images("reals")] == [0]
    assert "train noise/tiny seed 0" in capsys.readouterr().err


def test_a_checkpoint_is_saved_when_its_minutes_are_over(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved, after, save = [0.0], [], RunWriter.after, RunWriter._save

    def after_a_minute(self: RunWriter, step: int, scalars: Mapping[str, Tensor], *, is_stopping: bool) -> None:
        now[0] += 60
        after(self, step, scalars, is_stopping=is_stopping)

    def noted(self: RunWriter, step: int) -> None:
        saved.append(step)
        save(self, step)

    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(RunWriter, "after", after_a_minute)
    monkeypatch.setattr(RunWriter, "_save", noted)
    train(tiny_spec(11), pack, tmp_path, minutes=3.0)
    assert saved == [3, 6, 9, 11]
    assert artifacts.read_json(tmp_path / "run.json")["wall_seconds"] == 660


def test_a_finished_run_is_left_alone(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_spec(), pack, tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    train(tiny_spec(), pack, tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    said = capsys.readouterr().out
    assert "holds this run already, complete; nothing is trained; to train it anew, give --restart" in said


def test_lost_outputs_are_written_again_as_they_were(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under another commit, on another day: what was trained before keeps the provenance it has."""
    train(tiny_spec(), pack, tmp_path)
    files = [tmp_path / "weights.safetensors", tmp_path / "run.json"]
    before, lines = [file.read_bytes() for file in files], log_of(tmp_path)
    for file in files:
        file.unlink()
    another_origin(monkeypatch)
    train(tiny_spec(), pack, tmp_path)
    assert [file.read_bytes() for file in files] == before
    assert log_of(tmp_path) == lines
    assert "all 12 steps are done; nothing is trained; to train it anew, give --restart" in capsys.readouterr().out


@pytest.mark.parametrize("number", [0, -1], ids=["snapshot", "weights"])
def test_damaged_weights_of_a_finished_run_are_written_again(
    number: int, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_spec(), pack, tmp_path)
    record = (tmp_path / "run.json").read_bytes()
    file = tmp_path / artifacts.read_json(tmp_path / "run.json")["snapshots"][number]["file"]
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    train(tiny_spec(), pack, tmp_path)
    assert file.read_bytes() == before
    assert f"{file} is damaged, its sha256 is not the one in run.json; making it again" in capsys.readouterr().out
    again = artifacts.read_json(tmp_path / "run.json")
    if number == -1:  # no step was trained again
        assert (tmp_path / "run.json").read_bytes() == record
    assert again["snapshots"] == json.loads(record)["snapshots"]


def another_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give processes another commit and another time from here on."""
    monkeypatch.setattr(artifacts, "code_version", lambda: {"ganformer": "9", "commit": "f" * 12, "dirty": False})
    monkeypatch.setattr(records, "now", lambda: "2040-01-01T00:00:00+00:00")


def test_a_restart_trains_the_same_weights_anew(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tiny_spec(), pack, tmp_path)
    before = artifacts.read_json(tmp_path / "run.json")
    another_origin(monkeypatch)
    loop.train(tiny_spec(), pack, tmp_path, names=NAMES, threads=1, gpus=0, restart=True)
    after = artifacts.read_json(tmp_path / "run.json")
    assert after["weights_sha256"] == before["weights_sha256"]
    assert (after["code"]["commit"], after["started"]) == ("f" * 12, "2040-01-01T00:00:00+00:00")
    assert len(after["stretches"]) == 1


def test_each_stretch_of_training_says_what_it_was_made_with(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        partly_trained(tiny_spec(), pack, tmp_path, patch, 7)
    first = artifacts.code_version()
    another_origin(monkeypatch)
    loop.train(tiny_spec(), pack, tmp_path, names=NAMES, threads=2, gpus=0)
    run = artifacts.read_json(tmp_path / "run.json")
    stretches = run["stretches"]
    assert [(each["first"], each["last"]) for each in stretches] == [(0, 7), (7, 12)]
    assert [each["code"] for each in stretches] == [first, {"ganformer": "9", "commit": "f" * 12, "dirty": False}]
    assert [each["hardware"]["threads"] for each in stretches] == [1, 2]
    assert all(each["libraries"]["torch"] == torch.__version__ for each in stretches)
    assert run["wall_seconds"] == pytest.approx(sum(each["wall_seconds"] for each in stretches))
    assert (run["sessions"], run["code"], run["hardware"]) == (2, stretches[1]["code"], stretches[1]["hardware"])
    assert (run["started"], run["finished"]) == (stretches[0]["started"], stretches[1]["ended"])


# --------------------------------------------------------------------------------- of another length


def lengths(steps: int, snapshots: int) -> Spec:
    spec = tiny_spec(steps)
    return spec.model_copy(update={"training": spec.training.model_copy(update={"snapshots": snapshots})})


def of_snapshots(out: Path) -> dict[int, str]:
    """Return sha256 of the weights of every snapshot by its step."""
    found = {each["step"]: each["sha256"] for each in artifacts.read_json(out / "run.json")["snapshots"]}
    assert {step: artifacts.file_digest(path_of(out, step)) for step in found} == found
    return found


def path_of(out: Path, step: int) -> Path:
    kept = {each["step"]: each["file"] for each in artifacts.read_json(out / "run.json")["snapshots"]}
    return out / kept[step]


@pytest.mark.parametrize(
    ("shorter", "longer", "trained"),
    [
        ((12, 3), (24, 6), [(0, 12), (12, 24)]),  # the end of the shorter run is one on the way
        ((12, 3), (24, 2), [(0, 12), (12, 24)]),
        ((12, 3), (18, 1), [(0, 12), (12, 18)]),
        ((12, 4), (12, 2), [(0, 12)]),  # fewer snapshots
        ((12, 1), (12, 2), [(0, 12)]),  # more of them: the ones that were not kept are trained again
        ((12, 3), (24, 8), [(0, 24)]),
    ],
)
def test_a_finished_run_can_be_lengthened(
    shorter: tuple[int, int],
    longer: tuple[int, int],
    trained: list[tuple[int, int]],
    pack: Path,
    tmp_path: Path,
) -> None:
    """A run made longer has the same bytes as one that was this long from the beginning."""
    train(lengths(*longer), pack, tmp_path / "at once")
    train(lengths(*shorter), pack, tmp_path / "later")
    train(lengths(*longer), pack, tmp_path / "later")
    assert of_snapshots(tmp_path / "later") == of_snapshots(tmp_path / "at once")
    assert same(final_state(tmp_path / "later"), final_state(tmp_path / "at once"))
    record = artifacts.read_json(tmp_path / "later" / "run.json")
    assert [(each["first"], each["last"]) for each in record["stretches"]] == trained
    assert record["spec_sha256"] == lengths(*longer).digest
    learner, _ = checkpoint.restore(tmp_path / "later" / "run.json")
    assert learner is not None


def test_going_back_for_a_snapshot_is_said(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(lengths(12, 1), pack, tmp_path)
    capsys.readouterr()
    train(lengths(12, 2), pack, tmp_path)
    told = "the weights of step 6 were not kept when this run was trained to step 12; training again from the start"
    assert told in capsys.readouterr().out


def test_a_shorter_run_leaves_the_longer_one_to_go_on_from(pack: Path, tmp_path: Path) -> None:
    train(lengths(12, 1), pack, tmp_path)
    end = of_snapshots(tmp_path)
    train(lengths(6, 1), pack, tmp_path)
    assert list(of_snapshots(tmp_path)) == [6]
    train(lengths(12, 1), pack, tmp_path)
    assert of_snapshots(tmp_path) == end
    assert len(artifacts.read_json(tmp_path / "run.json")["stretches"]) == 1


# ----------------------------------------------------------------------------------- of somebody else


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 1, "imported": {"file": "network.pkl"}}, "is the record of an imported run, which training would"),
        ({"my": "notes"}, "is no record of a run of this program, and training would replace it"),
        ([1], "is no record of a run of this program, and training would replace it"),
    ],
)
def test_a_folder_of_another_run_is_refused(content: Any, message: str, pack: Path, tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "run.json", content)
    (tmp_path / "weights.safetensors").write_bytes(b"theirs")
    with pytest.raises(CheckpointError, match=f"{re.escape(str(tmp_path / 'run.json'))}: {message}"):
        train(tiny_spec(), pack, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "weights.safetensors"]
    assert (tmp_path / "weights.safetensors").read_bytes() == b"theirs"


@pytest.mark.parametrize("name", ["weights.safetensors", "log.jsonl", "samples/mine.png", "tensorboard/mine"])
def test_files_without_a_record_are_not_replaced(name: str, pack: Path, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"theirs")
    with pytest.raises(CheckpointError, match="was written by something else than a training here"):
        train(tiny_spec(), pack, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_files_beside_those_of_a_run_stay(pack: Path, tmp_path: Path) -> None:
    train(tiny_spec(), pack, tmp_path)
    mine = [tmp_path / name for name in ("samples/mine.png", ".notes.tmp", "samples/.mine.tmp", "notes.txt")]
    for path in mine:
        path.write_bytes(b"mine")
    train(tiny_spec(seed=1), pack, tmp_path)
    loop.train(tiny_spec(seed=1), pack, tmp_path, names=NAMES, threads=1, gpus=0, restart=True)
    assert [path.read_bytes() for path in mine] == [b"mine"] * 4


def test_another_spec_in_the_same_folder_starts_from_the_beginning(pack: Path, tmp_path: Path) -> None:
    train(tiny_spec(12), pack, tmp_path)
    train(tiny_spec(9), pack, tmp_path)
    assert artifacts.read_json(tmp_path / "run.json")["steps"] == 9
    assert [line["step"] for line in log_of(tmp_path)] == [3, 6, 9]
    assert {path.stem for path in (tmp_path / "samples").iterdir()} == {
        "reals",
        "kimg000000.012",
        "kimg000000.024",
        "kimg000000.036",
    }


def test_another_run_in_the_same_folder_is_said_and_can_come_back(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_spec(), pack, tmp_path)
    files = [tmp_path / "weights.safetensors", tmp_path / "run.json"]
    first, lines = [file.read_bytes() for file in files], log_of(tmp_path)
    told = "holds a run of other settings or images, which this one replaces when it is done; the checkpoints of that"
    assert told not in capsys.readouterr().out
    train(tiny_spec(seed=1), pack, tmp_path)
    assert told in capsys.readouterr().out
    train(tiny_spec(24, seed=1), pack, tmp_path)
    assert told not in capsys.readouterr().out
    train(tiny_spec(), pack, tmp_path)
    assert told in capsys.readouterr().out
    assert [file.read_bytes() for file in files] == first
    assert log_of(tmp_path) == lines
    train(tiny_spec(24), pack, tmp_path)
    assert [line["step"] for line in log_of(tmp_path)] == [*(line["step"] for line in lines), 16, 20, 24]


def test_runs_of_another_seed_differ(pack: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        train(tiny_spec(seed=seed), pack, tmp_path / str(seed))
    assert not same(final_state(tmp_path / "0"), final_state(tmp_path / "1"))


# ---------------------------------------------------------------------------------------------- resuming


def test_killed_at_any_time_a_run_ends_in_the_same_bits(pack: Path, tmp_path: Path, start: Start) -> None:
    spec = tiny_spec(200)
    train(spec, pack, tmp_path / "whole")
    killed = tmp_path / "killed"
    for step in sorted(random.Random(0).sample(range(1, 60), 2)):
        process = start(spec, killed, 0.0)
        wait_for_checkpoint(killed, step, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (killed / "run.json").exists()
    process = start(spec, killed, 0.0)
    assert process.wait() == 0, process.stderr
    assert (killed / "weights.safetensors").read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()
    assert same(final_state(killed), final_state(tmp_path / "whole"))
    assert snapshots(killed) == snapshots(tmp_path / "whole")
    assert artifacts.read_json(killed / "run.json")["sessions"] == 3
    assert [line["step"] for line in log_of(killed)] == [line["step"] for line in log_of(tmp_path / "whole")]
    assert not list(killed.rglob("*.tmp"))


def snapshots(out: Path) -> list[Any]:
    return list(artifacts.read_json(out / "run.json")["snapshots"])


def wait_for_checkpoint(out: Path, step: int, process: "subprocess.Popen[str]") -> None:
    """Until there is a checkpoint of at least this step; the process must still be at work then."""
    while not any(int(path.stem.rpartition("-")[2]) >= step for path in out.glob("state/*/checkpoint-*.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_saves_and_ends_with_a_message(
    number: signal.Signals, pack: Path, tmp_path: Path, start: Start
) -> None:
    spec = tiny_spec(20_000)
    process = start(spec, tmp_path, 60.0)
    while not (tmp_path / "log.jsonl").exists() or not log_of(tmp_path):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    message = process.communicate()[1]
    assert process.returncode == 1
    found = re.search(rf"StoppedError: stopped by {number.name} at step (\d+); run again to resume", message)
    assert found, message
    assert [path.name for path in tmp_path.glob("state/*/*.pt")] == [f"checkpoint-{int(found[1]):08d}.pt"]
    assert not (tmp_path / "run.json").exists()


def test_two_processes_never_train_in_one_folder(pack: Path, tmp_path: Path, start: Start) -> None:
    first = start(tiny_spec(20_000), tmp_path, 60.0)
    while not (tmp_path / "log.jsonl").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = start(tiny_spec(6), tmp_path, 60.0)
    assert second.stdout is not None
    assert "train noise/tiny seed 0: another process trains in" in second.stdout.readline()
    first.kill()
    assert second.wait() == 0
    assert artifacts.read_json(tmp_path / "run.json")["steps"] == 6


def test_two_checkpoints_are_kept(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = partly_trained(tiny_spec(), pack, tmp_path, monkeypatch, 7)
    assert [path.name for path in paths] == ["checkpoint-00000007.pt", "checkpoint-00000006.pt"]


def test_a_truncated_checkpoint_is_passed_over(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_spec(), pack, tmp_path / "whole")
    newest, _ = partly_trained(tiny_spec(), pack, tmp_path / "cut", monkeypatch, 7)
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tiny_spec(), pack, tmp_path / "cut")
    assert f"{newest}: checkpoint is damaged" in capsys.readouterr().err
    assert same(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))


def test_only_damaged_checkpoints_are_an_error(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in partly_trained(tiny_spec(), pack, tmp_path, monkeypatch, 7):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="all checkpoints are damaged; delete the folder to train from the start"):
        train(tiny_spec(), pack, tmp_path)


def test_a_lost_snapshot_is_made_again(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    partly_trained(tiny_spec(), pack, tmp_path, monkeypatch, 7)
    (snapshot,) = tmp_path.glob("state/*/step-*.safetensors")
    before = snapshot.read_bytes()
    snapshot.unlink()
    monkeypatch.undo()
    train(tiny_spec(), pack, tmp_path)
    assert snapshot.read_bytes() == before
    assert "the weights of step 4 were not kept" in capsys.readouterr().out


def test_the_log_has_every_step_once_after_a_resume(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(40)
    interrupt(monkeypatch, 25)
    with pytest.raises(InterruptionError):
        train(spec, pack, tmp_path)
    assert [line["step"] for line in log_of(tmp_path)] == [10, 13, 20]
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"run": "half a li')
    train(spec, pack, tmp_path)  # no checkpoint yet: from the start
    assert [line["step"] for line in log_of(tmp_path)] == [10, 13, 20, 27, 30, 40]


# ---------------------------------------------------------------------------------------------- messages


def diverge_after(finished: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loss of the step behind so many finished steps be NaN."""
    real = Adversarial.step

    def step(self: Adversarial, reals: Sequence[Tensor], step: int) -> Mapping[str, Tensor]:
        scalars = dict(real(self, reals, step))
        return scalars | {"generator": torch.tensor(torch.nan)} if step == finished else scalars

    monkeypatch.setattr(Adversarial, "step", step)


def test_a_loss_that_is_not_finite_ends_training_and_keeps_what_was_good(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge_after(5, monkeypatch)
    with pytest.raises(
        TrainingError, match=r"step 6: generator is nan; .*Last good checkpoint: \S+00000005.pt"
    ) as error:
        train(tiny_spec(), pack, tmp_path, minutes=0)
    assert Path(re.search(r"checkpoint: (\S+\.pt)", str(error.value))[1]).exists()  # type: ignore[index]
    assert not list(tmp_path.glob("state/*/checkpoint-00000006.pt"))
    assert not (tmp_path / "run.json").exists()


def kept(spec: Spec) -> Spec:
    """Return the run with `on_divergence: keep`."""
    training = spec.training.model_copy(update={"on_divergence": "keep"})
    return spec.model_copy(update={"training": training})


@pytest.mark.parametrize(("finished", "before"), [(5, 4), (8, 8), (2, None)])
def test_a_run_that_diverged_can_be_kept_as_at_the_snapshot_before(
    pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    finished: int,
    before: int | None,
) -> None:
    spec = kept(tiny_spec(12))
    train(spec, pack, tmp_path / "whole")
    with monkeypatch.context() as patch:
        diverge_after(finished, patch)
        train(spec, pack, tmp_path / "run")
    said = capsys.readouterr().out
    assert f"diverged, kept as it was at the snapshot before. step {finished + 1}: generator is nan" in said
    record = Run.read(tmp_path / "run" / "run.json")
    assert record.diverged_kimg == finished * 4 / 1000
    assert [kept.step for kept in record.snapshots] == [4, 8, 12]
    assert record.seconds_per_kimg == pytest.approx(record.wall_seconds / record.diverged_kimg)  # type: ignore[operator]
    assert not record.changed_files(tmp_path / "run")

    def weights(folder: str, step: int | None) -> dict[str, Tensor]:
        if step is None:
            return dict(checkpoint.build(spec).sampler.state_dict())
        return dict(checkpoint.restore(tmp_path / folder / "run.json", step)[0].sampler.state_dict())

    for step in (4, 8, 12):
        assert same(weights("run", step), weights("whole", step if step <= finished else before))
    train(spec, pack, tmp_path / "run")  # it is complete, though it would not diverge now
    assert "complete" in capsys.readouterr().out
    assert record.diverged_before(0.048) == {"diverged_kimg": finished * 4 / 1000}
    assert record.diverged_before(0.004) == {}


def test_a_run_that_diverged_at_once_keeps_the_weights_that_it_started_from(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_spec(3), pack, tmp_path / "source")
    diverge_after(2, monkeypatch)
    train(kept(tiny_spec(12, initial=tmp_path / "source")), pack, tmp_path / "run")
    source, run = (checkpoint.restore(tmp_path / name / "run.json")[0] for name in ("source", "run"))
    assert same(source.sampler.state_dict(), run.sampler.state_dict())


def test_weights_that_are_not_finite_end_training(pack: Path, tmp_path: Path) -> None:
    spec = tiny_spec(adversarial={"generator_learning_rate": 1e38, "discriminator_learning_rate": 1e38})
    with pytest.raises(
        TrainingError, match=r"step \d+: the (generator|discriminator)'s .*Last good checkpoint: none yet"
    ):
        train(spec, pack, tmp_path)


def test_a_pack_smaller_than_a_batch_is_refused(tmp_path: Path) -> None:
    few = write_pack(tmp_path / "few", 7)
    with pytest.raises(
        DataError, match=r"few: holds 7 images but a batch is 16; pack more images, or set training.batch"
    ):
        train(tiny_spec(batch=16), few, tmp_path / "out")


def test_a_pack_of_another_shape_is_refused(pack: Path, tmp_path: Path) -> None:
    spec = tiny_spec().model_copy(update={"image": ImageSpec(height=16, width=16)})
    with pytest.raises(
        DataError, match="holds images of 8×8 pixels, 3 channels, 0 classes but the run is for 16×16 pixels"
    ):
        train(spec, pack, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written .*; choose an output folder that you may write to"):
        train(tiny_spec(), pack, tmp_path / "file" / "out")


def test_a_batch_that_gpus_cannot_share_is_refused(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganformer.devices.acquire_all", lambda gpus: [torch.device("cpu")] * 3)
    with pytest.raises(ConfigError, match=r"training\.batch 4 cannot be shared by 3 GPUs in microbatches of 1"):
        train(tiny_spec(), pack, tmp_path)


def test_checkpoints_of_another_run_are_refused(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = tiny_spec(12), tiny_spec(12, seed=1)
    newest, _ = partly_trained(mine, pack, tmp_path, monkeypatch, 7)
    identity = checkpoint.Identity(other.trajectory, Images(pack).digest)
    newest.parent.rename(tmp_path / "state" / identity.digest[:12])
    with pytest.raises(CheckpointError) as error:
        train(other, pack, tmp_path)
    told = f"trajectory_sha256 is {mine.trajectory} but this one's is {other.trajectory}; move the file away"
    assert told in str(error.value)


def test_two_processes_train_one_run(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has half of every batch; the processes know the real kinds of models only."""
    monkeypatch.setattr("ganformer.devices.acquire_all", lambda gpus: [torch.device("cpu")] * 2)
    small = {"channel_base": 32, "channel_max": 4, "latent_size": 4, "mapping_layers": 1}
    loop.train(tiny_spec(4, kind="stylegan2", **small), pack, tmp_path, names=NAMES, threads=2, gpus=0)
    learner, record = checkpoint.restore(tmp_path / "run.json")
    assert record.steps == 4
    assert (record.hardware["threads"], record.hardware["gpus"]) == (2, 0)  # of all processes together
    assert learner.sample(torch.zeros(2, 0), range(2)).isfinite().all()


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, ranks: int) -> None:
    monkeypatch.setattr(distribution, "rank", lambda: rank)
    monkeypatch.setattr(distribution, "ranks", lambda: ranks)


def steps_of(pack: Path, folder: Path, **training: Any) -> loop.Steps:
    spec = tiny_spec(4, batch=8)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=training)})
    checkpoints = checkpoint.Checkpoints(folder, checkpoint.Identity("", ""))
    return loop.Steps(spec, Images(pack), checkpoints, 4, torch.device("cpu"))


@pytest.mark.parametrize("microbatch", [None, 2])
@pytest.mark.parametrize("step", [0, 7])
def test_the_shares_of_two_ranks_are_the_halves_of_a_batch(
    step: int, microbatch: int | None, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(pack, tmp_path, microbatch=microbatch)
    whole = torch.cat([part.images for part in steps._microbatches(step)])
    shares = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        microbatches = steps._microbatches(step)
        assert [len(part.images) for part in microbatches] == ([2, 2] if microbatch else [4])
        shares.append(torch.cat([part.images for part in microbatches]))
    assert torch.cat(shares).equal(whole)
    assert len(whole.unique(dim=0)) == 8


@pytest.mark.parametrize(("most", "shown"), [(writer.GRID_IMAGES, 32), (99, 40)])
def test_the_images_that_are_shown_are_those_of_the_first_batches_and_not_flipped(
    most: int, shown: int, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of a small pack are shown once each."""
    monkeypatch.setattr(loop, "GRID_IMAGES", most)
    steps = steps_of(pack, tmp_path)
    assert steps.spec.mirror
    order = Order(40, mix(steps.spec.seed, "data")).indices(0, shown)
    assert steps.first_reals().equal(torch.from_numpy(Images(pack).read(order)).float() / 127.5 - 1)


def test_every_rank_and_every_step_draws_numbers_of_its_own(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "share", lambda buffers: None)
    steps, drawn = steps_of(pack, tmp_path), []
    monkeypatch.setattr(steps.learner, "step", lambda reals, step: drawn.append(torch.rand(()).item()) or {})
    for rank in (0, 1, 0):
        as_rank(monkeypatch, rank, 2)
        assert len(list(steps)) == 4
    assert drawn[:4] == drawn[8:]
    assert len(set(drawn)) == 8


# ------------------------------------------------------------------------------------------------- parts


def test_ahead_gives_what_was_read_for_each_step() -> None:
    assert list(loop.ahead(lambda step: step * step, range(3, 6))) == [(3, 9), (4, 16), (5, 25)]
    assert list(loop.ahead(lambda step: step, range(4, 4))) == []


def test_an_error_of_the_reader_arrives() -> None:
    def read(step: int) -> int:
        raise DataError("a shard is gone")

    with pytest.raises(DataError, match="a shard is gone"):
        list(loop.ahead(read, range(2)))


def test_a_flipped_byte_in_the_data_is_noticed_where_that_is_asked_for(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "pack", 40)
    shard = pack / "images-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=r"images-00000\.npy: not the bytes that were packed"):
        loop.train(tiny_spec(4), pack, tmp_path / "run", names=NAMES, threads=1, gpus=0, check_data=True)
    train(tiny_spec(4), pack, tmp_path / "run")
