"""Runs that are opened by their folder while their training has not ended."""

import copy
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ganformer
from ganformer import artifacts
from ganformer.analysis.generate import Request, generate
from ganformer.config import Evaluation, Spec
from ganformer.data.dataset import Images
from ganformer.errors import CheckpointError, ConfigError
from ganformer.metrics.sets import Generated, open_set
from ganformer.records.run import TrainingData
from ganformer.records.training import TrainingRecord, is_unfinished, trainings
from ganformer.report.status import runs_below, status
from ganformer.training import checkpoint, loop
from ganformer.training.checkpoint import Checkpoints, write_weights
from ganformer.training.runs import open_run
from tests.training.tiny_runs import NAMES, partly_trained, same, tiny_spec

Start = Callable[[Spec, Path, float], "subprocess.Popen[str]"]

pytestmark = pytest.mark.slow


@pytest.fixture
def killed(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the folder of a training of 12 steps that was killed behind the 7th."""
    partly_trained(tiny_spec(), pack, tmp_path / "killed", monkeypatch, 7)
    return tmp_path / "killed"


def state(folder: Path) -> Path:
    (found,) = (folder / "state").glob("*/spec.json")
    return found.parent


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_settings_are_beside_the_checkpoints(killed: Path, pack: Path) -> None:
    assert artifacts.read_json(state(killed) / "spec.json") == {
        "format": 1,
        "run": {"dataset": "noise", "model": "tiny", "seed": 0},
        "spec": tiny_spec().model_dump(mode="json"),
        "spec_sha256": tiny_spec().digest,
        "trajectory_sha256": tiny_spec().trajectory,
        "data": {"data_sha256": Images(pack).digest, "count": 40, "label_counts": [], "class_names": []},
        "steps": 12,
    }


def test_the_newest_checkpoint_is_opened_and_said_and_nothing_is_changed(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(killed)
    path, learner, record = open_run(killed)
    assert content(killed) == before
    assert capsys.readouterr() == (
        "",
        f"{killed}: still training or stopped; its checkpoint of step 7 of 12 (0.028 kimg) is used\n",
    )
    saved = torch.load(state(killed) / "checkpoint-00000007.pt", weights_only=True)["learner"]
    average = {name.removeprefix("sampler."): value for name, value in saved["network"].items() if "sampler." in name}
    assert same(dict(learner.sampler.state_dict()), average)
    assert path == killed
    assert (record.steps, record.kimg, record.spec) == (7, 0.028, tiny_spec().model_dump(mode="json"))
    assert record.data == TrainingData(data_sha256=record.data.data_sha256, count=40, label_counts=[], class_names=[])
    # The sha256 that a snapshot at this step would have.
    sha256 = write_weights(tmp_path / "seven", learner.sampler, tiny_spec().trajectory, 7)
    assert record.weights_sha256 == record.end.sha256 == sha256


def test_the_sha256_is_that_of_a_file_of_weights(killed: Path) -> None:
    kept = state(killed) / "step-00000004.safetensors"
    learner = checkpoint.build(tiny_spec())
    learner.sampler.load_state_dict(load_file(kept))
    assert checkpoint.weights_digest(learner.sampler, tiny_spec().trajectory, 4) == artifacts.file_digest(kept)


def test_its_progress_is_told_while_a_process_trains_and_when_it_is_killed(tmp_path: Path, start: Start) -> None:
    process = start(tiny_spec(20_000), tmp_path, 60.0)
    while not (tmp_path / "log.jsonl").exists() or len((tmp_path / "log.jsonl").read_text().splitlines()) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    assert runs_below([tmp_path]) == [tmp_path]
    found = status(tmp_path)
    assert process.poll() is None
    assert (found.run, found.state, found.steps) == ("noise/tiny seed 0", "training", 20_000)
    assert found.step is not None
    assert 20 <= found.step < 20_000
    assert found.images_per_second
    assert found.eta_seconds
    process.kill()
    process.wait()
    assert status(tmp_path).state == "stopped"


def test_its_images_are_generated_measured_and_sampled(killed: Path, pack: Path, tmp_path: Path) -> None:
    before = content(killed)
    generate(killed, Request(2, 5, 8, 1.0, None, True), tmp_path / "out", as_grid=False, as_npz=True, threads=1, gpus=0)
    with np.load(tmp_path / "out" / "images.npz") as arrays:
        generated = arrays["arr_0"]
    run = ganformer.load_run(killed)
    assert run.record.steps == 7
    assert run.snapshots == [7]
    assert (run.sample([5, 6]) == generated).all()
    measured = open_set(str(killed), Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "images": 3}))
    assert isinstance(measured, Generated)
    assert (len(measured), measured.title) == (3, f"{killed} at step 7")
    assert artifacts.read_json(tmp_path / "out" / "generated.json")["weights_sha256"] == run.record.weights_sha256
    assert content(killed) == before


def test_a_finished_run_is_opened_as_before(killed: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop.train(tiny_spec(), pack, killed, names=NAMES, threads=1, gpus=0)
    capsys.readouterr()
    assert not is_unfinished(killed)
    path, learner, record = open_run(killed)
    assert (path, record.steps) == (killed / "run.json", 12)
    assert same(dict(learner.sampler.state_dict()), load_file(killed / "weights.safetensors"))
    assert capsys.readouterr() == ("", "")


def test_other_steps_than_that_of_the_checkpoint_are_refused(killed: Path) -> None:
    with pytest.raises(CheckpointError, match=r"killed: no snapshot of step 4; the record has 7"):
        open_run(killed, 4)
    assert open_run(killed, 7).record.steps == 7


def test_a_checkpoint_that_is_removed_meanwhile_is_looked_for_again(
    killed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, load = state(killed), torch.load
    opened: list[str] = []

    def removing(path: Path, **options: Any) -> Any:
        """Let the training go on to the 8th step when the 7th is read."""
        opened.append(Path(path).stem)
        if len(opened) == 1:
            Path(path).rename(folder / "checkpoint-00000008.pt")
        return load(path, **options)

    monkeypatch.setattr(torch, "load", removing)
    assert open_run(killed).record.steps == 7  # by its header
    assert opened == ["checkpoint-00000007", "checkpoint-00000008"]
    assert "damaged" not in capsys.readouterr().err


def test_a_damaged_checkpoint_is_passed_over(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = state(killed) / "checkpoint-00000007.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert open_run(killed).record.steps == 6
    assert f"{newest}: checkpoint is damaged" in capsys.readouterr().err


def test_of_several_trainings_the_latest_is_used_and_that_is_said(
    killed: Path, pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = state(killed)
    partly_trained(tiny_spec(seed=1), pack, killed, monkeypatch, 3)
    (second,) = {path.parent for path in killed.glob("state/*/spec.json")} - {first}
    capsys.readouterr()
    for latest, seed, step in ((second, 1, 3), (first, 0, 7)):
        for path in killed.glob("state/*/*"):
            os.utime(path, (1e9, 2e9 if path.parent == latest else 1e9))
        assert trainings(killed)[0] == latest
        record = open_run(killed).record
        assert (record.run.seed, record.steps) == (seed, step)
        assert "is used; it is the latest of 2 trainings there\n" in capsys.readouterr().err


def test_trainings_of_earlier_versions_have_no_settings_there(killed: Path) -> None:
    path = state(killed) / "spec.json"
    path.unlink()
    message = (
        "is not there, as in trainings of earlier versions, so nothing tells the settings of the checkpoints; start"
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(path))}: {message} the training again"):
        open_run(killed)


def test_settings_that_were_changed_are_refused(killed: Path) -> None:
    path = state(killed) / "spec.json"
    settings = copy.deepcopy(json.loads(path.read_text()))
    settings["spec"]["seed"] = 5
    path.write_text(json.dumps(settings))
    with pytest.raises(
        CheckpointError, match=r"spec\.json: the spec was changed by hand; start the training again, wh"
    ):
        TrainingRecord.of(path.parent).settings(path)


def test_without_a_checkpoint_there_is_nothing_to_sample(killed: Path) -> None:
    for path in state(killed).glob("*.pt"):
        path.unlink()
    with pytest.raises(
        CheckpointError, match=r"killed: its training has not ended and has no whole checkpoint yet; wa"
    ):
        open_run(killed)


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert not is_unfinished(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no run\.json here; name the folder of a finished or imported run"):
        open_run(tmp_path)


def test_a_longer_training_is_written_down_and_the_same_one_is_not(
    killed: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state(killed) / "spec.json"
    os.utime(path, (1e9, 1e9))
    partly_trained(tiny_spec(), pack, killed, monkeypatch, 8)
    assert path.stat().st_mtime == 1e9
    partly_trained(tiny_spec(24), pack, killed, monkeypatch, 9)
    assert TrainingRecord.of(path.parent).steps == 24
    assert open_run(killed).record.steps == 9
    assert Checkpoints(path.parent, None).paths()[0].name == "checkpoint-00000009.pt"  # type: ignore[arg-type]
