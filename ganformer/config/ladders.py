"""Settings shared by all models built on a ladder of resolutions (4, 8, 16, …), and the resolutions they imply."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from ganformer.config import AdversarialModel, ImageSpec, TrainingSettings

STEM_WIDTH = 4


def _is_a_resolution(width: int) -> int:
    if width < STEM_WIDTH or width & (width - 1):
        raise ValueError(f"{width} is not a power of two from {STEM_WIDTH}")
    return width


Width = Annotated[int, AfterValidator(_is_a_resolution)]
"""Width of features: a power of two from 4."""


@dataclass(frozen=True)
class Resolution:
    """Resolution of features: `height` × `width` pixels with `channels` features."""

    height: int
    width: int
    channels: int


class LadderModel(AdversarialModel):
    """Settings of a generator that doubles from 4 columns to the image, and a discriminator that mirrors it."""

    channel_base: PositiveInt = 32768
    """Features at width r: channel_base / r, rounded down, but at most `channel_max`. The same in both networks."""
    channel_max: PositiveInt = 512
    """Largest number of features."""
    latent_size: PositiveInt = 512
    """Number of values in the latent z, over all local components if the model has some."""
    discriminator_labels: Literal["logits", "projection"] = "logits"
    """Use of labels in the discriminator: one logit for every class, or the product with an embedding of the label."""

    def channels(self, width: int) -> int:
        """Return the number of features at this width."""
        return min(self.channel_base // width, self.channel_max)

    def resolutions(self, image: ImageSpec) -> list[Resolution]:
        """Return the resolutions from the stem, 4 pixels wide, to the image."""
        doublings = range((image.width // STEM_WIDTH).bit_length())
        return [
            Resolution(image.height * width // image.width, width, self.channels(width))
            for width in (STEM_WIDTH << doubling for doubling in doublings)
        ]

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
        yield from super().problems(image, training)
        if image.width < 2 * STEM_WIDTH or image.width & (image.width - 1):
            yield f"width {image.width} of the images is not a power of two from {2 * STEM_WIDTH}"
        elif image.height * STEM_WIDTH % image.width:
            step = image.width // STEM_WIDTH
            yield f"height {image.height} of the images is not a multiple of {step}, a quarter of their width"
        blocks = len(self.resolutions(image)) - 1
        if self.adversarial.frozen_discriminator_layers > blocks:
            yield too_many_frozen(self.adversarial.frozen_discriminator_layers, blocks)
        if not self.channels(image.width):
            yield (
                f"channel_base {self.channel_base} leaves no features at width {image.width}; "
                f"set it to at least {image.width}"
            )


def too_many_frozen(asked: int, count: int) -> str:
    """Return the problem that a discriminator has only `count` resolutions before its last one."""
    return (
        f"adversarial.frozen_discriminator_layers {asked} is more than the {count} resolutions of the discriminator "
        f"before its last one; set it to at most {count}"
    )


class StyleBasedModel(LadderModel):
    """Settings of a generator with StyleGAN2's mapping network, and one of its discriminators."""

    mapping_layers: PositiveInt = 8
    """Layers of the mapping network, without the first one for labels if there are classes."""
    mapping_learning_rate_multiplier: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Learning rate of the mapping network, relative to the generator's."""
    discriminator_architecture: Literal["orig", "skip", "resnet"] = "resnet"
    """Architecture of the discriminator (StyleGAN2, figure 7)."""
    noise: bool = True
    """Add noise to the features in each layer of the generator."""
    activation_clamp: PositiveFloat | None = None
    """Limit of the output of every layer, in both networks (StyleGAN2-ADA: 256). None: no limit."""
