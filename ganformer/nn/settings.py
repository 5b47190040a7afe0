"""How the settings of models whose networks climb by doublings (`ganformer.settings.ladders`) become networks."""

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial
from ganformer.nn import players
from ganformer.nn.discriminator import DISCRIMINATORS, Discriminator, make_head
from ganformer.nn.layers import clamp_activations
from ganformer.settings.ladders import StyleBasedModel


def ladder_discriminator(config: StyleBasedModel, image: ImageSpec) -> Discriminator:
    """The discriminator of these settings for images of this shape."""
    sizes = config.sizes(image)
    head = make_head(config.discriminator_labels, sizes[0].channels, image.classes)
    return DISCRIMINATORS[config.discriminator_architecture](sizes, image.channels, head)


def play(config: StyleBasedModel, generator: players.Generator, discriminator: players.Discriminator) -> Adversarial:
    """The learner of two players, whose activations are limited where the settings say so."""
    for player in (generator, discriminator):
        clamp_activations(player, config.activation_clamp)
    return Adversarial(generator, discriminator, config.adversarial)
