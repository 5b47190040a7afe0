"""StyleGAN2 (Karras et al. 2020), the networks of its configuration F: skip generator, residual discriminator.

Its regularisation of path lengths is a setting, `adversarial.path_length_weight`, and off as in GANformer's code. With
9 mapping layers and refined colours it is the baseline that GANformer's released PyTorch code calls StyleGAN2.
"""

from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.config.ladders import Resolution
from ganformer.models.stylegan2.settings import Config
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.layers import ModulatedConvolution, ModulatedToRGB, Noise, NoNoise
from ganformer.nn.mapping import STEPS, Mapping, NormaliseEach, latent_input
from ganformer.nn.resampling import Convolve
from ganformer.nn.synthesis import (
    LADDERS,
    LayerLatents,
    LayerSpec,
    MappedGenerator,
    RefinedToRGB,
    Stem,
    SynthesisLayer,
    ToRGB,
)
from ganformer.training.adversarial import Adversarial, make_learner


class StyleGenerator(MappedGenerator):
    """One latent steers every layer: z [B, size], labels → w [B, layers, size] → images."""

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.mapping(z, labels)
        return w[:, None].expand(-1, self.synthesis.layers, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis([LayerLatents(style) for style in w.unbind(1)])
        return images


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), ladder_discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> StyleGenerator:
    """Return the generator of these settings for images of this shape."""
    size, resolutions = config.latent_size, config.resolutions(image)

    def make_layer(spec: LayerSpec) -> SynthesisLayer:
        convolution = ModulatedConvolution(spec.inputs, spec.output.channels, size, spec.operation)
        noise = Noise(spec.output.height, spec.output.width) if config.noise else NoNoise()
        return SynthesisLayer(spec, convolution, noise)

    def make_to_rgb(resolution: Resolution) -> ToRGB:
        colours = ModulatedToRGB(resolution.channels, image.channels, size)
        if config.refine_colours and resolution == resolutions[-1]:
            return RefinedToRGB(
                ModulatedConvolution(resolution.channels, resolution.channels, size, Convolve()), colours
            )
        return ToRGB(colours)

    rate = config.mapping_learning_rate_multiplier
    steps = STEPS[config.mapping_architecture](config.mapping_layers, size, rate)
    mapping = Mapping(latent_input(NormaliseEach(), size, image.classes, rate), steps)
    ladder = LADDERS[config.generator_architecture](
        Stem(resolutions[0], make_layer), resolutions, make_layer, make_to_rgb
    )
    return StyleGenerator(size, mapping, ladder)
