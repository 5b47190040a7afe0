"""VGG16 with random weights: features that need no file.

Naeem et al. 2020 (Reliable Fidelity and Diversity Metrics for Generative Models) measure with an untrained VGG16 where
pictures are far from ImageNet. Here it ends at `conv4_3`: deeper layers of an untrained network tell images apart less
and less. On 32×32 shapes the distance that slight blur causes is 7.8 times the one between two halves of the data at
`conv4_3`, but 4.7 times at `conv5_3`, and the 512 averages leave little noise in the covariance of a thousand images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor

from ganformer.config import Extractor

# Output channels of the 3×3 convolutions of each block (Simonyan & Zisserman 2015, configuration D), up to conv4_3.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
CLASSES = 1000
NOISE = (16, 3, 32, 32)
# Mean and standard deviation of ImageNet's colours, which VGG16 expects to be taken out.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Config(Extractor):
    """VGG16 with random weights, at the images' own resolution."""

    seed: NonNegativeInt = 0
    """Which random weights."""


@dataclass(frozen=True)
class Network:
    """Called with images [n, 3, H, W] uint8, gives features [n, 512] and class logits [n, 1000], both float32.

    Features are the averages of `conv4_3`'s channels over the image. The logits are a random projection of them with
    weights of variance 1, so that logits differ among images as much as features do, E(l(x) − l(y))² = |f(x) − f(y)|².
    Left out is the `common` direction [512], that of white noise's features: an untrained network gives all images
    nearly parallel features, by which the same few classes would win for every image.
    """

    blocks: tuple[tuple[Tensor, ...], ...]
    head: Tensor
    common: Tensor

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = extract(self.blocks, images)
        particular = features - torch.outer(features @ self.common, self.common)
        return features, particular @ self.head.T


def load(config: Config, device: torch.device) -> Network:
    """The network with the weights that `config.seed` stands for, the same bits on every machine."""
    draws = np.random.PCG64(config.seed)
    blocks = tuple(_blocks(draws))
    head = _uniform(draws, (CLASSES, BLOCKS[-1][-1]), variance=1.0)
    common = F.normalize(extract(blocks, _noise(draws)).mean(dim=0), dim=0)
    moved = tuple(tuple(weight.to(device) for weight in block) for block in blocks)
    return Network(moved, head.to(device), common.to(device))


def extract(blocks: Sequence[Sequence[Tensor]], images: Tensor) -> Tensor:
    """Averages of the channels behind the last convolution: images [n, 3, H, W] uint8 -> [n, 512] float32."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    x = ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    for i, block in enumerate(blocks):
        x = F.max_pool2d(x, 2, ceil_mode=True) if i else x
        for weight in block:
            x = F.conv2d(x, weight, padding=1).relu_()
    return x.mean(dim=(2, 3))


def _noise(draws: np.random.PCG64) -> Tensor:
    """Images in which every value is as likely as any other."""
    values = draws.random_raw(int(np.prod(NOISE))) >> np.uint64(56)
    return torch.from_numpy(values.astype(np.uint8).reshape(NOISE))


def _blocks(draws: np.random.PCG64) -> Iterator[tuple[Tensor, ...]]:
    """Convolution weights with variance 2 / fan-in, which keeps the size of activations (He et al. 2015, eq. 10)."""
    inputs = 3
    for channels in BLOCKS:
        block = []
        for outputs in channels:
            weight = _uniform(draws, (outputs, inputs, 3, 3), variance=2 / (9 * inputs))
            block.append(weight.contiguous(memory_format=torch.channels_last))
            inputs = outputs
        yield tuple(block)


def _uniform(draws: np.random.PCG64, shape: tuple[int, ...], variance: float) -> Tensor:
    """Uniform numbers around 0 from a generator's raw bits.

    numpy promises the bits of a bit generator, not the streams of its distributions, and a normal distribution needs
    logarithms, whose last bit differs between machines; this needs only operations that round correctly.
    """
    integers = draws.random_raw(int(np.prod(shape))) >> np.uint64(40)  # 24 bits: exact in float32
    unit = (integers.astype(np.float32) + np.float32(0.5)) * np.float32(2**-23) - np.float32(1)
    return torch.from_numpy((unit * np.float32((3 * variance) ** 0.5)).reshape(shape))
