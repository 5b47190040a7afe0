"""Settings of SAGAN."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.config.ladders import STEM_WIDTH
from ganformer.models.gan.settings import PlainModel


class Config(PlainModel):
    """Settings of SAGAN."""

    kind: Literal["sagan"] = "sagan"
    attention_resolutions: Annotated[tuple[int, ...], Field(min_length=1)] = (32,)
    """Widths of the image features that attend to themselves, once in each network; powers of two."""
    attention_pooling: bool = False
    """Attend to the maxima of 2 × 2 pixels instead of single pixels (in SAGAN's code, not in its paper)."""
    discriminator_attention: bool = True
    """Attention in the discriminator, too."""
    spectral_norm: bool = False
    """Divide weights of both networks, but not of the mapping, by their largest singular value."""

    @field_validator("attention_resolutions")
    @classmethod
    def _are_wider_than_the_stem(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for width in value:
            if width <= STEM_WIDTH or width & (width - 1):
                raise ValueError(f"{width} is not a power of two from {2 * STEM_WIDTH}")
        return value

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
        yield from super().problems(image, training)
        widths = [size.width for size in self.resolutions(image)[1:]]
        for width in self.attention_resolutions:
            if width not in widths:
                yield f"no features are {width} wide, as attention_resolutions want; there are {_listed(widths)}"


def _listed(widths: list[int]) -> str:
    return ", ".join(map(str, widths)) or "none"
