"""SAGAN (Zhang et al. 2019) as a baseline of the paper: the plain GAN, with attention between pixels."""

from torch import nn

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial, make_learner
from ganformer.models.gan import model as gan
from ganformer.models.sagan.self_attention import AttendedBlock, PixelAttention
from ganformer.models.sagan.settings import Config
from ganformer.models.sagan.spectral_norm import normalise_spectrally
from ganformer.nn.discriminator import Discriminator, ladder_discriminator
from ganformer.nn.stem import LatentGenerator


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> LatentGenerator:
    """Return the plain GAN's generator with attention behind some of its blocks."""
    network = gan.generator(config, image)
    blocks = network.synthesis.blocks
    for index, size in enumerate(config.resolutions(image)[1:]):
        if size.width in config.attention_resolutions:
            blocks[index] = AttendedBlock(blocks[index], PixelAttention(size.channels, config.attention_pooling))
    if config.spectral_norm:
        normalise_spectrally(network.synthesis)
    return network


def discriminator(config: Config, image: ImageSpec) -> Discriminator:
    """Return the plain GAN's discriminator with attention in front of some of its blocks."""
    network = ladder_discriminator(config, image)
    if config.discriminator_attention:
        for index, size in enumerate(config.resolutions(image)[:0:-1]):
            if size.width in config.attention_resolutions:
                attention = PixelAttention(size.channels, config.attention_pooling)
                network.blocks[index] = nn.Sequential(attention, network.blocks[index])
    if config.spectral_norm:
        normalise_spectrally(network)
    return network
