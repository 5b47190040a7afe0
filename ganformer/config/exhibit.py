"""Base of the settings of tables and figures."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    SerializeAsAny,
)

from ganformer.config.base import Name, Plugged, Strict, as_sequence

if TYPE_CHECKING:
    from ganformer.config.whole import Config


RUN = "results/runs/{dataset}/{model}/seed{seed}"
"""Folder of one run."""


class Experiment(Strict):
    """One table or figure, a target by its name. Every file in `ganformer/exhibits` has its own `Config`."""

    shape: ClassVar[Literal["table", "figure"]]
    """Table or figure; its files are in `results/tables` or `results/figures`."""
    forms: ClassVar[tuple[str, ...]]
    """Suffixes of its files, without the .json that the report page reads."""
    place: ClassVar[int]
    """Place in the report: kinds are shown in ascending order of it."""

    kind: str
    title: str
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    extended: bool = False
    """Made by the target `extended` only, not by `all`, since it takes long."""

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield every (data set, model, seed) that it needs."""
        return itertools.product(self.datasets, self.models, self.seeds)

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield the names of data sets and models that an entry, not yet checked, uses: key, section, name."""
        for section in ("datasets", "models"):
            yield from ((f"{section}.{i}", section, name) for i, name in enumerate(as_sequence(raw.get(section))))

    def problems(self, configuration: "Config") -> Iterable[tuple[str, str]]:
        """Yield conflicts with the whole configuration: a key of this entry, and a sentence."""
        return ()

    def inputs(self, name: str, configuration: "Config") -> Iterable[Path]:
        """Return the files that the entry `name` is drawn from, in the order in which they are passed to `draw`."""
        raise NotImplementedError

    def stem(self, name: str) -> Path:
        """Return the path of the files of the entry `name`, without suffix."""
        return Path("results", f"{self.shape}s", name)

    def of_runs(self, file: str) -> list[Path]:
        """Return the path of `file` in the folder of every run."""
        return [Path(RUN.format(dataset=dataset, model=model, seed=seed), file) for dataset, model, seed in self.runs()]

    def metrics(self, configuration: "Config", *, every_snapshot: bool = False) -> list[Path]:
        """Return the measurements of every run, at the end of its training or at every snapshot."""
        return [
            Path(RUN.format(dataset=dataset, model=model, seed=seed), f"metrics/step-{step}.json")
            for dataset, model, seed in self.runs()
            for step in configuration.spec(dataset, model, seed).snapshot_steps[0 if every_snapshot else -1 :]
        ]


AnyExperiment = SerializeAsAny[Annotated[Experiment, Plugged("ganformer.exhibits")]]
