"""StyleGAN2's discriminator: from the image down to 4 columns, then one number."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganformer.nn.layers import EPSILON, SQRT_HALF, ActivatedConvolution, ActivatedLinear, Convolution, Linear
from ganformer.nn.resampling import Convolve, ConvolveDown, Downsample
from ganformer.nn.synthesis import Size

GROUP = 4  # images whose statistics are compared


def append_deviation(x: Tensor) -> Tensor:
    """Appends to x [B, C, H, W] a channel with the mean standard deviation within a group of images → [B, C + 1, H, W].

    Groups hold 4 images, or the largest number below it that divides B; image i is in group i mod (B / group)
    (Progressive GAN, section 3).
    """
    size = next(size for size in range(GROUP, 0, -1) if len(x) % size == 0)
    groups = x.unflatten(0, (size, -1))
    deviation = (groups.var(dim=0, correction=0) + EPSILON).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)


class Block(nn.Module):
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
        return super().forward(x) + self.shortcut(x)


class Epilogue(nn.Module):
    """The last features [B, C, H, W] and their deviation within the batch → logits [B]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.convolution = ActivatedConvolution(size.channels + 1, size.channels, 3, Convolve())
        self.hidden = ActivatedLinear(size.channels * size.height * size.width, size.channels)
        self.logit = Linear(size.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(append_deviation(x))
        logits: Tensor = self.logit(self.hidden(x.flatten(1)))
        return logits.squeeze(1)


class Discriminator(nn.Module):
    """Images [B, channels, H, W] → logits [B], high where they look real.

    `sizes`: the rungs from the coarsest to the image, as those of the generator.
    """

    make_block: Callable[[int, int], nn.Module] = Block

    def __init__(self, sizes: Sequence[Size], channels: int) -> None:
        super().__init__()
        down = sizes[::-1]
        self.from_colours = ActivatedConvolution(channels, down[0].channels, 1, Convolve())
        self.blocks = nn.ModuleList(self.make_block(above.channels, size.channels) for above, size in pairwise(down))
        self.epilogue = Epilogue(down[-1])

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_colours(images.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.epilogue(x)
        return logits


class ResidualDiscriminator(Discriminator):
    """A discriminator of residual blocks."""

    make_block = ResidualBlock


class SkipDiscriminator(Discriminator):
    """A discriminator whose every rung adds features of the down-sampled image (StyleGAN2, figure 7b)."""

    def __init__(self, sizes: Sequence[Size], channels: int) -> None:
        super().__init__(sizes, channels)
        self.downsample = Downsample()
        self.from_coarse_colours = nn.ModuleList(
            ActivatedConvolution(channels, size.channels, 1, Convolve()) for size in sizes[-2::-1]
        )

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        x = self.from_colours(images)
        for block, from_colours in zip(self.blocks, self.from_coarse_colours, strict=True):
            images = self.downsample(images)
            x = block(x) + from_colours(images)
        logits: Tensor = self.epilogue(x)
        return logits


DISCRIMINATORS = {"orig": Discriminator, "skip": SkipDiscriminator, "resnet": ResidualDiscriminator}
"""Architectures by the names that StyleGAN2's code gave them."""
