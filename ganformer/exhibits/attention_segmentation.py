"""Figure of the overlap of attention with segments of images (IoU), beside chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.records.metrics import Measured
from ganformer.report import drawing, formatting, records, requirements, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND, OBJECT = "iou_background", "iou_object"
LABELS = {OBJECT: "single\nobjects"}
GROUPS = 16  # classes of a panel, at most
FILLED = 0.82  # of a group's width
APART = 0.4  # more room beside the background and single objects, in groups


class Config(Experiment):
    """Settings of the figure of the overlap of attention with segments of images (IoU), beside chance."""

    kind: Literal["attention-segmentation"] = "attention-segmentation"
    place = 50
    shape = "figure"
    forms = ("csv", "png", "pdf")

    images: PositiveInt = 200
    """Images of each run that are compared with segments."""

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the overlaps of attention with segments of every run."""
        return self.of_runs(f"attention-segmentation-{self.images}.json")

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield models without attention maps, and data sets whose images no parser reads."""
        yield from requirements.ability("attention maps", self.models, configuration)
        yield from requirements.parsers(self.datasets, configuration)


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Draw the overlap of attention with each class of segments: `out`.png, .pdf, .csv and .json.

    `files`: what `analyse attention-segmentation` wrote of every run; other runs are left out. A panel for each data
    set, in it a group of bars for each class, a bar for each model, with a line at the level of chance. Bars are means
    over the seeds with error bars of one standard deviation; of one seed, of the bootstrap over its images. Of more
    than 16 classes the ones that most images show are drawn. The csv has all of them, unrounded. Raises DataError if a
    run is missing, runs of one data set were measured in different ways, or a file has no such numbers.
    """
    measured = records.needed(records.measurements(files), experiment, "overlaps of attention with segments")
    chosen = _with_chance(measured)
    titles = {dataset: _conditions(dataset, chosen) for dataset in experiment.datasets}
    numbers = _over_seeds(experiment, chosen)
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _panels(experiment, numbers, titles)
        caption, alt = _caption(experiment, numbers), _in_words(experiment, numbers)
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _with_chance(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of overlaps with `error`, `chance` (its level) and `shown` (number of images with the class)."""
    import pandas as pd

    rows = []
    for file, values in measured.groupby("file", sort=False):
        record = Measured.read(Path(str(file)))
        if record.chance is None or record.shown is None:
            raise DataError(
                f"{file}: has no overlaps of attention; make it with `ganformer step analyse attention-segmentation`"
            )
        errors = values.set_index("metric")["value"]
        chosen = values[values["metric"].isin(record.chance)]
        rows.append(
            chosen.assign(
                error=[errors[f"{metric}_std"] for metric in chosen["metric"]],
                chance=chosen["metric"].map(record.chance),
                shown=chosen["metric"].map(record.shown),
            )
        )
    return pd.concat(rows, ignore_index=True)


def _conditions(dataset: str, chosen: pd.DataFrame) -> str:
    here = chosen[chosen["dataset"] == dataset]
    return f"{formatting.conditions(dataset, records.recipe(here, dataset), 'parser')} images"


def _over_seeds(experiment: Config, chosen: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each data set, class and model, in order: mean, std, seeds, error, chance, shown."""
    groups = chosen.groupby(["dataset", "model", "metric"], sort=False)
    numbers = groups.agg(
        mean=("value", "mean"),
        std=("value", "std"),
        seeds=("seed", "nunique"),
        error=("error", "mean"),
        chance=("chance", "mean"),
        shown=("shown", "mean"),
    ).reset_index()
    order = {"dataset": list(experiment.datasets), "metric": _classes(chosen), "model": list(experiment.models)}
    return numbers.sort_values(
        list(order), key=lambda column: column.map(order[str(column.name)].index), ignore_index=True
    )


def _classes(chosen: pd.DataFrame) -> list[str]:
    """Return the classes in the order of the file with most of them, then the others; single objects come last."""
    files = sorted((list(rows["metric"]) for _, rows in chosen.groupby("file", sort=False)), key=len, reverse=True)
    names = dict.fromkeys(name for file in files for name in file if name != OBJECT)
    return [*names, OBJECT]


def _drawn(here: pd.DataFrame) -> list[str]:
    """Return the classes of a panel, in order; `here`: the numbers of its data set."""
    images = here.groupby("metric", sort=False)["shown"].max()
    kept = set(images.nlargest(GROUPS).index) | {OBJECT}
    return [name for name in images.index if name in kept]


# ------------------------------------------------------------------------------------------------ drawing


def _panels(experiment: Config, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows = len(experiment.datasets)
    figure = drawing.figure(0.7 + 3.4 * rows)
    for axes, dataset in zip(figure.subplots(rows, 1, squeeze=False)[:, 0], experiment.datasets, strict=True):
        _panel(axes, experiment, numbers[numbers["dataset"] == dataset])
        axes.set_title(titles[dataset], loc="left", weight="bold", size=10)
        axes.set_ylabel("intersection over union ↑", size=9)
    colours = drawing.colours(experiment.models)
    handles: list[Artist] = [Patch(color=colours[model], label=formatting.model(model)) for model in experiment.models]
    handles.append(Line2D([], [], color=drawing.INK, lw=1.6, label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
    return figure


def _panel(axes: Axes, experiment: Config, here: pd.DataFrame) -> None:
    """Draw groups of bars of one data set, the background and single objects apart from the classes."""
    from matplotlib import patheffects

    outline = [patheffects.withStroke(linewidth=3, foreground="white")]
    names, width = _drawn(here), FILLED / len(experiment.models)
    places = {name: i + APART * ((i > 0) + (name == OBJECT)) for i, name in enumerate(names)}
    for i, (model, colour) in enumerate(drawing.colours(experiment.models).items()):
        bars = here[(here["model"] == model) & here["metric"].isin(names)]
        x = bars["metric"].map(places) + (i + 0.5) * width - FILLED / 2
        axes.bar(x, bars["mean"], 0.94 * width, color=colour)
        spread = bars["std"].where(bars["seeds"] > 1, bars["error"])
        axes.errorbar(
            x, bars["mean"], yerr=spread, fmt="none", ecolor=drawing.INK, elinewidth=0.8, capsize=1.5, zorder=5
        )
        ends = (x - 0.47 * width, x + 0.47 * width)
        axes.hlines(bars["chance"], *ends, color=drawing.INK, lw=1.6, zorder=4, path_effects=outline)
    axes.set_xticks(list(places.values()), labels=[_label(name) for name in names])
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.set_xlim(-0.6, max(places.values()) + 0.6)
    axes.set_ylim(bottom=0)


def _label(name: str) -> str:
    return LABELS.get(name, name.removeprefix("iou_"))


# ----------------------------------------------------------------------------------------------- in words


def _caption(experiment: Config, numbers: pd.DataFrame) -> str:
    seeds = len(experiment.seeds)
    over = "one seed per model, error bars of the bootstrap over images"
    if seeds > 1:
        over = f"mean over {seeds} seeds, error bars over them"
    left = max(here["metric"].nunique() - len(_drawn(here)) for _, here in numbers.groupby("dataset"))
    return (
        "How far the region that attends most to a component is a thing in the image: intersection over union with "
        "what a parser sees of each class, for the layer and the component that fit best over all images, and with "
        f"single objects, for the component that fits each of them best ({over}, of one standard deviation). Lines: "
        "the same with the parser's results on other images, which is the level of chance."
        + (f" Of the classes the {GROUPS} that most images show; the csv has all." if left else "")
    )


def _in_words(experiment: Config, numbers: pd.DataFrame) -> str:
    """Describe the figure: background and single objects."""
    said = [
        f"{formatting.model(str(row['model']))} on {row['dataset']}, {name}: {formatting.quantity(row['mean'])}, by "
        f"chance {formatting.quantity(row['chance'])}"
        for key, name in ((BACKGROUND, "background"), (OBJECT, "single objects"))
        for _, row in numbers[numbers["metric"] == key].iterrows()
    ]
    return f"Bars of the overlap of attention with segments, a group for each class. {'; '.join(said)}."
