"""A kind of table that is not in this package: one file, its caption beside it, and an entry of the configuration."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow import warm
from tests.workflow.checkouts import ROOT

KIND = '''
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.report import formatting, records
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report.table import Table, write


class Config(Experiment):
    """Table of the steps of each run."""

    place = 15
    shape = "table"
    forms = ("csv", "md", "tex")

    kind: Literal["step-table"] = "step-table"
    every: PositiveInt = 1
    """Steps are counted in so many."""

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        for name in self.models:
            if name == "vqgan":
                yield "models", "'vqgan' counts other steps; leave it out"

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        return self.of_runs("run.json")


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    import pandas as pd

    found = records.needed(records.runs(files), experiment, "run.json")
    numbers = pd.DataFrame(
        {"model": found["model"], "steps": [record.steps // experiment.every for record in found["record"]]}
    )
    rows = [
        [Cell(formatting.model(model)), Cell(str(steps))]
        for model, steps in zip(numbers["model"], numbers["steps"], strict=True)
    ]
    columns = [Column("Model", is_number=False), Column("Steps <&>")]
    write(Table(experiment.title, "Steps of training.", [Block("", columns, rows)]), numbers, out)
'''
CAPTION = (
    '**{{ snakemake.config["experiments"][snakemake.wildcards.experiment]["title"] }}.** A caption from outside.\n'
)
ENTRY = """
experiments:
  mine: {kind: step-table, title: Steps of my own, datasets: [scenes], models: [gan, duplex], every: 2}
"""
METADATA = "Metadata-Version: 2.1\nName: step-tables\nVersion: 1.0\n"
ENTRY_POINTS = "[ganformer.exhibits]\nstep-table = step_table\n"


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which another package with the kind is installed."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "step_table.py").write_text(KIND, encoding="utf-8")
    (folder / "step-table.rst").write_text(CAPTION, encoding="utf-8")
    (folder / "step_tables-1.0.dist-info").mkdir()
    (folder / "step_tables-1.0.dist-info" / "METADATA").write_text(METADATA, encoding="utf-8")
    (folder / "step_tables-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(warm.FOLDER), os.environ.get("PYTHONPATH", "")])}


def test_a_kind_from_outside_is_drawn_and_on_the_page(finished, checkout, outside: dict[str, str]) -> None:
    shutil.rmtree(checkout.folder)
    shutil.copytree(finished.folder, checkout.folder, symlinks=True)
    (checkout.folder / "mine.yaml").write_text(ENTRY, encoding="utf-8")
    words = ["--cores", "2", "--configfile", "tests/smoke.yaml", "mine.yaml"]
    said = checkout.snakemake(*words, environment=outside)
    assert said.returncode == 0, said.stdout
    assert "step_table_table" in said.stdout
    assert "rule train" not in said.stdout
    tables = checkout.folder / "results/tables"
    rows = list(csv.DictReader((tables / "mine.csv").read_text().splitlines()))
    assert [(row["model"], int(row["steps"])) for row in rows] == [("gan", 4), ("duplex", 4)]
    assert "| GANformer (duplex) | 4 |" in (tables / "mine.md").read_text()
    assert "GANformer (duplex) & 4 \\\\" in (tables / "mine.tex").read_text()
    page = (checkout.folder / "results/report.html").read_text()
    assert '<article class="exhibit" id="mine">' in page
    assert "Steps &lt;&amp;&gt;" in page
    assert page.index('id="table1"') < page.index('id="mine"') < page.index('id="learning_curves"')
    said = checkout.snakemake("--report", "all.html", *words[2:], environment=outside)
    assert said.returncode == 0, said.stdout
    assert "A caption from outside." in (checkout.folder / "all.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("every: 2", "every: 0"), "experiments.mine.every: Input should be greater than 0, got 0"),
        (("gan, duplex", "vqgan"), "experiments.mine.models: 'vqgan' counts other steps; leave it out"),
        (("step-table", "step-tabel"), "experiments.mine: kind 'step-tabel' is unknown; did you mean 'step-table'?"),
        (("gan, duplex", "gann"), "experiments.mine.models.0: 'gann' is not an entry of models"),
    ],
)
def test_its_settings_are_checked(
    tmp_path: Path, outside: dict[str, str], change: tuple[str, str], message: str
) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(ENTRY.replace(*change), encoding="utf-8")
    call = [sys.executable, "-m", "ganformer", "check", str(ROOT / "config.yaml"), str(overlay)]
    said = subprocess.run(call, env={**os.environ, **outside}, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 1
    assert message in said.stderr, said.stderr
