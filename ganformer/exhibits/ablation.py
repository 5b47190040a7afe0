"""Figure of a metric of models that differ from one of them in one thing each."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ganformer.config import Config as Configuration
from ganformer.config import Name, Strict, as_mapping, as_sequence
from ganformer.report import compared, drawing, formatting, series, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.27  # inches of one row
LINE, GAP = 0.65, 0.45  # rows that a line of a heading and the space above it take
XLABEL_WIDTH = 90  # characters below all panels together
HEADING_WIDTH = 28  # characters of a heading's line, at least
STEM = "#b6bcc6"


class Variants(Strict):
    """Group of models that differ in one thing."""

    changed: str
    """Name of the difference in the figure."""
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    """In the order in which they are shown; the base may be one of them."""


class Config(series.Plotted):
    """Settings of the figure of a metric of models that differ from one of them in one thing each."""

    kind: Literal["ablation"] = "ablation"
    place = 100

    models: Annotated[tuple[Name, ...], Field(min_length=1)] = ()
    """All models of the groups and the base; filled in, need not be given."""
    base: Name
    """The model that the others are changed from."""
    groups: Annotated[tuple[Variants, ...], Field(min_length=1)]
    """Changes, one thing after the other."""

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements at the end of training."""
        return self.metrics(configuration)

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield the names that the entry uses, also of the base and of the groups."""
        if "base" in raw:
            yield "base", "models", raw["base"]
        for i, group in enumerate(as_sequence(raw.get("groups"))):
            models = as_sequence(as_mapping(group).get("models"))
            yield from ((f"groups.{i}.models.{j}", "models", name) for j, name in enumerate(models))
        yield from super().references(raw)

    @model_validator(mode="after")
    def _all_models(self) -> Self:
        every = (self.base, *itertools.chain.from_iterable(group.models for group in self.groups))
        self.__dict__["models"] = tuple(dict.fromkeys(every))  # frozen from here on
        return self


def draw(experiment: Config, metrics: Sequence[Path], out: Path) -> None:
    """Draw a metric of models that differ from one in one thing each: `out`.png, .pdf, .csv and .json.

    `metrics`: a metrics.json of every run; of several of one run the last step counts, other runs are left out. A panel
    for each data set, in it a block of rows for each group, a line at the base. Dots are means over the seeds, with
    error bars of one standard deviation; of one seed, of the uncertainty of measuring where it is known. The csv has
    them unrounded, with the difference from the base. Raises DataError if a run or the metric is missing, or runs
    were measured in different ways or trained for different lengths.
    """
    chosen = series.at_end(experiment, metrics)
    titles = [series.conditions(dataset, chosen) for dataset in experiment.datasets]
    numbers = _by_group(experiment, series.over_seeds(chosen, ["dataset", "model", "kimg"]))
    shown = formatting.metric(experiment.metric, chosen["name"].iloc[0])
    points = series.to_show(numbers, shown)
    table.write_numbers(numbers, out)
    with drawing.style():
        figure = _figure(experiment, points, shown, titles)
        caption, alt = _caption(experiment, points, shown), _in_words(experiment, points, shown)
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _by_group(experiment: Config, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each data set, group and model of it, before them the base in a group without name."""
    import pandas as pd

    groups = {"": (experiment.base,), **{group.changed: group.models for group in experiment.groups}}
    rows = [
        (dataset, group, model)
        for dataset in experiment.datasets
        for group, models in groups.items()
        for model in models
    ]
    ordered = pd.DataFrame(rows, columns=["dataset", "group", "model"]).merge(numbers, on=["dataset", "model"])
    base = ordered[ordered["group"] == ""].set_index("dataset")["mean"]
    return ordered.assign(difference=ordered["mean"] - ordered["dataset"].map(base))


# ------------------------------------------------------------------------------------------------ drawing


@dataclass(frozen=True)
class Row:
    """Line of text in the figure: a model, or the heading of a group (model None)."""

    label: str
    place: float
    group: str
    model: str | None = None


def _rows(experiment: Config) -> list[Row]:
    """Return the rows from top to bottom, with room between groups and for the lines of headings."""
    width = max(HEADING_WIDTH, *(len(formatting.model(model)) for model in experiment.models))
    rows, bottom = [Row(formatting.model(experiment.base), 0.5, "", experiment.base)], 1.0
    for group, models in ((variants.changed, variants.models) for variants in experiment.groups):
        lines = textwrap.wrap(group, width, break_on_hyphens=False)
        height = LINE * len(lines)
        rows.append(Row("\n".join(lines), bottom + GAP + height / 2, group))
        bottom += GAP + height
        rows += [Row(formatting.model(model), bottom + i + 0.5, group, model) for i, model in enumerate(models)]
        bottom += len(models)
    return rows


def _figure(experiment: Config, points: pd.DataFrame, shown: formatting.Metric, titles: Sequence[str]) -> Figure:
    rows = _rows(experiment)
    height = rows[-1].place + 0.5
    figure = drawing.figure(ROW * height + 1.2)
    panels = figure.subplots(1, len(experiment.datasets), sharey=True, squeeze=False)[0]
    for axes, dataset, title in zip(panels, experiment.datasets, titles, strict=True):
        _panel(axes, experiment, rows, points[points["dataset"] == dataset], shown)
        lines = [shown.heading, *textwrap.wrap(title, XLABEL_WIDTH // len(titles), break_on_hyphens=False)]
        axes.set_xlabel("\n".join(lines), size=9)
    panels[0].set_ylim(height + 0.2, -0.2)
    _label(panels[0], experiment, rows)
    handle, base = panels[0].lines[0], formatting.model(experiment.base)
    said = f"{base}, which the others differ from in one thing each"
    figure.legend([handle], [said], loc="outside lower center", frameon=False)
    return figure


def _label(axes: Axes, experiment: Config, rows: Sequence[Row]) -> None:
    axes.set_yticks([row.place for row in rows], labels=[row.label for row in rows])
    colour = drawing.colours([experiment.base])[experiment.base]
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.model is None:
            text.set(weight="bold")
        elif row.model == experiment.base:
            text.set(color=colour)


def _panel(axes: Axes, experiment: Config, rows: Sequence[Row], points: pd.DataFrame, shown: formatting.Metric) -> None:
    """Draw one data set: the base as a line with its spread, a dot for each model, its value at the right."""
    colour = drawing.colours([experiment.base])[experiment.base]
    found = {(point["group"], point["model"]): point for point in points.to_dict("records")}
    each = points.drop_duplicates("model").set_index("model")
    values = dict(zip(each.index, compared.cells(each, shown), strict=True))
    middle, spread = (found["", experiment.base][key] for key in ("mean", "spread"))
    axes.axvline(middle, color=colour, lw=1.4, ls=(0, (4, 2)), zorder=1)
    if not math.isnan(spread):
        axes.axvspan(middle - spread, middle + spread, color=colour, alpha=0.13, lw=0)
    for row in rows:
        if row.model is not None:
            ink = colour if row.model == experiment.base else drawing.INK
            _dot(axes, row.place, found[row.group, row.model], middle, ink)
            where = axes.get_yaxis_transform()
            text = values[row.model].text
            axes.text(1.02, row.place, text, transform=where, va="center_baseline", size=8.5, color=ink)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _dot(axes: Axes, place: float, point: Mapping[Hashable, Any], base: float, ink: str) -> None:
    """Draw a dot with its error bar, tied to the base."""
    axes.plot([base, point["mean"]], [place, place], color=STEM, lw=2, zorder=2, solid_capstyle="butt")
    if not math.isnan(point["spread"]):
        axes.errorbar(point["mean"], place, xerr=point["spread"], fmt="none", ecolor=ink, elinewidth=1.2, zorder=3)
    axes.plot(point["mean"], place, marker="o", ms=6, color=ink, zorder=4)


# ----------------------------------------------------------------------------------------------- in words


def _caption(experiment: Config, points: pd.DataFrame, shown: formatting.Metric) -> str:
    kimg = formatting.listing([formatting.kimg(value) for value in sorted(set(points["kimg"]))])
    return (
        f"{shown.title} after {kimg} kimg of training of models that differ from {formatting.model(experiment.base)}, "
        f"the dashed line, in one thing each: {series.reading(experiment, points, shown, 'error bars')}."
    )


def _in_words(experiment: Config, points: pd.DataFrame, shown: formatting.Metric) -> str:
    """Describe the figure: every dot."""
    sentences = []
    for dataset, rows in points.groupby("dataset", sort=False):
        for group, block in rows.groupby("group", sort=False):
            pairs = zip(block["model"], block["mean"], strict=True)
            values = [f"{formatting.model(model)} {formatting.quantity(mean)}" for model, mean in pairs]
            sentences.append(f"{dataset}{', ' if group else ''}{group}: {formatting.listing(values)}.")
    return f"Dots of {shown.title} beside a line for {formatting.model(experiment.base)}. {' '.join(sentences)}"
