"""The best snapshot of a run, from hand-made records."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ganformer.errors import DataError
from ganformer.report.best import best

MakeFile = Callable[..., Path]
SNAPSHOTS = [
    {"step": step, "kimg": step * 16 / 1000, "file": f"{step}", "sha256": f"{step}"} for step in (250, 500, 1000)
]


def test_smallest_distance_wins_and_the_earlier_of_equal_ones(tmp_path: Path, run: MakeFile, fd: MakeFile) -> None:
    record = run(snapshots=SNAPSHOTS)
    out = tmp_path / "best.json"
    best("fd", record, [fd(9.0, step=250), fd(4.0, step=500), fd(4.0, step=1000)], out)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found == {
        "format": 1,
        "run": {"dataset": "scenes", "model": "duplex", "seed": 0},
        "step": 500,
        "kimg": 8.0,
        "by": {"name": "fd_random_vgg16", "value": 4.0},
        "weights": str(record.parent / "500"),
        "weights_sha256": "500",
        "measured": {"250": 9.0, "500": 4.0, "1000": 4.0},
    }


def test_largest_score_wins(tmp_path: Path, run: MakeFile, metrics: MakeFile, capsys: pytest.CaptureFixture) -> None:
    scores = {250: 2.0, 500: 3.0, 1000: 1.0}
    files = [metrics(step=step, values={"is": {"name": "is50k", "value": value}}) for step, value in scores.items()]
    record = run(snapshots=SNAPSHOTS)
    best("is", record, files, tmp_path / "best.json")
    assert json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))["step"] == 500
    assert capsys.readouterr().out == f"{record}: the best snapshot is of step 500, is50k 3\n"


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "kid",
            r"step-1000\.json: 'kid', which decides .* not measured at every one; set best_by to one that was "
            r"\(allowed: is, new\)$",
        ),
        ("new", r"of 'new' neither small nor large values are better; choose another value as best_by$"),
    ],
)
def test_values_that_do_not_tell_are_refused(
    tmp_path: Path, run: MakeFile, metrics: MakeFile, by: str, message: str
) -> None:
    values = {"is": {"name": "is50k", "value": 1.0}, "new": {"name": "new50k", "value": 1.0}}
    with pytest.raises(DataError, match=message):
        best(by, run(), [metrics(values=values)], tmp_path / "best.json")
    assert not (tmp_path / "best.json").exists()


def test_a_value_that_one_snapshot_lacks_is_refused(
    tmp_path: Path, run: MakeFile, fd: MakeFile, metrics: MakeFile
) -> None:
    values = {"is": {"name": "is50k", "value": 1.0}}
    with pytest.raises(DataError, match=r"'fd', which decides the best snapshot, was not measured at every one"):
        best("fd", run(), [fd(1.0, step=250), metrics(step=500, values=values)], tmp_path / "best.json")


def test_metrics_of_two_runs_are_refused(tmp_path: Path, run: MakeFile, fd: MakeFile) -> None:
    with pytest.raises(
        DataError,
        match=r"seed0/step-1000\.json and .*seed1/step-1000\.json: are not of one run; name the metrics"
        " of the snapshots of one",
    ):
        best("fd", run(), [fd(1.0), fd(2.0, seed=1)], tmp_path / "best.json")
