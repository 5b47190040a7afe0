"""MSG-GAN: gradients reach every resolution of the generator through its own colours (Karnewar & Wang 2020).

Progressive GAN's networks without the growing. The paper's losses and rates are settings in `adversarial`.
"""

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial
from ganformer.models.msggan.multiscale import COMBINATIONS, DEVIATIONS, MultiScaleDiscriminator, MultiScaleGenerator
from ganformer.models.msggan.settings import Config
from ganformer.nn.discriminator import make_head
from ganformer.nn.mapping import NormaliseEach, latent_input


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return Adversarial(generator(config, image), discriminator(config, image), config.adversarial)


def generator(config: Config, image: ImageSpec) -> MultiScaleGenerator:
    """Return the generator of these settings for images of this shape."""
    normalised = latent_input(NormaliseEach(), config.latent_size, image.classes, rate=1.0)
    return MultiScaleGenerator(config.latent_size, normalised, config.resolutions(image), image.channels)


def discriminator(config: Config, image: ImageSpec) -> MultiScaleDiscriminator:
    """Return the discriminator of these settings for images of this shape."""
    resolutions = config.resolutions(image)
    head = make_head(config.discriminator_labels, resolutions[0].channels, image.classes)
    return MultiScaleDiscriminator(
        resolutions, image.channels, COMBINATIONS[config.combine], DEVIATIONS[config.deviation], head
    )
