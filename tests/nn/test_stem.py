"""A stem that grows from the latent."""

import math

import torch
from torch import Tensor, nn

from ganformer.nn.mapping import Mapping, NormaliseEach, latent_input, plain_steps
from ganformer.nn.stem import LatentGenerator, LatentStem
from ganformer.nn.synthesis import NO_STATE, Ladder, LayerLatents, LayerSpec, LayerState, Resolution

SIZE = Resolution(height=3, width=4, channels=2)


class Show(nn.Module):
    """A layer that leaves features as they are and remembers what it was called with."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, x: Tensor, latents: LayerLatents, state: LayerState) -> tuple[Tensor, LayerState]:
        self.seen = latents.style
        return x, state


def test_features_are_an_activated_linear_layer_of_the_latent() -> None:
    stem = LatentStem(SIZE, 5, Show)
    nn.init.normal_(stem.bias)
    style = torch.randn(6, 5)
    expected = []
    for values in style:
        linear = math.sqrt(2) / 4 / math.sqrt(5) * stem.features.weight @ values + stem.bias
        expected.append(torch.where(linear > 0, linear, 0.2 * linear).view(2, 3, 4) * math.sqrt(2))
    torch.testing.assert_close(stem([LayerLatents(style)], NO_STATE)[0], torch.stack(expected))
    assert stem.layer.spec.inputs == 2
    assert stem.layer.spec.output == SIZE
    assert stem.layer.seen is style


def test_the_latent_enters_at_the_stem_alone() -> None:
    class Spy(Ladder):
        layers = 3

        def __init__(self) -> None:
            nn.Module.__init__(self)

        def forward(self, latents: list[LayerLatents]) -> Tensor:
            assert len(latents) == 3
            return latents[0].style

    mapping = Mapping(latent_input(NormaliseEach(), 5, 0, 1.0), plain_steps(1, 5, 1.0))
    generator = LatentGenerator(5, mapping, Spy())
    z = torch.randn(2, 5)
    w = generator.map(z, torch.zeros(2, 0))
    assert w.shape == (2, 1, 5)
    assert generator.synthesise(w).equal(w[:, 0])
    assert generator(z, torch.zeros(2, 0)).equal(mapping(z, torch.zeros(2, 0)))
