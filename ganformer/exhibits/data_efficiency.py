"""Figure of a metric against the number of training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ganformer.config import Config as Configuration
from ganformer.errors import DataError
from ganformer.records.metrics import Measured
from ganformer.report import drawing, formatting, records, series, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOSE = 0.07  # of the width of the axis: labels of ticks that are closer run into each other


class Config(series.Plotted):
    """Settings of the figure of a metric against the number of training images; data sets are parts of one."""

    kind: Literal["data-efficiency"] = "data-efficiency"
    place = 90

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the records of all runs, and the measurements at the end of training."""
        return [*self.of_runs("run.json"), *self.metrics(configuration)]

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield a problem if data sets are not measured against the same images."""
        reals = {dataset: configuration.reals(dataset) for dataset in self.datasets}
        if len(set(reals.values())) > 1:
            told = ", ".join(f"{dataset} against {real}" for dataset, real in reals.items())
            yield "datasets", f"are measured against different images ({told}); set measured_against to one for all"


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Draw a metric at the end of training against the number of training images: `out`.png, .pdf, .csv and .json.

    As figure 6, right, of the paper. `files`: the run.json of every run, for its number of training images, and its
    metrics.json, of several the last step counts; other runs are left out. Lines, bands, error bars and csv are as in
    learning curves. Raises DataError if a run or the metric is missing, runs were measured
    against different images or in different ways, or numbers of training images do not tell the data sets apart.
    """
    runs = [path for path in files if path.name == "run.json"]
    metrics = [path for path in files if path.name != "run.json"]
    trained = records.needed(records.runs(runs), experiment, "run.json")
    counts, chosen = _counts(experiment, trained), series.at_end(experiment, metrics)
    _check_alike(experiment, chosen)
    numbers = series.over_seeds(
        chosen.assign(images=chosen["dataset"].map(counts)), ["dataset", "images", "model", "kimg"]
    )
    numbers = series.in_order(experiment, numbers).sort_values("images", kind="stable")
    shown = formatting.metric(experiment.metric, chosen["name"].iloc[0])
    points, whole = series.to_show(numbers, shown), max(counts, key=lambda dataset: counts[dataset])
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _against_images(experiment, points, shown, series.conditions(whole, chosen))
        caption = _efficiency_caption(experiment, points, shown, counts)
        alt = _efficiency_in_words(experiment, points, shown)
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _counts(experiment: Config, trained: pd.DataFrame) -> Mapping[str, int]:
    """Return the number of training images of each data set; DataError unless it is one, and no other has the same."""
    told = trained.assign(images=[record.data.count for record in trained["record"]])
    told = told.drop_duplicates(["dataset", "images"])
    changed = told[told["dataset"].duplicated(keep=False)].sort_values("dataset", kind="stable")
    if len(changed):
        (one, other), (few, many) = changed["file"].iloc[:2], changed["images"].iloc[:2]
        raise DataError(
            f"{one} was trained on {formatting.count(few)} images, {other} of the same data set on "
            f"{formatting.count(many)}; train again the one whose data set has changed since"
        )
    alike = told[told["images"].duplicated(keep=False)].sort_values("images", kind="stable")
    if len(alike):
        one, other = alike["dataset"].iloc[:2]
        raise DataError(
            f"'{experiment.title}': data sets {one} and {other} both have {formatting.count(alike['images'].iloc[0])} "
            "training images, so they would lie on one another; leave one of them out"
        )
    return dict(zip(told["dataset"], told["images"], strict=True))


def _check_alike(experiment: Config, chosen: pd.DataFrame) -> None:
    """Raise DataError unless all numbers were measured in one way, against the same real images."""
    reals = chosen.assign(reals=[_reals(Path(file)) for file in chosen["file"]])
    for column, what in (("reals", "against different real images"), ("recipe", "in different ways")):
        differing = reals.drop_duplicates(column)
        if len(differing) > 1:
            (one, other), (first, second) = differing["file"].iloc[:2], differing[column].iloc[:2]
            raise DataError(
                f"{one} and {other} were measured {what} ({first} and {second}), so '{experiment.title}' cannot set "
                "them side by side; name one data set in measured_against for all of them, and evaluate again"
            )


def _reals(path: Path) -> str:
    """Return the sha256 of the real images that a metrics.json was measured against."""
    return Measured.read(path).data_sha256(path)


def _against_images(experiment: Config, points: pd.DataFrame, shown: formatting.Metric, title: str) -> Figure:
    figure = drawing.figure(4.8)
    axes = figure.subplots()
    axes.set_xscale("log")
    series.lines(axes, experiment, points, "images")
    _mark_counts(axes, sorted(set(points["images"])))
    axes.set_title(title, loc="left", weight="bold", size=10)
    axes.set_xlabel("training images (logarithmic)", size=9)
    axes.set_ylabel(shown.heading, size=10)
    series.legend(figure, axes)
    return figure


def _mark_counts(axes: Axes, counts: Sequence[int]) -> None:
    """Draw a tick for each number of images; labels are upright if they would run into each other."""
    places = np.log(counts)
    margin = 0.05 * np.ptp(places) or 1.0
    axes.set_xlim(np.exp(places[0] - margin), np.exp(places[-1] + margin))
    axes.minorticks_off()
    are_close = (np.diff(places) < CLOSE * (np.ptp(places) + 2 * margin)).any()
    axes.set_xticks(counts, labels=[formatting.count(count) for count in counts])
    if are_close:
        axes.tick_params(axis="x", rotation=90)


def _efficiency_caption(
    experiment: Config, points: pd.DataFrame, shown: formatting.Metric, counts: Mapping[str, int]
) -> str:
    ordered = sorted(experiment.datasets, key=lambda dataset: counts[dataset])
    told = formatting.listing([f"{dataset} ({formatting.count(counts[dataset])})" for dataset in ordered])
    kimg = formatting.listing([formatting.kimg(value) for value in sorted(set(points["kimg"]))])
    return (
        f"{shown.title} after {kimg} kimg of training on more and fewer of the same images, all measured against the "
        f"same real ones: {series.reading(experiment, points, shown, 'band')}. Data sets and their training images: "
        f"{told}."
    )


def _efficiency_in_words(experiment: Config, points: pd.DataFrame, shown: formatting.Metric) -> str:
    """Describe the figure: the start and end of each line."""
    values = points.groupby("model")["mean"]
    first, last = values.first(), values.last()
    said = [
        f"{formatting.model(model)} from {formatting.quantity(first.loc[model])} to "
        f"{formatting.quantity(last.loc[model])}"
        for model in experiment.models
    ]
    few, many = formatting.count(points["images"].min()), formatting.count(points["images"].max())
    return f"Lines of {shown.title} against the number of training images, {few} to {many}: {formatting.listing(said)}."
