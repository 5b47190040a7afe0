"""Differences between two models with confidence intervals over seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.records.exhibit import Cell
from ganformer.report import formatting

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
"""Usual probability that an interval covers the true difference."""


def problems(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield a problem if one seed leaves the spread between seeds unknown."""
    if len(experiment.seeds) < 2:
        yield "seeds", "one seed says nothing about the spread between seeds; give at least two"


def difference(title: str, measured: pd.DataFrame, key: str, model: str, base: str, level: float) -> dict[str, Any]:
    """Return the difference of the means over seeds of two models on one data set, by Welch's t.

    `measured`: numbers of one data set, as `records.measurements` returns them; `title`: of the table, for messages.
    The result has: model, base, metric, key, mean, base_mean, difference, low and high (ends of the interval), p, and
    verdict: better, worse, or undecided if the interval holds zero or is unknown. Raises DataError if runs of one of
    them lack the value.
    """
    from scipy import stats

    here = measured[measured["metric"] == key]
    values, others = (here[here["model"] == each].sort_values("seed")["value"] for each in (model, base))
    if values.empty or others.empty:
        raise DataError(
            f"'{title}' compares '{key}', which runs of {model if values.empty else base} on "
            f"{measured['dataset'].iloc[0]} have not; add what measures it to evaluation.metrics and evaluate again, "
            "or leave it out of `values`"
        )
    with warnings.catch_warnings():
        # Of equal values, whose spread is zero: the interval is unknown then, and the verdict says so.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_ind(values, others, equal_var=False)
    low, high = found.confidence_interval(level)
    name = str(here["name"].iloc[0])
    return {
        "model": model,
        "base": base,
        "metric": name,
        "key": key,
        "mean": values.mean(),
        "base_mean": others.mean(),
        "difference": values.mean() - others.mean(),
        "low": low,
        "high": high,
        "p": found.pvalue,
        "verdict": verdict(low, high, formatting.metric(key, name).better),
    }


def verdict(low: float, high: float, better: str | None) -> str:
    """Return better, worse, or undecided if the interval holds zero or is unknown, as of equal values."""
    if math.isnan(low) or low <= 0 <= high or better is None:
        return "undecided"
    return "better" if (high < 0) == (better == "low") else "worse"


def text(row: pd.Series, shown: formatting.Metric) -> str:
    """Return a difference and its interval in the unit shown: `-5.33 [-7.61, -3.06]`."""
    difference, low, high = (row[key] * shown.scale for key in ("difference", "low", "high"))
    known = [abs(value) for value in (difference, low, high) if not math.isnan(value)]
    decimals = formatting.decimals(max(known)) if shown.decimals is None else shown.decimals
    return f"{difference:+.{decimals}f} [{low:+.{decimals}f}, {high:+.{decimals}f}]"


def cell(row: pd.Series, shown: formatting.Metric) -> Cell:
    """Return a difference with its interval and verdict, marked if the model is better."""
    return Cell(f"{text(row, shown)}, {row['verdict']}", row["verdict"] == "better")
