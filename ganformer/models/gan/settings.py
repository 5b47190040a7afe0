"""Settings of the plain GAN."""

from typing import Literal

from ganformer.settings.ladders import StyleBasedModel


class PlainModel(StyleBasedModel):
    """Settings that the plain GAN and SAGAN share."""

    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """How the generator is connected (StyleGAN2, figure 7)."""
    refine_colours: bool = False
    """Whether one more convolution, linear, precedes the colours (in GANformer's released PyTorch code)."""


class Config(PlainModel):
    """Settings of the plain GAN."""

    kind: Literal["gan"] = "gan"
