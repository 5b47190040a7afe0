"""MSG-GAN: images at every scale at once, and one discriminator that looks at all of them (Karnewar & Wang 2020).

The networks are as in Progressive GAN, with an RGB output at every resolution. Open details follow the authors'
PyTorch code, BMSG-GAN; as there, every layer has He's gain √2, even without a rectifier behind it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.config.ladders import Resolution
from ganformer.nn import interfaces, recomputation
from ganformer.nn.discriminator import append_deviation
from ganformer.nn.layers import (
    SQRT_2,
    ActivatedConvolution,
    ActivatedLinear,
    Convolution,
    Projection,
    as_float,
    normalise,
)
from ganformer.nn.resampling import Convolve, Operation
from ganformer.ops.bias_act import bias_act
from ganformer.ops.convolution import convolve


def normalise_pixels(x: Tensor) -> Tensor:
    """Divide each pixel of x [B, C, H, W] by the root mean square of its channels (Progressive GAN, section 4.2)."""
    return normalise(as_float(x).movedim(1, -1)).movedim(-1, 1).to(x.dtype)


class ConvolveRepeated(Operation):
    """x [B, I, H, W], weight [O, I, 3, 3] → [B, O, 2H, 2W]: each pixel becomes four alike, then the convolution."""

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return convolve(F.interpolate(x, scale_factor=2), weight, padding=1)


class LinearConvolution(nn.Module):
    """x [B, inputs, H, W] → [B, outputs, H, W] by a 1×1 convolution with bias, not rectified."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, 1, Convolve(), gain=SQRT_2)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(self.convolution(x), self.bias, act="linear")


# --------------------------------------------------------------------------------------------- generator


class TransposedStem(nn.Module):
    """w [B, latent_size] → features of the coarsest resolution: a transposed convolution, then a convolution."""

    def __init__(self, latent_size: int, size: Resolution) -> None:
        super().__init__()
        self.shape = (size.channels, size.height, size.width)
        self.projection = Projection(latent_size, size.channels * size.height * size.width)
        self.bias = nn.Parameter(torch.zeros(size.channels))
        self.convolution = ActivatedConvolution(size.channels, size.channels, 3, Convolve())

    def forward(self, w: Tensor) -> Tensor:
        x = bias_act(self.projection(w).view(-1, *self.shape), self.bias, gain=SQRT_2)
        return normalise_pixels(self.convolution(x.contiguous(memory_format=torch.channels_last)))


class GrowingBlock(recomputation.Block):
    """x [B, inputs, H, W] → [B, outputs, 2H, 2W] by two convolutions, pixels normalised behind both."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ActivatedConvolution(inputs, outputs, 3, ConvolveRepeated())
        self.second = ActivatedConvolution(outputs, outputs, 3, Convolve())

    def forward(self, x: Tensor) -> Tensor:
        return normalise_pixels(self.second(normalise_pixels(self.first(x))))


class MultiScaleGenerator(interfaces.Generator):
    """z [B, size], labels → w [B, 1, size] → an image at every resolution of `resolutions`, from the stem's on.

    There is no mapping network: w is what `entrance` makes of z and the labels, without labels z on the hypersphere.
    Its mean, the target of truncation, is then near 0, far from all latents of training.
    """

    # Straight lines leave the hypersphere of w; Karras et al. (StyleGAN, table 4) have no w of such a generator either.
    path_spaces = ("z",)

    def __init__(self, size: int, entrance: nn.Module, resolutions: Sequence[Resolution], channels: int) -> None:
        super().__init__((size,), size)
        self.entrance = entrance
        self.stem = TransposedStem(size, resolutions[0])
        self.blocks = nn.ModuleList(
            GrowingBlock(below.channels, resolution.channels) for below, resolution in pairwise(resolutions)
        )
        self.colours = nn.ModuleList(LinearConvolution(resolution.channels, channels) for resolution in resolutions)

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.entrance(z, labels)
        return w[:, None]

    def synthesise(self, w: Tensor) -> Tensor:
        x = self.stem(w[:, 0])
        for block in self.blocks:
            x = block(x)
        return as_float(self.colours[-1](x))

    def scales(self, w: Tensor) -> tuple[Tensor, ...]:
        features = [self.stem(w[:, 0])]
        for block in self.blocks:
            features.append(block(features[-1]))
        return tuple(as_float(colours(x)) for colours, x in zip(self.colours, features, strict=True))


# ----------------------------------------------------------------------------------------- discriminator


class Deviation(nn.Module):
    """Module that appends nothing to x [B, C, H, W]; `channels`: number of appended channels."""

    channels = 0

    def forward(self, x: Tensor) -> Tensor:
        return x


class BatchDeviation(Deviation):
    """Module that appends the mean standard deviation over all images: x [B, C, H, W] → [B, C + 1, H, W]."""

    channels = 1

    def forward(self, x: Tensor) -> Tensor:
        return append_deviation(x, group=len(x))


DEVIATIONS = {"every": BatchDeviation, "last": Deviation}
"""First module of every block of the discriminator but the last, which always appends the deviation."""


class Combination(nn.Module):
    """Module that joins images [B, colours, H, W] to features of their scale: [images; features], the paper's φ_simple.

    `channels`: of the resolution; `features`: channels of the features that it takes; `outputs`: of its result.
    """

    def __init__(self, colours: int, channels: int) -> None:
        super().__init__()
        self.features, self.outputs = channels, channels + colours

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        return torch.cat([images.to(features.dtype), features], dim=1)


class ProjectedCombination(Combination):
    """[r′(images); features], half of the channels each: φ_lin_cat, BMSG-GAN's."""

    def __init__(self, colours: int, channels: int) -> None:
        super().__init__(channels // 2, channels - channels // 2)
        self.projection = LinearConvolution(colours, channels // 2)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        return super().forward(self.projection(images), features)


class CombinationProjected(Combination):
    """r′([images; features]): φ_cat_lin."""

    def __init__(self, colours: int, channels: int) -> None:
        super().__init__(colours, channels)
        self.projection = LinearConvolution(self.outputs, channels)
        self.outputs = channels

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        y: Tensor = self.projection(super().forward(images, features))
        return y


COMBINATIONS = {"simple": Combination, "lin_cat": ProjectedCombination, "cat_lin": CombinationProjected}
"""Ways to combine the images of a scale with features, by the names of the paper's functions φ."""


class ShrinkingBlock(recomputation.Block):
    """x [B, inputs, H, W] → [B, outputs, H/2, W/2] by two convolutions and the mean of each four pixels."""

    def __init__(self, deviation: Deviation, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.deviation = deviation
        self.first = ActivatedConvolution(inputs + deviation.channels, channels, 3, Convolve())
        self.second = ActivatedConvolution(channels, outputs, 3, Convolve())

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.second(self.first(self.deviation(x))), 2)


class LastBlock(nn.Module):
    """x [B, inputs, H, W] of the resolution `size`, and labels [B, classes] → logits [B]."""

    def __init__(self, inputs: int, size: Resolution, head: nn.Module) -> None:
        super().__init__()
        self.deviation = BatchDeviation()
        self.convolution = ActivatedConvolution(inputs + self.deviation.channels, size.channels, 3, Convolve())
        self.hidden = ActivatedLinear(size.channels * size.height * size.width, size.channels)
        self.head = head

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.convolution(self.deviation(x))
        logits: Tensor = self.head(self.hidden(as_float(x).flatten(1)), labels)
        return logits


class MultiScaleDiscriminator(interfaces.Discriminator):
    """Images [B, colours, H, W] of every resolution, and labels [B, classes] → logits [B].

    `resolutions`: from the coarsest to the image, as in the generator. `combine(colours, channels)` creates the module
    that joins the images of a resolution to the features of the next finer one. `make_deviation` creates the first
    module of every block but the last. `head`: features of the coarsest resolution [B, C] and labels → logits.
    """

    def __init__(
        self,
        resolutions: Sequence[Resolution],
        colours: int,
        combine: Callable[[int, int], Combination],
        make_deviation: Callable[[], Deviation],
        head: nn.Module,
    ) -> None:
        super().__init__()
        down = resolutions[::-1]
        joins = [combine(colours, size.channels) for size in down[1:]]
        inputs = [down[0].channels, *(join.outputs for join in joins)]
        self.from_colours = LinearConvolution(colours, inputs[0])
        self.blocks = nn.ModuleList(
            ShrinkingBlock(make_deviation(), taken, size.channels, join.features)
            for taken, size, join in zip(inputs[:-1], down[:-1], joins, strict=True)
        )
        self.combinations = nn.ModuleList(joins)
        self.last = LastBlock(inputs[-1], down[-1], head)

    def forward(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        finest, *coarser = [image.contiguous(memory_format=torch.channels_last) for image in images[::-1]]
        x = self.from_colours(finest)
        for block, combine, image in zip(self.blocks, self.combinations, coarser, strict=True):
            x = combine(image, block(x))
        logits: Tensor = self.last(x, labels)
        return logits

    def layers_by_resolution(self) -> list[list[nn.Module]]:
        entrances = [self.from_colours, *self.combinations]  # the last one belongs to the last block
        return [[*layers] for layers in zip(entrances, self.blocks, strict=False)]

    def scales(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return means of 2×2, 4×4, … pixels down to the coarsest resolution, the images themselves last."""
        pyramid = [images]
        for _ in self.blocks:
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        return tuple(pyramid[::-1])
