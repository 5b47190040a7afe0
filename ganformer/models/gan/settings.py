"""Settings of the plain GAN."""

from typing import Literal

from ganformer.config.ladders import StyleBasedModel


class PlainModel(StyleBasedModel):
    """Settings that the plain GAN and SAGAN share."""

    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """Architecture of the generator (StyleGAN2, figure 7)."""
    refine_colours: bool = False
    """One more convolution, linear, in front of toRGB (in GANformer's released PyTorch code)."""


class Config(PlainModel):
    """Settings of the plain GAN."""

    kind: Literal["gan"] = "gan"
