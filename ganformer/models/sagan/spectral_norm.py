"""Spectral normalisation (Miyato et al. 2018) of weights with an equalised learning rate."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import register_parametrization

from ganformer.nn.layers import Convolution, Projection


class SpectralNorm(nn.Module):
    """weight [O, I, …] → weight · `norm` / σ, σ the largest singular value of weight as a matrix [O, I · …].

    In training each use takes a step of the power iteration towards the singular vector `left` [O] (algorithm 1 of the
    paper).
    """

    left: Tensor

    def __init__(self, outputs: int, norm: float) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("left", normalize(torch.randn(outputs), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        with torch.no_grad():
            left = self.left
            right = normalize(left @ matrix, dim=0)
            if self.training:
                left = normalize(matrix @ right, dim=0)
                self.left.copy_(left)  # not used here, as earlier uses may be waiting to be differentiated
        return weight * (self.norm / (left @ matrix @ right))


def normalise_spectrally(network: nn.Module) -> None:
    """Give every linear and every convolutional layer of `network` a weight of spectral norm 1, times its own gain.

    The layers still scale their weight by gain / √fan_in; this function undoes that root (and the learning rate).
    """
    for part in list(network.modules()):
        if isinstance(part, Convolution):
            _parametrise(part, math.sqrt(part.weight[0].numel()))
        elif isinstance(part, Projection):
            _parametrise(part, 1 / part.scale)


def _parametrise(part: Convolution | Projection, norm: float) -> None:
    register_parametrization(part, "weight", SpectralNorm(len(part.weight), norm))
