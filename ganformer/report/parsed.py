"""Tables 2 and 3: what a parser reads in images, a row a property and a column a model, as the paper prints them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ganformer import artifacts
from ganformer.config import Parsed
from ganformer.report import published, records, tables, words
from ganformer.report.table import Block, Cell, Column, Table, write

FLOOR = (
    "The last measured column compares one half of the real images with the other: below that nothing can be expected."
)


def parsed(experiment: Parsed, files: Sequence[Path], published_csv: Path, out: Path) -> None:
    """Writes the table: `out`.csv, .md, .tex and .json.

    `files`: what `scene-statistics` or `disentanglement` wrote of every run; other runs are left out. Raises DataError
    where a run is missing, runs of one data set were measured in different ways, or a published name is unknown.
    """
    measured = records.needed(records.measurements(files), experiment, "measurements")
    quoted = published.lookup(experiment.published, published_csv) if experiment.published else None
    floors = _floors(measured)
    blocks = [_block(experiment, dataset, measured, quoted, floors.get(dataset, {})) for dataset in experiment.datasets]
    caption = " ".join([tables.caption(experiment), *([FLOOR] if floors else [])])
    write(Table(experiment.title, caption, blocks), tables.numbers(experiment, measured, quoted), out)


def _floors(measured: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By data set, the distance of each property of real images from other real ones, where the files tell it."""
    floors = {}
    for dataset, rows in measured.groupby("dataset"):
        content = artifacts.read_json(Path(rows["file"].iloc[0]))
        if "real" in content:
            floors[str(dataset)] = content["real"]
    return floors


def _block(
    experiment: Parsed, dataset: str, measured: pd.DataFrame, quoted: pd.DataFrame | None, floor: dict[str, float]
) -> Block:
    here = measured[measured["dataset"] == dataset]
    recipe = records.recipe(here, dataset)
    group = f"measured, {words.conditions(dataset, recipe, 'parser')}"
    columns = [Column("", is_number=False), *(Column(words.model(model), group) for model in experiment.models)]
    columns += [Column("Real images", group)] if floor else []
    notes = [tables.protocol(dataset, here, recipe)]
    there = None if quoted is None else quoted[quoted["dataset"] == dataset]
    printed: list[str] = []
    if there is not None and not there.empty:
        printed = [model for model in experiment.models if model in set(there["model"])]
        columns += [Column(words.model(model), tables.published_conditions(there)) for model in printed]
        notes += tables.sources(there)
    rows = [_row(experiment, key, here, floor, printed, there) for key in tables.shown(here)]
    return Block(dataset if len(experiment.datasets) > 1 else "", columns, rows, notes)


def _row(
    experiment: Parsed,
    key: str,
    here: pd.DataFrame,
    floor: dict[str, float],
    printed: Sequence[str],
    there: pd.DataFrame | None,
) -> list[Cell]:
    """One property: of each model what was measured, of real images, and what was published."""
    metric, summed = tables.summarised(experiment.models, key, here)
    row = [Cell(metric.heading), *tables.cells(summed, metric)]
    if floor:
        row.append(Cell(words.quantity(floor[key] * metric.scale) if key in floor else words.NONE))
    for model in printed:
        assert there is not None, "models are printed only where there is something"
        found = there[(there["model"] == model) & there["metric"].isin(metric.published)]
        row.append(Cell(words.NONE if found.empty else tables.quote(found.iloc[0])))
    return row
