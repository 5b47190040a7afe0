"""Perceptual distance of images: distance of VGG16's features (LPIPS, Zhang et al. 2018), of three kinds."""

# B batch, C channels

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganformer import artifacts
from ganformer.errors import CheckpointError
from ganformer.interop import kinds, torch_file
from ganformer.perceptual import vgg16
from ganformer.perceptual.settings import (
    NoPerceptual,
    RandomNetwork,
    RandomPerceptual,
    TrainedNetwork,
    TrainedPerceptual,
)
from ganformer.training import distribution
from ganformer.training.state import Shapes, refuse_misfit, shapes

SETTING = "model.perceptual"
EPSILON = 1e-10
# Numbers of the convolutions in torchvision's `features`.
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)

# The sums of the files that the settings below name, as published: torchvision's file, and LPIPS's of version 0.1.
PUBLISHED = {
    "network_sha256": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "judgement_sha256": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}

Distance = Callable[[Tensor, Tensor], Tensor]  # of images [B, 3, H, W] in [-1, 1]: a scalar, the mean over the batch


def distance(settings: NoPerceptual | RandomPerceptual | TrainedPerceptual, device: torch.device) -> Distance:
    """Return the weighted distance of these settings; a printed line names a replacement of the published one.

    Raises CheckpointError if a file of weights is missing, has another checksum or is of another network.
    """
    match settings:
        case NoPerceptual():
            _say("none, images are compared by their pixels only")
            return _nothing
        case RandomPerceptual():
            _say(f"VGG16 with random weights (seed {settings.seed}) in the place of the published LPIPS")
            return replace(load(settings, device, SETTING), weight=settings.weight)
        case TrainedPerceptual():
            return replace(load(settings, device, SETTING), weight=settings.weight)


def load(settings: RandomNetwork | TrainedNetwork, device: torch.device, setting: str) -> "FeatureDistance":
    """Return the distance of these settings with weight 1; messages name `setting`.

    Raises CheckpointError if a file of weights is missing, has another checksum or is of another network.
    """
    if isinstance(settings, RandomNetwork):
        return _random(settings, device)
    return _trained(settings, device, setting)


@dataclass(frozen=True)
class FeatureDistance:
    """Σ over blocks of the weighted squared distance of features of length 1, averaged over pixels (LPIPS, eq. 1).

    `layers`: the convolutions of each block; `judgement`: weights [C] of each block's features; `weight` of it all.
    Called with images [B, 3, H, W] in [-1, 1] it gives the mean over the batch.
    """

    layers: Sequence[Sequence[vgg16.Layer]]
    judgement: Sequence[Tensor]
    weight: float = 1.0

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        return self.each(images, others).mean()

    def each(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the distances [B] of images and others, pair by pair."""
        one, other = zip(*(part.chunk(2) for part in self.features(torch.cat([images, others]))), strict=True)
        return self.apart(one, other)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features [B, C, h, w] of length 1 of every block."""
        blocks = vgg16.activations(_standardised(images), self.layers)
        return [features / (features.norm(dim=1, keepdim=True) + EPSILON) for features in blocks]

    def apart(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """Return the distances [B] of images by their features, pair by pair."""
        distances = [
            ((first - second).square() * weights[:, None, None]).sum(dim=1).mean(dim=(1, 2))
            for first, second, weights in zip(one, other, self.judgement, strict=True)
        ]
        return self.weight * torch.stack(distances).sum(dim=0)


def _random(settings: RandomNetwork, device: torch.device) -> FeatureDistance:
    """Return an untrained distance, the same bits on every machine; all features have weight 1."""
    widths = [[settings.channels * width // vgg16.BLOCKS[0][0] for width in block] for block in vgg16.BLOCKS]
    weights = vgg16.random_weights(np.random.PCG64(settings.seed), widths)
    layers = [[(weight.to(device), None) for weight in block] for block in weights]
    return FeatureDistance(layers, [torch.ones(block[-1], device=device) for block in widths])


def _trained(settings: TrainedNetwork, device: torch.device, setting: str) -> FeatureDistance:
    """Return the published distance."""
    network = _read(settings.network, settings.network_sha256, dict(_convolutions()), setting)
    judgement = _read(settings.judgement, settings.judgement_sha256, dict(_judgements()), setting)
    numbers, layers = iter(CONVOLUTIONS), []
    for block in vgg16.BLOCKS:
        names = [f"features.{next(numbers)}" for _ in block]
        layers.append(
            [(_packed(network[f"{name}.weight"], device), network[f"{name}.bias"].to(device)) for name in names]
        )
    return FeatureDistance(layers, [judgement[name].flatten().to(device) for name, _ in _judgements()])


def _packed(weight: Tensor, device: torch.device) -> Tensor:
    return weight.to(device).contiguous(memory_format=torch.channels_last)


def _convolutions() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of VGG16's convolutions in torchvision's file."""
    inputs, widths = 3, [width for block in vgg16.BLOCKS for width in block]
    for number, width in zip(CONVOLUTIONS, widths, strict=True):
        yield f"features.{number}.weight", (width, inputs, 3, 3)
        yield f"features.{number}.bias", (width,)
        inputs = width


def _judgements() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of the weights in LPIPS's file."""
    for i, block in enumerate(vgg16.BLOCKS):
        yield f"lin{i}.model.1.weight", (1, block[-1], 1, 1)


def _read(path: Path, sha256: str, expected: Shapes, setting: str) -> Mapping[str, Tensor]:
    """Read the tensors of these names; nothing in the file is executed."""
    path = artifacts.placed(path)
    try:
        found = artifacts.file_digest(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: weights of the perceptual distance cannot be read ({error.strerror}); correct {setting}, or "
            "choose its kind random-vgg16, which needs no file"
        ) from error
    if found != sha256:
        what = kinds.described(path) or f"sha256 is {found[:12]}… but {setting} says {sha256[:12]}…"
        raise CheckpointError(f"{path}: {what}; put the right file there")
    state = torch_file.load(path)
    chosen = {name: state[name] for name in expected if name in state} if isinstance(state, Mapping) else {}
    refuse_misfit(expected, shapes(chosen), f"{path}: the file")
    return chosen


def _nothing(images: Tensor, others: Tensor) -> Tensor:
    return images.new_zeros(())


def _standardised(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as VGG16 expects them."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (vgg16.MEAN, vgg16.STD))
    return (((images + 1) / 2 - mean) / std).contiguous(memory_format=torch.channels_last)


def _say(what: str) -> None:
    if distribution.rank() == 0:
        print(f"perceptual loss: {what}", flush=True)
