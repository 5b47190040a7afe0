"""Settings of VGG16 with random weights."""

from typing import Literal

from pydantic import NonNegativeInt

from ganformer.config import Extractor


class Config(Extractor):
    """VGG16 with random weights, at the images' own resolution."""

    kind: Literal["random-vgg16"] = "random-vgg16"
    seed: NonNegativeInt = 0
    """Seed of the random weights."""
