"""Figures of numbers as lines: learning curves, and a metric against the number of training images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganformer import artifacts
from ganformer.config import Ablation, DataEfficiency, LearningCurves
from ganformer.errors import DataError
from ganformer.report import drawing, records, table, words

PANELS = 3  # side by side
MARKERS = "osD^vP*X"
CLOSE = 0.07  # of the width of the axis: labels of ticks that are closer run into each other

Plotted = LearningCurves | DataEfficiency | Ablation


# ---------------------------------------------------------------------------------------- learning curves


def learning_curves(experiment: LearningCurves, metrics: Sequence[Path], out: Path) -> None:
    """Draws a metric against the thousands of images seen: `out`.png, .pdf, .csv and .json; a panel for each data set.

    `metrics`: metrics.json of several steps of every run; other runs are left out. One line a model, the mean over its
    seeds, with a band of one standard deviation; of one seed, error bars of the uncertainty of measuring where it is
    known. The csv has them unrounded, in the metric's own unit. Raises DataError where a run or the metric is missing.
    """
    measured = records.needed(records.measurements(metrics), experiment, "metrics")
    chosen = of_metric(experiment, measured)
    titles = {dataset: conditions(dataset, chosen) for dataset in experiment.datasets}
    numbers = in_order(experiment, over_seeds(chosen, ["dataset", "model", "kimg"]))
    shown = words.metric(experiment.metric, chosen["name"].iloc[0])
    points = to_show(numbers, shown)
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _panels(experiment, points, shown, titles)
        caption = f"{shown.title} at the snapshots of training: {reading(experiment, points, shown, 'band')}."
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=_ends(experiment, points, shown))


def _panels(experiment: LearningCurves, points: pd.DataFrame, shown: words.Metric, titles: Mapping[str, str]) -> Figure:
    columns = min(PANELS, len(experiment.datasets))
    rows = -(-len(experiment.datasets) // columns)
    figure = Figure(figsize=(drawing.WIDTH, 0.9 + 3.6 * rows), dpi=drawing.DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, dataset in zip(grid.flat, experiment.datasets, strict=False):
        _lines(axes, experiment, points[points["dataset"] == dataset], "kimg")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(titles[dataset], loc="left", weight="bold", size=10)
        axes.set_xlabel("thousands of real images shown (kimg)", size=9)
    for axes in grid.flat[len(experiment.datasets) :]:
        axes.remove()
    figure.supylabel(shown.heading, size=10)
    _legend(figure, grid.flat[0])
    return figure


def _ends(experiment: LearningCurves, points: pd.DataFrame, shown: words.Metric) -> str:
    """The figure in words: where each line ends."""
    ends = points.groupby(["dataset", "model"])["mean"].last()
    said = [
        f"{words.model(model)} on {dataset} at {words.quantity(ends.loc[dataset, model])}"
        for dataset in experiment.datasets
        for model in experiment.models
    ]
    return f"Lines of {shown.title} against thousands of images seen, ending with {words.listing(said)}."


# ---------------------------------------------------------------------------------------- data efficiency


def data_efficiency(experiment: DataEfficiency, runs: Sequence[Path], metrics: Sequence[Path], out: Path) -> None:
    """Draws a metric at the end of training against the number of training images: `out`.png, .pdf, .csv and .json.

    As figure 6, right, of the paper. `runs`: run.json of every run, which tells how many images it was trained on;
    `metrics`: its metrics.json, of several the last step counts; other runs are left out. Lines, bands, error bars and
    csv are as those of `learning_curves`. Raises DataError where a run or the metric is missing, runs were measured
    against different images or in different ways, or numbers of training images do not tell the data sets apart.
    """
    trained = records.needed(records.runs(runs), experiment, "run.json")
    counts, chosen = _counts(experiment, trained), at_end(experiment, metrics)
    _check_alike(experiment, chosen)
    numbers = over_seeds(chosen.assign(images=chosen["dataset"].map(counts)), ["dataset", "images", "model", "kimg"])
    numbers = in_order(experiment, numbers).sort_values("images", kind="stable")
    shown = words.metric(experiment.metric, chosen["name"].iloc[0])
    points, whole = to_show(numbers, shown), max(counts, key=lambda dataset: counts[dataset])
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _against_images(experiment, points, shown, conditions(whole, chosen))
        caption = _efficiency_caption(experiment, points, shown, counts)
        alt = _efficiency_in_words(experiment, points, shown)
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _counts(experiment: DataEfficiency, trained: pd.DataFrame) -> Mapping[str, int]:
    """The number of training images of each data set; DataError unless there is one, and no other has the same."""
    told = trained.assign(images=[record["data"]["count"] for record in trained["record"]])
    told = told.drop_duplicates(["dataset", "images"])
    changed = told[told["dataset"].duplicated(keep=False)].sort_values("dataset", kind="stable")
    if len(changed):
        (one, other), (few, many) = changed["file"].iloc[:2], changed["images"].iloc[:2]
        raise DataError(
            f"{one} was trained on {words.count(few)} images, {other} of the same data set on {words.count(many)}; "
            "train again the one whose data set has changed since"
        )
    alike = told[told["images"].duplicated(keep=False)].sort_values("images", kind="stable")
    if len(alike):
        one, other = alike["dataset"].iloc[:2]
        raise DataError(
            f"'{experiment.title}': data sets {one} and {other} both have {words.count(alike['images'].iloc[0])} "
            "training images, so they would lie on one another; leave one of them out"
        )
    return dict(zip(told["dataset"], told["images"], strict=True))


def _check_alike(experiment: DataEfficiency, chosen: pd.DataFrame) -> None:
    """DataError unless all numbers were measured in one way, against the same real images."""
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
    """The manifest of the real images that a metrics.json was measured against."""
    reference = artifacts.read_json(path).get("reference", {})
    if "data_sha256" not in reference:
        raise DataError(f"{path}: has no reference.data_sha256; it is no complete record, make it again")
    return str(reference["data_sha256"])


def _against_images(experiment: DataEfficiency, points: pd.DataFrame, shown: words.Metric, title: str) -> Figure:
    figure = Figure(figsize=(drawing.WIDTH, 4.8), dpi=drawing.DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    _lines(axes, experiment, points, "images")
    _mark_counts(axes, sorted(set(points["images"])))
    axes.set_title(title, loc="left", weight="bold", size=10)
    axes.set_xlabel("training images (logarithmic)", size=9)
    axes.set_ylabel(shown.heading, size=10)
    _legend(figure, axes)
    return figure


def _mark_counts(axes: Axes, counts: Sequence[int]) -> None:
    """A tick for each number of images; their labels are upright where they would run into each other."""
    places = np.log(counts)
    margin = 0.05 * np.ptp(places) or 1.0
    axes.set_xlim(np.exp(places[0] - margin), np.exp(places[-1] + margin))
    axes.minorticks_off()
    are_close = (np.diff(places) < CLOSE * (np.ptp(places) + 2 * margin)).any()
    axes.set_xticks(counts, labels=[words.count(count) for count in counts])
    if are_close:
        axes.tick_params(axis="x", rotation=90)


def _efficiency_caption(
    experiment: DataEfficiency, points: pd.DataFrame, shown: words.Metric, counts: Mapping[str, int]
) -> str:
    ordered = sorted(experiment.datasets, key=lambda dataset: counts[dataset])
    told = words.listing([f"{dataset} ({words.count(counts[dataset])})" for dataset in ordered])
    kimg = words.listing([words.kimg(value) for value in sorted(set(points["kimg"]))])
    return (
        f"{shown.title} after {kimg} kimg of training on more and fewer of the same images, all measured against the "
        f"same real ones: {reading(experiment, points, shown, 'band')}. Data sets and their training images: {told}."
    )


def _efficiency_in_words(experiment: DataEfficiency, points: pd.DataFrame, shown: words.Metric) -> str:
    """The figure in words: where each line starts and ends."""
    values = points.groupby("model")["mean"]
    first, last = values.first(), values.last()
    said = [
        f"{words.model(model)} from {words.quantity(first.loc[model])} to {words.quantity(last.loc[model])}"
        for model in experiment.models
    ]
    few, many = words.count(points["images"].min()), words.count(points["images"].max())
    return f"Lines of {shown.title} against the number of training images, {few} to {many}: {words.listing(said)}."


# ----------------------------------------------------------------------------------------- what both share


def _lines(axes: Axes, experiment: LearningCurves | DataEfficiency, points: pd.DataFrame, across: str) -> None:
    """A line for each model over the column `across`: with a band of the seeds, or error bars of measuring."""
    colours = drawing.colours(experiment.models)
    for i, model in enumerate(experiment.models):
        line = points[points["model"] == model]
        x, mean, spread, colour = line[across], line["mean"], line["spread"], colours[model]
        axes.plot(x, mean, marker=MARKERS[i % len(MARKERS)], ms=5, lw=1.8, color=colour, label=words.model(model))
        if len(experiment.seeds) > 1:
            spread = spread.fillna(0)
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
        elif spread.notna().any():
            axes.errorbar(x, mean, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.8)


def _legend(figure: Figure, axes: Axes) -> None:
    """The names of the lines below everything."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)


# ------------------------------------------------------------------------- numbers, here and in ablations


def at_end(experiment: DataEfficiency | Ablation, metrics: Sequence[Path]) -> pd.DataFrame:
    """The rows of the experiment's metric at the end of training, as `of_metric` gives them.

    Raises DataError where a run or the metric is missing, or runs on one data set were trained for different lengths.
    """
    measured = records.last(records.needed(records.measurements(metrics), experiment, "metrics"))
    for _, rows in measured.groupby("dataset", sort=False):
        lengths = rows.drop_duplicates("kimg")
        if len(lengths) > 1:
            (one, other), (short, long) = lengths["file"].iloc[:2], lengths["kimg"].iloc[:2]
            raise DataError(
                f"{one} was measured after {words.kimg(short)} kimg of training, {other} after {words.kimg(long)}, so "
                f"'{experiment.title}' cannot compare them; pass metrics of both at the end of equally long training"
            )
    return of_metric(experiment, measured)


def of_metric(experiment: Plotted, measured: pd.DataFrame) -> pd.DataFrame:
    """The rows of the experiment's metric; `error` is their uncertainty of measuring, NaN where it is not known.

    Raises DataError where a file does not have the metric.
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
    """One row for each of `by`: name of the metric, mean, std, seeds, error.

    `std` is the standard deviation over the seeds, NaN of one; `error` the mean uncertainty of measuring.
    """
    groups = chosen.groupby([*by, "name"], sort=False)
    numbers = groups.agg(
        mean=("value", "mean"), std=("value", "std"), seeds=("seed", "nunique"), error=("error", "mean")
    )
    return numbers.reset_index().rename(columns={"name": "metric"})


def in_order(experiment: Plotted, numbers: pd.DataFrame) -> pd.DataFrame:
    """Rows in the experiment's order of data sets and models, then by the kimg."""
    order = {"dataset": experiment.datasets, "model": experiment.models}

    def places(column: pd.Series) -> pd.Series:
        return column.map(order[str(column.name)].index) if column.name in order else column

    return numbers.sort_values(["dataset", "model", "kimg"], key=places, ignore_index=True)


def conditions(dataset: str, chosen: pd.DataFrame) -> str:
    """What the numbers of a data set are of; DataError where they were measured in different ways."""
    return words.conditions(dataset, records.recipe(chosen, dataset), chosen["by"].iloc[0])


def to_show(numbers: pd.DataFrame, shown: words.Metric) -> pd.DataFrame:
    """The numbers in the unit that is shown, and `spread`: over the seeds, of one seed the uncertainty of measuring."""
    spread = numbers["std"].where(numbers["seeds"] > 1, numbers["error"])
    return numbers.assign(mean=numbers["mean"] * shown.scale, spread=spread * shown.scale)


def reading(experiment: Plotted, points: pd.DataFrame, shown: words.Metric, spread: str) -> str:
    """What is drawn, `spread` as band or as error bars, and which direction is better."""
    seeds = len(experiment.seeds)
    over = "one seed per model" if seeds == 1 else f"mean over {seeds} seeds, {spread} of one standard deviation"
    if seeds == 1 and points["spread"].notna().any():
        over += ", error bars of the uncertainty of measuring (one standard deviation)"
    return over + {"low": "; lower is better", "high": "; higher is better", None: ""}[shown.better]
