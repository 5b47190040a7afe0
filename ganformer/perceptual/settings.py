"""Settings of the perceptual distance of images."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints

from ganformer.config import Strict

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class NoPerceptual(Strict):
    """No perceptual distance: images are compared by their pixels only."""

    kind: Literal["none"] = "none"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that it reads: none."""
        return ()


class RandomNetwork(Strict):
    """VGG16 with random weights: no file is needed, and features still see edges and textures, but know no objects."""

    kind: Literal["random-vgg16"] = "random-vgg16"
    channels: PositiveInt = 64
    """Features of the first block, twice as many in each of the next three; 64 is VGG16, less is faster."""
    seed: NonNegativeInt = 1
    """Seed of the random weights; different from the extractor's, so that no model trains on its own metric."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that it reads: none."""
        return ()


class RandomPerceptual(RandomNetwork):
    """VGG16 with random weights: no file is needed, and features still see edges and textures, but know no objects."""

    weight: PositiveFloat = 1.0
    """Weight of the distance; the distance of pixels has weight 1."""


class TrainedNetwork(Strict):
    """LPIPS as published: VGG16 trained on ImageNet, its features weighted as people judge images."""

    kind: Literal["vgg16"] = "vgg16"
    network: Path
    """File of VGG16's weights as torchvision has them (`vgg16-397923af.pth`)."""
    network_sha256: Sha256
    """Its sha256."""
    judgement: Path
    """File of the weights of its features as LPIPS has them, version 0.1 (`vgg.pth`)."""
    judgement_sha256: Sha256
    """Its sha256."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that it reads: both."""
        return (self.network, self.judgement)


class TrainedPerceptual(TrainedNetwork):
    """LPIPS as published: VGG16 trained on ImageNet, its features weighted as people judge images."""

    weight: PositiveFloat = 1.0
    """Weight of the distance; the distance of pixels has weight 1."""


AnyNetwork = Annotated[RandomNetwork | TrainedNetwork, Field(discriminator="kind")]


Perceptual = Annotated[NoPerceptual | RandomPerceptual | TrainedPerceptual, Field(discriminator="kind")]
