"""Checks that several kinds of tables and figures make of the configuration."""

from collections.abc import Iterable, Iterator

from ganformer.config import Config
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


def attention_maps(models: Iterable[str], configuration: Config) -> Iterator[tuple[str, str]]:
    """Yield a problem for each model without attention maps."""
    for model in models:
        if not configuration.models[model].has_attention_maps:
            yield "models", f"'{model}' has no attention maps; leave it out"
