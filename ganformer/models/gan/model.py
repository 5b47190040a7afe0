"""The paper's plain GAN: StyleGAN2's networks, but the latent enters at the stem and modulates nothing."""

from torch import nn

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial, make_learner
from ganformer.models.gan.settings import Config, PlainModel
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.layers import Noise, UnmodulatedColours, UnmodulatedConvolution
from ganformer.nn.mapping import Mapping, NormaliseEach, entrance, plain_steps
from ganformer.nn.resampling import Convolve
from ganformer.nn.stem import LatentGenerator, LatentStem
from ganformer.nn.synthesis import LADDERS, Colours, Place, RefinedColours, Size, SynthesisLayer


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), ladder_discriminator(config, image))


def generator(config: PlainModel, image: ImageSpec) -> LatentGenerator:
    """The generator of these settings for images of this shape."""
    size, sizes = config.latent_size, config.sizes(image)

    def make_layer(place: Place) -> SynthesisLayer:
        convolution = UnmodulatedConvolution(place.inputs, place.output.channels, place.operation)
        noise = Noise(place.output.height, place.output.width) if config.noise else nn.Identity()
        return SynthesisLayer(place, convolution, noise)

    def make_colours(rung: Size) -> Colours:
        colours = UnmodulatedColours(rung.channels, image.channels)
        if config.refine_colours and rung == sizes[-1]:
            return RefinedColours(UnmodulatedConvolution(rung.channels, rung.channels, Convolve()), colours)
        return Colours(colours)

    rate = config.mapping_learning_rate_multiplier
    mapping = Mapping(
        entrance(NormaliseEach(), size, image.classes, rate), plain_steps(config.mapping_layers, size, rate)
    )
    stem = LatentStem(sizes[0], size, make_layer)
    return LatentGenerator(size, mapping, LADDERS[config.generator_architecture](stem, sizes, make_layer, make_colours))
