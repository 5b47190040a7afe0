"""The benchmark of measures runs to its end, and all ways give the same values. How fast any is, is not tested."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS = ["ganformer", "scipy.linalg.sqrtm", "numpy.linalg.eigvals"]
NEAR = [f"{way}, {images} images" for images in (24, 48) for way in ("ganformer, in tiles", "whole matrices")]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)")


def run(*options):
    command = [sys.executable, "benchmarks/metrics.py", "--repeats", "1", "--cores", "1", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def tables(printed):
    """Of each table its rows, as first cell and the others by their columns."""
    found = []
    for text in printed.split("###")[1:]:
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
        found.append({first: dict(zip(lines[0][1:], cells, strict=True)) for first, *cells in lines[2:]})
    return found


def test_all_ways_are_measured_and_give_the_same_values():
    said = run("--images", "24", "--features", "8")
    assert said.returncode == 0, said.stderr
    regular, singular, near, kernels = tables(said.stdout)
    assert list(regular) == WAYS
    assert list(singular) == [*WAYS, "numpy.linalg.svd of features"]
    assert list(near) == NEAR
    assert list(kernels) == ["ganformer", "plain"]
    for table in (regular, singular, near, kernels):
        for cells in table.values():
            assert all(re.fullmatch(r"-?[\d.,]+(e[-+]?\d+)?|–", cell) for cell in cells.values()), cells
    assert float(regular["ganformer"]["off"]) < 1e-6
    assert float(singular["ganformer"]["off"]) < 1e-6
    assert kernels["ganformer"]["value"] == kernels["plain"]["value"]
    for ours, whole in (NEAR[:2], NEAR[2:]):
        assert [near[ours][key] for key in ("precision", "recall")] == [
            near[whole][key] for key in ("precision", "recall")
        ]
    assert regular["scipy.linalg.sqrtm"]["× sqrtm"] == kernels["plain"]["× plain"] == "1.00"


@pytest.mark.parametrize("option", ["--images", "--features", "--repeats", "--cores"])
def test_too_small_a_number_is_refused(option):
    said = run(option, "0")
    assert said.returncode == 2
    assert "--images must be at least 10, --features at least 4, --repeats and --cores at least 1" in said.stderr
