"""SAGAN (Zhang et al. 2019) as a baseline of the paper: the plain GAN, with attention between pixels."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, field_validator
from torch import nn

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.learning.adversarial import Adversarial
from ganformer.models import gan
from ganformer.nn.discriminator import Discriminator
from ganformer.nn.self_attention import AttendedBlock, PixelAttention
from ganformer.nn.settings import STEM_WIDTH, ladder_discriminator, play
from ganformer.nn.spectral_norm import normalise_spectrally
from ganformer.nn.stem import LatentGenerator


class Config(gan.Config):
    """Settings of SAGAN."""

    attention_resolutions: Annotated[tuple[int, ...], Field(min_length=1)] = (32,)
    """Widths of the image features that attend to themselves, once in each network; powers of two."""
    attention_pooling: bool = False
    """Whether pixels attend to the maxima of 2 × 2 pixels, not to single ones (in SAGAN's code, not in its paper)."""
    discriminator_attention: bool = True
    """Whether features of the discriminator attend, too."""
    spectral_norm: bool = False
    """Whether weights of both networks, but not of the mapping, are divided by their largest singular value."""

    @field_validator("attention_resolutions")
    @classmethod
    def _are_wider_than_the_stem(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for width in value:
            if width <= STEM_WIDTH or width & (width - 1):
                raise ValueError(f"{width} is not a power of two from {2 * STEM_WIDTH}")
        return value

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        yield from super().problems(image, training)
        widths = [size.width for size in self.sizes(image)[1:]]
        for width in self.attention_resolutions:
            if width not in widths:
                yield f"no features are {width} wide, as attention_resolutions want; there are {_listed(widths)}"


def _listed(widths: list[int]) -> str:
    return ", ".join(map(str, widths)) or "none"


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    return play(config, generator(config, image), discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> LatentGenerator:
    """The plain GAN's generator, some of whose blocks are followed by attention."""
    network = gan.generator(config, image)
    blocks = network.synthesis.blocks
    for index, size in enumerate(config.sizes(image)[1:]):
        if size.width in config.attention_resolutions:
            blocks[index] = AttendedBlock(blocks[index], PixelAttention(size.channels, config.attention_pooling))
    if config.spectral_norm:
        normalise_spectrally(network.synthesis)
    return network


def discriminator(config: Config, image: ImageSpec) -> Discriminator:
    """The plain GAN's discriminator, some of whose blocks are preceded by attention."""
    network = ladder_discriminator(config, image)
    if config.discriminator_attention:
        for index, size in enumerate(config.sizes(image)[:0:-1]):
            if size.width in config.attention_resolutions:
                attention = PixelAttention(size.channels, config.attention_pooling)
                network.blocks[index] = nn.Sequential(attention, network.blocks[index])
    if config.spectral_norm:
        normalise_spectrally(network)
    return network
