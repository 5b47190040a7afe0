"""Table of the agreement of metrics on the order of models: Kendall's τ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganformer.config import Config as Configuration
from ganformer.errors import DataError
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.report import budget, compared, formatting, records
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

LEAST = 3
"""Least number of models whose order says anything."""
CAPTION = (
    "Kendall's τ-b between the orders in which two metrics put the models, best first: 1 if they agree on every "
    "pair of models, −1 if on none, and 0 if they agree on as many as they disagree on. Orders are of the means "
    "over {seeds}; ± is the standard deviation of τ over orders of single seeds."
)


class Config(budget.Budgeted):
    """Settings of the table of Kendall's τ between the orders of models by each two metrics."""

    kind: Literal["rankings"] = "rankings"
    place = 16
    shape = "table"
    forms = ("csv", "md", "tex")

    values: tuple[str, ...] = ()
    """Keys of the values by which models are put in order; none: all that every run has and that have a
    better direction."""

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield a problem if there are too few models for an order."""
        if len(self.models) < LEAST:
            yield "models", f"the order of {len(self.models)} says nothing; name at least {LEAST}"

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the measurements at the budget."""
        return self.records(configuration)


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Write the table of metrics × metrics: `out`.csv, .md, .tex and .json; a block for each data set.

    `files`: as of a comparison. The csv has for each data set and pair of metrics τ of the means, its p-value
    (two-sided, of no agreement), and τ of each seed, unrounded. Raises DataError if a run or a metric is missing, or
    runs of one data set were measured in different ways.
    """
    import pandas as pd

    measured = budget.measured(experiment, files)
    pairs, blocks = [], []
    for dataset in experiment.datasets:
        here = measured[measured["dataset"] == dataset]
        losses = _losses(experiment, dataset, here)
        found = [{"dataset": dataset, **_agreement(losses, *pair)} for pair in itertools.combinations(losses, 2)]
        pairs += found
        blocks.append(_block(experiment, dataset, here, found, losses))
    seeds = formatting.plural(len(experiment.seeds), "seed")
    write(Table(experiment.title, CAPTION.format(seeds=seeds), blocks), pd.DataFrame(pairs), out)


def _losses(experiment: Config, dataset: str, measured: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return for each metric the values [models × seeds], less of which is better."""
    runs = measured["file"].nunique()
    shared = [key for key in compared.shown(measured) if (measured["metric"] == key).sum() == runs]
    keys = experiment.values or [key for key in shared if _better(key)]
    losses = {}
    for key in keys:
        chosen = measured[measured["metric"] == key]
        table = chosen.pivot(index="model", columns="seed", values="value").reindex(list(experiment.models))
        if table.isna().any(axis=None) or not _better(key):
            lacking = ", ".join(table.index[table.isna().any(axis=1)]) or "all models without a better direction"
            raise DataError(
                f"'{experiment.title}' orders models by '{key}', which {lacking} on {dataset} have not; add what "
                "measures it to evaluation.metrics and evaluate again, or name other `values`"
            )
        losses[key] = table if _better(key) == "low" else -table
    return losses


def _better(key: str) -> str | None:
    return formatting.metric(key, key).better


def _agreement(losses: Mapping[str, pd.DataFrame], one: str, other: str) -> dict[str, Any]:
    from scipy import stats

    first, second = losses[one], losses[other]
    whole = stats.kendalltau(first.mean(axis=1), second.mean(axis=1))
    each = {f"tau_seed{seed}": stats.kendalltau(first[seed], second[seed]).statistic for seed in first}
    return {"metric": one, "other": other, "tau": whole.statistic, "p": whole.pvalue, **each}


def _block(
    experiment: Config,
    dataset: str,
    measured: pd.DataFrame,
    pairs: Sequence[Mapping[str, Any]],
    losses: Mapping[str, pd.DataFrame],
) -> Block:
    import pandas as pd

    names = {key: _named(key, measured) for key in losses}
    texts = {}
    for pair in pairs:
        each = pd.Series([value for name, value in pair.items() if name.startswith("tau_seed")])
        spread = f" ± {each.std():.2f}" if len(each) > 1 else ""
        texts[pair["metric"], pair["other"]] = texts[pair["other"], pair["metric"]] = f"{pair['tau']:.2f}{spread}"
    rows = [[Cell(names[one]), *(Cell(texts.get((one, other), formatting.NONE)) for other in losses)] for one in losses]
    columns = [Column("Metric", is_number=False), *(Column(names[key]) for key in losses)]
    heading = dataset if len(experiment.datasets) > 1 else ""
    return Block(heading, columns, rows, [compared.protocol(dataset, measured, records.recipe(measured, dataset))])


def _named(key: str, measured: pd.DataFrame) -> str:
    row = measured[measured["metric"] == key].iloc[0]
    return f"{formatting.metric(key, row['name']).title}, {row['by']}"
