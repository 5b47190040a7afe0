"""Settings of MSG-GAN."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from ganformer.config.ladders import LadderModel


class Config(LadderModel):
    """Settings of MSG-GAN."""

    kind: Literal["msggan"] = "msggan"
    channel_base: PositiveInt = 16384
    """Features at width r: channel_base / r, rounded down, but at most `channel_max`. The same in both networks."""
    channel_max: Annotated[int, Field(ge=2)] = 512
    """Largest number of features."""
    combine: Literal["simple", "lin_cat", "cat_lin"] = "simple"
    """Combination of images of a scale with features (section 2.1): plain, images projected, or both projected."""
    deviation: Literal["every", "last"] = "every"
    """Blocks of the discriminator that see the batch's standard deviation: all (the paper), or the last (its code)."""
