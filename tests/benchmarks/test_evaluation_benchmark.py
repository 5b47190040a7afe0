"""The benchmark of an evaluation's memory runs every stage to its end. How much any needs, is not tested."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEEING = ["libraries", "reference: real images", "reading the reference", "generated images"]
MEASURES = ["frechet", "frechet-error", "inception-score", "precision-recall, 8 images", "kid", "frechet-infinity"]
SMALL = ["--images", "40", "--features", "4", "--classes", "3", "--manifolds", "8", "--cores", "1"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc)")]


def run(*options):
    command = [sys.executable, "benchmarks/evaluation.py", *SMALL, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_stage_is_measured():
    said = run()
    assert said.returncode == 0, said.stderr
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.stdout.splitlines() if "|" in line]
    assert lines[0] == ["", "seconds", "peak MB", "MB afterwards"]
    assert [line[0] for line in lines[2:]] == [*SEEING, *MEASURES]
    for _, *cells in lines[2:]:
        assert all(re.fullmatch(r"[\d.,]+", cell) for cell in cells), cells
        peak, afterwards = (float(cell.replace(",", "")) for cell in cells[1:])
        assert 10 < afterwards <= peak + 2  # what libraries have alone is more; pages of files may come in between


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "39", "--features", "10"], "--images must be at least 20 and four times --features"),
        (["--images", "19"], "--images must be at least 20 and four times --features"),
        (
            ["--cores", "0"],
            "--features, --classes and --cores must be at least 1, --manifolds at least 4",
        ),
    ],
)
def test_too_small_a_number_is_refused(options, message):
    said = run(*options)
    assert said.returncode == 2
    assert message in said.stderr
