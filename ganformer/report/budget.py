"""Measurements of models at equal budgets: of images shown, or of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.records.run import RUN_FILE
from ganformer.report import formatting, records

if TYPE_CHECKING:
    import pandas as pd

Budget = Literal["images", "time"]


class Budgeted(Experiment):
    """Settings of a table of models that are compared at an equal budget."""

    budget: Budget = "images"
    """Compare at the end of training, or by `time` at the last snapshot that each run reached within one duration. That
    needs enough `snapshots`, and runs that were trained on one machine with nothing else running."""
    minutes: PositiveFloat | None = None
    """Duration with `budget: time`; None: that of the quickest whole training on the data set."""

    def records(self, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements, and with `budget: time` the record of each run for its speed."""
        if self.budget == "images":
            return self.metrics(configuration)
        return [*self.of_runs(RUN_FILE), *self.metrics(configuration, every_snapshot=True)]


def measured(experiment: Budgeted, files: Sequence[Path]) -> pd.DataFrame:
    """Return the numbers of every run at the budget, as `records.measurements` does; `minutes` is the training time.

    `minutes` is missing with `budget: images`. Raises DataError if a run is missing, or one has no snapshot within the
    budget.
    """
    metrics = [file for file in files if file.name != RUN_FILE]
    every = records.needed(records.measurements(metrics), experiment, "metrics")
    if experiment.budget == "images":
        return records.last(every)
    runs = records.needed(records.runs(file for file in files if file.name == RUN_FILE), experiment, RUN_FILE)
    speed = runs.assign(speed=[record.seconds_per_kimg / 60 for record in runs["record"]])[[*records.RUN, "speed"]]
    timed = every.merge(speed, on=records.RUN)
    timed = timed.assign(minutes=timed["kimg"] * timed["speed"]).drop(columns="speed")
    within = timed[timed["minutes"] <= timed["dataset"].map(minutes(experiment, timed)) * (1 + 1e-9)]
    _refuse_slow(experiment, timed, within)
    return records.last(within)


def minutes(experiment: Budgeted, timed: pd.DataFrame) -> dict[str, float]:
    """Return the budget of each data set, in minutes."""
    if experiment.minutes is not None:
        return dict.fromkeys(experiment.datasets, experiment.minutes)
    whole = timed.groupby(records.RUN)["minutes"].max()
    return {str(dataset): float(least) for dataset, least in whole.groupby("dataset").min().items()}


def _refuse_slow(experiment: Budgeted, timed: pd.DataFrame, within: pd.DataFrame) -> None:
    reached = set(within["file"])
    first = timed.sort_values("minutes").drop_duplicates(records.RUN)
    slow = first[~first["file"].isin(reached)]
    if len(slow):
        row = slow.iloc[0]
        raise DataError(
            f"{row['file']}: is the first snapshot of its run, after {formatting.duration(60 * row['minutes'])} of "
            f"training, but '{experiment.title}' compares at "
            f"{formatting.duration(60 * minutes(experiment, timed)[row['dataset']])}; "
            "set more training.snapshots, or more minutes"
        )
