"""State dicts of BMSG-GAN, the PyTorch code of MSG-GAN's authors (github.com/akanimax/BMSG-GAN).

Its trainer writes GAN_GEN_<epoch>.pth, GAN_GEN_SHADOW_<epoch>.pth (their moving average) and GAN_DIS_<epoch>.pth. The
networks compute the same as ours with `combine: lin_cat` and `deviation: last`. Two things are elsewhere: latents are
put on the hypersphere by the trainer, here by the generator; and the gain √2 of a rectified layer, there a part of its
weight's scale, is behind the rectifier here, so that our biases are smaller by it.

A network may have been trained without an equalised learning rate (`use_eql=False`): its weights, then, are what is
computed with and begin at 1/√(3·inputs) or less, where equalised ones begin at 1 and are scaled at run time. So the
weights tell which it is; that of a discriminator may be another than its generator's, as on a CPU the trainer
equalises it always.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganformer.config.ladders import STEM_WIDTH
from ganformer.errors import CheckpointError
from ganformer.interop import torch_file
from ganformer.interop.imported import Imported, square
from ganformer.nn.layers import SQRT_2, SQRT_HALF
from ganformer.training.state import refuse_misfit, shapes

ORIGIN = "BMSG-GAN"
FULL_WIDTH = 32  # the widest images with all features; those twice as wide have half of them, and so on
GENERATOR = "rgb_converters.0.weight"  # what only a generator has
STEM = "layers.0.conv_1.weight"  # of a generator; its inputs come first
NAMES = r"(?:^|\.)(rgb_converters\.\d+|rgb_to_features\.\d+|final_block\.conv_\d)\.(module\.)?weight$"
MIN_EQUALISED_RMS = 0.5  # root mean square of weights that were trained with an equalised learning rate
MAX_PLAIN_RMS = 0.25  # root mean square of weights that were trained without
PLAIN = "the {} was trained without an equalised learning rate, as its weights tell"

Weights = dict[str, Tensor]


def is_one(state: Mapping[Any, Any]) -> bool:
    """Return whether these are weights of a generator or discriminator."""
    return any(isinstance(name, str) and re.search(NAMES, name) for name in state)


def read(content: Any, path: Path) -> Imported:
    """Read the generator whose weights `path` holds, and the discriminator GAN_DIS_<epoch>.pth if it is beside it.

    Raises CheckpointError if one of them is damaged, holds anything but weights, or is of another network.
    """
    official = _state(content, path)
    first = official.get(GENERATOR, torch.empty(0))
    if first.ndim != 4 or not first.numel():
        raise CheckpointError(
            f"{path}: is no generator of {ORIGIN}; import GAN_GEN_SHADOW_<epoch>.pth, or GAN_GEN_<epoch>.pth, "
            "and the discriminator is found beside it"
        )
    colours, size, *_ = first.shape
    depth = sum(re.fullmatch(r"rgb_converters\.\d+\.weight", name) is not None for name in official)
    width = STEM_WIDTH << (depth - 1)
    generator, plain = equalised(official, "generator", path)
    discriminator, notes = _beside(path, depth, size, colours)
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
            **_translated(generator, generator_layers(depth, size, colours), f"{path}: the {ORIGIN} generator"),
            "w_average": torch.zeros(size),  # that of all of the hypersphere
        },
        discriminator=discriminator,
        origin=ORIGIN,
        notes=(*plain, *notes),
    )


def _state(content: Any, path: Path) -> Weights:
    """Return a state dict without the prefixes of DataParallel; CheckpointError if it is none."""
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{path}: is no state dict of a network: it holds more than tensors by their names")
    return torch_file.without_parallel(content)


def equalised(state: Weights, player: str, path: Path) -> tuple[Weights, list[str]]:
    """Return weights as they would be with an equalised learning rate, and a note where they were trained without.

    Raises CheckpointError if they are neither as large as those of the one nor as small as those of the other.
    """
    kernels = {name: value for name, value in state.items() if value.ndim == 4}
    large = [value.flatten().float() for value in kernels.values() if value.shape[2:].numel() > 1]
    spread = torch.cat(large).square().mean().sqrt().item() if large else 1.0
    if spread >= MIN_EQUALISED_RMS:
        return state, []
    if not spread <= MAX_PLAIN_RMS:
        raise CheckpointError(
            f"{path}: cannot be imported: the weights of its {player} are {spread:.3g} on average (root mean square), "
            f"which is neither of an equalised learning rate ({MIN_EQUALISED_RMS} or more) nor of none "
            f"({MAX_PLAIN_RMS} or less)"
        )
    scaled = {name: value / (SQRT_2 / _inputs(name, value) ** 0.5) for name, value in kernels.items()}
    return {**state, **scaled}, [PLAIN.format(player)]


def _inputs(name: str, kernel: Tensor) -> int:
    """Return values that one output sums, by which the official code scales weights; one pixel makes the first 4×4."""
    return kernel.shape[0] if name == STEM and kernel.shape[2] == 4 else kernel[0].numel()


def _beside(path: Path, depth: int, size: int, colours: int) -> tuple[Weights | None, list[str]]:
    """Return the discriminator of the same epoch; if there is none, a note about it."""
    other = path.with_name(re.sub(r"^GAN_GEN_(SHADOW_)?", "GAN_DIS_", path.name))
    if other == path or not other.exists():
        return None, ["without its discriminator, GAN_DIS_<epoch>.pth, which was not beside it"]
    where = f"{other}: the {ORIGIN} discriminator"
    state, notes = equalised(_state(torch_file.load(other), other), "discriminator", other)
    return _translated(state, discriminator_layers(depth, size, colours), where), notes


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
    """Return the layers of a generator of `depth` scales with these features and colours."""
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
    """Return the layers of a discriminator, whose resolutions are counted upwards officially and downwards here."""
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
    """Return features of a rung, the stem's being 0, of networks with so many at most."""
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
    """Return the weights under our names; CheckpointError names what is missing, left over or of another shape."""
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
