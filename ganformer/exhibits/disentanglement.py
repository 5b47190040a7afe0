"""Table 3 of the paper: disentanglement (DCI) of the latents of models."""

from collections.abc import Iterable
from typing import Literal

from ganformer.config import Config as Configuration
from ganformer.report import requirements
from ganformer.report.properties import Properties, draw

__all__ = ["Config", "draw"]


class Config(Properties):
    """Settings of table 3: correspondence of single latents to single properties of images (DCI)."""

    kind: Literal["disentanglement"] = "disentanglement"
    place = 80

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield data sets whose images no parser reads, and models without mapped latents."""
        yield from super().problems(configuration)
        yield from requirements.ability("latents", self.models, configuration)
