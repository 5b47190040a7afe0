"""Checkpoints (.pt) of github.com/rosinality/stylegan2-pytorch, by its trainer or by what converts networks for it.

The trainer saves state dicts `g`, `d` and `g_ema`, the moving average of the generator; converters save `g_ema` and
`latent_avg`, the mean of w, which the trainer does not know. The networks compute what StyleGAN2's do, with weights
scaled at run time alike. The generator's filters are 4 times those of the discriminator, as it applies them to zeros
between pixels. There is one architecture: skip connections in the generator, residual ones in the discriminator.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.interop.imported import NO_DISCRIMINATOR, Imported, square
from ganformer.interop.torch_file import without_parallel
from ganformer.interop.translate import are_close, refuse, translated, widths
from ganformer.nn.layers import EPSILON, SQRT_2
from ganformer.nn.resampling import Filter

ORIGIN = "rosinality's stylegan2-pytorch"
GENERATOR = "conv1.conv.modulation.weight"  # what only a generator has
RATE = 0.01  # the multiplier of the mapping network's learning rate, which no option of the trainer changes
SPREAD = 100 / 10**0.5  # root of the mean square of weights at that rate, 100 at first; halfway to 10, that of 0.1
LATENTS = 4096  # that the program averages w over where it is not known
AVERAGED = f"the mean of w, which it does not hold, is that of {LATENTS} latents, as the program has it"

Weights = Mapping[str, Tensor]


def is_one(content: Mapping[Any, Any]) -> bool:
    """Return whether it is a checkpoint, or the state dict of a generator alone."""
    return "g_ema" in content or GENERATOR in content or ("g" in content and "d" in content)


def read(content: Mapping[Any, Any], where: Path) -> Imported:
    """Read the moving average `g_ema` and the discriminator `d`; CheckpointError if no model here is equal to them."""
    if "g_ema" not in content and GENERATOR not in content:
        raise refuse(where, "it has no g_ema, the moving average of the generator, which images are made with")
    state = _state(content.get("g_ema", content), "g_ema", where)
    if any(name.startswith("iwt.") for name in state):
        raise refuse(where, f"it is of SWAGAN in {ORIGIN}, which makes wavelets, and no model here is equal to that")
    if GENERATOR not in state:
        raise refuse(where, f"its g_ema is no generator of {ORIGIN}: it has no {GENERATOR}")
    if "noises.noise_0" not in state:
        raise refuse(
            where,
            "it has no fixed noise (noises.noise_0), so code of before 15 January 2020 wrote it, part of which added "
            "biases otherwise",
        )
    _check_rate(state, where)
    model, (channels, width) = settings(state), _image(state)
    values = named(_without_filters(state, 4, where), generator_name)
    latent_average = content.get("latent_avg")
    values["mapping.w_avg"] = latent_average if isinstance(latent_average, Tensor) else average(state)
    notes = [] if isinstance(latent_average, Tensor) else [AVERAGED]
    discriminator = None
    if content.get("d") is None:
        notes.append(NO_DISCRIMINATOR)
    else:
        state = _without_filters(_state(content["d"], "d", where), 1, where)
        discriminator = named(state, lambda name: discriminator_name(name, width))
    image = square(width, channels, where)
    return translated(Imported(model, image, values, discriminator, ORIGIN, tuple(notes)), where)


def settings(state: Weights) -> dict[str, Any]:
    """Return settings of the model that is equal to a generator with these weights."""
    return {
        "kind": "stylegan2",
        "latent_size": state[GENERATOR].shape[1],
        "mapping_layers": len([name for name in state if re.fullmatch(r"style\.\d+\.weight", name)]),
        "mapping_learning_rate_multiplier": RATE,
        "generator_architecture": "skip",
        "discriminator_architecture": "resnet",
        **widths({resolution: value.shape[2] for resolution, value in _colours(state).items()}),
    }


def average(state: Weights) -> Tensor:
    """Return mean of w [size] over the latents of a fixed seed."""
    w = torch.randn(LATENTS, state[GENERATOR].shape[1], generator=torch.Generator().manual_seed(0))
    w = w * (w.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
    layers = sorted((name for name in state if re.fullmatch(r"style\.\d+\.weight", name)), key=_number)
    for name in layers:
        weight, bias = state[name].float(), state[name.replace("weight", "bias")].float()
        w = F.leaky_relu(F.linear(w, weight * (RATE / weight.shape[1] ** 0.5), bias * RATE), 0.2) * SQRT_2
    return w.mean(dim=0)


def _number(name: str) -> int:
    return int(name.split(".")[1])


def _state(value: Any, name: str, where: Path) -> dict[str, Tensor]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    ):
        raise refuse(where, f"its {name} is no state dict of a network: it holds more than tensors by their names")
    return without_parallel(value)


def _colours(state: Weights) -> dict[int, Tensor]:
    """Return weights [1, colours, features, 1, 1] of what makes colours at each resolution."""
    names = {4: "to_rgb1.conv.weight"}
    names |= {
        8 << int(found[1]): name for name in state if (found := re.fullmatch(r"to_rgbs\.(\d+)\.conv\.weight", name))
    }
    return {resolution: state[name] for resolution, name in names.items()}


def _image(state: Weights) -> tuple[int, int]:
    """Return colours and width of the images."""
    colours = _colours(state)
    width = max(colours)
    return colours[width].shape[1], width


def _check_rate(state: Weights, where: Path) -> None:
    weights = torch.cat([value.flatten() for name, value in state.items() if re.fullmatch(r"style\.\d+\.weight", name)])
    spread = weights.float().square().mean().sqrt().item()
    if spread < SPREAD:
        raise refuse(
            where,
            f"weights of its mapping network are {spread:.3g} on average (root mean square); with the learning rate "
            f"multiplier {RATE} (lr_mlp) of this program they are about 100, so it was another one",
        )


def _without_filters(state: Weights, factor: int, where: Path) -> dict[str, Tensor]:
    expected = Filter().kernel * factor
    for name, value in state.items():
        if name.endswith(".kernel") and not are_close(value, expected):
            raise refuse(where, f"its {name} is not {factor} times the filter [1, 3, 3, 1]")
    return {name: value for name, value in state.items() if not name.endswith(".kernel")}


# --------------------------------------------------------------------------------------------------- names

PARTS = (
    (r"\.conv\.modulation\.", ".affine."),
    (r"\.conv\.weight$", ".weight"),
    (r"\.noise\.weight$", ".noise_strength"),
    (r"\.activate\.bias$", ".bias"),
)
"""Contents of a layer of the generator."""


def named(state: Weights, rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Return weights by the names of `ganformer.interop.names`."""
    return {rename(name): value for name, value in state.items()}


def generator_name(name: str) -> str:
    """Return the common name of a weight of a generator; others stay as they are."""
    name = _replaced(name, PARTS)
    rules = (
        (r"^style\.(\d+)\.", lambda found: f"mapping.global_mlp.l{int(found[1]) - 1}."),
        (r"^input\.input$", lambda found: "synthesis.b4.const"),
        (r"^conv1\.", lambda found: "synthesis.b4.conv1."),
        (r"^to_rgb1\.", lambda found: "synthesis.b4.torgb."),
        (r"^convs\.(\d+)\.", lambda found: f"{_layer(int(found[1]) + 1)}."),
        (r"^to_rgbs\.(\d+)\.", lambda found: f"synthesis.b{8 << int(found[1])}.torgb."),
        (r"^noises\.noise_(\d+)$", lambda found: f"{_layer(int(found[1]))}.noise_const"),
    )
    return _replaced(name, rules)


def _layer(number: int) -> str:
    """Return the name of a layer by its number, the only one of 4×4 being 0."""
    return f"synthesis.b{4 << (number + 1) // 2}.conv{(number + 1) % 2}"


def discriminator_name(name: str, width: int) -> str:
    """Return the common name of a weight of a discriminator of images so wide; others stay as they are."""
    rules = (
        (r"^convs\.0\.\d\.", lambda found: f"b{width}.fromrgb."),
        (r"^convs\.(\d+)\.conv([12])\.\d\.", lambda found: f"{_block(found, width)}.conv{int(found[2]) - 1}."),
        (r"^convs\.(\d+)\.skip\.1\.", lambda found: f"{_block(found, width)}.skip."),
        (r"^final_conv\.\d\.", lambda found: "b4.conv."),
        (r"^final_linear\.0\.", lambda found: "b4.fc."),
        (r"^final_linear\.1\.", lambda found: "b4.out."),
    )
    return _replaced(name, rules)


def _block(found: re.Match[str], width: int) -> str:
    return f"b{width >> (int(found[1]) - 1)}"


def _replaced(name: str, rules: Iterable[tuple[str, str | Callable[[re.Match[str]], str]]]) -> str:
    for pattern, replacement in rules:
        name, is_found = re.subn(pattern, replacement, name)
        if is_found:
            break
    return name
