"""Choice of the best snapshot of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganformer import plugins
from ganformer.errors import DataError
from ganformer.records.metrics import Best, Value
from ganformer.records.run import Run, RunName
from ganformer.report import formatting, records

if TYPE_CHECKING:
    import pandas as pd


def best(by: str, run: Path, metrics: Sequence[Path], out: Path) -> None:
    """Write the measured snapshot of a run with the best value `by`, and that value, to `out`.

    `run`: its run.json; `metrics`: metrics.json of its snapshots; of equal ones the earliest is taken. Raises DataError
    where they are of several runs, or do not have the value, and where none of its values is known to be better than
    another.
    """
    measured = records.measurements(metrics)
    if len(measured.drop_duplicates(records.RUN)) > 1:
        raise DataError(f"{metrics[0]} and {metrics[-1]}: are not of one run; name the metrics of the snapshots of one")
    found = measured[measured["metric"] == by]
    if len(found) < len(metrics):
        allowed = sorted(set(measured["metric"]))
        raise DataError(
            f"{metrics[0]}: '{by}', which decides the best snapshot, was not measured at every one; set best_by to one "
            f"that was ({plugins.choices(by, allowed)})"
        )
    row = first(found, by, "step")
    snapshot = Run.read(run).snapshot(int(row["step"]), run)
    chosen = Best(
        run=RunName(dataset=row["dataset"], model=row["model"], seed=int(row["seed"])),
        step=snapshot.step,
        kimg=float(row["kimg"]),
        by=Value(name=row["name"], value=float(row["value"])),
        weights=str(run.parent / snapshot.file),
        weights_sha256=snapshot.sha256,
        measured={str(step): value for step, value in zip(found["step"], found["value"], strict=True)},
    )
    chosen.write(out)
    print(f"{run}: the best snapshot is of step {row['step']}, {row['name']} {row['value']:.6g}", flush=True)


def first(found: pd.DataFrame, by: str, tie: str) -> pd.Series:
    """Return the row with the best value, of equal ones that with the least `tie`, a column.

    `found`: rows of the metric `by`, as `records.measurements` returns them. Raises DataError if neither small nor
    large values of it are better.
    """
    better = formatting.metric(by, found["name"].iloc[0]).better
    if better is None:
        raise DataError(f"of '{by}' neither small nor large values are better; choose another value as best_by")
    return found.sort_values(["value", tie], ascending=[better == "low", True]).iloc[0]
