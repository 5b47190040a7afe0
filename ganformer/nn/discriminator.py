"""StyleGAN2's discriminator: from the image down to 4 columns, then one number."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganformer.config import ImageSpec
from ganformer.config.ladders import Resolution, StyleBasedModel
from ganformer.nn import interfaces, recomputation
from ganformer.nn.layers import (
    EPSILON,
    SQRT_HALF,
    ActivatedConvolution,
    ActivatedLinear,
    Convolution,
    Linear,
    as_float,
    normalise,
)
from ganformer.nn.mapping import plain_steps
from ganformer.nn.resampling import Convolve, ConvolveDown, Downsample

GROUP = 4  # images whose statistics are compared (StyleGAN2)


def append_deviation(x: Tensor, group: int = GROUP) -> Tensor:
    """Append to x [B, C, H, W] a channel with the mean standard deviation within a group: [B, C + 1, H, W].

    Groups hold `group` images, or the largest number below it that divides B; image i is in group i mod (B / group)
    (Progressive GAN, section 3).
    """
    size = next(size for size in range(group, 0, -1) if len(x) % size == 0)
    groups = as_float(x).unflatten(0, (size, -1))
    variance = (groups - groups.mean(dim=0)).square().mean(dim=0)  # many times as fast as Tensor.var
    deviation = (variance + EPSILON).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    channel = channel.contiguous(memory_format=torch.channels_last)  # else the whole loses its format
    return torch.cat([x, channel.to(x.dtype)], dim=1)


class Block(recomputation.Block):
    """Two convolutions, the second of which halves the resolution."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.first = ActivatedConvolution(inputs, inputs, 3, Convolve())
        self.second = ActivatedConvolution(inputs, outputs, 3, ConvolveDown(), gain)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return y


class ResidualBlock(Block):
    """Block with a linear short cut around it; both paths are scaled by √½."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, gain=SQRT_HALF)
        self.shortcut = nn.Sequential(Downsample(), Convolution(inputs, outputs, 1, Convolve(), gain=SQRT_HALF))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x) + self.shortcut(x)
        return y


class Logit(nn.Module):
    """Features [B, C] → logits [B]; labels are not used."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = Linear(features, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.layer(x)
        return logits.squeeze(1)


class ClassLogits(nn.Module):
    """Features [B, C], labels [B, classes] → logits [B]: one for every class, the label picks its own (StyleGAN2)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.layer = Linear(features, classes)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = (self.layer(x) * labels).sum(dim=1)
        return logits


class LabelProjection(nn.Module):
    """Features [B, C], labels [B, classes] → logits [B]: the features' product with an embedding of the label.

    The projection discriminator (Miyato & Koyama 2018) as in StyleGAN2-ADA, whose embedding is a mapping network.
    """

    def __init__(self, features: int, classes: int, layers: int = 8, rate: float = 0.01) -> None:
        super().__init__()
        self.layer = Linear(features, features)
        self.embedding = Linear(classes, features)
        self.steps = nn.ModuleList(plain_steps(layers, features, rate))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        u = normalise(self.embedding(labels))
        for step in self.steps:
            u = step(u, u)
        logits: Tensor = (self.layer(x) * u).sum(dim=1) / u.shape[1] ** 0.5
        return logits


def make_head(kind: str, features: int, classes: int) -> nn.Module:
    """Return the last layer of a discriminator; `kind`: use of labels, "logits" or "projection", with classes."""
    if not classes:
        return Logit(features)
    heads: dict[str, type[ClassLogits | LabelProjection]] = {"logits": ClassLogits, "projection": LabelProjection}
    return heads[kind](features, classes)


class Epilogue(nn.Module):
    """The last features [B, C, H, W], with their deviation within the batch, and labels [B, classes] → logits [B]."""

    def __init__(self, size: Resolution, head: nn.Module) -> None:
        super().__init__()
        self.convolution = ActivatedConvolution(size.channels + 1, size.channels, 3, Convolve())
        self.hidden = ActivatedLinear(size.channels * size.height * size.width, size.channels)
        self.head = head

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x), labels)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Return the input of the head: x [B, C, H, W] → [B, C]."""
        y: Tensor = self.hidden(as_float(self.convolution(append_deviation(x))).flatten(1))
        return y


class Discriminator(interfaces.Discriminator):
    """Images [B, channels, H, W] at one scale and labels [B, classes] → logits [B].

    `resolutions`: from the coarsest to the image, as in the generator. `head`: features of the coarsest resolution
    [B, C] and labels → logits.
    """

    make_block: Callable[[int, int], nn.Module] = Block

    def __init__(self, resolutions: Sequence[Resolution], channels: int, head: nn.Module) -> None:
        super().__init__()
        down = resolutions[::-1]
        self.from_colours = ActivatedConvolution(channels, down[0].channels, 1, Convolve())
        self.blocks = nn.ModuleList(self.make_block(above.channels, size.channels) for above, size in pairwise(down))
        self.epilogue = Epilogue(down[-1], head)

    def forward(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        (x,) = deque(self.pyramid(images), maxlen=1)
        logits: Tensor = self.epilogue(x, labels)
        return logits

    def layers_by_resolution(self) -> list[list[nn.Module]]:
        first, *others = self.blocks
        return [[self.from_colours, first], *([block] for block in others)]

    def pyramid(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the features [B, C, H, W] of every resolution, from the image's to the coarsest."""
        x = self.from_colours(images[-1].contiguous(memory_format=torch.channels_last))
        yield x
        for block in self.blocks:
            x = block(x)
            yield x


class ResidualDiscriminator(Discriminator):
    """A discriminator of residual blocks."""

    make_block = ResidualBlock


class SkipDiscriminator(Discriminator):
    """A discriminator whose every resolution adds features of the down-sampled image (StyleGAN2, figure 7b)."""

    def __init__(self, resolutions: Sequence[Resolution], channels: int, head: nn.Module) -> None:
        super().__init__(resolutions, channels, head)
        self.downsample = Downsample()
        self.from_coarse_colours = nn.ModuleList(
            ActivatedConvolution(channels, size.channels, 1, Convolve()) for size in resolutions[-2::-1]
        )

    def layers_by_resolution(self) -> list[list[nn.Module]]:
        entrances = [self.from_colours, *self.from_coarse_colours]  # the last one belongs to the epilogue
        return [[*layers] for layers in zip(entrances, self.blocks, strict=False)]

    def pyramid(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        image = images[-1].contiguous(memory_format=torch.channels_last)
        x = self.from_colours(image)
        yield x
        for block, from_colours in zip(self.blocks, self.from_coarse_colours, strict=True):
            image = self.downsample(image)
            x = block(x) + from_colours(image)
            yield x


DISCRIMINATORS = {"orig": Discriminator, "skip": SkipDiscriminator, "resnet": ResidualDiscriminator}
"""Architectures by the names that StyleGAN2's code gave them."""


def ladder_discriminator(config: StyleBasedModel, image: ImageSpec) -> Discriminator:
    """Return the discriminator of these settings for images of this shape."""
    resolutions = config.resolutions(image)
    head = make_head(config.discriminator_labels, resolutions[0].channels, image.classes)
    return DISCRIMINATORS[config.discriminator_architecture](resolutions, image.channels, head)
