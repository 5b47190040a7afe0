"""VGG16's convolutions (Simonyan & Zisserman 2015, configuration D), with weights from a file or from a seed."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.ops.bias_act import bias_act
from ganformer.ops.convolution import convolve

# Output channels of the 3×3 convolutions of each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Mean and standard deviation of ImageNet's colours in [0, 1], which VGG16 expects to be taken out.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Layer = tuple[Tensor, Tensor | None]  # weight [O, I, 3, 3] and bias [O]


def activations(x: Tensor, blocks: Iterable[Sequence[Layer]]) -> Iterator[Tensor]:
    """Yield the output of the last convolution of each block for x [B, 3, H, W]: [B, C, H/2ⁱ, W/2ⁱ], rounded up."""
    for i, block in enumerate(blocks):
        x = F.max_pool2d(x, 2, ceil_mode=True) if i else x
        for weight, bias in block:
            x = bias_act(convolve(x, weight, padding=1), bias, alpha=0.0)
        yield x


def random_weights(draws: np.random.PCG64, blocks: Iterable[Sequence[int]]) -> Iterator[tuple[Tensor, ...]]:
    """Yield weights of each block with variance 2 / fan-in, which keeps the size of activations (He et al. 2015)."""
    inputs = 3
    for channels in blocks:
        block = []
        for outputs in channels:
            weight = uniform(draws, (outputs, inputs, 3, 3), variance=2 / (9 * inputs))
            block.append(weight.contiguous(memory_format=torch.channels_last))
            inputs = outputs
        yield tuple(block)


def uniform(draws: np.random.PCG64, shape: tuple[int, ...], variance: float) -> Tensor:
    """Draw uniform numbers around 0 from a generator's raw bits.

    numpy promises the bits of a bit generator, not the streams of its distributions, and a normal distribution needs
    logarithms, whose last bit differs between machines; this needs only operations that round correctly.
    """
    integers = draws.random_raw(int(np.prod(shape))) >> np.uint64(40)  # 24 bits: exact in float32
    unit = (integers.astype(np.float32) + np.float32(0.5)) * np.float32(2**-23) - np.float32(1)
    return torch.from_numpy((unit * np.float32((3 * variance) ** 0.5)).reshape(shape))
