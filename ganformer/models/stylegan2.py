"""StyleGAN2 (Karras et al. 2020), configuration F: skip generator, residual discriminator."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial
from ganformer.nn.discriminator import DISCRIMINATORS
from ganformer.nn.generator import Generator
from ganformer.nn.layers import ModulatedColours, ModulatedConvolution, Noise
from ganformer.nn.mapping import Mapping, plain_steps
from ganformer.nn.settings import StyleBasedModel
from ganformer.nn.synthesis import LADDERS, Colours, Ladder, LayerLatents, Place, Size, SynthesisLayer


class Config(StyleBasedModel):
    """Settings of StyleGAN2."""

    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """How the generator is connected (StyleGAN2, figure 7)."""


class StyleGenerator(Generator):
    """One latent steers every layer: z [B, size] → w [B, layers, size] → images."""

    def __init__(self, size: int, mapping: Mapping, ladder: Ladder) -> None:
        super().__init__((size,), size)
        self.mapping = mapping
        self.synthesis = ladder

    def map(self, z: Tensor) -> Tensor:
        w: Tensor = self.mapping(z)
        return w[:, None].expand(-1, self.synthesis.layers, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis([LayerLatents(style) for style in w.unbind(1)])
        return images


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    sizes = config.sizes(image)
    discriminator = DISCRIMINATORS[config.discriminator_architecture](sizes, image.channels)
    return Adversarial(generator(config, sizes, image.channels), discriminator, config.adversarial)


def generator(config: Config, sizes: Sequence[Size], channels: int) -> StyleGenerator:
    """The generator with these rungs, of images with so many colour channels."""
    size = config.latent_size

    def make_layer(place: Place) -> SynthesisLayer:
        convolution = ModulatedConvolution(place.inputs, place.output.channels, size, place.operation)
        noise = Noise(place.output.height, place.output.width) if config.noise else nn.Identity()
        return SynthesisLayer(place, convolution, noise)

    def make_colours(rung: Size) -> Colours:
        return Colours(ModulatedColours(rung.channels, channels, size))

    mapping = Mapping(plain_steps(config.mapping_layers, size, config.mapping_learning_rate_multiplier))
    return StyleGenerator(size, mapping, LADDERS[config.generator_architecture](sizes, make_layer, make_colours))
