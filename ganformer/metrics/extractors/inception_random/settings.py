"""Settings of Inception with random weights."""

from typing import Literal

from pydantic import NonNegativeInt

from ganformer.config import Extractor
from ganformer.metrics.extractors.inception_2015 import settings as inception_2015


class Config(Extractor):
    """The Inception network of 2015 with random weights."""

    kind: Literal["inception-random"] = "inception-random"
    seed: NonNegativeInt = 0
    """Which random weights."""
    features: inception_2015.Features = "pool"
    """Averages over the image, or what is seen in places of it, as of the network with the weights of 2015."""

    @property
    def metrics(self) -> frozenset[str] | None:
        """Of spatial features, the Fréchet distances."""
        return inception_2015.SPATIAL if self.features == "spatial" else None
