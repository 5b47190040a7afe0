"""Planning and the report's commands import no library before they need it; each job of a cluster plans three times."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ganformer import plugins

MEASURE = {"PYTHONPROFILEIMPORTTIME": "1"}
# pandas, numpy and requests are Snakemake's own.
NOT_PLANNED = {"torch", "scipy", "h5py", "matplotlib", "gdown", "safetensors", "tensorboard"}
NOT_REPORTED = NOT_PLANNED - {"matplotlib"} | {"requests", "lmdb", "snakemake"}
TABLES = {"table1", "table2", "table3", "cost", "best.json"}
FIGURES = {"learning_curves", "samples", "attention", "attention_segmentation", "report.html"}


def imported(said):
    """Return names of all modules that a run with Python's option `importtime` lists."""
    found = set(re.findall(r"^import time:.*\| +([\w.]+)$", said, re.MULTILINE))
    assert "ganformer.config" in found, said
    return found


@pytest.mark.parametrize("preset", [None, "paper"])
def test_planning_imports_no_torch(checkout, preset):
    # Of a preset only what needs no file that users bring.
    words = [] if preset is None else ["packs", "--configfile", f"workflow/presets/{preset}.yaml"]
    said = checkout.snakemake("-n", *words, environment=MEASURE)
    assert said.returncode == 0, said.stdout
    assert imported(said.stdout) & NOT_PLANNED == set()


@pytest.fixture(scope="module")
def commands(finished):
    """Return the graph's commands that make tables, figures and the page, by the names of their outputs."""
    said = finished.smoke("-n", "--forceall", "--printshellcmds", "all", "best_checkpoint")
    found = {}
    for line in re.findall(r"exec ganformer (.*)", said.stdout):
        words = shlex.split(line)
        made = Path(words[words.index("--out") + 1]).name if "--out" in words else ""
        if made in TABLES | FIGURES:
            found.setdefault(made, words)
    return found


@pytest.mark.parametrize("kind", sorted(TABLES | FIGURES))
def test_reporting_imports_no_torch(finished, commands, tmp_path, kind):
    words = list(commands[kind])
    place = words.index("--out") + 1
    words[place] = str(tmp_path / Path(words[place]).name)
    words[words.index("--log") + 1] = str(tmp_path / "log")
    call = [sys.executable, "-X", "importtime", "-m", "ganformer", *words]
    done = subprocess.run(call, cwd=finished.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert imported(done.stderr) & (NOT_REPORTED | ({"matplotlib"} if kind in TABLES else set())) == set()
    assert len(list(tmp_path.iterdir())) > 1


def test_settings_of_tables_and_figures_import_nothing_that_draws():
    modules = [f"ganformer.exhibits.{name.replace('-', '_')}" for name in plugins.names("ganformer.exhibits")]
    assert len(modules) > 10
    call = [sys.executable, "-X", "importtime", "-c", f"import ganformer.config, {', '.join(modules)}"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert imported(done.stderr) & (NOT_REPORTED | {"pandas", "matplotlib", "PIL"}) == set()
