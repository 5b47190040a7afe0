"""Synthesis network: a learned constant, then two layers at every doubled resolution, then colours.

`Ladder` fixes only the order of blocks; `make_layer` and `make_to_rgb` create the layers and the RGB outputs. A layer
is a function: (features [B, C, H, W], the latents of that layer, the state of the layers before) → (features, state).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganformer.config.ladders import Resolution
from ganformer.nn import recomputation
from ganformer.nn.interfaces import Generator
from ganformer.nn.layers import (
    SQRT_2,
    SQRT_HALF,
    Clamped,
    Convolution,
    ModulatedConvolution,
    Noise,
    NoNoise,
    UnmodulatedConvolution,
)
from ganformer.nn.mapping import Mapping
from ganformer.nn.resampling import Convolve, ConvolveUp, Operation, Upsample
from ganformer.ops.bias_act import bias_act


@dataclass(frozen=True)
class LayerSpec:
    """Specification of a layer: input channels, output, operation of its convolution, gain of its activation."""

    inputs: int
    output: Resolution
    operation: Operation
    gain: float = 1.0


@dataclass(frozen=True)
class LayerLatents:
    """Latents of one layer: `style` [B, D] modulates its convolution."""

    style: Tensor


@dataclass(frozen=True)
class LayerState:
    """State that a layer hands to the next one; StyleGAN2's layers have none and return their input."""


NO_STATE = LayerState()

MakeLayer = Callable[[LayerSpec], nn.Module]
MakeToRGB = Callable[[Resolution], "ToRGB"]


class SynthesisLayer(Clamped):
    """Modulated convolution, noise, bias and leaky rectifier (StyleGAN2, figure 2c)."""

    def __init__(
        self, spec: LayerSpec, convolution: ModulatedConvolution | UnmodulatedConvolution, noise: Noise | NoNoise
    ) -> None:
        super().__init__(spec.gain)
        self.convolution = convolution
        self.noise = noise
        self.bias = nn.Parameter(torch.zeros(spec.output.channels))

    def forward(self, x: Tensor, latents: LayerLatents, state: LayerState) -> tuple[Tensor, LayerState]:
        return self.finish(*self.convolution.undemodulated(x, latents.style)), state

    def finish(self, x: Tensor, norm: Tensor | None = None) -> Tensor:
        """Multiply channels by norm [B, C], add noise and bias, and activate: x [B, C, H, W] → same."""
        gain = SQRT_2 * self.gain
        return bias_act(x, self.bias, gain=gain, clamp=self.clamp, scale=norm, noise=self.noise(x))


class AnyStem(nn.Module, ABC):
    """Start of a ladder: latents → features of the first resolution; `layers`: number of latents that it uses."""

    layers = 1

    @abstractmethod
    def forward(self, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        """Return features [B, C, H, W] and the state for the next layer; `latents` begin with the stem's own."""


class Stem(AnyStem):
    """A learned constant and the first layer."""

    def __init__(self, size: Resolution, make_layer: MakeLayer) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(size.channels, size.height, size.width))
        self.layer = make_layer(LayerSpec(size.channels, size, Convolve()))

    def forward(self, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        x = self.constant.expand(latents[0].style.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x, state = self.layer(x, latents[0], state)
        return x, state


class Block(recomputation.Block):
    """Two layers, the first of which doubles the resolution."""

    def __init__(self, inputs: int, output: Resolution, make_layer: MakeLayer, gain: float = 1.0) -> None:
        super().__init__()
        self.first = make_layer(LayerSpec(inputs, output, ConvolveUp()))
        self.second = make_layer(LayerSpec(output.channels, output, Convolve(), gain))

    def forward(self, x: Tensor, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        x, state = self.first(x, latents[0], state)
        x, state = self.second(x, latents[1], state)
        return x, state


class ResidualBlock(Block):
    """Block with a linear short cut around it; both paths are scaled by √½."""

    def __init__(self, inputs: int, output: Resolution, make_layer: MakeLayer) -> None:
        super().__init__(inputs, output, make_layer, gain=SQRT_HALF)
        self.shortcut = nn.Sequential(
            Convolution(inputs, output.channels, 1, Convolve(), gain=SQRT_HALF),
            Upsample(),
        )

    def forward(self, x: Tensor, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        y, state = super().forward(x, latents, state)
        return y + self.shortcut(x), state


class ToRGB(nn.Module):
    """The last features to colours: `colours` is called with them and the style."""

    layers = 1

    def __init__(self, colours: nn.Module) -> None:
        super().__init__()
        self.colours = colours

    def forward(self, x: Tensor, latents: Sequence[LayerLatents]) -> Tensor:
        y: Tensor = self.colours(x, latents[0].style)
        return y


class RefinedToRGB(ToRGB):
    """Colours after one more modulated convolution without noise, bias or activation (GANformer's code)."""

    layers = 2

    def __init__(self, convolution: nn.Module, colours: nn.Module) -> None:
        super().__init__(colours)
        self.convolution = convolution

    def forward(self, x: Tensor, latents: Sequence[LayerLatents]) -> Tensor:
        return super().forward(self.convolution(x, latents[0].style), latents[1:])


class Ladder(nn.Module):
    """Latents of every layer → images [B, channels, H, W]; `layers`: number of latents that it uses.

    `stem`: latents → features of the first of the `resolutions`, which go from the stem to the image, each twice as
    high and wide as the one before.
    """

    make_block: Callable[[int, Resolution, MakeLayer], nn.Module] = Block

    def __init__(
        self, stem: AnyStem, resolutions: Sequence[Resolution], make_layer: MakeLayer, make_to_rgb: MakeToRGB
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(
            self.make_block(below.channels, size, make_layer) for below, size in pairwise(resolutions)
        )
        self.colours = make_to_rgb(resolutions[-1])
        self.layers = stem.layers + 2 * len(self.blocks) + self.colours.layers

    def forward(self, latents: Sequence[LayerLatents], state: LayerState = NO_STATE) -> Tensor:
        x, state = self.stem(latents, state)
        latents = latents[self.stem.layers :]
        for index, block in enumerate(self.blocks):
            x, state = block(x, latents[2 * index :], state)
        images: Tensor = self.colours(x, latents[2 * len(self.blocks) :])
        return images


class ResidualLadder(Ladder):
    """A ladder of residual blocks."""

    make_block = ResidualBlock


class SkipLadder(Ladder):
    """Ladder that adds an RGB output at every resolution to the up-sampled image (StyleGAN2, figure 7b).

    The RGB output of a resolution shares its latents with the next layer.
    """

    def __init__(
        self, stem: AnyStem, resolutions: Sequence[Resolution], make_layer: MakeLayer, make_to_rgb: MakeToRGB
    ) -> None:
        super().__init__(stem, resolutions, make_layer, make_to_rgb)
        self.upsample = Upsample()
        self.coarse_colours = nn.ModuleList(make_to_rgb(size) for size in resolutions[:-1])

    def forward(self, latents: Sequence[LayerLatents], state: LayerState = NO_STATE) -> Tensor:
        x, state = self.stem(latents, state)
        latents = latents[self.stem.layers :]
        images: Tensor = self.coarse_colours[0](x, latents)
        for index, (block, colours) in enumerate(
            zip(self.blocks, [*self.coarse_colours[1:], self.colours], strict=True)
        ):
            x, state = block(x, latents[2 * index :], state)
            images = self.upsample(images) + colours(x, latents[2 * index + 2 :])
        return images


def additions(ladder: Ladder, synthesise: Callable[[], object]) -> dict[str, Tensor]:
    """Return the results [B, C, h, w] of several RGB outputs of a ladder by their size, coarse to fine; none of one.

    `synthesise` passes the ladder once. Each result is up-sampled, and all are added up.
    """
    found: dict[str, Tensor] = {}

    def keep(part: nn.Module, given: object, colours: Tensor) -> None:
        height, width = colours.shape[2:]
        found[f"{width}×{height}"] = colours

    with ExitStack() as after:
        for part in ladder.modules():
            if isinstance(part, ToRGB):
                after.callback(part.register_forward_hook(keep).remove)
        synthesise()
    return found if len(found) > 1 else {}


class MappedGenerator(Generator):
    """Generator of one latent for each image, z [B, size], with a mapping network and a ladder."""

    def __init__(self, size: int, mapping: Mapping, ladder: Ladder) -> None:
        super().__init__((size,), size)
        self.mapping = mapping
        self.synthesis = ladder

    def additions(self, w: Tensor) -> dict[str, Tensor]:
        return additions(self.synthesis, partial(self.synthesise, w))


LADDERS = {"orig": Ladder, "skip": SkipLadder, "resnet": ResidualLadder}
"""Architectures by the names that StyleGAN2's code gave them."""
