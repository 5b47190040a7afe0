"""Settings of VGG16 with random weights."""

from pydantic import NonNegativeInt

from ganformer.config import Extractor


class Config(Extractor):
    """VGG16 with random weights, at the images' own resolution."""

    seed: NonNegativeInt = 0
    """Which random weights."""
