"""Records of training and evaluation, as data frames with one row a run or a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganformer import artifacts
from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.records.metrics import Measured, Recipe
from ganformer.records.run import TrainedRun

if TYPE_CHECKING:
    import pandas as pd

RUN = ["dataset", "model", "seed"]
"""Columns that name a run."""


def runs(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a `run.json`: dataset, model, seed, file, and `record`, a `TrainedRun`.

    Raises DataError if a file is missing or a run was given twice, CheckpointError if one is of no trained run.
    """
    import pandas as pd

    rows = []
    for path in paths:
        record = TrainedRun.read(path)
        rows.append({**record.run.content(), "file": str(path), "record": record})
    frame = pd.DataFrame(rows, columns=[*RUN, "file", "record"])
    refuse_doubles(frame, RUN)
    return frame


def measurements(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a measured number: dataset, model, seed, step, kimg, metric, name, value, by, recipe, …, file.

    `metric` is the key under which an experiment asks for it (`fd`), `name` its name on these features
    (`fd_random_vgg16`), `by` the network that they are of, `recipe` the canonical JSON of how it was measured,
    `diverged` the kimg at which the run diverged before, if it did. Raises DataError if a file is missing or
    incomplete, or a step of a run was given twice.
    """
    import pandas as pd

    rows = []
    for path in paths:
        record = Measured.read(path)
        shared = {
            **record.run.content(),
            "step": record.step,
            "kimg": record.kimg,
            "recipe": artifacts.canonical(record.recipe),
            "diverged": record.diverged_kimg,
            "file": str(path),
        }
        for metric, entry in record.values.items():
            by = entry.by or record.how.network
            rows.append({**shared, "metric": metric, "name": entry.name, "value": entry.value, "by": by})
    columns = [*RUN, "step", "kimg", "metric", "name", "value", "by", "recipe", "diverged", "file"]
    frame = pd.DataFrame(rows, columns=columns)
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


def recipe(frame: pd.DataFrame, dataset: str) -> Recipe:
    """Return the recipe of the numbers of one data set; DataError if files differ in it."""
    chosen = frame[frame["dataset"] == dataset]
    recipes = chosen.drop_duplicates("recipe")
    if len(recipes) > 1:
        raise DataError(
            f"{recipes['file'].iloc[0]} and {recipes['file'].iloc[1]} were measured in different ways "
            f"({recipes['recipe'].iloc[0]} and {recipes['recipe'].iloc[1]}); evaluate all runs of '{dataset}' alike"
        )
    return Recipe.model_validate_json(recipes["recipe"].iloc[0])


def refuse_doubles(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise DataError, naming two files, if rows are alike in these columns, which include a run's."""
    doubles = frame[frame.duplicated(list(keys), keep=False)]
    if len(doubles):
        first, second = doubles["file"].iloc[0], doubles["file"].iloc[1]
        run = "{dataset}/{model} seed {seed}".format(**doubles.iloc[0])
        raise DataError(f"{first} and {second} both hold {run}; pass only one of them")
