"""Settings of the scene parser as an extractor."""

from pathlib import Path
from typing import Literal

from ganformer.config import Extractor

METRICS = frozenset({"frechet", "frechet-error", "frechet-infinity", "kid", "precision-recall", "density-coverage"})
"""All that need no class logits."""


class Config(Extractor):
    """The network that reads built-in scenes: trained on rendered scenes, so its features tell objects apart."""

    kind: Literal["scene-parser"] = "scene-parser"
    parser: Path
    """Its `parser.json`, which the workflow makes: `results/parsers/DATASET/parser.json`. Images must be of the size
    that it learned."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The record of the parser; its weights are beside it."""
        return (self.parser,)

    @property
    def metrics(self) -> frozenset[str] | None:
        """Metrics that its features are for."""
        return METRICS
