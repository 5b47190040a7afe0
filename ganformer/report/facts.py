"""Facts on runs, as pages show them: number, length, time, devices, code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ganformer.report import formatting

if TYPE_CHECKING:
    import pandas as pd


def of_runs(runs: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """Yield name and text of each fact on `runs`, rows of `records.runs`."""
    found = list(runs["record"])
    models, seeds = (formatting.plural(runs[name].nunique(), name) for name in ("model", "seed"))
    yield "Data sets", each(runs["dataset"])
    yield "Runs", f"{formatting.count(len(found))}, of {models} with {seeds}"
    yield "Images shown to each run", f"{each(formatting.kimg(record.kimg) for record in found)} thousand"
    yield "Training in all", formatting.duration(sum(record.wall_seconds for record in found))
    yield "Computed on", each(formatting.device(record.hardware) for record in found)
    yield "Code", each(version(record.code) for record in found)


def libraries(runs: pd.DataFrame) -> str:
    """Return the names and versions of the libraries that `runs` were trained with."""
    return each(f"{name} {number}" for record in runs["record"] for name, number in record.libraries.items())


def version(code: Mapping[str, Any]) -> str:
    """Return the version of the code that trained a run, with its commit if it is known."""
    if "commit" not in code:
        return str(code["ganformer"])
    return f"{code['ganformer']} ({code['commit']}{', with changes' if code.get('dirty') else ''})"


def each(items: Iterable[str]) -> str:
    """Return a list in words of different items, in their order."""
    return formatting.listing(list(dict.fromkeys(items)))
