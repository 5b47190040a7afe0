"""Progress of runs, read from folders that are made by hand."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ganformer.errors import DataError
from ganformer.report import status as module
from ganformer.report.status import Status, runs_below, show, speed, status, table
from tests.run_records import CONTENT

NOW = 2e9
SPEC = {
    "format": 1,
    "run": {"dataset": "scenes", "model": "duplex", "seed": 3},
    "spec": {"training": {"batch": 4}},
    "spec_sha256": "5" * 64,
    "trajectory_sha256": "7" * 64,
    "data": {"data_sha256": "d" * 64, "count": 10},
    "steps": 1000,
}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock."""
    monkeypatch.setattr(module.time, "time", lambda: NOW)


def write(path: Path, text: str, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOW - age, NOW - age))
    return path


def line(step: int, seconds: float, run: str = "abc", rate: float = 99.0) -> dict[str, Any]:
    return {"run": run, "step": step, "kimg": step * 4 / 1000, "seconds": seconds, "images_per_second": rate}


def log(folder: Path, lines: Sequence[Mapping[str, Any]], age: float = 0, end: str = "") -> None:
    write(folder / "log.jsonl", "".join(json.dumps(each) + "\n" for each in lines) + end, age)


def finished(folder: Path, age: float = 0, **content: Any) -> Path:
    write(folder / "run.json", json.dumps({**CONTENT, "seconds_per_kimg": 8.0, **content}), age)
    return folder


def begun(folder: Path, state: str = "abc", age: float = 0) -> Path:
    write(folder / "state" / state / "spec.json", json.dumps(SPEC), age)
    (folder / "state" / "lock").touch()
    return folder


def test_a_finished_run(tmp_path: Path) -> None:
    log(finished(tmp_path), [line(8, 1.0)], age=61)
    assert status(tmp_path) == Status(
        folder=str(tmp_path),
        run="scenes/duplex seed 3",
        state="done",
        step=8,
        steps=8,
        kimg=1.0,
        images_per_second=125.0,  # 8 seconds a thousand
        eta_seconds=None,
        last_line_seconds=61.0,
    )


@pytest.mark.parametrize(
    ("content", "state"), [({"diverged_kimg": 0.5}, "diverged"), ({"imported": {"file": "x.pkl"}}, "imported")]
)
def test_runs_that_diverged_or_are_imported(tmp_path: Path, content: Mapping[str, Any], state: str) -> None:
    assert status(finished(tmp_path, **content)).state == state


def test_a_training_is_one_whose_lock_is_held(tmp_path: Path) -> None:
    log(begun(tmp_path), [line(250, 2.0), line(500, 3.0), line(750, 42.0)], age=5, end='{"run": "abc", "st')
    stopped = Status(
        folder=str(tmp_path),
        run="scenes/duplex seed 3",
        state="stopped",
        step=750,
        steps=1000,
        kimg=3.0,
        images_per_second=50.0,  # 2,000 images in 40 seconds
        eta_seconds=None,
        last_line_seconds=5.0,
    )
    assert status(tmp_path) == stopped
    with FileLock(tmp_path / "state" / "lock"):
        found = status(tmp_path)
    assert found.state == "training"
    assert found.eta_seconds == 20.0  # 250 steps of 4 images
    assert status(tmp_path) == stopped


def test_speed_is_that_of_the_last_ten_lines(tmp_path: Path) -> None:
    log(begun(tmp_path), [line(0, 0.0), *(line(100 * n, 100.0 + n) for n in range(1, 11))])
    assert status(tmp_path).images_per_second == pytest.approx(400.0)


def test_speed_of_one_line_is_the_one_it_names() -> None:
    assert speed([line(10, 2.0, rate=7.0)]) == 7.0
    assert speed([line(10, 2.0), line(20, 2.0, rate=8.0)]) == 8.0  # of no time
    assert speed([]) is None


def test_lines_of_other_runs_and_of_measurements_are_passed_over(tmp_path: Path) -> None:
    lines = [line(10, 1.0), line(90, 2.0, run="other"), {"run": "abc", "step": 30, "fd_random_vgg16": 3.0}]
    log(begun(tmp_path), lines)
    assert (status(tmp_path).step, status(tmp_path).images_per_second) == (10, 99.0)


def test_a_checkpoint_behind_the_last_line_counts(tmp_path: Path) -> None:
    log(begun(tmp_path), [line(10, 1.0)])
    (tmp_path / "state" / "abc" / "checkpoint-00000014.pt").touch()
    assert (status(tmp_path).step, status(tmp_path).kimg) == (14, 0.056)


def test_a_training_that_has_just_begun(tmp_path: Path) -> None:
    found = status(begun(tmp_path))
    assert (found.step, found.steps, found.kimg, found.images_per_second) == (0, 1000, 0.0, None)
    assert (found.eta_seconds, found.last_line_seconds) == (None, None)


def test_trainings_of_earlier_versions_tell_less(tmp_path: Path) -> None:
    write(tmp_path / "state" / "abc" / "checkpoint-00000014.pt", "")
    assert runs_below([tmp_path]) == [tmp_path]
    assert status(tmp_path) == Status(str(tmp_path), None, "stopped", 14, None, None, None, None, None)


def test_a_finished_run_that_is_made_longer_is_a_training(tmp_path: Path) -> None:
    begun(finished(tmp_path, age=50), age=60)
    assert status(tmp_path).state == "done"
    begun(tmp_path, age=40)
    assert (status(tmp_path).state, status(tmp_path).steps) == ("stopped", 1000)
    finished(tmp_path, age=30)
    assert status(tmp_path).state == "done"
    with FileLock(tmp_path / "state" / "lock"):
        assert status(tmp_path).state == "training"


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log(begun(tmp_path), [{**line(step, step), "filling": "x" * 500} for step in range(1, 401)])
    assert (tmp_path / "log.jsonl").stat().st_size > 3 * module.TAIL_BYTES
    assert status(tmp_path).step == 400


def test_runs_are_found_below_folders_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b/seed0", "a/seed1", "a/seed0"):
        finished(tmp_path / "runs" / name)
    begun(tmp_path / "runs" / "c")
    (tmp_path / "runs" / "photos" / "state").mkdir(parents=True)
    expected = [tmp_path / "runs" / name for name in ("a/seed0", "a/seed1", "b/seed0", "c")]
    assert runs_below([tmp_path, tmp_path / "runs"]) == expected
    assert runs_below([tmp_path / "runs" / "c"]) == [tmp_path / "runs" / "c"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: is no folder; name one with runs in it"):
        runs_below([tmp_path / "nowhere"])


FOUND = [
    Status("runs/a", "scenes/duplex seed 0", "training", 1500, 25000, 48.0, 118.26, 3725.0, 7.2),
    Status("runs/longer", None, "stopped", 14, None, 0.056, None, None, None),
    Status("runs/new", None, "stopped", None, None, None, None, None, None),
]


def test_a_table_has_columns() -> None:
    assert table(FOUND, []).splitlines() == [
        "run          state             step   kimg  images/s      ETA  last line",
        "runs/a       training  1,500/25,000     48     118.3  1:02:05   0:07 ago",
        "runs/longer  stopped           14/?  0.056         –        –          –",
        "runs/new     stopped            –/?      –         –        –          –",
    ]


def test_no_runs_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show([tmp_path])
    assert capsys.readouterr().out == f"no runs below {tmp_path}\n"


def test_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "run")
    show([tmp_path], as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "folder": str(tmp_path / "run"),
        "run": "scenes/duplex seed 3",
        "state": "done",
        "step": 8,
        "steps": 8,
        "kimg": 1.0,
        "images_per_second": 125.0,
        "eta_seconds": None,
        "last_line_seconds": None,
    }


def test_watching_prints_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        show([tmp_path], every=2.5)
    assert waited == [2.5, 2.5]
    assert capsys.readouterr().out == f"no runs below {tmp_path}\n\nno runs below {tmp_path}\n"
