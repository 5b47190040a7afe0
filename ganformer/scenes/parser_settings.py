"""Settings of the network that reads built-in scenes."""

from typing import Any, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ganformer.config import Dataset, ImageSpec, Strict
from ganformer.errors import ConfigError
from ganformer.scenes import source as scenes


class Settings(Strict):
    """Settings of the network: its images, and the scenes that it learns from."""

    image: ImageSpec
    """Shape of the images."""
    min_objects: PositiveInt = 3
    """Fewest objects of a scene."""
    max_objects: int = Field(default=8, ge=1, le=10)
    """Most objects of a scene."""
    scenes: PositiveInt = 5000
    """Scenes that it learns from."""
    held_out: PositiveInt = 500
    """Other scenes that it is measured on."""
    epochs: PositiveInt = 2
    """Number of times that it sees each scene, flipped left to right at random."""
    batch: PositiveInt = 16
    """Scenes in one step."""
    channels: PositiveInt = 32
    """Width of the network."""
    learning_rate: PositiveFloat = 0.01
    seed: NonNegativeInt = 0

    @classmethod
    def of(cls, dataset: Dataset, **changes: Any) -> Self:
        """Return the settings for a data set of built-in scenes; ConfigError if its source is another one."""
        source = dataset.source
        if not isinstance(source, scenes.Config):
            raise ConfigError(
                f"scene parser: reads built-in scenes, but the source of this data set is '{source.kind}'; name a data "
                "set of the source 'scenes'"
            )
        height, width = dataset.image.picture
        image = ImageSpec(height=height, width=width)
        return cls(image=image, min_objects=source.min_objects, max_objects=source.max_objects, **changes)
