"""Table of the published orderings of models: which hold here, which are reversed, which are undecided."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ganformer.config import Config as Configuration
from ganformer.errors import DataError
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report import budget, compared, formatting, intervals, published, records
from ganformer.report.published import PUBLISHED, Compared
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

SAID = {"better": "holds", "worse": "reversed", "undecided": "undecided"}
CAPTION = (
    "Of {pairs} published orderings of two models {holds} hold at this scale, {reversed} are reversed, and {undecided} "
    "are undecided: the {level} confidence interval over {seeds} (Welch's t) of the difference holds zero. Data sets, "
    "sizes and features are others than in the paper; only orders are compared."
)


class Config(Compared, budget.Budgeted):
    """Settings of the table of published orderings beside measured differences."""

    kind: Literal["orderings"] = "orderings"
    place = 17

    values: Annotated[tuple[str, ...], Field(min_length=1)] = ("fd",)
    """Keys of the values whose published counterparts are compared: `fd` with FID."""
    level: Annotated[float, Field(gt=0, lt=1)] = intervals.LEVEL
    """Probability that an interval covers the true difference."""

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield a problem if there are no published numbers, or one seed leaves the spread unknown."""
        if self.published is None:
            yield "published", "is missing, so there are no orderings to compare with; name the published table"
        yield from intervals.problems(self)

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements at the budget, and the published numbers."""
        return [*self.records(configuration), PUBLISHED]


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Write the table of orderings: `out`.csv, .md, .tex and .json; a block for each data set.

    `files`: as of a comparison. A row for each two models with different published values: the better one there, both
    published values, and the difference here with its interval. The csv has them unrounded. Raises DataError if a run
    or a metric is missing, or nothing is published of a value.
    """
    import pandas as pd

    metrics, quoted = published.quoted(experiment, files)
    measured = budget.measured(experiment, metrics)
    assert quoted is not None, "the settings have published numbers"
    numbers = pd.DataFrame(
        row for dataset in experiment.datasets for row in _orderings(experiment, dataset, measured, quoted)
    )
    blocks = [_block(experiment, dataset, measured, numbers) for dataset in experiment.datasets]
    counts = Counter(numbers["outcome"])
    caption = CAPTION.format(
        pairs=len(numbers),
        level=f"{100 * experiment.level:g} %",
        seeds=formatting.plural(len(experiment.seeds), "seed"),
        **{outcome: counts[outcome] for outcome in SAID.values()},
    )
    write(Table(experiment.title, caption, blocks), numbers, out)


def _orderings(
    experiment: Config, dataset: str, measured: pd.DataFrame, quoted: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    here = measured[measured["dataset"] == dataset]
    for key in experiment.values:
        metric = formatting.METRICS.get(key, formatting.Metric(key))
        there = quoted[(quoted["dataset"] == dataset) & quoted["metric"].isin(metric.published)]
        known = {row["model"]: float(row["value"]) for _, row in there.iterrows()}
        if len(known) < 2:
            raise DataError(
                f"'{experiment.title}': nothing is published of '{key}' for two models on {dataset}; leave it out of "
                "`values`, or name another table in `published`"
            )
        for one, other in itertools.combinations([model for model in experiment.models if model in known], 2):
            if known[one] == known[other]:
                continue
            first, second = sorted((one, other), key=known.__getitem__, reverse=metric.better == "high")
            found = intervals.difference(experiment.title, here, key, first, second, experiment.level)
            yield {
                "dataset": dataset,
                **found,
                "published": known[first],
                "published_base": known[second],
                "outcome": SAID[found["verdict"]],
            }


def _block(experiment: Config, dataset: str, measured: pd.DataFrame, numbers: pd.DataFrame) -> Block:
    here = measured[measured["dataset"] == dataset]
    rows = []
    for _, row in numbers[numbers["dataset"] == dataset].iterrows():
        shown = formatting.metric(row["key"], row["metric"])
        printed = f"{row['published']:g} and {row['published_base']:g}"
        rows.append(
            [
                Cell(f"{formatting.model(row['model'])} better than {formatting.model(row['base'])}"),
                Cell(shown.title),
                Cell(printed),
                Cell(intervals.text(row, shown)),
                Cell(row["outcome"], row["outcome"] == "holds"),
            ]
        )
    columns = [
        Column("Published ordering", is_number=False),
        Column("Value", is_number=False),
        Column("Published"),
        Column("Difference here"),
        Column("Outcome", is_number=False),
    ]
    heading = dataset if len(experiment.datasets) > 1 else ""
    return Block(heading, columns, rows, [compared.protocol(dataset, here, records.recipe(here, dataset))])
