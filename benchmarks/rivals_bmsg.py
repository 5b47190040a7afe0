"""The arrangement of BMSG-GAN's code in training MSG-GAN, as plain modules of our own.

Written from the code's structure (github.com/akanimax/BMSG-GAN, sourcecode/MSG_GAN/GAN.py, CustomLayers.py, Losses.py
and train.py) for comparisons of speed. Its loop updates the discriminator, then the generator, with the same latents.
Gradients are on everywhere: generated images keep their graph until they are detached for the discriminator, and the
generator's loss, which is relativistic, leaves gradients in the discriminator that its next update clears. Features are
in contiguous memory; parameters have the original names.
"""

# B batch, C channels, D size of a latent

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import workloads
from torch import Tensor, nn
from torch.optim import Adam

from ganformer.training.adversarial import Adversarial

SLOPE = 0.2
EPSILON = 1e-8
RATE = 0.003
BETAS = (0.0, 0.99)
AVERAGE_BETA = 0.999
FULL_WIDTH = 32  # width of the largest images with all features


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks: width of the images; values of a latent, which are the features up to 32 × 32."""

    width: int
    latent_size: int = 512

    @property
    def features(self) -> list[int]:
        """Features at 4 × 4, 8 × 8, … up to the width."""
        widths = [2**power for power in range(2, self.width.bit_length())]
        return [self.latent_size * FULL_WIDTH // max(width, FULL_WIDTH) for width in widths]


# ------------------------------------------------------------------------------------------------ networks


class EqualizedConv2d(nn.Module):
    """Convolution whose weight is scaled at run time, by He's factor."""

    def __init__(self, inputs: int, outputs: int, size: int, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.padding = math.sqrt(2 / (inputs * size**2)), padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualizedDeconv2d(nn.Module):
    """Transposed convolution of one pixel to 4 × 4."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 4, 4))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = math.sqrt(2 / inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight * self.scale, self.bias)


def normalise_pixels(x: Tensor) -> Tensor:
    """Divide each pixel of x [B, C, H, W] by the root mean square of its channels."""
    return x / x.pow(2.0).mean(dim=1, keepdim=True).add(EPSILON).sqrt()


def append_deviation(x: Tensor) -> Tensor:
    """Append the mean standard deviation over the batch: x [B, C, H, W] → [B, C + 1, H, W]."""
    y = x - x.mean(dim=0, keepdim=True)
    y = (y.pow(2.0).mean(dim=0) + EPSILON).sqrt().mean().view(1, 1, 1, 1)
    return torch.cat([x, y.repeat(len(x), 1, *x.shape[2:])], dim=1)


class FirstBlock(nn.Module):
    """Latents [B, D] → features [B, D, 4, 4]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = EqualizedDeconv2d(size, size), EqualizedConv2d(size, size, 3, 1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.lrelu(self.conv_1(latents.view(*latents.shape, 1, 1)))
        return normalise_pixels(self.lrelu(self.conv_2(x)))


class GrowingBlock(nn.Module):
    """x [B, inputs, H, W] → [B, outputs, 2H, 2W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = EqualizedConv2d(inputs, outputs, 3, 1), EqualizedConv2d(outputs, outputs, 3, 1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        x = normalise_pixels(self.lrelu(self.conv_1(F.interpolate(x, scale_factor=2))))
        return normalise_pixels(self.lrelu(self.conv_2(x)))


class Generator(nn.Module):
    """Latents [B, D] on the hypersphere → images [B, 3, H, W], from 4 × 4 up."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        features = sizes.features
        self.layers = nn.ModuleList([FirstBlock(sizes.latent_size), *map(GrowingBlock, features, features[1:])])
        self.rgb_converters = nn.ModuleList(EqualizedConv2d(count, 3, 1) for count in features)

    def forward(self, latents: Tensor) -> list[Tensor]:
        images, x = [], latents
        for block, convert in zip(self.layers, self.rgb_converters, strict=True):
            x = block(x)
            images.append(convert(x))
        return images


class ShrinkingBlock(nn.Module):
    """x [B, inputs, H, W] → [B, outputs, H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = EqualizedConv2d(inputs, inputs, 3, 1), EqualizedConv2d(inputs, outputs, 3, 1)
        self.downSampler, self.lrelu = nn.AvgPool2d(2), nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.downSampler(self.lrelu(self.conv_2(self.lrelu(self.conv_1(x)))))
        return y


class LastBlock(nn.Module):
    """x [B, C, 4, 4] → logits [B]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = EqualizedConv2d(channels + 1, channels, 3, 1)
        self.conv_2, self.conv_3 = EqualizedConv2d(channels, channels, 4), EqualizedConv2d(channels, 1, 1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lrelu(self.conv_1(append_deviation(x)))
        logits: Tensor = self.conv_3(self.lrelu(self.conv_2(x))).view(-1)
        return logits


class Discriminator(nn.Module):
    """Images [B, 3, H, W], from 4 × 4 up → logits [B]. Half of the features of a block are of images."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        *lower, finest = sizes.features
        halves = [count // 2 for count in lower]
        self.layers = nn.ModuleList(map(ShrinkingBlock, sizes.features[1:], halves))
        self.rgb_to_features = nn.ModuleList(EqualizedConv2d(3, count, 1) for count in (*halves[1:], finest))
        self.final_converter = EqualizedConv2d(3, halves[0], 1)
        self.final_block = LastBlock(lower[0])

    def forward(self, images: list[Tensor]) -> Tensor:
        *lower, finest = images
        converters = [self.final_converter, *self.rgb_to_features]
        x = converters[-1](finest)
        for image, convert, block in zip(lower[::-1], converters[-2::-1], self.layers[::-1], strict=True):
            x = torch.cat([convert(image), block(x)], dim=1)
        logits: Tensor = self.final_block(x)
        return logits


# ------------------------------------------------------------------------------------------------ training


def relativistic_hinge(upper: Tensor, lower: Tensor) -> Tensor:
    """Return the loss that wants logits of `upper` [B] above the mean of `lower` [B], and the reverse."""
    above, below = upper - lower.mean(), lower - upper.mean()
    return F.relu(1 - above).mean() + F.relu(1 + below).mean()


class Training:
    """Training steps of its loop: discriminator, generator, moving average."""

    def __init__(self, sizes: Sizes, batch: int, device: str = "cpu") -> None:
        self.generator, self.discriminator = Generator(sizes).to(device), Discriminator(sizes).to(device)
        self.average = copy.deepcopy(self.generator)
        self.generator_adam, self.discriminator_adam = (
            Adam(network.parameters(), RATE, BETAS) for network in (self.generator, self.discriminator)
        )
        self.shape, self.device, self.depth = (batch, sizes.latent_size), device, len(sizes.features)

    def step(self, images: Tensor, step: int) -> None:
        """Update both networks and the average with images [B, 3, H, W]; all steps are alike."""
        reals = [F.avg_pool2d(images, 2**halvings) for halvings in range(self.depth - 1, 0, -1)] + [images]
        z = torch.randn(self.shape, device=self.device)
        z = z / z.norm(dim=-1, keepdim=True) * self.shape[1] ** 0.5
        fakes = [image.detach() for image in self.generator(z)]
        self._update(self.discriminator_adam, relativistic_hinge(self.discriminator(reals), self.discriminator(fakes)))
        fakes = self.generator(z)
        real, fake = self.discriminator(reals), self.discriminator(fakes)
        self._update(self.generator_adam, relativistic_hinge(fake, real))
        self._follow()

    def _update(self, adam: Adam, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss.item()

    def _follow(self) -> None:
        with torch.no_grad():
            for mean, parameter in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.copy_(AVERAGE_BETA * mean + (1.0 - AVERAGE_BETA) * parameter)


def our_learner(sizes: Sizes, batch: int, **settings: object) -> Adversarial:
    """Return a learner of this project with networks of these sizes and the loss of this loop."""
    beta1, beta2 = BETAS
    model = {
        "kind": "msggan",
        "channel_base": FULL_WIDTH * sizes.latent_size,
        "channel_max": sizes.latent_size,
        "latent_size": sizes.latent_size,
        "combine": "lin_cat",
        "deviation": "last",
        "adversarial": {
            "loss": "relativistic-hinge",
            "generator_learning_rate": RATE,
            "discriminator_learning_rate": RATE,
            "beta1": beta1,
            "beta2": beta2,
            "r1_gamma": 0,
        },
    }
    return workloads.adversarial(model, sizes, batch, **settings)
