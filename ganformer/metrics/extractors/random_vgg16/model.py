"""VGG16 with random weights: features that need no file.

Naeem et al. 2020 (Reliable Fidelity and Diversity Metrics for Generative Models) measure with an untrained VGG16 where
pictures are far from ImageNet. Here it ends at `conv4_3`: deeper layers of an untrained network tell images apart less
and less. On 32×32 shapes the distance that slight blur causes is 7.8 times the one between two halves of the data at
`conv4_3`, but 4.7 times at `conv5_3`, and the 512 averages leave little noise in the covariance of a thousand images.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.metrics import batching
from ganformer.metrics.extractors.random_vgg16.settings import Config
from ganformer.perceptual import vgg16

BLOCKS = vgg16.BLOCKS[:4]  # up to conv4_3
CLASSES = 1000
NOISE = (16, 3, 32, 32)


@dataclass(frozen=True)
class Network:
    """Network that maps images [n, 3, H, W] uint8 to features [n, 512] and class logits [n, 1000], both float32.

    Features are the averages of `conv4_3`'s channels over the image. The logits are a random projection of them with
    weights of variance 1, so that logits differ among images as much as features do, E(l(x) − l(y))² = |f(x) − f(y)|².
    Left out is the `common` direction [512], the direction of white noise's features: an untrained network gives all
    images nearly parallel features, by which the same few classes would win for every image.
    """

    blocks: tuple[tuple[Tensor, ...], ...]
    head: Tensor
    common: Tensor

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return batching.see_all(self._see, batching.of_pixels(images))

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = extract(self.blocks, images)
        particular = features - torch.outer(features @ self.common, self.common)
        return features, particular @ self.head.T


def load(config: Config, device: torch.device) -> Network:
    """Return the network with the weights that `config.seed` stands for, the same bits on every machine."""
    draws = np.random.PCG64(config.seed)
    blocks = tuple(vgg16.random_weights(draws, BLOCKS))
    head = vgg16.uniform(draws, (CLASSES, BLOCKS[-1][-1]), variance=1.0)
    common = F.normalize(extract(blocks, _noise(draws)).mean(dim=0), dim=0)
    moved = tuple(tuple(weight.to(device) for weight in block) for block in blocks)
    return Network(moved, head.to(device), common.to(device))


def extract(blocks: Sequence[Sequence[Tensor]], images: Tensor) -> Tensor:
    """Average of the channels behind the last convolution: images [n, 3, H, W] uint8 -> [n, 512] float32."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (vgg16.MEAN, vgg16.STD))
    x = ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    unbiased = ([(weight, None) for weight in block] for block in blocks)
    (last,) = deque(vgg16.activations(x, unbiased), maxlen=1)
    return last.mean(dim=(2, 3))


def _noise(draws: np.random.PCG64) -> Tensor:
    """Return images in which every value is as likely as any other."""
    values = draws.random_raw(int(np.prod(NOISE))) >> np.uint64(56)
    return torch.from_numpy(values.astype(np.uint8).reshape(NOISE))
