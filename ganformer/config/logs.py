"""Settings of the logs of a training. They are no part of a run, and change neither its weights nor its identity."""

import json
import os
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, StringConstraints

from ganformer.config.base import Strict, as_mapping, parse
from ganformer.errors import ConfigError

VARIABLE = "GANFORMER_LOGGING"
"""Variable of the environment with the section `logging` as JSON, by which the workflow hands it to its trainings: were
it an option of theirs, Snakemake would train again where it changes."""
Word = Annotated[str, StringConstraints(min_length=1)]


class Wandb(Strict):
    """A project of Weights & Biases, which gets the losses, values and pictures that TensorBoard gets."""

    project: Word
    """Name of the project; it is made if there is none."""
    entity: Word | None = None
    """User or team that the project belongs to. None: the user's default."""
    mode: Literal["online", "offline", "disabled"] = "online"
    """`online`: logged at once, after `wandb login`; `offline`: into `wandb/` beside the run, without an account, until
    `wandb sync` uploads it; `disabled`: not at all."""


class Measuring(Strict):
    """Fréchet distances by random-vgg16 while a training runs, in log.jsonl and TensorBoard."""

    every_kimg: PositiveFloat
    """Thousands of real images shown from one measurement to the next."""
    images: Annotated[int, Field(ge=2)] = 1000
    """Samples for each."""


class Logging(Strict):
    """Logs beside log.jsonl and TensorBoard's events, which are always written."""

    wandb: Wandb | None = None
    """Project of Weights & Biases (`pip install -e '.[wandb]'`). None: nothing goes there."""
    evaluation: Measuring | None = None
    """Measurements on the way. None: there are none."""


def hand_on(logging: Logging) -> None:
    """Let the trainings that this process starts log so; those of a configuration that says nothing as before."""
    if logging.model_fields_set:
        os.environ[VARIABLE] = logging.json()


def chosen_logging(section: Any, project: str | None = None, mode: str | None = None) -> Logging:
    """Return the logs of one training.

    `section`: the section `logging` of its configuration, None: that of the environment, if any; `project`, `mode`: of
    Weights & Biases, in place of the section's. Raises ConfigError for wrong settings and a mode without a project.
    """
    if section is None and VARIABLE in os.environ:
        section = _of_environment()
    if project is None and mode is None:
        return parse(Logging, {} if section is None else section, "logging")
    given = {**as_mapping(as_mapping(section).get("wandb"))}
    given |= {key: value for key, value in (("project", project), ("mode", mode)) if value is not None}
    if "project" not in given:
        raise ConfigError("--wandb-mode: says how to log, not where; give --wandb PROJECT as well")
    return parse(Logging, {**as_mapping(section), "wandb": given}, "logging")


def _of_environment() -> Any:
    try:
        return json.loads(os.environ[VARIABLE])
    except ValueError as error:
        raise ConfigError(
            f"{VARIABLE}: is not valid JSON ({error}); unset this variable of the environment, which the workflow "
            "sets for its jobs"
        ) from error
