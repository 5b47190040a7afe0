"""Figure of what models have learned: one kind of look, e.g. component edits, at every run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ganformer.config import AnyLook, Experiment
from ganformer.config import Config as Configuration
from ganformer.errors import DataError
from ganformer.records.npz import LookedAt
from ganformer.report import drawing, formatting, requirements, sheet


class Config(Experiment):
    """Settings of a figure that shows one kind of look, as `ganformer look` makes it, at every run."""

    kind: Literal["look"] = "look"
    place = 45
    shape = "figure"
    forms = ("png", "pdf")

    look: AnyLook
    """Kind of the look and its settings."""

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield models that cannot be looked at in this way."""
        if self.look.needs is not None:
            yield from requirements.ability(self.look.needs, self.models, configuration)

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the file of this look at every run."""
        return self.of_runs(f"looks/{name}.npz")


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Draw the pictures of every run below each other: `out`.png, .pdf and .json.

    `files`: npz files of looks; other runs are left out. Raises DataError if one is missing or of another look.
    """
    found = {}
    for path in files:
        facts, arrays = LookedAt.read(path)
        if facts.look != experiment.look.model_dump(mode="json"):
            raise DataError(f"{path}: is of another look than '{experiment.title}' shows; {LookedAt.REMEDY}")
        found[facts.run.dataset, facts.run.model, facts.run.seed] = facts, arrays["cells"]
    if missing := [run for run in experiment.runs() if run not in found]:
        names = ", ".join(f"{dataset}/{model} seed {seed}" for dataset, model, seed in missing)
        raise DataError(f"'{experiment.title}' needs the look at {names}; {LookedAt.REMEDY}, and pass its file as well")
    shown = [found[run] for run in experiment.runs()]
    with drawing.style():
        figure = sheet.draw(
            [sheet.Part(_label(experiment, facts), cells, facts.rows, facts.columns) for facts, cells in shown]
        )
        names = formatting.listing([formatting.model(model) for model in experiment.models])
        captions = list(dict.fromkeys(facts.caption for facts, _ in shown))
        every = " ".join(f"{_label(experiment, facts)}: {facts.caption}" for facts, _ in shown)
        caption = captions[0] if len(captions) == 1 else every
        alt = f"Pictures of {names} in rows and columns: {experiment.look.kind}."
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


def _label(experiment: Config, facts: LookedAt) -> str:
    """Return the name of a run in the figure."""
    dataset = f", {facts.run.dataset}" if len(experiment.datasets) > 1 else ""
    seed = f", seed {facts.run.seed}" if len(experiment.seeds) > 1 else ""
    return f"{formatting.model(facts.run.model)}{dataset}{seed}"
