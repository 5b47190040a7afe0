"""Checks that several kinds of tables and figures make of the configuration."""

from collections.abc import Iterable, Iterator

from ganformer.config import ABILITIES, Ability, Config
from ganformer.errors import ConfigError


def parsers(datasets: Iterable[str], configuration: Config) -> Iterator[tuple[str, str]]:
    """Yield a problem for each data set whose images no parser reads."""
    for dataset in datasets:
        try:
            parsing = configuration.parser(dataset)
        except ConfigError as error:
            yield "datasets", str(error)
            continue
        for problem in parsing.problems(configuration.datasets[dataset]):
            yield "datasets", f"{problem} (data set {dataset})"


def ability(part: Ability, models: Iterable[str], configuration: Config) -> Iterator[tuple[str, str]]:
    """Yield a problem for each model without such a part."""
    for model in models:
        if part not in configuration.models[model].abilities:
            yield "models", f"'{model}' has no {ABILITIES[part]}; leave it out"
