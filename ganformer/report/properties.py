"""Tables of properties that a parser reads in images: a row a property, a column a model, as the paper prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveInt

from ganformer.config import Config as Configuration
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.records.metrics import Measured
from ganformer.report import compared, formatting, published, records, requirements
from ganformer.report.published import PUBLISHED, Compared
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

FLOOR = (
    "The last measured column compares one half of the real images with the other: below that nothing can be expected."
)


class Properties(Compared):
    """Settings of a table of properties that a parser reads in images."""

    images: PositiveInt = 1000
    """Images of each run that are read; the paper: 1,000."""

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the parser's results on images of each run, and the published numbers."""
        return [*self.of_runs(f"{self.kind}-{self.images}.json"), PUBLISHED]

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield data sets whose images no parser reads."""
        yield from requirements.parsers(self.datasets, configuration)


def draw(experiment: Properties, files: Sequence[Path], out: Path) -> None:
    """Write the table: `out`.csv, .md, .tex and .json.

    `files`: what `analyse` wrote of every run, other runs are left out; and the table of published numbers. Raises
    DataError if a run is missing, runs of one data set were measured in different ways, or a published name is unknown.
    """
    measurements, quoted = published.quoted(experiment, files)
    measured = records.needed(records.measurements(measurements), experiment, "measurements")
    floors = _floors(measured)
    blocks = [_block(experiment, dataset, measured, quoted, floors.get(dataset, {})) for dataset in experiment.datasets]
    caption = " ".join([compared.caption(experiment), *([FLOOR] if floors else [])])
    write(Table(experiment.title, caption, blocks), compared.numbers(experiment, measured, quoted), out)


def _floors(measured: pd.DataFrame) -> dict[str, Mapping[str, float]]:
    """Return the distance of each property between real images, by data set, if the files have it."""
    floors = {}
    for dataset, rows in measured.groupby("dataset"):
        floor = Measured.read(Path(rows["file"].iloc[0])).real
        if floor is not None:
            floors[str(dataset)] = floor
    return floors


def _block(
    experiment: Properties,
    dataset: str,
    measured: pd.DataFrame,
    quoted: pd.DataFrame | None,
    floor: Mapping[str, float],
) -> Block:
    here = measured[measured["dataset"] == dataset]
    recipe = records.recipe(here, dataset)
    group = f"measured, {formatting.conditions(dataset, recipe, 'parser')}"
    columns = [Column("", is_number=False), *(Column(formatting.model(model), group) for model in experiment.models)]
    columns += [Column("Real images", group)] if floor else []
    notes = [compared.protocol(dataset, here, recipe)]
    there = None if quoted is None else quoted[quoted["dataset"] == dataset]
    printed: list[str] = []
    if there is not None and not there.empty:
        printed = [model for model in experiment.models if model in set(there["model"])]
        columns += [Column(formatting.model(model), compared.published_conditions(there)) for model in printed]
        notes += compared.sources(there)
    rows = [_row(experiment, key, here, floor, printed, there) for key in compared.shown(here)]
    return Block(dataset if len(experiment.datasets) > 1 else "", columns, rows, notes)


def _row(
    experiment: Properties,
    key: str,
    here: pd.DataFrame,
    floor: Mapping[str, float],
    printed: Sequence[str],
    there: pd.DataFrame | None,
) -> list[Cell]:
    """Return the row of one property: measured on each model and on real images, then published."""
    metric, summed = compared.summarised(experiment.models, key, here)
    row = [Cell(metric.heading), *compared.cells(summed, metric)]
    if floor:
        row.append(Cell(formatting.quantity(floor[key] * metric.scale) if key in floor else formatting.NONE))
    for model in printed:
        assert there is not None, "models are printed only if there is something"
        found = there[(there["model"] == model) & there["metric"].isin(metric.published)]
        row.append(Cell(formatting.NONE if found.empty else compared.quote(found.iloc[0])))
    return row
