"""Activation checkpointing computes every block again for its gradients, so nothing may depend on the first time."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ganformer.config import ImageSpec
from ganformer.models.ganformer import model as ganformer
from ganformer.models.ganformer.generator import ComponentGenerator

IMAGE = ImageSpec(height=8, width=16)
SMALL = {
    "kind": "ganformer",
    "channel_base": 128,
    "channel_max": 8,
    "latent_size": 16,
    "mapping_layers": 2,
    "components": 4,
    "attention_dropout": 0.5,
}
KINDS: dict[str, dict[str, Any]] = {
    "simplex": {"attention": "simplex"},
    "simplex-updated": {"attention": "simplex", "update_components": True},
    "duplex": {"attention": "duplex"},
    "duplex-iterated": {"attention": "duplex", "iterations": 2, "component_dropout": 0.5},
    "centroid": {"attention": "centroid", "iterations": 2},
    "carried": {"attention": "centroid", "carried_centroids": True},
    "carried-updated": {"attention": "centroid", "carried_centroids": True, "update_components": True},
    "skip": {"attention": "duplex", "generator_architecture": "skip"},
}


class Recomputed(nn.Module):
    """A part whose activations are not kept but computed again."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: Any) -> Any:
        return checkpoint(self.part, *given, use_reentrant=False)


def built(settings: dict[str, Any]) -> ComponentGenerator:
    torch.manual_seed(0)
    network = ganformer.generator(ganformer.Config(**SMALL, **settings), IMAGE)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)  # also of what begins at zero, such as the noise
    return network


def images_and_gradients(network: ComponentGenerator) -> tuple[Tensor, list[Tensor | None]]:
    torch.manual_seed(1)
    images = network(network.latents(2), torch.zeros(2, 0))
    (images * torch.randn_like(images)).sum().backward()
    return images, [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("self_attention", [False, True], ids=["", "self"])
@pytest.mark.parametrize("kind", KINDS)
def test_checkpointed_blocks_have_the_same_images_and_gradients(kind: str, self_attention: bool) -> None:
    settings = KINDS[kind] | {"synthesis_self_attention": self_attention}
    images, gradients = images_and_gradients(built(settings))
    network = built(settings)
    ladder = network.synthesis
    for index, block in enumerate(ladder.blocks):
        ladder.blocks[index] = Recomputed(block)
    ladder.stem.layer = Recomputed(ladder.stem.layer)
    again, others = images_and_gradients(network)
    assert again.equal(images)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) > 80
    for one, other in zip(gradients, others, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
