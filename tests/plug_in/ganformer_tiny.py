"""Smallest adversarial model: linear networks with layers, noise and a buffer; for fast tests."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ganformer.config import AdversarialModel, ImageSpec
from ganformer.learning.adversarial import Adversarial
from ganformer.learning.learner import Learner
from ganformer.nn.interfaces import Discriminator, Generator


class Config(AdversarialModel):
    kind: Literal["tiny"] = "tiny"
    latent_size: int = 4


class TinyGenerator(Generator):
    """Two layers of w, the first times the second; noise in each pixel."""

    def __init__(self, latent_size: int, image: ImageSpec) -> None:
        super().__init__((latent_size,), latent_size)
        self.image = image
        pixels = image.channels * image.height * image.width
        self.mapping = nn.Linear(latent_size, latent_size)
        self.paint = nn.Linear(latent_size, pixels)
        self.light = nn.Linear(latent_size, pixels)
        self.noise_strength = nn.Parameter(torch.tensor(0.1))

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.mapping(z).tanh()[:, None].expand(-1, 2, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        painted = self.paint(w[:, 0]) * self.light(w[:, 1]).sigmoid()
        images = painted.view(-1, self.image.channels, self.image.height, self.image.width)
        return images + self.noise_strength * torch.randn_like(images[:, :1])


class TinyDiscriminator(Discriminator):
    """One hidden layer; curved, so that R1 has a gradient in every weight."""

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(image.channels * image.height * image.width, 8), nn.Softplus(), nn.Linear(8, 1)
        )

    def forward(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        return self.layers(images[-1]).squeeze(1)


def build(config: Config, image: ImageSpec) -> Learner:
    """Return the learner."""
    return Adversarial(TinyGenerator(config.latent_size, image), TinyDiscriminator(image), config.adversarial)
