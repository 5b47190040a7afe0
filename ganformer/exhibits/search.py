"""Table of the trials of a search for settings, and the one chosen for each model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ganformer import artifacts
from ganformer.config import Config as Configuration
from ganformer.config import Experiment, Name, Strict
from ganformer.config.base import as_mapping, as_sequence
from ganformer.errors import DataError
from ganformer.records.exhibit import Block, Cell, Column
from ganformer.records.run import RUN_FILE
from ganformer.report import compared, formatting, records
from ganformer.report.table import Table, write

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Trials of each model, {count} each, and the settings in which they differ. Chosen is the trial with the better "
    "{by}, in bold; values are of {seeds}."
)


class Trials(Strict):
    """Trials of one model."""

    model: Name
    """Name of the model in the table."""
    entries: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Entries of `models` that were tried for it."""


class Config(Experiment):
    """Settings of the table of trials, of which one is chosen for each model."""

    kind: Literal["search"] = "search"
    place = 5
    shape = "table"
    forms = ("csv", "md", "tex")

    trials: Annotated[tuple[Trials, ...], Field(min_length=1)]
    """Trials of each model; `models` follows from them."""
    by: str = "fd"
    """Key of the value that decides."""

    @model_validator(mode="before")
    @classmethod
    def _models_are_trials(cls, raw: Any) -> Any:
        names = [name for _, _, name in _entries(as_mapping(raw))]
        return {**raw, "models": names} if names else raw

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield the names that the entry uses."""
        yield from super().references({key: value for key, value in raw.items() if key != "models"})
        for i, k, name in _entries(raw):
            yield f"trials.{i}.entries.{k}", "models", name

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield a problem if one model has more trials than another."""
        counts = {trials.model: len(trials.entries) for trials in self.trials}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{model} {count}" for model, count in counts.items())
            yield "trials", f"models have different numbers of trials ({told}), which favours some; give all as many"

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the records of all runs, and the measurements at the end of training."""
        return [*self.of_runs(RUN_FILE), *self.metrics(configuration)]


def _entries(raw: Mapping[str, Any]) -> Iterator[tuple[int, int, Any]]:
    """Yield the entries of settings that are not yet checked, with the places of the model and of the entry."""
    for i, trials in enumerate(as_sequence(raw.get("trials"))):
        yield from ((i, k, name) for k, name in enumerate(as_sequence(as_mapping(trials).get("entries"))))


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Write the table of trials: `out`.csv, .md, .tex and .json; a block for each data set.

    `files`: run.json and metrics.json of every run, of several of one run the last step counts. The csv has a row for
    each data set and trial: its settings as JSON, the values' means over seeds, unrounded, and whether it is chosen.
    Raises DataError if a run or the deciding value is missing, or runs of one data set were measured differently.
    """
    import pandas as pd

    runs = records.needed(records.runs(file for file in files if file.name == RUN_FILE), experiment, RUN_FILE)
    metrics = records.measurements(file for file in files if file.name != RUN_FILE)
    measured = records.last(records.needed(metrics, experiment, "metrics"))
    settings = {row["model"]: dict(_flat(row["record"].model)) for _, row in runs.iterrows()}
    numbers = pd.DataFrame(
        _trial(experiment, dataset, trials, trial, settings, measured)
        for dataset in experiment.datasets
        for trials in experiment.trials
        for trial in trials.entries
    )
    blocks = [_block(experiment, dataset, measured, numbers, settings) for dataset in experiment.datasets]
    caption = CAPTION.format(
        count=max(len(trials.entries) for trials in experiment.trials),
        by=formatting.metric(experiment.by, experiment.by).title,
        seeds=formatting.plural(len(experiment.seeds), "seed"),
    )
    as_text = numbers.assign(settings=numbers["settings"].map(artifacts.canonical))
    write(Table(experiment.title, caption, blocks), as_text, out)


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings, those of sections by their path: `adversarial.r1_gamma`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _differing(trials: Trials, trial: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial in which those of its model differ."""
    others = [settings[name] for name in trials.entries]
    return {key: value for key, value in settings[trial].items() if any(each.get(key) != value for each in others)}


def _trial(
    experiment: Config, dataset: str, trials: Trials, trial: str, settings: Mapping[str, Any], measured: pd.DataFrame
) -> dict[str, Any]:
    here = measured[measured["dataset"] == dataset]
    means = here[here["model"].isin(trials.entries)].groupby(["model", "metric"])["value"].mean().unstack()
    if experiment.by not in means or means[experiment.by].isna().any():
        raise DataError(
            f"'{experiment.title}' decides by '{experiment.by}', which a trial of {trials.model} on {dataset} has "
            "not; add what measures it to evaluation.metrics and evaluate again, or decide `by` another value"
        )
    is_low = formatting.metric(experiment.by, experiment.by).better == "low"
    best = means[experiment.by].idxmin() if is_low else means[experiment.by].idxmax()
    return {
        "dataset": dataset,
        "model": trials.model,
        "trial": trial,
        "is_chosen": trial == best,
        "kimg": here.loc[here["model"] == trial, "kimg"].max(),
        "settings": _differing(trials, trial, settings),
        **means.loc[trial],
    }


def _block(
    experiment: Config,
    dataset: str,
    measured: pd.DataFrame,
    numbers: pd.DataFrame,
    settings: Mapping[str, Any],
) -> Block:
    here, rows = measured[measured["dataset"] == dataset], numbers[numbers["dataset"] == dataset]
    columns = {
        Column("Model", is_number=False): [Cell(formatting.model(model)) for model in rows["model"]],
        Column("Trial", is_number=False): [
            Cell(", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in trial.items()))
            for trial in rows["settings"]
        ],
    }
    for key in compared.shown(here):
        name, by = here.loc[here["metric"] == key, ["name", "by"]].iloc[0]
        metric = formatting.metric(key, name)
        decimals = (
            formatting.decimals(rows[key].abs().min() * metric.scale) if metric.decimals is None else metric.decimals
        )
        columns[Column(metric.heading, by)] = [
            Cell(
                formatting.NONE if math.isnan(value) else f"{value * metric.scale:.{decimals}f}",
                bool(chosen) and key == experiment.by,
            )
            for value, chosen in zip(rows[key], rows["is_chosen"], strict=True)
        ]
    heading = dataset if len(experiment.datasets) > 1 else ""
    notes = [compared.protocol(dataset, here, records.recipe(here, dataset))]
    return Block(heading, list(columns), list(zip(*columns.values(), strict=True)), notes)
