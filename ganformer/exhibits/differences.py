"""Table of differences between one model and others, with confidence intervals over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ganformer.config import Config as Configuration
from ganformer.config import Name
from ganformer.config.base import as_mapping
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report import budget, compared, formatting, intervals, records
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Difference from {base}: mean over {seeds} seeds, and in brackets its {level} confidence interval (Welch's t, "
    "which lets the spreads of two models differ). Bold where a model is better and its interval excludes zero. "
    "Intervals are of single comparisons: of the {count} in this table about {expected} would exclude zero by "
    "chance."
)


class Config(budget.Budgeted):
    """Settings of the table of differences between models, each with its confidence interval."""

    kind: Literal["differences"] = "differences"
    place = 15
    shape = "table"
    forms = ("csv", "md", "tex")

    base: Name
    """Model that the others are compared with; one of `models`."""
    values: Annotated[tuple[str, ...], Field(min_length=1)] = ("fd", "precision", "recall", "coverage")
    """Keys of the values that are compared."""
    level: Annotated[float, Field(gt=0, lt=1)] = intervals.LEVEL
    """Probability that an interval covers the true difference."""

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:  # type: ignore[override]
        """Yield the names that the entry uses, the base among them."""
        yield from super().references(raw)
        if (base := as_mapping(raw).get("base")) is not None:
            yield "base", "models", base

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield a problem if the base is no model of the table, or one seed leaves the spread unknown."""
        if self.base not in self.models:
            yield "base", f"'{self.base}' is not in models; add it there, or name one of {', '.join(self.models)}"
        yield from intervals.problems(self)

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements at the budget."""
        return self.records(configuration)


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Write the table of differences: `out`.csv, .md, .tex and .json; a block for each data set.

    `files`: as of a comparison. The csv has for each data set, model and metric both means, the difference, the ends of
    its interval and the p-value of Welch's test, unrounded. Raises DataError if a run or a metric is missing, or runs
    of one data set were measured in different ways.
    """
    import pandas as pd

    measured = budget.measured(experiment, files)
    rows = pd.DataFrame(
        {
            "dataset": dataset,
            **intervals.difference(
                experiment.title,
                measured[measured["dataset"] == dataset],
                metric,
                model,
                experiment.base,
                experiment.level,
            ),
        }
        for dataset in experiment.datasets
        for model in experiment.models
        if model != experiment.base
        for metric in experiment.values
    )
    blocks = [_block(experiment, dataset, measured, rows) for dataset in experiment.datasets]
    caption = CAPTION.format(
        base=formatting.model(experiment.base),
        seeds=len(experiment.seeds),
        level=f"{100 * experiment.level:g} %",
        count=len(rows),
        expected=formatting.quantity(len(rows) * (1 - experiment.level)),
    )
    write(Table(experiment.title, caption, blocks), rows, out)


def _block(experiment: Config, dataset: str, measured: pd.DataFrame, rows: pd.DataFrame) -> Block:
    here = measured[measured["dataset"] == dataset]
    recipe = records.recipe(here, dataset)
    others = [model for model in experiment.models if model != experiment.base]
    columns = {Column("Model", is_number=False): [Cell(formatting.model(model)) for model in others]}
    for metric in experiment.values:
        chosen = rows[(rows["dataset"] == dataset) & (rows["key"] == metric)].set_index("model").loc[others]
        by = here.loc[here["metric"] == metric, "by"].iloc[0]
        shown = formatting.metric(metric, chosen["metric"].iloc[0])
        column = Column(shown.heading, formatting.conditions(dataset, recipe, by))
        columns[column] = [intervals.cell(row, shown) for _, row in chosen.iterrows()]
    heading = dataset if len(experiment.datasets) > 1 else ""
    notes = [compared.protocol(dataset, here, recipe)]
    return Block(heading, list(columns), list(zip(*columns.values(), strict=True)), notes)
