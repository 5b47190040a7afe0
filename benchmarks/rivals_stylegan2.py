"""The arrangement of StyleGAN2-ADA's code in training, as plain modules of our own: the same operations in its order.

Written from the code's structure (github.com/NVlabs/stylegan2-ada-pytorch, training/networks.py and loss.py) for
comparisons of speed. GANformer's released code descends from it, so what both have in common is in `official.py`: the
operations, which on a CPU are its reference operations, the residual discriminator, losses and optimisers. Here are
the mapping network of one latent and the generator that adds up the colours of all widths. Everything is float32, and
path lengths are not regularised: our side does not either.
"""

# B batch, L layers, C channels, D size of a latent

import math
from typing import ClassVar

import official
import torch
import workloads
from official import EPSILON, FullyConnectedLayer, Sizes, bias_act, convolve, fir_taps, normalise, upfirdn2d
from torch import Tensor, nn

from ganformer.training.adversarial import Adversarial

SIZES = Sizes(64, channel_base=16384)


def modulated_convolve(
    x: Tensor, weight: Tensor, styles: Tensor, taps: Tensor, noise: Tensor | None, *, up: bool, fused: bool
) -> Tensor:
    """Return x [B, I, H, W] convolved with weight [O, I, k, k] and, if there is noise, demodulated and added to it."""
    if fused or noise is None:
        demodulate = noise is not None
        x = official.modulated_convolve(x, weight, styles, taps, up=up, demodulate=demodulate, fused=fused)
        return x if noise is None else x.add_(noise)
    own = weight[None] * styles.reshape(len(x), 1, -1, 1, 1)
    factors = (own.square().sum(dim=[2, 3, 4]) + EPSILON).rsqrt()
    x = convolve(x * styles.reshape(len(x), -1, 1, 1), weight, taps, up=up)
    return torch.addcmul(noise, x, factors.reshape(len(x), -1, 1, 1))


class MappingNetwork(nn.Module):
    """z [B, D] → w [B, L, D], the same for all layers."""

    w_avg: Tensor

    def __init__(self, size: int, synthesis_layers: int, mapping_layers: int) -> None:
        super().__init__()
        self.layers, self.count = synthesis_layers, mapping_layers
        for index in range(mapping_layers):
            setattr(self, f"fc{index}", FullyConnectedLayer(size, size, "lrelu", 0.01))
        self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor, track: bool = False) -> Tensor:
        x = normalise(z)
        for index in range(self.count):
            x = getattr(self, f"fc{index}")(x)
        if track:
            self.w_avg.copy_(x.detach().mean(dim=0).lerp(self.w_avg, official.W_AVERAGE_BETA))
        return x.unsqueeze(1).repeat([1, self.layers, 1])


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias and activation."""

    taps: Tensor
    noise_const: Tensor

    def __init__(self, latent: int, inputs: int, outputs: int, width: int, *, up: bool = False) -> None:
        super().__init__()
        self.affine = FullyConnectedLayer(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.register_buffer("noise_const", torch.randn(width, width))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w)
        shape = (len(x), 1, *self.noise_const.shape)
        noise = torch.randn(shape, device=x.device) if self.training else self.noise_const
        x = modulated_convolve(
            x, self.weight, styles, self.taps, noise * self.noise_strength, up=self.up, fused=not self.training
        )
        return bias_act(x, self.bias, "lrelu")


class ToRGBLayer(nn.Module):
    """Modulated convolution of 1 × 1 to three colours."""

    taps: Tensor

    def __init__(self, latent: int, channels: int) -> None:
        super().__init__()
        self.affine = FullyConnectedLayer(latent, channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.bias = nn.Parameter(torch.zeros(3))
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.scale
        x = modulated_convolve(x, self.weight, styles, self.taps, None, up=False, fused=not self.training)
        return bias_act(x, self.bias, "linear")


class SynthesisBlock(nn.Module):
    """All layers of one width; its colours are added to the enlarged ones of the width before."""

    taps: Tensor

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        channels, latent = sizes.channels(width), sizes.latent_size
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.is_first = width == 4
        if self.is_first:
            self.const = nn.Parameter(torch.randn(channels, width, width))
        else:
            self.conv0 = SynthesisLayer(latent, sizes.channels(width // 2), channels, width, up=True)
        self.conv1 = SynthesisLayer(latent, channels, channels, width)
        self.torgb = ToRGBLayer(latent, channels)
        self.layers = 1 if self.is_first else 2

    def forward(self, x: Tensor, image: Tensor, ws: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self.const[None].repeat([len(ws[0]), 1, 1, 1]) if self.is_first else self.conv0(x, ws[0])
        x = self.conv1(x, ws[self.layers - 1])
        colours: Tensor = self.torgb(x, ws[self.layers])
        if self.is_first:
            return x, colours
        return x, upfirdn2d(image, self.taps, (2, 1), up=2, gain=4).add_(colours)


class SynthesisNetwork(nn.Module):
    """w [B, L, D] → images."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.blocks = []
        for width in sizes.widths:
            block = SynthesisBlock(sizes, width)
            setattr(self, f"b{width}", block)
            self.blocks.append(block)
        self.layers = sum(block.layers for block in self.blocks) + 1

    def forward(self, w: Tensor) -> Tensor:
        x = image = w  # which the first block does not use
        ws = list(w.unbind(dim=1))
        for block in self.blocks:  # colours have the latent of the layer that comes next
            x, image = block(x, image, ws[: block.layers + 1])
            ws = ws[block.layers :]
        return image


class Generator(nn.Module):
    """z [B, D] → images [B, 3, H, W]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.synthesis = SynthesisNetwork(sizes)
        self.mapping = MappingNetwork(sizes.latent_size, self.synthesis.layers, sizes.mapping_layers)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.synthesis(self.mapping(z))
        return images


class Training(official.Training):
    """Training steps of its loop, which is the released one's."""

    make_generator: ClassVar[type[nn.Module]] = Generator

    def __init__(self, sizes: Sizes, batch: int, device: str = "cpu") -> None:
        super().__init__(sizes, batch, device)
        self.shape = (batch, sizes.latent_size)

    def _generate(self) -> Tensor:
        z = torch.randn(self.shape, device=self.device)
        w = self.generator.mapping(z, track=True)
        layers = w.shape[1]
        cut = int(torch.randint(1, layers, ())) if torch.rand(()) < official.STYLE_MIXING else layers
        w[:, cut:] = self.generator.mapping(torch.randn_like(z))[:, cut:]
        images: Tensor = self.generator.synthesis(w)
        return images


def our_learner(sizes: Sizes, batch: int, **settings: object) -> Adversarial:
    """Return a learner of this project with networks of these sizes."""
    model = {
        "kind": "stylegan2",
        "channel_base": sizes.channel_base,
        "channel_max": sizes.channel_max,
        "latent_size": sizes.latent_size,
        "mapping_layers": sizes.mapping_layers,
    }
    return workloads.adversarial(model, sizes, batch, **settings)
