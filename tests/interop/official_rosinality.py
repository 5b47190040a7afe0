"""rosinality's stylegan2-pytorch, written anew over state dicts of its names, one image at a time."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.interop.official import FILTER, downsampled, filtered, lrelu, normalised, upsampled, with_deviation

State = dict[str, Tensor]
RATE = 0.01  # lr_mlp


# ------------------------------------------------------------------------------------------------- their weights


def linear(state: State, name: str, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs) / rate
    state[f"{name}.bias"] = bias + torch.randn(outputs) * 0.3 / rate


def modulated(state: State, name: str, inputs: int, outputs: int, kernel: int, size: int) -> None:
    state[f"{name}.weight"] = torch.randn(1, outputs, inputs, kernel, kernel)
    linear(state, f"{name}.modulation", size, inputs, bias=1.0)


def styled(state: State, name: str, inputs: int, outputs: int, size: int, up: bool = False) -> None:
    modulated(state, f"{name}.conv", inputs, outputs, 3, size)
    if up:
        state[f"{name}.conv.blur.kernel"] = FILTER * 4
    state[f"{name}.noise.weight"] = torch.randn(1) * 0.3
    state[f"{name}.activate.bias"] = torch.randn(outputs) * 0.3


def coloured(state: State, name: str, inputs: int, colours: int, size: int, up: bool = True) -> None:
    modulated(state, f"{name}.conv", inputs, colours, 1, size)
    if up:
        state[f"{name}.upsample.kernel"] = FILTER * 4
    state[f"{name}.bias"] = torch.randn(1, colours, 1, 1) * 0.3


def generator(features: list[int], size: int, layers: int, colours: int = 3) -> State:
    """Return a generator with so many features at 4×4, 8×8, … and mapping layers."""
    state: State = {}
    for i in range(1, layers + 1):
        linear(state, f"style.{i}", size, size, RATE)
    state["input.input"] = torch.randn(1, features[0], 4, 4)
    styled(state, "conv1", features[0], features[0], size)
    coloured(state, "to_rgb1", features[0], colours, size, up=False)
    for i in range(1, len(features)):
        styled(state, f"convs.{2 * i - 2}", features[i - 1], features[i], size, up=True)
        styled(state, f"convs.{2 * i - 1}", features[i], features[i], size)
        coloured(state, f"to_rgbs.{i - 1}", features[i], colours, size)
    for i in range(2 * len(features) - 1):
        width = 2 ** ((i + 5) // 2)
        state[f"noises.noise_{i}"] = torch.randn(1, 1, width, width)
    return state


def discriminator(features: list[int], colours: int = 3) -> State:
    """Return a discriminator with so many features at 4×4, 8×8 and so on."""
    state: State = {}
    convolved(state, "convs.0.0", colours, features[-1], 1)
    activated(state, "convs.0.1", features[-1])
    for i, place in enumerate(range(len(features) - 1, 0, -1), 1):
        inputs, outputs = features[place], features[place - 1]
        convolved(state, f"convs.{i}.conv1.0", inputs, inputs, 3)
        activated(state, f"convs.{i}.conv1.1", inputs)
        state[f"convs.{i}.conv2.0.kernel"] = FILTER.clone()
        convolved(state, f"convs.{i}.conv2.1", inputs, outputs, 3)
        activated(state, f"convs.{i}.conv2.2", outputs)
        state[f"convs.{i}.skip.0.kernel"] = FILTER.clone()
        convolved(state, f"convs.{i}.skip.1", inputs, outputs, 1)
    convolved(state, "final_conv.0", features[0] + 1, features[0], 3)
    activated(state, "final_conv.1", features[0])
    linear(state, "final_linear.0", features[0] * 16, features[0])
    linear(state, "final_linear.1", features[0], 1)
    return state


def convolved(state: State, name: str, inputs: int, outputs: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel)


def activated(state: State, name: str, channels: int) -> None:
    state[f"{name}.bias"] = torch.randn(channels) * 0.3


# ----------------------------------------------------------------------------------------------- what they compute


def dense(state: State, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return x @ (weight * rate / math.sqrt(weight.shape[1])).T + state[f"{name}.bias"] * rate


def latents(state: State, z: Tensor) -> Tensor:
    """Return w [B, size] of z [B, size]."""
    x, i = normalised(z, 1), 1
    while f"style.{i}.weight" in state:
        x, i = lrelu(dense(state, f"style.{i}", x, RATE)), i + 1
    return x


def modulation(state: State, name: str, x: Tensor, w: Tensor, demodulate: bool, up: bool = False) -> Tensor:
    weight = state[f"{name}.weight"][0]
    weight, styles = weight / math.sqrt(weight[0].numel()), dense(state, f"{name}.modulation", w)
    images = []
    for image, style in zip(x, styles, strict=True):
        own = weight * style[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            y = F.conv_transpose2d(image[None], own.transpose(0, 1), stride=2)
            images.append(filtered(y, 1, 1, gain=4))
        else:
            images.append(F.conv2d(image[None], own, padding=own.shape[-1] // 2))
    return torch.cat(images)


def layer(state: State, name: str, number: int, x: Tensor, w: Tensor, up: bool = False) -> Tensor:
    x = modulation(state, f"{name}.conv", x, w, demodulate=True, up=up)
    x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{number}"]
    return lrelu(x + state[f"{name}.activate.bias"][:, None, None])


def colours_of(state: State, name: str, x: Tensor, w: Tensor, image: Tensor | None) -> Tensor:
    x = modulation(state, f"{name}.conv", x, w, demodulate=False) + state[f"{name}.bias"]
    return x if image is None else x + upsampled(image)


def images_of(state: State, ws: Tensor) -> Tensor:
    """Return images of w [B, layers + 1, size], with the noise that is fixed."""
    w = ws.unbind(1)
    x = layer(state, "conv1", 0, state["input.input"].expand(len(ws), -1, -1, -1), w[0])
    image = colours_of(state, "to_rgb1", x, w[1], None)
    for i in range(1, len(w) // 2):
        x = layer(state, f"convs.{2 * i - 2}", 2 * i - 1, x, w[2 * i - 1], up=True)
        x = layer(state, f"convs.{2 * i - 1}", 2 * i, x, w[2 * i])
        image = colours_of(state, f"to_rgbs.{i - 1}", x, w[2 * i + 1], image)
    return image


def logits_of(state: State, x: Tensor) -> Tensor:
    def kernel(name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        return weight / math.sqrt(weight[0].numel())

    def activation(name: str, y: Tensor) -> Tensor:
        return lrelu(y + state[f"{name}.bias"][:, None, None])

    x, i = activation("convs.0.1", F.conv2d(x, kernel("convs.0.0"))), 1
    while f"convs.{i}.skip.1.weight" in state:
        y = activation(f"convs.{i}.conv1.1", F.conv2d(x, kernel(f"convs.{i}.conv1.0"), padding=1))
        y = F.conv2d(filtered(y, 2, 2), kernel(f"convs.{i}.conv2.1"), stride=2)
        y = activation(f"convs.{i}.conv2.2", y)
        x = (y + F.conv2d(downsampled(x), kernel(f"convs.{i}.skip.1"))) / math.sqrt(2)
        i += 1
    x = activation("final_conv.1", F.conv2d(with_deviation(x, 4), kernel("final_conv.0"), padding=1))
    return dense(state, "final_linear.1", lrelu(dense(state, "final_linear.0", x.flatten(1))))[:, 0]
