"""Settings of Inception with random weights."""

from typing import Literal

from pydantic import NonNegativeInt

from ganformer.config import Extractor
from ganformer.metrics.extractors.inception_2015 import settings as inception_2015


class Config(Extractor):
    """The Inception network of 2015 with random weights."""

    kind: Literal["inception-random"] = "inception-random"
    seed: NonNegativeInt = 0
    """Seed of the random weights."""
    features: inception_2015.Features = "pool"
    """Averages over the image, or features of its places, as for the network with the weights of 2015."""

    @property
    def metrics(self) -> frozenset[str] | None:
        """Metrics that its features are for; of spatial features, the Fréchet distances."""
        return inception_2015.SPATIAL if self.features == "spatial" else None
