"""Figure of a metric against the thousands of images seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganformer.config import Config as Configuration
from ganformer.report import drawing, formatting, records, series, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3  # side by side
WIDE = 20  # times the smallest value: from there on the axis is logarithmic, since late differences would not be seen


class Config(series.Plotted):
    """Settings of the figure of a metric against the thousands of images seen."""

    kind: Literal["learning-curves"] = "learning-curves"
    place = 20

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements of all snapshots."""
        return self.metrics(configuration, every_snapshot=True)


def draw(experiment: Config, metrics: Sequence[Path], out: Path) -> None:
    """Draw a metric against the thousands of images seen: `out`.png, .pdf, .csv and .json; a panel for each data set.

    `metrics`: metrics.json of several steps of every run; other runs are left out. One line a model, the mean over its
    seeds, with a band of one standard deviation; of one seed, error bars of the uncertainty of measuring where it is
    known. The csv has them unrounded, in the metric's own unit. Raises DataError if a run or the metric is missing.
    """
    measured = records.needed(records.measurements(metrics), experiment, "metrics")
    chosen = series.of_metric(experiment, measured)
    titles = {dataset: series.conditions(dataset, chosen) for dataset in experiment.datasets}
    numbers = series.in_order(experiment, series.over_seeds(chosen, ["dataset", "model", "kimg"]))
    shown = formatting.metric(experiment.metric, chosen["name"].iloc[0])
    points = series.to_show(numbers, shown)
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _panels(experiment, points, shown, titles)
        axis = "; the axis is logarithmic" if _is_wide(points) else ""
        reading = series.reading(experiment, points, shown, "band")
        caption = f"{shown.title} at the snapshots of training: {reading}{axis}."
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=_ends(experiment, points, shown))


def _panels(experiment: Config, points: pd.DataFrame, shown: formatting.Metric, titles: Mapping[str, str]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    columns = min(PANELS, len(experiment.datasets))
    rows = -(-len(experiment.datasets) // columns)
    figure = drawing.figure(0.9 + 3.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, dataset in zip(grid.flat, experiment.datasets, strict=False):
        series.lines(axes, experiment, points[points["dataset"] == dataset], "kimg")
        axes.set_xlim(left=0)
        if _is_wide(points):
            _make_logarithmic(axes, points)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(titles[dataset], loc="left", weight="bold", size=10)
        axes.set_xlabel("thousands of real images shown (kimg)", size=9)
    for axes in grid.flat[len(experiment.datasets) :]:
        axes.remove()
    figure.supylabel(shown.heading, size=10)
    series.legend(figure, grid.flat[0])
    return figure


def _is_wide(points: pd.DataFrame) -> bool:
    low, high = points["mean"].min(), points["mean"].max()
    return bool(low > 0 and high >= WIDE * low)


def _make_logarithmic(axes: Axes, points: pd.DataFrame) -> None:
    """Give `axes` a logarithmic axis from half the smallest mean, below which a band may reach, also below 0."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.set_ylim(bottom=points["mean"].min() / 2)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _ends(experiment: Config, points: pd.DataFrame, shown: formatting.Metric) -> str:
    """Describe the figure: the end of each line."""
    ends = points.groupby(["dataset", "model"])["mean"].last()
    said = [
        f"{formatting.model(model)} on {dataset} at {formatting.quantity(ends.loc[dataset, model])}"
        for dataset in experiment.datasets
        for model in experiment.models
    ]
    return f"Lines of {shown.title} against thousands of images seen, ending with {formatting.listing(said)}."
