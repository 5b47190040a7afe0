"""Settings of StyleGAN2."""

from typing import Literal

from ganformer.config.ladders import StyleBasedModel


class Config(StyleBasedModel):
    """Settings of StyleGAN2."""

    kind: Literal["stylegan2"] = "stylegan2"
    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """Architecture of the generator (StyleGAN2, figure 7)."""
    mapping_architecture: Literal["plain", "resnet"] = "plain"
    """Mapping network: StyleGAN2's, or residual steps of two layers each and one plain layer behind them."""
    refine_colours: bool = False
    """One more modulated convolution, linear, in front of the last toRGB (in GANformer's released PyTorch code)."""
