"""The rows of growth and their figure are complete, and exponents of known data are found."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks import ROOT, programs

TINY = """
import sys; sys.path[:0] = ["benchmarks", "."]
from dataclasses import replace
from pathlib import Path
import speed
from growth import Growth
from workloads import Layer
sizes = Growth(Layer(16, 32, batch=1), widths=(32, 48), components=(2, 4), batches=(1, 2), images=(16, 32),
    packs=(20,), ranks=RANKS, rank_batch=4)
speed.print_plan(replace(speed.QUICK, rows=("growth",), repeats=1, seconds=0, growth=sizes, figure=Path(FIGURE)))
"""
LAYER = "attention layer, duplex, 32 channels, batch 1"
STEP = "training step, default duplex"
IMAGE = "generating, centroid, 16 channels, batch 1"
RANKS = "training by the clock, an image, default duplex, batch 4, a core a rank"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)"),
]


@pytest.fixture(scope="module")
def growth():
    return programs("growth")["growth"]


def rows(ranks, figure):
    """Return the cells `here` of a tiny plan by the first ones."""
    program = TINY.replace("RANKS", ranks).replace("FIGURE", repr(str(figure)))
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.stdout.splitlines()[2:]]
    return {row[0]: row[table[0].index("here")] for row in table[2:]}


def test_every_series_is_printed_and_drawn(tmp_path):
    found = rows("(1, 2)" if can_share() else "(1,)", tmp_path / "growth.png")
    units = {
        f"growth of time: {LAYER}, 16 components": ("time ~ pixels^", "ms"),
        f"growth of memory: {LAYER}, 16 components": ("memory ~ pixels^", "MB"),
        f"growth of time: {LAYER}, 16 × 16": ("time ~ components^", "ms"),
        f"growth of time: {STEP}": ("time ~ batch^", "ms"),
        f"growth of memory: {STEP}": ("memory ~ batch^", "MB"),
        f"growth of time: {IMAGE}": ("time ~ pixels^", "ms"),
        f"growth of memory: {IMAGE}": ("memory ~ pixels^", "MB"),
        "growth of time: start of training": ("time ~ images^", "ms"),
        f"growth of time: {RANKS}": ("time ~ ranks^", "ms"),
    }
    *series, (last, seconds) = found.items()
    assert {name: (cell[: cell.index("^") + 1], cell[-2:]) for name, cell in series} == units
    assert (last, seconds[-2:]) == ("start of `ganformer --help`", " s") and float(seconds[:-2]) > 0
    with Image.open(tmp_path / "growth.png") as image:
        assert np.asarray(image.convert("L")).std() > 1


def can_share():
    return len(os.sched_getaffinity(0)) > 1


def test_ranks_without_cores_are_not_measured(growth, monkeypatch):
    monkeypatch.setattr(growth.os, "sched_getaffinity", lambda _: {3})
    assert not growth.has_cores(growth.Growth())
    none = growth.Growth(widths=(), components=(), batches=(), images=(), packs=())
    assert list(growth.series(none, 0, 1)) == []


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 2.0])
def test_the_exponent_of_a_power_law_is_found(growth, exponent):
    sizes = [1, 2, 3, 5, 8]
    found = growth.fitted(sizes, [7 * size**exponent for size in sizes])
    assert found == pytest.approx((exponent, exponent, exponent), abs=1e-12)


def test_the_range_is_over_fits_without_one_point(growth):
    assert growth.fitted([1, 2, 4], [1, 2, 8]) == pytest.approx((1.5, 1.0, 2.0))  # without the third, the first
    value, *ends = growth.fitted([1, 2], [3, 6])
    assert value == pytest.approx(1) and all(map(math.isnan, ends))
    for sizes, values in (([1, 2, 4], [0, 1, 2]), ([3], [2])):
        assert all(map(math.isnan, growth.fitted(sizes, values)))


def test_small_sizes_are_left_out_of_the_fit(growth):
    series = growth.Series("work", "pixels", [1, 2, 4, 8, 16], [5, 5, 4, 8, 16])
    assert str(series) == "time ~ pixels^1.00 (1.00 to 1.00); 5 to 16 ms"
    assert str(replace(series, sizes=[1, 2], values=[3, 6], unit="MB")) == "memory ~ pixels^1.00; 3 to 6 MB"


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_figure_has_a_panel_for_each_series(growth, kind, tmp_path, monkeypatch):
    titles, panel = [], growth._panel
    monkeypatch.setattr(growth, "_panel", lambda axes, each: (panel(axes, each), titles.append(axes.get_title())))
    series = [growth.Series(f"work {number}", "pixels", [1, 2, 4], [1, 2, 4]) for number in range(5)]
    series[3:] = [replace(series[3], values=[0, 0, 1]), replace(series[4], sizes=[1], values=[3])]  # have no exponent
    growth.draw(series, tmp_path / f"growth.{kind}")
    assert titles == [each.work for each in series]
    assert [path.name for path in tmp_path.iterdir()] == [f"growth.{kind}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--figure", "growth.jpg"], "--figure: growth.jpg must end with one of .svg, .png, .pdf"),
        (
            ["--figure", "growth.svg", "--quick"],
            "--figure: the figure is of the rows growth, which are left out; add growth to --rows",
        ),
    ],
)
def test_a_figure_that_cannot_be_made_is_refused(options, message):
    said = subprocess.run([sys.executable, "-m", "benchmarks", *options], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert message in said.stderr
