"""The Inception network of 2015 with random weights: every step of an FID, but no file and no meaning.

For tests and to show the pipeline. Convolutions have variance 2 / fan-in (He et al. 2015), normalisations change
nothing: on photographs of 48×48 pixels the root mean square of what blocks give is between 0.49 and 0.82. Blur of 2
pixels puts 24 of them 4 times as far from 24 others as they are without, 18 times with `random-vgg16`, which therefore
is the better stand-in. Random biases would keep features from growing with an image's contrast alone, but make images
all the same: with a twentieth of the variance they leave a fourteenth of what differs.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.metrics.extractors.inception_2015 import model as inception_2015
from ganformer.metrics.extractors.inception_random.settings import Config
from ganformer.perceptual.vgg16 import uniform

NOISE = (8, 3, 32, 32)


def load(config: Config, device: torch.device) -> inception_2015.Network:
    """Return the network with the weights of `config.seed`; the convolutions have the same bits on every machine.

    As in `random-vgg16`, the class logits leave out the direction of white noise's features: an untrained network gives
    all images nearly parallel features, by which the same few classes would win for every image.
    """
    draws = np.random.PCG64(config.seed)
    network = inception_2015.network(dict(draw(draws)), torch.device("cpu"), features=config.features)
    if config.features == "spatial":
        return network.to(device)
    with torch.inference_mode():
        features, _ = network(_noise(draws))
        common = F.normalize(features.mean(dim=0), dim=0)
        network.fc.weight -= torch.outer(network.fc.weight @ common, common)
    return network.to(device)


def draw(draws: np.random.PCG64) -> Iterator[tuple[str, Tensor]]:
    for name, shape in inception_2015.expected().items():
        if name.endswith("conv.weight"):
            yield name, uniform(draws, shape, variance=2 / float(np.prod(shape[1:])))
        elif name == "fc.weight":
            yield name, uniform(draws, shape, variance=1.0)
        else:
            yield name, torch.ones(shape) if name.endswith(("bn.weight", "running_var")) else torch.zeros(shape)


def _noise(draws: np.random.PCG64) -> Tensor:
    """Return images in which every value is as likely as any other."""
    values = draws.random_raw(int(np.prod(NOISE))) >> np.uint64(56)
    return torch.from_numpy(values.astype(np.uint8).reshape(NOISE))
