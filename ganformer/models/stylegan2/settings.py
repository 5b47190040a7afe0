"""Settings of StyleGAN2."""

from typing import Literal

from ganformer.settings.ladders import StyleBasedModel


class Config(StyleBasedModel):
    """Settings of StyleGAN2."""

    kind: Literal["stylegan2"] = "stylegan2"
    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """How the generator is connected (StyleGAN2, figure 7)."""
    mapping_architecture: Literal["plain", "resnet"] = "plain"
    """Whether the mapping network is StyleGAN2's, or of residual steps of two layers and a plain one behind them."""
    refine_colours: bool = False
    """Whether one more modulated convolution, linear, precedes the colours (in GANformer's released PyTorch code)."""
