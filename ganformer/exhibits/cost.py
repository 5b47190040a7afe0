"""Table of the cost of training: parameters, time and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.records.run import TrainedRun
from ganformer.report import formatting, records
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

COST = (
    "Parameters of the trained parts, time and memory of training. Times include what training does beside its steps "
    "and depend on the device; compare them only on one device with nothing else running."
)


class Config(Experiment):
    """Settings of the table of parameters, seconds per thousand images and peak memory of each run."""

    kind: Literal["cost"] = "cost"
    place = 110
    shape = "table"
    forms = ("csv", "md", "tex")

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the records of all runs."""
        return self.of_runs("run.json")


def draw(experiment: Config, runs: Sequence[Path], out: Path) -> None:
    """Write the table of parameters, time and memory of training: `out`.csv, .md, .tex and .json.

    `runs`: the run.json of every run; other runs are left out. Raises DataError if one is missing.
    """
    import pandas as pd

    trained = records.needed(records.runs(runs), experiment, "run.json")
    parts = list(dict.fromkeys(part for record in trained["record"] for part in record.parameters))
    numbers = pd.DataFrame([_spent(row, parts) for _, row in trained.iterrows()])
    rows = [
        _cost_row(experiment, chosen, parts)
        for dataset in experiment.datasets
        for model in experiment.models
        if len(chosen := numbers[(numbers["dataset"] == dataset) & (numbers["model"] == model)])
    ]
    caption = (
        COST if len(experiment.seeds) == 1 else f"{COST} Mean ± standard deviation over {len(experiment.seeds)} seeds."
    )
    write(Table(experiment.title, caption, [Block("", list(_cost_columns(experiment, parts)), rows)]), numbers, out)


def _spent(row: pd.Series, parts: Sequence[str]) -> Mapping[str, Any]:
    record: TrainedRun = row["record"]
    return {
        **{key: row[key] for key in records.RUN},
        **{f"parameters_{part}": record.parameters.get(part) for part in parts},
        "kimg": record.kimg,
        "seconds_per_kimg": record.seconds_per_kimg,
        "images_per_second": 1000 / record.seconds_per_kimg,
        "wall_seconds": record.wall_seconds,
        "peak_memory_mb": record.peak_memory_mb,
        "device": formatting.device(record.hardware),
    }


def _cost_columns(experiment: Config, parts: Sequence[str]) -> Iterable[Column]:
    if len(experiment.datasets) > 1:
        yield Column("Data set", is_number=False)
    yield Column("Model", is_number=False)
    yield from (Column(f"{part.replace('_', ' ').capitalize()}", "parameters") for part in parts)
    yield from (Column("s/kimg", "speed"), Column("images/s", "speed"), Column("Wall time"), Column("Peak memory"))
    yield Column("Device", is_number=False)


def _cost_row(experiment: Config, rows: pd.DataFrame, parts: Sequence[str]) -> list[Cell]:
    first = rows.iloc[0]
    memory = rows["peak_memory_mb"].astype(float).max()
    texts = [first["dataset"]] if len(experiment.datasets) > 1 else []
    texts += [formatting.model(first["model"])]
    texts += [_parameters(first[f"parameters_{part}"]) for part in parts]
    texts += [_over_seeds(rows["seconds_per_kimg"]), _over_seeds(rows["images_per_second"])]
    texts += [formatting.duration(rows["wall_seconds"].mean())]
    texts += [formatting.NONE if math.isnan(memory) else f"{formatting.count(memory)} MB"]
    texts += [formatting.listing(sorted(set(rows["device"])))]
    return [Cell(text) for text in texts]


def _parameters(number: float | None) -> str:
    return formatting.NONE if number is None or math.isnan(number) else formatting.millions(number)


def _over_seeds(values: pd.Series) -> str:
    mean, spread = values.mean(), values.std()
    return (
        formatting.quantity(mean)
        if math.isnan(spread)
        else f"{formatting.quantity(mean)} ± {formatting.quantity(spread)}"
    )
