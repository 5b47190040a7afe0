"""Values that parameters have before training, where they are no weights of layers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import ImageSpec
from tests.variants import PACKAGE, label, variants

IMAGE = ImageSpec(height=16, width=16, classes=2)


def networks(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    module = plugins.find(PACKAGE, settings["kind"])
    network: nn.Module = module.build(module.Config(**settings), IMAGE).network
    return network


def is_normal(values: Tensor) -> bool:
    """Return whether the values look as drawn around 0 with the standard deviation 1."""
    return abs(values.mean().item()) < 0.2 and abs(values.std().item() - 1) < 0.1 and values.abs().max().item() > 2


def is_uniform(values: Tensor) -> bool:
    """Return whether the values look as drawn from 0 to 1."""
    return 0 <= values.min() < 0.05 < 0.95 < values.max() < 1 and abs(values.std().item() - 12**-0.5) < 0.03


def attention(kind: str, **settings: Any) -> dict[str, Any]:
    sizes = {"channel_base": 1024, "channel_max": 64, "latent_size": 512, "components": 16, "mapping_layers": 1}
    return {"kind": "ganformer", "attention": kind, **sizes, **settings}


SMALL = {"channel_base": 1024, "channel_max": 64, "latent_size": 32, "mapping_layers": 1}


@pytest.mark.parametrize(
    ("settings", "name", "begins"),
    [
        ({"kind": "stylegan2", **SMALL}, "generator.synthesis.stem.constant", is_normal),
        ({"kind": "kgan", "merge_resolution": 8, **SMALL}, "generator.synthesis.stem.constants", is_normal),
        (attention("simplex"), "generator.positions", is_uniform),
        (attention("centroid"), "generator.synthesis.stem.layer.attention.centroids", is_normal),
        (
            attention("centroid"),
            "generator.synthesis.stem.layer.attention.importance",
            lambda values: (values == 1).all(),
        ),
        (attention("simplex", discriminator_components=16), "discriminator.aggregators", is_uniform),
        (attention("simplex", discriminator_components=16), "discriminator.positions", is_uniform),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_learned_constants_begin_as_the_official_code_has_them(
    settings: dict[str, Any], name: str, begins: Any
) -> None:
    assert begins(networks(**settings).get_parameter(name).detach())


@pytest.mark.parametrize("model", list(variants(adversarial_only=True)), ids=label)
def test_biases_and_strengths_begin_at_zero_and_styles_at_one(model: dict[str, Any]) -> None:
    for name, value in networks(**model).named_parameters():
        if name.endswith(("bias", "strength")):
            assert value.unique().tolist() == [1.0 if "affine.bias" in name else 0.0], name
    buffers = dict(networks(**model).named_buffers())
    assert not buffers["generator.w_average"].any()
    assert not buffers["path_length_mean"].any()
