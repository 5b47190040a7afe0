"""Small settings of every kind of model there is, found by its file name, for tests that hold for all of them."""

import itertools
from collections.abc import Iterator
from typing import Any, get_args

from ganformer import plugins
from ganformer.config import AdversarialModel
from ganformer.training.adversarial import Adversarial

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

OWN: dict[str, dict[str, Any]] = {
    # Two steps of 4 images for the autoencoder, in the second of which its discriminator is trained.
    "vqgan": {
        "channels": 4,
        "channel_multipliers": (1, 1, 2),
        "residual_blocks": 1,
        "attention_downsampling": (4,),
        "groups": 2,
        "latent_channels": 8,
        "codes": 16,
        "code_size": 4,
        "discriminator": {"channels": 4, "layers": 1},
        "transformer": {"layers": 1, "heads": 2, "width": 16},
        "autoencoder_kimg": 0.008,
        "discriminator_start_kimg": 0.004,
        "autoencoder_learning_rate": 1e-3,
        "transformer_learning_rate": 1e-2,
        "ema_kimg": 0.004,
    },
}


def variants(*, adversarial_only: bool = False) -> Iterator[dict[str, Any]]:
    """Yield small settings of every kind, with each combination of the settings that have no default."""
    for kind in plugins.names(PACKAGE):
        config = plugins.find(PACKAGE, kind).Config
        if adversarial_only and not issubclass(config, AdversarialModel):
            continue
        small = {name: value for name, value in SMALL.items() if name in config.model_fields} | OWN.get(kind, {})
        choices = {
            name: get_args(field.annotation)
            for name, field in config.model_fields.items()
            if field.is_required() and name not in ("kind", *small)
        }
        for chosen in itertools.product(*choices.values()):
            yield {"kind": kind, **small, **dict(zip(choices, chosen, strict=True))}


def label(model: dict[str, Any]) -> str:
    """Return the name of a variant."""
    return "-".join(value for value in model.values() if isinstance(value, str))


def fingerprint(learner: Adversarial) -> tuple[object, ...]:
    """Return weights, settings, parts and limits of a learner, to compare two of them."""
    weights = {name: value.tolist() for name, value in learner.network.state_dict().items()}
    parts = [(type(part).__name__, getattr(part, "clamp", None)) for part in learner.network.modules()]
    return weights, learner.settings, parts
