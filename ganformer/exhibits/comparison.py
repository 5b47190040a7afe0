"""Table of models × metrics for each data set, at an equal budget, measured beside published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganformer.config import Config as Configuration
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report import budget, compared, formatting, published, records
from ganformer.report.published import PUBLISHED, Compared
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd


class Config(Compared, budget.Budgeted):
    """Settings of the table of models × metrics for each data set, at an equal budget."""

    kind: Literal["comparison"] = "comparison"
    place = 10

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements at the budget, and the published numbers."""
        return [*self.records(configuration), PUBLISHED]


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Write the table of models × metrics at an equal budget: `out`.csv, .md, .tex and .json.

    `files`: a metrics.json of every run, of several of one run the last step within the budget counts, other runs are
    left out; with `budget: time` the run.json of every run; and the table of published numbers.
    Raises DataError if a run is missing, runs of one data set were measured in different ways, a published
    name is unknown, or a run has no snapshot within the budget.
    """
    metrics, quoted = published.quoted(experiment, files)
    measured = budget.measured(experiment, metrics)
    blocks = [_block(experiment, dataset, measured, quoted) for dataset in experiment.datasets]
    write(
        Table(experiment.title, compared.caption(experiment), blocks),
        compared.numbers(experiment, measured, quoted),
        out,
    )


def _block(experiment: Config, dataset: str, measured: pd.DataFrame, quoted: pd.DataFrame | None) -> Block:
    """Return the block of one data set: measured columns, then published ones if the data set has any."""
    here = measured[measured["dataset"] == dataset]
    columns = {Column("Model", is_number=False): [Cell(formatting.model(model)) for model in experiment.models]}
    recipe = records.recipe(here, dataset)
    notes = [compared.protocol(dataset, here, recipe)]
    if experiment.budget == "time":
        columns |= _progress(experiment.models, here)
    there = None if quoted is None else quoted[quoted["dataset"] == dataset]
    for key in compared.shown(here):
        chosen = here[here["metric"] == key]
        conditions = formatting.conditions(dataset, recipe, chosen["by"].iloc[0])
        columns |= _measured_column(experiment.models, key, here, f"measured, {conditions}")
    if there is not None and not there.empty:
        columns |= _published_columns(experiment.models, there)
        notes += compared.sources(there)
    heading = dataset if len(experiment.datasets) > 1 else ""
    return Block(heading, list(columns), list(zip(*columns.values(), strict=True)), notes)


def _progress(models: Sequence[str], measured: pd.DataFrame) -> Mapping[Column, list[Cell]]:
    """Return columns of the images that each model had seen at its snapshot, and of the time that this took."""
    group = "at the snapshot"
    means = measured.groupby("model")[["kimg", "minutes"]].mean().reindex(list(models))
    return {
        Column("kimg", group): [Cell(formatting.quantity(value)) for value in means["kimg"]],
        Column("min", group): [Cell(formatting.quantity(value)) for value in means["minutes"]],
    }


def _measured_column(
    models: Sequence[str], key: str, measured: pd.DataFrame, group: str
) -> Mapping[Column, list[Cell]]:
    """Return the column of one metric on one data set, a row a model."""
    metric, summed = compared.summarised(models, key, measured)
    return {Column(metric.heading, group): compared.cells(summed, metric)}


def _published_columns(models: Sequence[str], quoted: pd.DataFrame) -> Mapping[Column, list[Cell]]:
    """Return columns of the published metrics that are measured here too, as they were printed."""
    columns = {}
    for name in (name for metric in formatting.METRICS.values() for name in metric.published):
        rows = quoted[quoted["metric"] == name]
        if not rows.empty:
            printed = {row["model"]: compared.quote(row) for _, row in rows.iterrows()}
            columns[Column(formatting.PUBLISHED[name], compared.published_conditions(rows))] = [
                Cell(printed.get(model, formatting.NONE)) for model in models
            ]
    return columns
