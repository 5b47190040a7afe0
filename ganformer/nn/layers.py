"""Layers of StyleGAN2, all with an equalised learning rate (Progressive GAN, section 4.1).

Weights are stored with variance 1 (divided by `rate`) and multiplied by gain / √fan_in (and `rate`) where they are
used, so that Adam changes all of them at the same relative speed, or at `rate` times that.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.nn.resampling import Convolve, Operation
from ganformer.ops.bias_act import bias_act

SQRT_2 = math.sqrt(2)
SQRT_HALF = math.sqrt(0.5)
EPSILON = 1e-8
HALF_LIMIT = 256.0
"""Limit of the output of layers in float16 (StyleGAN2-ADA), whose largest number is 65,504."""


def as_float(x: Tensor) -> Tensor:
    """Return features of 16 bits as float32, and everything else as it is, for what needs more."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def normalise(x: Tensor) -> Tensor:
    """Divide x [..., D] by the root mean square of its last dimension."""
    return x * (x.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()


class Projection(nn.Module):
    """x [..., inputs] → [..., outputs], without bias."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.scale = rate / math.sqrt(inputs)

    @property
    def scaled_weight(self) -> Tensor:
        """Matrix [outputs, inputs] that x is multiplied with."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled_weight)


class Linear(Projection):
    """x [..., inputs] → [..., outputs]; `bias` is the initial value of the bias."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs, rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return self.times(x, 1.0)

    def times(self, x: Tensor, gain: float) -> Tensor:
        """Return the layer's result times `gain`; all factors are in one operation, as small networks have many."""
        rows = x.reshape(-1, x.shape[-1])
        y: Tensor = torch.addmm(self.bias, rows, self.weight.T, beta=self.rate * gain, alpha=self.scale * gain)
        return y.view(*x.shape[:-1], -1)


class ActivatedLinear(Linear):
    """Linear, then the leaky rectifier with gain √2."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.times(x, SQRT_2), 0.2)  # the rectifier of a multiple is that multiple of its result


class Convolution(nn.Module):
    """x [B, inputs, H, W] → what `operation`, one of `ganformer.nn.resampling`, makes of it and the weight; no bias."""

    def __init__(self, inputs: int, outputs: int, size: int, operation: Operation, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.operation = operation
        self.scale = gain / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.operation(x, self.weight * self.scale)
        return y


class Clamped(nn.Module):
    """A layer whose output can be limited to ± `clamp`; `gain`: factor beyond its activation's."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.clamp: float | None = None


class ActivatedConvolution(Clamped):
    """Convolution, bias, the leaky rectifier with gain √2 · `gain`."""

    def __init__(self, inputs: int, outputs: int, size: int, operation: Operation, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.convolution = Convolution(inputs, outputs, size, operation)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(self.convolution(x), self.bias, gain=SQRT_2 * self.gain, clamp=self.clamp)


class ModulatedConvolution(nn.Module):
    """Convolution whose input channels each image's style scales, demodulated to unit variance (StyleGAN2, eq. 1-3).

    x [B, inputs, H, W], style [B, style_size] → [B, outputs, H', W']. The input is scaled instead of the weights, and
    the output demodulated: the same function as StyleGAN2's grouped convolution, with one weight for the whole batch.
    """

    def __init__(self, inputs: int, outputs: int, style_size: int, operation: Operation) -> None:
        super().__init__()
        self.affine = Linear(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.operation = operation
        self.scale = 1 / math.sqrt(inputs * 9)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y, norm = self.undemodulated(x, style)
        return bias_act(y, None, act="linear", scale=norm)

    def undemodulated(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolution of the scaled input, and what demodulation multiplies its channels with, [B, outputs].

        The caller can do so together with what follows.
        """
        scales = self.affine(style)  # B I
        if self.operation.dtype == torch.float16:
            # Else large styles of large features are beyond float16; demodulation makes the factor 1 again.
            scales = scales / (scales.abs().amax(dim=1, keepdim=True) + EPSILON)
        weight = self.weight * self.scale
        norm = (scales.square() @ weight.square().sum(dim=(2, 3)).T + EPSILON).rsqrt()  # B O
        y: Tensor = self.operation(bias_act(x, None, act="linear", scale=scales), weight)
        return y, norm


class UnmodulatedConvolution(nn.Module):
    """A 3×3 convolution in the place of a modulated one; the style is not used."""

    def __init__(self, inputs: int, outputs: int, operation: Operation) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, 3, operation)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        return y

    def undemodulated(self, x: Tensor, style: Tensor) -> tuple[Tensor, None]:
        """Return the convolution; there is no demodulation."""
        return self(x, style), None


class ModulatedToRGB(Clamped):
    """Features to colours by a modulated 1×1 convolution without demodulation.

    x [B, inputs, H, W], style [B, style_size] → [B, channels, H, W].
    """

    def __init__(self, inputs: int, channels: int, style_size: int) -> None:
        super().__init__()
        self.affine = Linear(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weights = (self.affine(style) * self.scale)[:, :, None] * self.weight.T  # B I channels
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # B HW I, a view of channels_last memory
        colours = torch.baddbmm(self.bias.to(x.dtype), pixels, weights.to(x.dtype)).to(weights.dtype)
        colours = bias_act(colours, None, act="linear", clamp=self.clamp)
        image: Tensor = colours.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return image


class UnmodulatedToRGB(nn.Module):
    """Features to colours by a 1×1 convolution with bias; the style is not used."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, channels, 1, Convolve())
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return bias_act(self.convolution(x).to(self.bias.dtype), self.bias, act="linear")


class Noise(nn.Module):
    """Learned multiple of noise for x [B, C, height, width], one normal value a pixel: [B or 1, 1, height, width].

    The noise is fresh for every image and pass, from torch's default generator of the device; within `constant_noise`
    it is the buffer `constant`, the same for all images, so that only latents change the images.
    """

    constant: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("constant", torch.randn(1, 1, height, width))
        self.is_constant = False

    def forward(self, x: Tensor) -> Tensor:
        fresh = (x.shape[0], 1, *x.shape[2:])
        noise = self.constant if self.is_constant else torch.randn(fresh, dtype=self.strength.dtype, device=x.device)
        return noise * self.strength


class NoNoise(nn.Module):
    """Takes the place of `Noise` where nothing is to be added: returns None."""

    def forward(self, x: Tensor) -> None:
        return None


@contextmanager
def constant_noise(network: nn.Module) -> Iterator[None]:
    """Make every `Noise` of `network` add its constant inside the context."""
    parts = [part for part in network.modules() if isinstance(part, Noise)]
    before = [part.is_constant for part in parts]
    for part in parts:
        part.is_constant = True
    try:
        yield
    finally:
        for part, was_constant in zip(parts, before, strict=True):
            part.is_constant = was_constant


def clamp_activations(network: nn.Module, limit: float | None) -> None:
    """Limit the output of every `Clamped` layer of `network` to ± limit, times the gain of the layer; None: no limit.

    In float16, layers without a limit have one of 256 (`limit_half`).
    """
    for part in network.modules():
        if isinstance(part, Clamped):
            part.clamp = None if limit is None else limit * part.gain


def limit_half(network: nn.Module, dtype: torch.dtype | None) -> None:
    """Limit the output of every `Clamped` layer without a limit to ± 256, times its gain, if `dtype` is float16.

    So do StyleGAN2-ADA and its successors, to keep values finite.
    """
    if dtype == torch.float16:
        for part in network.modules():
            if isinstance(part, Clamped) and part.clamp is None:
                part.clamp = HALF_LIMIT * part.gain
