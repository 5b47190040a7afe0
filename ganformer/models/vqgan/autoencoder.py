"""The convolutional autoencoder of VQGAN (Esser et al. 2021, appendix A): residual levels, attention at some of them.

Convolutions begin as torch makes them. Both halves work on images of any shape that the downsampling divides.
"""

# B batch, C channels, H×W pixels, h×w codes

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.vqgan.quantisation import Quantised, Quantiser
from ganformer.nn import recomputation
from ganformer.ops.bias_act import bias_act
from ganformer.ops.convolution import convolve

EPSILON = 1e-6  # group normalisation


@dataclass(frozen=True)
class Level:
    """Features of one resolution: how many there are, and whether they attend to each other."""

    channels: int
    attends: bool


@dataclass(frozen=True)
class Layout:
    """Layout that encoder and decoder share.

    `levels` from the image down, each half as wide as the one before; `blocks` residual blocks at each of them;
    `latent_channels` where the two halves meet; `groups` of the normalisation, which divide all channels.
    """

    levels: Sequence[Level]
    blocks: int
    latent_channels: int
    groups: int
    dropout: float


class ActivatedNorm(nn.GroupNorm):
    """Group normalisation, then swish: x · σ(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(super().forward(x))


class Convolution(nn.Conv2d):
    """3 × 3 convolution that keeps the size, with bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            return super().forward(x)  # only PyTorch's own operations follow it
        return bias_act(convolve(x, self.weight, padding=1), self.bias, act="linear")


class ResidualBlock(recomputation.Block):
    """x [B, inputs, H, W] → [B, outputs, H, W]: two convolutions, added to x, projected if need be."""

    def __init__(self, inputs: int, outputs: int, layout: Layout) -> None:
        super().__init__()
        self.change = nn.Sequential(
            ActivatedNorm(layout.groups, inputs, EPSILON),
            Convolution(inputs, outputs),
            ActivatedNorm(layout.groups, outputs, EPSILON),
            nn.Dropout(layout.dropout),
            Convolution(outputs, outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shortcut(x) + self.change(x)
        return y


class AttentionBlock(recomputation.Block):
    """Every pixel of x [B, C, H, W] attends to all others, with one head; the result is added."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, EPSILON)
        self.queries = nn.Conv2d(channels, channels, 1)
        self.keys = nn.Conv2d(channels, channels, 1)
        self.values = nn.Conv2d(channels, channels, 1)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        parts = (part(normed).flatten(2).transpose(1, 2) for part in (self.queries, self.keys, self.values))
        attended = F.scaled_dot_product_attention(*parts)  # B HW C
        y: Tensor = x + self.projection(attended.transpose(1, 2).unflatten(2, x.shape[2:]))
        return y


class Halve(nn.Module):
    """x [B, C, H, W], H and W even → [B, C, H/2, W/2]; padded on the right and at the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(F.pad(x, (0, 1, 0, 1)))
        return y


class Double(nn.Module):
    """x [B, C, H, W] → [B, C, 2H, 2W]: pixels are repeated, then convolved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = Convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(F.interpolate(x, scale_factor=2, mode="nearest"))
        return y


class Stage(nn.Module):
    """One level: residual blocks, each with or without attention behind it, then resampling."""

    def __init__(self, inputs: int, level: Level, blocks: int, layout: Layout, resample: nn.Module) -> None:
        super().__init__()
        widths = [inputs, *[level.channels] * blocks]
        self.blocks = nn.ModuleList(ResidualBlock(before, after, layout) for before, after in pairwise(widths))
        self.attentions = nn.ModuleList(
            AttentionBlock(level.channels, layout.groups) if level.attends else nn.Identity() for _ in range(blocks)
        )
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(x))
        y: Tensor = self.resample(x)
        return y


def middle(channels: int, layout: Layout) -> nn.Sequential:
    """Return the blocks of both halves at the lowest resolution."""
    return nn.Sequential(
        ResidualBlock(channels, channels, layout),
        AttentionBlock(channels, layout.groups),
        ResidualBlock(channels, channels, layout),
    )


class Encoder(nn.Module):
    """Images [B, C, H, W] → [B, latent_channels, h, w]."""

    def __init__(self, colours: int, layout: Layout) -> None:
        super().__init__()
        inputs = layout.levels[0].channels
        self.first = Convolution(colours, inputs)
        self.stages = nn.Sequential()
        for number, level in enumerate(layout.levels, start=1):
            resample = Halve(level.channels) if number < len(layout.levels) else nn.Identity()
            self.stages.append(Stage(inputs, level, layout.blocks, layout, resample))
            inputs = level.channels
        self.middle = middle(inputs, layout)
        self.norm = ActivatedNorm(layout.groups, inputs, EPSILON)
        self.last = Convolution(inputs, layout.latent_channels)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.contiguous(memory_format=torch.channels_last))
        x = self.middle(self.stages(x))
        latents: Tensor = self.last(self.norm(x))
        return latents


class Decoder(nn.Module):
    """[B, latent_channels, h, w] → images [B, C, H, W]; one residual block a level more than the encoder has."""

    def __init__(self, colours: int, layout: Layout) -> None:
        super().__init__()
        inputs = layout.levels[-1].channels
        self.first = Convolution(layout.latent_channels, inputs)
        self.middle = middle(inputs, layout)
        self.stages = nn.Sequential()
        for number, level in enumerate(reversed(layout.levels), start=1):
            resample = Double(level.channels) if number < len(layout.levels) else nn.Identity()
            self.stages.append(Stage(inputs, level, layout.blocks + 1, layout, resample))
            inputs = level.channels
        self.norm = ActivatedNorm(layout.groups, inputs, EPSILON)
        self.last = Convolution(inputs, colours)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.first(latents.contiguous(memory_format=torch.channels_last))
        x = self.stages(self.middle(x))
        images: Tensor = self.last(self.norm(x))
        return images


class Autoencoder(nn.Module):
    """Images [B, C, H, W] → codes [B, h, w] → images.

    Between encoder and codebook, and between codebook and decoder, 1×1 convolutions change the number of values.
    """

    def __init__(self, encoder: Encoder, quantiser: Quantiser, decoder: Decoder) -> None:
        super().__init__()
        size, latent_channels = quantiser.codebook.shape[1], encoder.last.out_channels
        self.encoder = encoder
        self.before = nn.Conv2d(latent_channels, size, 1)
        self.quantiser = quantiser
        self.after = nn.Conv2d(size, latent_channels, 1)
        self.decoder = decoder

    def encode(self, images: Tensor) -> Quantised:
        """Encode images [B, C, H, W]."""
        quantised: Quantised = self.quantiser(self.before(self.encoder(images)))
        return quantised

    def decode(self, values: Tensor) -> Tensor:
        """Decode entries [B, D, h, w] of the codebook as images [B, C, H, W], nominally in [-1, 1]."""
        images: Tensor = self.decoder(self.after(values))
        return images

    def forward(self, images: Tensor) -> tuple[Tensor, Quantised]:
        """Return reconstructed images, and the codes between."""
        quantised = self.encode(images)
        return self.decode(quantised.values), quantised
