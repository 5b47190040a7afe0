"""Figures of numbers: learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganformer.config import LearningCurves
from ganformer.errors import DataError
from ganformer.report import drawing, records, words

PANELS = 3  # side by side
MARKERS = "osD^vP*X"


def learning_curves(experiment: LearningCurves, metrics: Sequence[Path], out: Path) -> None:
    """Draws a metric against the thousands of images seen: `out`.png, .pdf and .json; a panel for each data set.

    `metrics`: metrics.json of several steps of every run; other runs are left out. One line a model, the mean over its
    seeds, with a band of one standard deviation. Raises DataError where a run or the metric is missing.
    """
    measured = records.needed(records.measurements(metrics), experiment, "metrics")
    titles = {dataset: words.conditions(dataset, records.recipe(measured, dataset)) for dataset in experiment.datasets}
    chosen = measured[measured["metric"] == experiment.metric]
    _check_metric(chosen, measured, experiment)
    shown = words.metric(experiment.metric, chosen["name"].iloc[0])
    curves = _curves(chosen.assign(value=chosen["value"] * shown.scale))
    with drawing.style():
        figure = _panels(experiment, curves, shown, titles)
        caption, alt = _curve_caption(experiment, shown), _ends(experiment, curves, shown)
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _check_metric(chosen: pd.DataFrame, measured: pd.DataFrame, experiment: LearningCurves) -> None:
    lacking = set(measured["file"]) - set(chosen["file"])
    if lacking:
        raise DataError(
            f"{min(lacking)}: has no '{experiment.metric}', which '{experiment.title}' draws; add what measures it to "
            "evaluation.metrics and evaluate again"
        )


def _curves(numbers: pd.DataFrame) -> pd.DataFrame:
    """Columns dataset, model, kimg, mean, std; std is 0 where there is one seed."""
    groups = numbers.groupby(["dataset", "model", "kimg"], sort=False)["value"]
    return groups.agg(["mean", "std"]).fillna({"std": 0.0}).reset_index().sort_values("kimg", kind="stable")


def _panels(experiment: LearningCurves, curves: pd.DataFrame, shown: words.Metric, titles: Mapping[str, str]) -> Figure:
    columns = min(PANELS, len(experiment.datasets))
    rows = -(-len(experiment.datasets) // columns)
    figure = Figure(figsize=(drawing.WIDTH, 0.9 + 3.6 * rows), dpi=drawing.DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, dataset in zip(grid.flat, experiment.datasets, strict=False):
        _panel(axes, experiment, curves[curves["dataset"] == dataset])
        axes.set_title(titles[dataset], loc="left", weight="bold", size=10)
        axes.set_xlabel("thousands of real images shown (kimg)", size=9)
    for axes in grid.flat[len(experiment.datasets) :]:
        axes.remove()
    figure.supylabel(shown.heading, size=10)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure


def _panel(axes: Axes, experiment: LearningCurves, curves: pd.DataFrame) -> None:
    colours = drawing.colours(experiment.models)
    for i, model in enumerate(experiment.models):
        curve = curves[curves["model"] == model]
        mean, std, colour = curve["mean"], curve["std"], colours[model]
        marker = MARKERS[i % len(MARKERS)]
        axes.plot(curve["kimg"], mean, marker=marker, ms=5, lw=1.8, color=colour, label=words.model(model))
        if len(experiment.seeds) > 1:
            axes.fill_between(curve["kimg"], mean - std, mean + std, color=colour, alpha=0.18, lw=0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _curve_caption(experiment: LearningCurves, shown: words.Metric) -> str:
    seeds = len(experiment.seeds)
    over = "one seed per model" if seeds == 1 else f"mean over {seeds} seeds, band of one standard deviation"
    better = {"low": "; lower is better", "high": "; higher is better", None: ""}[shown.better]
    return f"{shown.title} at the snapshots of training: {over}{better}."


def _ends(experiment: LearningCurves, curves: pd.DataFrame, shown: words.Metric) -> str:
    """The figure in words: where each line ends."""
    ends = curves.groupby(["dataset", "model"])["mean"].last()
    said = [
        f"{words.model(model)} on {dataset} at {words.quantity(ends.loc[dataset, model])}"
        for dataset in experiment.datasets
        for model in experiment.models
    ]
    return f"Lines of {shown.title} against thousands of images seen, ending with {words.listing(said)}."
