#!/usr/bin/env python
"""Processor time of planning, and of each command that makes a table, a figure or the page, beside an earlier checkout.

    python benchmarks/planning.py CHECKOUT [--repeats R] [--results FOLDER]

CHECKOUT: another checkout of this project, such as `git worktree add ../before COMMIT` makes. In each of the two the
smallest configuration runs first with three models, a minute or two; `--results`: a folder to keep that in for another
time. What is measured are then `snakemake -n` of a finished and of an unbegun reproduction, and the graph's own
commands, in turn, each in a process of its own. Printed are medians of seconds of user and system time.
"""

import argparse
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import comparisons
import yaml

HERE = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "tests/smoke.yaml")
PUBLISHED = "results/published.csv"  # where it was before it came with the package
MODELS = ["stylegan2", "simplex", "duplex"]
FEW = "few.yaml"
CONFIGURED = ["--cores", "2", "--configfile", "tests/smoke.yaml", FEW]
REPORT = {"draw", "page", "best"}
# Commands of checkouts that had one for each kind.
REPORT |= {"comparison", "parsed", "cost", "learning-curves", "data-efficiency", "ablation", "samples", "attention"}
REPORT |= {"attention-segmentation", "memorisation"}


class Side:
    """One checkout, and a folder with its workflow in which that has run."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        for part in (*PARTS, *([PUBLISHED] if (checkout / PUBLISHED).exists() else [])):
            copy = folder / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            if (checkout / part).is_dir():
                shutil.copytree(checkout / part, copy, dirs_exist_ok=True)
            else:
                shutil.copy(checkout / part, copy)
        experiments = yaml.safe_load((checkout / "config.yaml").read_text())["experiments"]
        few = {name: self._few(entry) for name, entry in experiments.items()}
        (folder / FEW).write_text(yaml.safe_dump({"experiments": few}))
        self.run("snakemake", *CONFIGURED)

    @staticmethod
    def _few(experiment: Mapping[str, object]) -> dict[str, list[str]]:
        listed = experiment.get("models", [])
        assert isinstance(listed, list)
        return {"models": [name for name in MODELS if name in listed]} if listed else {}

    def run(self, module: str, *words: str) -> tuple[str, float]:
        """Return the output of a command, and the processor time of it and its children in seconds."""
        before = _seconds()
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{self.folder}: {module} {shlex.join(words)}: {done.stdout}")
        return done.stdout, _seconds() - before

    def commands(self) -> dict[str, list[str]]:
        """Return the graph's commands that make tables, figures and the page, by the name of their output."""
        said, _ = self.run("snakemake", *CONFIGURED, "--forceall", "--dry-run", "--printshellcmds")
        found: dict[str, list[str]] = {}
        for line in re.findall(r"exec ganformer (.*)", said):
            words = shlex.split(line)
            if REPORT.intersection(words[:5]):
                found.setdefault(Path(words[words.index("--out") + 1]).name, words)
        return found


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run all comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the earlier checkout")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side")
    parser.add_argument("--results", type=Path, help="folder that keeps what was run, instead of a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ganformer-planning-") as temporary:
        home = (options.results or Path(temporary)).resolve()
        sides = {"now": Side(HERE, home / "now"), "before": Side(options.checkout.resolve(), home / "before")}
        rows = [
            _row("snakemake -n, finished", sides, ["snakemake", *CONFIGURED, "-n"], options.repeats),
            _row("snakemake -n --forceall", sides, ["snakemake", *CONFIGURED, "-n", "--forceall"], options.repeats),
        ]
        commands = {name: side.commands() for name, side in sides.items()}
        for kind in sorted(commands["now"].keys() & commands["before"].keys()):
            calls = {name: ["ganformer", *commands[name][kind]] for name in sides}
            rows.append(_row(f"ganformer … {kind}", sides, calls, options.repeats))
    comparisons.print_table("Processor time of this checkout beside the other one, seconds", rows)


def _row(
    title: str, sides: Mapping[str, Side], calls: Mapping[str, Sequence[str]] | Sequence[str], repeats: int
) -> dict[str, str]:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            seconds[name].append(side.run(*(calls[name] if isinstance(calls, Mapping) else calls))[1])
    now, before = (statistics.median(seconds[name]) for name in ("now", "before"))
    return {"": title, "now": f"{now:.2f}", "before": f"{before:.2f}", "part": f"{now / before:.2f}"}


if __name__ == "__main__":
    main()
