"""The paper's plain GAN: StyleGAN2's networks, but the latent enters at the stem and modulates nothing."""

from ganformer.config import ImageSpec
from ganformer.config.ladders import Resolution
from ganformer.models.gan.settings import Config, PlainModel
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.layers import Noise, NoNoise, UnmodulatedConvolution, UnmodulatedToRGB
from ganformer.nn.mapping import Mapping, NormaliseEach, latent_input, plain_steps
from ganformer.nn.resampling import Convolve
from ganformer.nn.stem import LatentGenerator, LatentStem
from ganformer.nn.synthesis import LADDERS, LayerSpec, RefinedToRGB, SynthesisLayer, ToRGB
from ganformer.training.adversarial import Adversarial, make_learner


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), ladder_discriminator(config, image))


def generator(config: PlainModel, image: ImageSpec) -> LatentGenerator:
    """Return the generator of these settings for images of this shape."""
    size, resolutions = config.latent_size, config.resolutions(image)

    def make_layer(spec: LayerSpec) -> SynthesisLayer:
        convolution = UnmodulatedConvolution(spec.inputs, spec.output.channels, spec.operation)
        noise = Noise(spec.output.height, spec.output.width) if config.noise else NoNoise()
        return SynthesisLayer(spec, convolution, noise)

    def make_to_rgb(resolution: Resolution) -> ToRGB:
        colours = UnmodulatedToRGB(resolution.channels, image.channels)
        if config.refine_colours and resolution == resolutions[-1]:
            return RefinedToRGB(UnmodulatedConvolution(resolution.channels, resolution.channels, Convolve()), colours)
        return ToRGB(colours)

    rate = config.mapping_learning_rate_multiplier
    mapping = Mapping(
        latent_input(NormaliseEach(), size, image.classes, rate), plain_steps(config.mapping_layers, size, rate)
    )
    stem = LatentStem(resolutions[0], size, make_layer)
    return LatentGenerator(
        size, mapping, LADDERS[config.generator_architecture](stem, resolutions, make_layer, make_to_rgb)
    )
