"""Residual blocks: both paths are scaled by √½ (StyleGAN2, section 4.1)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ganformer.nn import discriminator, synthesis
from ganformer.nn.layers import NoNoise, UnmodulatedConvolution
from ganformer.nn.resampling import Downsample, Upsample
from ganformer.nn.synthesis import NO_STATE, LayerLatents, LayerSpec, Resolution, SynthesisLayer


def with_weights(plain: nn.Module, residual: nn.Module) -> nn.Module:
    """Return `plain` with weights that it shares with a residual block, whose biases are drawn first."""
    for name, value in residual.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(value)
    plain.load_state_dict({name: value for name, value in residual.state_dict().items() if "shortcut" not in name})
    return plain


def test_discriminators_add_a_short_cut_with_half_the_resolution() -> None:
    residual = discriminator.ResidualBlock(4, 5)
    plain = with_weights(discriminator.Block(4, 5), residual)
    x = torch.randn(2, 4, 8, 8)
    short_cut = F.conv2d(Downsample()(x), residual.shortcut[1].weight / math.sqrt(4))
    torch.testing.assert_close(residual(x), (plain(x) + short_cut) * math.sqrt(0.5))


def test_generators_add_a_short_cut_with_twice_the_resolution() -> None:
    def make_layer(spec: LayerSpec) -> SynthesisLayer:
        convolution = UnmodulatedConvolution(spec.inputs, spec.output.channels, spec.operation)
        return SynthesisLayer(spec, convolution, NoNoise())

    output = Resolution(8, 8, 5)
    residual = synthesis.ResidualBlock(4, output, make_layer)
    plain = with_weights(synthesis.Block(4, output, make_layer), residual)
    x, latents = torch.randn(2, 4, 4, 4), [LayerLatents(torch.empty(2, 0))] * 2
    short_cut = Upsample()(F.conv2d(x, residual.shortcut[0].weight / math.sqrt(4)))
    expected = (plain(x, latents, NO_STATE)[0] + short_cut) * math.sqrt(0.5)
    torch.testing.assert_close(residual(x, latents, NO_STATE)[0], expected)
