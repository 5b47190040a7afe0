"""Small settings of every kind of model there is, found by its file name, for tests that hold for all of them."""

import itertools
from collections.abc import Iterator
from typing import Any, get_args

from ganformer import plugins
from ganformer.config import AdversarialModel

PACKAGE = "ganformer.models"
SMALL = {
    "channel_base": 128,
    "channel_max": 8,
    "latent_size": 8,
    "mapping_layers": 2,
    "components": 2,
    "attention_resolutions": (8,),
    "merge_resolution": 8,
}


def variants(*, adversarial_only: bool = False) -> Iterator[dict[str, Any]]:
    """The settings of every kind, made small, with each combination of what must be chosen."""
    for kind in plugins.names(PACKAGE):
        config = plugins.find(PACKAGE, kind).Config
        if adversarial_only and not issubclass(config, AdversarialModel):
            continue
        small = {name: value for name, value in SMALL.items() if name in config.model_fields}
        choices = {
            name: get_args(field.annotation)
            for name, field in config.model_fields.items()
            if field.is_required() and name not in ("kind", *SMALL)
        }
        for chosen in itertools.product(*choices.values()):
            yield {"kind": kind, **small, **dict(zip(choices, chosen, strict=True))}


def label(model: dict[str, Any]) -> str:
    """Name of a variant."""
    return "-".join(value for value in model.values() if isinstance(value, str))
