"""Settings of the plain GAN."""

from typing import Literal

from ganformer.settings.ladders import StyleBasedModel


class Config(StyleBasedModel):
    """Settings of the plain GAN."""

    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """How the generator is connected (StyleGAN2, figure 7)."""
    refine_colours: bool = False
    """Whether one more convolution, linear, precedes the colours (in GANformer's released PyTorch code)."""
