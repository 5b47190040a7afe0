"""Numbers and lines of figures of one metric of several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.report import drawing, formatting, records

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X"


class Plotted(Experiment):
    """Settings of a figure of one metric."""

    shape = "figure"
    forms = ("csv", "png", "pdf")

    metric: Literal["fd", "is", "precision", "recall"] = "fd"


def at_end(experiment: Plotted, metrics: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of the experiment's metric at the end of training, as `of_metric` does.

    Raises DataError if a run or the metric is missing, or runs on one data set were trained for different lengths.
    """
    measured = records.last(records.needed(records.measurements(metrics), experiment, "metrics"))
    for _, rows in measured.groupby("dataset", sort=False):
        lengths = rows.drop_duplicates("kimg")
        if len(lengths) > 1:
            (one, other), (short, long) = lengths["file"].iloc[:2], lengths["kimg"].iloc[:2]
            raise DataError(
                f"{one} was measured after {formatting.kimg(short)} kimg of training, {other} after "
                f"{formatting.kimg(long)}, so '{experiment.title}' cannot compare them; pass metrics of both at "
                "the end of equally long training"
            )
    return of_metric(experiment, measured)


def of_metric(experiment: Plotted, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the experiment's metric; `error` is their uncertainty of measuring, NaN if unknown.

    Raises DataError if a file does not have the metric.
    """
    values = measured[measured["metric"] == experiment.metric]
    lacking = set(measured["file"]) - set(values["file"])
    if lacking:
        raise DataError(
            f"{min(lacking)}: has no '{experiment.metric}', which '{experiment.title}' draws; add what measures it to "
            "evaluation.metrics and evaluate again"
        )
    errors = measured[measured["metric"] == f"{experiment.metric}_std"].set_index("file")["value"]
    return values.assign(error=values["file"].map(errors).astype(float))


def over_seeds(chosen: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return one row for each of `by`: name of the metric, mean, std, seeds, error.

    `std` is the standard deviation over the seeds, NaN of one; `error` the mean uncertainty of measuring.
    """
    groups = chosen.groupby([*by, "name"], sort=False)
    numbers = groups.agg(
        mean=("value", "mean"), std=("value", "std"), seeds=("seed", "nunique"), error=("error", "mean")
    )
    return numbers.reset_index().rename(columns={"name": "metric"})


def in_order(experiment: Plotted, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the experiment's order of data sets and models, then by kimg."""
    order = {"dataset": experiment.datasets, "model": experiment.models}

    def places(column: pd.Series) -> pd.Series:
        return column.map(order[str(column.name)].index) if column.name in order else column

    return numbers.sort_values(["dataset", "model", "kimg"], key=places, ignore_index=True)


def conditions(dataset: str, chosen: pd.DataFrame) -> str:
    """Return the conditions of the numbers of a data set; DataError if they were measured in different ways."""
    return formatting.conditions(dataset, records.recipe(chosen, dataset), chosen["by"].iloc[0])


def to_show(numbers: pd.DataFrame, shown: formatting.Metric) -> pd.DataFrame:
    """Return numbers in the unit shown, and `spread`: over the seeds, or the uncertainty of measuring one."""
    spread = numbers["std"].where(numbers["seeds"] > 1, numbers["error"])
    return numbers.assign(mean=numbers["mean"] * shown.scale, spread=spread * shown.scale)


def reading(experiment: Plotted, points: pd.DataFrame, shown: formatting.Metric, spread: str) -> str:
    """Return a phrase on the mean, the spread as `spread` (band, error bars) and the better direction."""
    seeds = len(experiment.seeds)
    over = "one seed per model" if seeds == 1 else f"mean over {seeds} seeds, {spread} of one standard deviation"
    if seeds == 1 and points["spread"].notna().any():
        over += ", error bars of the uncertainty of measuring (one standard deviation)"
    return over + {"low": "; lower is better", "high": "; higher is better", None: ""}[shown.better]


def lines(axes: Axes, experiment: Plotted, points: pd.DataFrame, across: str) -> None:
    """Draw a line for each model over the column `across`: with a band of the seeds, or error bars of measuring."""
    colours = drawing.colours(experiment.models)
    for i, model in enumerate(experiment.models):
        line = points[points["model"] == model]
        x, mean, spread, colour = line[across], line["mean"], line["spread"], colours[model]
        axes.plot(x, mean, marker=MARKERS[i % len(MARKERS)], ms=5, lw=1.8, color=colour, label=formatting.model(model))
        if len(experiment.seeds) > 1:
            spread = spread.fillna(0)
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
        elif spread.notna().any():
            axes.errorbar(x, mean, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.8)


def legend(figure: Figure, axes: Axes) -> None:
    """Draw the names of the lines below everything."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
