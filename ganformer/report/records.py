"""Records of training and evaluation, as data frames with one row a run or a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganformer import artifacts
from ganformer.config import Experiment
from ganformer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

RUN = ["dataset", "model", "seed"]
"""Columns that name a run."""


def runs(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a `run.json`: dataset, model, seed, file, and `record` with all of it.

    Raises DataError if a file is missing, incomplete, or a run was given twice.
    """
    import pandas as pd

    rows = []
    for path in paths:
        record = _read(path, "steps", "kimg", "wall_seconds", "seconds_per_kimg", "parameters", "hardware", "spec")
        rows.append({**_name(record, path), "file": str(path), "record": record})
    frame = pd.DataFrame(rows, columns=[*RUN, "file", "record"])
    refuse_doubles(frame, RUN)
    return frame


def measurements(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a measured number: dataset, model, seed, step, kimg, metric, name, value, by, recipe, file.

    `metric` is the key under which an experiment asks for it (`fd`), `name` what it is called on these features
    (`fd_random_vgg16`), `by` the network that they are of, `recipe` the canonical JSON of how it was measured. Raises
    DataError if a file is missing or incomplete, or a step of a run was given twice.
    """
    import pandas as pd

    rows = []
    for path in paths:
        record = _read(path, "step", "kimg", "values", "recipe")
        shared = {
            **_name(record, path),
            "step": record["step"],
            "kimg": record["kimg"],
            "recipe": artifacts.canonical(record["recipe"]),
            "file": str(path),
        }
        for metric, entry in record["values"].items():
            by = entry.get("by", record["recipe"]["extractor"]["kind"])
            rows.append({**shared, "metric": metric, "name": entry["name"], "value": entry["value"], "by": by})
    frame = pd.DataFrame(rows, columns=[*RUN, "step", "kimg", "metric", "name", "value", "by", "recipe", "file"])
    refuse_doubles(frame, [*RUN, "step", "metric"])
    return frame


def needed(frame: pd.DataFrame, experiment: Experiment, what: str) -> pd.DataFrame:
    """Return the rows of the experiment's runs; DataError names every run without rows, and `what` it lacks."""
    wanted = list(experiment.runs())
    present = set(zip(frame["dataset"], frame["model"], frame["seed"], strict=True))
    missing = [
        f"{dataset}/{model} seed {seed}" for dataset, model, seed in wanted if (dataset, model, seed) not in present
    ]
    if missing:
        files = ", ".join(sorted(set(frame["file"]))) or "none"
        raise DataError(
            f"'{experiment.title}' needs {what} of {', '.join(missing)}; files given: {files}. "
            "Make the missing ones and pass them as well"
        )
    return frame[[run in wanted for run in zip(frame["dataset"], frame["model"], frame["seed"], strict=True)]]


def last(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers measured at the last step of every run."""
    return frame[frame["step"] == frame.groupby(RUN)["step"].transform("max")]


def recipe(frame: pd.DataFrame, dataset: str) -> Mapping[str, Any]:
    """Return the recipe of the numbers of one data set; DataError if files differ in it."""
    chosen = frame[frame["dataset"] == dataset]
    recipes = chosen.drop_duplicates("recipe")
    if len(recipes) > 1:
        raise DataError(
            f"{recipes['file'].iloc[0]} and {recipes['file'].iloc[1]} were measured in different ways "
            f"({recipes['recipe'].iloc[0]} and {recipes['recipe'].iloc[1]}); evaluate all runs of '{dataset}' alike"
        )
    found: Mapping[str, Any] = json.loads(recipes["recipe"].iloc[0])
    return found


def _read(path: Path, *keys: str) -> Mapping[str, Any]:
    record: Mapping[str, Any] = artifacts.read_json(path)
    lacking = [key for key in ("run", *keys) if not isinstance(record, Mapping) or key not in record]
    if lacking:
        raise DataError(f"{path}: has no {', '.join(map(repr, lacking))}; it is no complete record, make it again")
    if record.get("format") != 1:
        raise DataError(f"{path}: is of format {record.get('format')!r}, format 1 was expected; make it again")
    return record


def _name(record: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    run = record["run"]
    lacking = [key for key in RUN if key not in run]
    if lacking:
        raise DataError(f"{path}: 'run' has no {', '.join(map(repr, lacking))}; make the file again")
    return {key: run[key] for key in RUN}


def refuse_doubles(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise DataError, naming two files, if rows are alike in these columns, those of a run among them."""
    doubles = frame[frame.duplicated(list(keys), keep=False)]
    if len(doubles):
        first, second = doubles["file"].iloc[0], doubles["file"].iloc[1]
        run = "{dataset}/{model} seed {seed}".format(**doubles.iloc[0])
        raise DataError(f"{first} and {second} both hold {run}; pass only one of them")
