"""State dicts of BMSG-GAN, the PyTorch code of MSG-GAN's authors (github.com/akanimax/BMSG-GAN).

Its trainer writes GAN_GEN_<epoch>.pth, GAN_GEN_SHADOW_<epoch>.pth (their moving average) and GAN_DIS_<epoch>.pth. The
networks compute the same as ours with `combine: lin_cat` and `deviation: last`. Two things are elsewhere: latents are
put on the hypersphere by the trainer, here by the generator; and the gain √2 of a rectified layer, there a part of its
weight's scale, is behind the rectifier here, so that our biases are smaller by it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop import torch_file
from ganformer.interop.imported import Imported, square
from ganformer.learning.state import refuse_misfit, shapes
from ganformer.nn.layers import SQRT_2, SQRT_HALF
from ganformer.nn.settings import STEM_WIDTH

ORIGIN = "BMSG-GAN"
FULL_WIDTH = 32  # the widest images with all features; those twice as wide have half of them, and so on
GENERATOR = "rgb_converters.0.weight"  # what only a generator has
EQUALISED = "read as trained with an equalised learning rate, the code's default; the file does not say"

Weights = dict[str, Tensor]


def read(path: Path) -> Imported:
    """The generator in `path`, and the discriminator GAN_DIS_<epoch>.pth where it lies beside it.

    Raises CheckpointError where one of them is damaged, holds anything but weights, or is of another network.
    """
    official = load(path)
    first = official.get(GENERATOR, torch.empty(0))
    if first.ndim != 4 or not first.numel():
        raise CheckpointError(
            f"{path}: is no generator of {ORIGIN}; import GAN_GEN_SHADOW_<epoch>.pth, or GAN_GEN_<epoch>.pth, "
            "and the discriminator is found beside it"
        )
    colours, size, *_ = first.shape
    depth = sum(re.fullmatch(r"rgb_converters\.\d+\.weight", name) is not None for name in official)
    width = STEM_WIDTH << (depth - 1)
    discriminator, missing = _beside(path, depth, size, colours)
    return Imported(
        model={
            "kind": "msggan",
            "latent_size": size,
            "channel_base": FULL_WIDTH * size,
            "channel_max": size,
            "combine": "lin_cat",
            "deviation": "last",
        },
        image=square(width, colours, path),
        sampler={
            **_translated(official, generator_layers(depth, size, colours), f"{path}: the {ORIGIN} generator"),
            "w_average": torch.zeros(size),  # that of all of the hypersphere
        },
        discriminator=discriminator,
        origin=ORIGIN,
        notes=(EQUALISED, *missing),
    )


def load(path: Path) -> Weights:
    """The state dict in a file that torch.save wrote, without the prefixes of DataParallel.

    Raises CheckpointError where it is damaged or holds anything but weights; nothing in it is executed.
    """
    content = torch_file.load(path)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{path}: is no state dict of a network: it holds more than tensors by their names")
    return {_plain(name): value for name, value in content.items()}


def _plain(name: str) -> str:
    """A name without what DataParallel puts before the names of what it holds."""
    return re.sub(r"(?:^|(?<=\.))module\.", "", name)


def _beside(path: Path, depth: int, size: int, colours: int) -> tuple[Weights | None, list[str]]:
    """The discriminator of the same epoch; where there is none, a note about it."""
    other = path.with_name(re.sub(r"^GAN_GEN_(SHADOW_)?", "GAN_DIS_", path.name))
    if other == path or not other.exists():
        return None, ["without its discriminator, GAN_DIS_<epoch>.pth, which was not beside it"]
    where = f"{other}: the {ORIGIN} discriminator"
    return _translated(load(other), discriminator_layers(depth, size, colours), where), []


# ------------------------------------------------------------------------------------------------ layers


Convert = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Layer:
    """A layer's official name and shape of weight and bias, our names of both, and how they become ours."""

    official: str
    shape: tuple[tuple[int, ...], tuple[int]]
    weight: str
    bias: str
    convert: Convert


def generator_layers(depth: int, size: int, colours: int) -> Iterator[Layer]:
    """Those of a generator of `depth` scales and so many features and colours."""
    stem = "stem.projection.weight", "stem.bias"
    yield Layer("layers.0.conv_1", ((size, size, 4, 4), (size,)), *stem, _transposed)
    yield _convolution("layers.0.conv_2", size, size, "stem.convolution")
    for i in range(1, depth):
        inputs, outputs = _features(i - 1, size), _features(i, size)
        yield _convolution(f"layers.{i}.conv_1", inputs, outputs, f"blocks.{i - 1}.first")
        yield _convolution(f"layers.{i}.conv_2", outputs, outputs, f"blocks.{i - 1}.second")
    for i in range(depth):
        yield _projection(f"rgb_converters.{i}", _features(i, size), colours, f"colours.{i}")


def discriminator_layers(depth: int, size: int, colours: int) -> Iterator[Layer]:
    """Those of a discriminator, whose rungs are counted upwards officially and downwards here."""
    finest = depth - 2
    yield _projection(f"rgb_to_features.{finest}", colours, _features(depth - 1, size), "from_colours")
    for ours, i in enumerate(range(finest, -1, -1)):
        inputs, below = _features(i + 1, size), _features(i, size)
        converter = f"rgb_to_features.{i - 1}" if i else "final_converter"
        yield _convolution(f"layers.{i}.conv_1", inputs, inputs, f"blocks.{ours}.first")
        yield _convolution(f"layers.{i}.conv_2", inputs, below - below // 2, f"blocks.{ours}.second")
        yield _projection(converter, colours, below // 2, f"combinations.{ours}.projection")
    yield _convolution("final_block.conv_1", size + 1, size, "last.convolution")
    hidden, logit = ("last.hidden.weight", "last.hidden.bias"), ("last.head.layer.weight", "last.head.layer.bias")
    yield Layer("final_block.conv_2", ((size, size, 4, 4), (size,)), *hidden, _flattened)
    yield Layer("final_block.conv_3", ((1, size, 1, 1), (1,)), *logit, _without_gain)


def _features(rung: int, size: int) -> int:
    """Features of a rung, the stem's being 0, of networks with so many at most."""
    return min(size, FULL_WIDTH * size // (STEM_WIDTH << rung))


def _convolution(official: str, inputs: int, outputs: int, ours: str) -> Layer:
    shape = (outputs, inputs, 3, 3), (outputs,)
    return Layer(official, shape, f"{ours}.convolution.weight", f"{ours}.bias", _rectified)


def _projection(official: str, inputs: int, outputs: int, ours: str) -> Layer:
    shape = (outputs, inputs, 1, 1), (outputs,)
    return Layer(official, shape, f"{ours}.convolution.weight", f"{ours}.bias", _as_it_is)


def _as_it_is(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight, bias


def _rectified(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight, bias * SQRT_HALF


def _transposed(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight.permute(1, 2, 3, 0).flatten(0, 2), bias * SQRT_HALF  # outputs height width, inputs


def _flattened(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight.flatten(1), bias * SQRT_HALF


def _without_gain(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return weight.flatten(1) * SQRT_2, bias


def _translated(official: Weights, layers: Iterable[Layer], where: str) -> Weights:
    """The weights under our names; CheckpointError names what is missing, left over or of another shape."""
    table = list(layers)
    expected = {}
    for layer in table:
        expected[f"{layer.official}.weight"], expected[f"{layer.official}.bias"] = layer.shape
    refuse_misfit(expected, shapes(official), where)
    found = {}
    for layer in table:
        values = layer.convert(official[f"{layer.official}.weight"], official[f"{layer.official}.bias"])
        found[layer.weight], found[layer.bias] = values
    return found
