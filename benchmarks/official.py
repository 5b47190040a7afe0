"""The arrangement of GANformer's released PyTorch code, as plain modules of our own: the same operations in its order.

Written from the code's structure (github.com/dorarad/gansformer, pytorch_version, 033ac9f) for comparisons of speed. On
a CPU that code uses its reference operations, which are these: zeros inserted before a filter of 4 × 4 taps for every
channel, and bias, activation and gain one after another. In training a modulated convolution scales its input and its
output; in evaluation every image has weights of its own in one grouped convolution. Features are in contiguous memory,
channels first. Parameters have the released names, so that weights can be copied. Options are those of its defaults:
one head, layer normalisation, multiplication, sinusoidal positions, residual networks, no labels.
"""

# B batch, F pixels, T components, k = T + 1 latents, C channels, D size of a latent

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

EPSILON = 1e-8
DROPOUT = 0.12
STYLE_MIXING = 0.9
R1_GAMMA, R1_INTERVAL = 10.0, 16
PATH_INTERVAL = 4  # corrects the generator's optimiser, although path lengths are not regularised
RATE, BETA2 = 0.002, 0.99
AVERAGE_HALF_LIFE = 10_000.0  # images
W_AVERAGE_BETA = 0.995


# ---------------------------------------------------------------------------------------------- operations


def fir_taps() -> Tensor:
    """Return the low-pass filter, [4, 4]."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2


def upfirdn2d(
    x: Tensor, taps: Tensor, padding: tuple[int, int] = (0, 0), up: int = 1, down: int = 1, gain: float = 1
) -> Tensor:
    """Return x [B, C, H, W] with zeros inserted, padded before and after on both axes, filtered, and thinned out."""
    batch, channels, height, width = x.shape
    x = F.pad(x.reshape(batch, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
    x = F.pad(x.reshape(batch, channels, height * up, width * up), [*padding, *padding])
    kernel = (taps * gain).flip([0, 1])[None, None].repeat(channels, 1, 1, 1)
    return F.conv2d(x, kernel, groups=channels)[:, :, ::down, ::down]


def bias_act(x: Tensor, bias: Tensor | None, act: str, gain: float = 1.0) -> Tensor:
    """Return act(x + bias) · gain for x [B, C, ...], with √2 more for the leaky rectifier."""
    if bias is not None:
        x = x + bias.reshape([-1 if axis == 1 else 1 for axis in range(x.ndim)])
    if act == "lrelu":
        x, gain = F.leaky_relu(x, 0.2), gain * math.sqrt(2)
    return x if gain == 1 else x * gain


def convolve(x: Tensor, weight: Tensor, taps: Tensor, up: bool = False, down: bool = False, groups: int = 1) -> Tensor:
    """Return x convolved with weight [groups · O, I, k, k], k 1 or 3, and resampled with the filter."""
    if weight.shape[-1] == 1:
        x = upfirdn2d(x, taps, (1, 1), down=2) if down else x
        x = F.conv2d(x, weight, groups=groups)
        return upfirdn2d(x, taps, (2, 1), up=2, gain=4) if up else x
    if down:
        return F.conv2d(upfirdn2d(x, taps, (2, 2)), weight, stride=2, groups=groups)
    if up:
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        x = F.conv_transpose2d(x, weight, stride=2, groups=groups)
        return upfirdn2d(x, taps, (1, 1), gain=4)
    return F.conv2d(x, weight, padding=1, groups=groups)


def modulated_convolve(
    x: Tensor, weight: Tensor, styles: Tensor, taps: Tensor, *, up: bool, demodulate: bool, fused: bool
) -> Tensor:
    """Return x [B, I, H, W] convolved with weight [O, I, k, k], whose inputs every image scales by styles [B, I]."""
    batch = len(x)
    factors = styles.new_ones(())
    if demodulate or fused:
        own = weight[None] * styles.reshape(batch, 1, -1, 1, 1)
    if demodulate:
        factors = (own.square().sum(dim=[2, 3, 4]) + EPSILON).rsqrt()
    if fused:
        own = own * factors.reshape(batch, -1, 1, 1, 1) if demodulate else own
        x = convolve(x.reshape(1, -1, *x.shape[2:]), own.flatten(0, 1), taps, up=up, groups=batch)
        return x.reshape(batch, -1, *x.shape[2:])
    x = convolve(x * styles.reshape(batch, -1, 1, 1), weight, taps, up=up)
    return x * factors.reshape(batch, -1, 1, 1) if demodulate else x


def normalise(x: Tensor) -> Tensor:
    """Return x divided by its root mean square over everything but the batch."""
    return x * (x.square().mean(dim=list(range(1, x.ndim)), keepdim=True) + EPSILON).rsqrt()


def sinusoids(size: int, dims: int) -> Tensor:
    """Return encodings [size, size, dims] of the pixels of a grid: waves along its columns and its rows."""
    waves = torch.linspace(-1, 1, size)[:, None] / 10000 ** (4 * torch.arange(dims // 4) / dims)
    columns, rows = waves[None].expand(size, -1, -1), waves[:, None].expand(-1, size, -1)
    return torch.cat([columns.sin(), columns.cos(), rows.sin(), rows.cos()], dim=2)


# -------------------------------------------------------------------------------------------------- layers


class FullyConnectedLayer(nn.Module):
    """x [n, inputs] → [n, outputs]."""

    def __init__(self, inputs: int, outputs: int, act: str = "linear", rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full([outputs], bias))
        self.scale, self.rate, self.act = rate / math.sqrt(inputs), rate, act

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = self.bias if self.rate == 1 else self.bias * self.rate
        if self.act == "linear":
            return torch.addmm(bias[None], x, weight.t())
        return bias_act(x.matmul(weight.t()), bias, self.act)


class BiasActLayer(nn.Module):
    """Bias of every channel, activation, gain."""

    def __init__(self, channels: int, act: str = "linear", gain: float = 1.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.act, self.gain = act, gain

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(x, self.bias, self.act, self.gain)


class Conv2dLayer(nn.Module):
    """Convolution, resampled if asked for, then bias and activation, or the gain alone."""

    taps: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        act: str | None = "lrelu",
        up: bool = False,
        down: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.scale, self.up, self.down, self.gain = 1 / math.sqrt(inputs * size**2), up, down, gain
        self.biasAct = None if act is None else BiasActLayer(outputs, act, gain)

    def forward(self, x: Tensor) -> Tensor:
        x = convolve(x, self.weight * self.scale, self.taps, up=self.up, down=self.down)
        result: Tensor = x * self.gain if self.biasAct is None else self.biasAct(x)
        return result


class TransformerLayer(nn.Module):
    """Pixels [B, F, C] attend to components [B, T, D]; queries and positions are as wide as the features, C.

    `integration` is "mul", with layer normalisation, in synthesis, and "add" without normalisation in the mapping. With
    `kmeans` keys are learned centroids; one iteration only. Returned are the features, and the assignments [B, 1, T, F]
    that the next layer is given.
    """

    def __init__(self, channels: int, size: int, components: int, *, kmeans: bool, integration: str) -> None:
        super().__init__()
        self.to_queries = FullyConnectedLayer(channels, channels)
        self.to_keys = FullyConnectedLayer(size, channels)
        self.to_values = FullyConnectedLayer(size, channels)
        self.from_pos_map = FullyConnectedLayer(size, channels)
        self.to_pos_map = FullyConnectedLayer(size, channels)
        self.modulation = FullyConnectedLayer(channels, channels)
        self.att_dp = nn.Dropout(DROPOUT / 2)
        self.integration, self.kmeans = integration, kmeans
        if kmeans:
            self.att_weight = nn.Parameter(torch.ones(1, 1, 2 * channels))
            self.centroids = nn.Parameter(torch.randn(1, 1, components, 2 * channels))

    def forward(
        self, x: Tensor, y: Tensor, x_positions: Tensor, y_positions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        batch, pixels, channels = x.shape
        components = y.shape[1]
        x, y = x.flatten(0, 1), y.flatten(0, 1)
        content, keys, values = self.to_queries(x), self.to_keys(y), self.to_values(y)
        queries = content + self.from_pos_map(x_positions.tile([batch, 1]))
        keys = keys + self.to_pos_map(y_positions.tile([batch, 1]))
        if self.kmeans:
            elements = torch.cat([content, queries - content], dim=-1).reshape(batch, 1, pixels, 2 * channels)
            centroids = self.centroids.tile([batch, 1, 1, 1])
        values, queries, keys = (
            each.reshape(batch, count, 1, channels).permute(0, 2, 1, 3)
            for each, count in ((values, components), (queries, pixels), (keys, components))
        )
        scores = queries.matmul(keys.permute(0, 1, 3, 2))  # also with centroids, where nothing uses it
        if self.kmeans:
            scores = (elements * self.att_weight).matmul(centroids.permute(0, 1, 3, 2))
        scores = scores / math.sqrt(channels) + (1 - mask[:, None, None]) * -10000.0  # B 1 F T
        weights = scores.softmax(dim=-1)
        for shape in (weights.shape, (batch, 1, 1, components)):
            weights = self.att_dp(torch.ones(shape, device=x.device)) * weights
        assignments = None
        if self.kmeans:  # computed always, used only where centroids are carried
            assignments = (weights / (weights.sum(dim=-2, keepdim=True) + EPSILON)).permute(0, 1, 3, 2)
        control = self.modulation(weights.matmul(values).permute(0, 2, 1, 3).reshape(-1, channels))
        if self.integration == "mul":
            x = x.reshape(batch, pixels, channels)
            x = x * torch.rsqrt(x.square().mean(dim=2, keepdim=True) + EPSILON)
            x = x.reshape(-1, channels) * (control + 1)
        else:
            x = x + control
        return x.reshape(batch, pixels, channels), assignments


class ResnetLayer(nn.Module):
    """Two layers of a mapping network; the sum with what was before the attention is activated."""

    def __init__(self, size: int, rate: float) -> None:
        super().__init__()
        self.fc0 = FullyConnectedLayer(size, size, "lrelu", rate)
        self.fc1 = FullyConnectedLayer(size, size, rate=rate)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return F.leaky_relu(self.fc1(self.fc0(x)) + before, 0.2)


class MLP(nn.Module):
    """Mapping x [B, n, D] → [B, n, D]; with `components`, these attend to each other before every residual layer."""

    def __init__(self, size: int, layers: int, rate: float = 0.01, components: int = 0) -> None:
        super().__init__()
        self.count, self.components = (layers + 1) // 2, components
        self.out_layer = FullyConnectedLayer(size, size, "lrelu", rate)
        for index in range(self.count):
            if components:
                attention = TransformerLayer(size, size, components, kmeans=False, integration="add")
                setattr(self, f"sa{index}", attention)
            setattr(self, f"l{index}", ResnetLayer(size, rate))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        shape = x.shape
        x = x.flatten(0, 1)
        for index in range(self.count):
            before = x
            if self.components:
                u = x.reshape(shape)
                x = getattr(self, f"sa{index}")(u, u, positions, positions, mask)[0].flatten(0, 1)
            x = getattr(self, f"l{index}")(x, before)
        result: Tensor = self.out_layer(x).reshape(shape)
        return result


class MappingNetwork(nn.Module):
    """z [B, k, D] → w [B, k, layers, D]; the last latent is the global one."""

    w_avg: Tensor

    def __init__(self, size: int, components: int, synthesis_layers: int, mapping_layers: int) -> None:
        super().__init__()
        self.layers = synthesis_layers
        self.global_mlp = MLP(size, mapping_layers)
        self.mlp = MLP(size, mapping_layers, components=components)
        self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor, positions: Tensor, mask: Tensor, track: bool = False) -> Tensor:
        local, last = z.split([z.shape[1] - 1, 1], dim=1)
        last = self.global_mlp(normalise(last))
        w = torch.cat([self.mlp(normalise(local), positions, mask), last], dim=1)
        if track:
            self.w_avg.copy_(w.detach().mean(dim=(0, 1)).lerp(self.w_avg, W_AVERAGE_BETA))
        return w.unsqueeze(2).repeat([1, 1, self.layers, 1])


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks: width of the images, channels as StyleGAN2 counts them, latents."""

    width: int
    channel_base: int = 32768
    channel_max: int = 512
    latent_size: int = 512
    components: int = 16
    mapping_layers: int = 8
    kmeans: bool = True
    end_resolution: int | None = None

    @property
    def latent(self) -> int:
        """Number of values of a component."""
        return self.latent_size // self.components

    @property
    def widths(self) -> list[int]:
        """Widths of the features, from coarse to fine."""
        return [2**power for power in range(2, self.width.bit_length())]

    def channels(self, width: int) -> int:
        """Return the number of features of this width."""
        return min(self.channel_base // width, self.channel_max)


class SynthesisLayer(nn.Module):
    """Modulated convolution, attention, noise, bias and activation; the last layer is the convolution alone."""

    taps: Tensor
    noise_const: Tensor
    grid_pos: Tensor

    def __init__(
        self, sizes: Sizes, inputs: int, width: int, *, up: bool = False, gain: float = 1.0, is_plain: bool = False
    ) -> None:
        super().__init__()
        outputs, latent = sizes.channels(width), sizes.latent
        self.affine = FullyConnectedLayer(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale, self.up, self.is_plain = 1 / math.sqrt(inputs * 9), up, is_plain
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.transformer: TransformerLayer | None = None
        if is_plain:
            return
        self.biasAct = BiasActLayer(outputs, "lrelu", gain)
        self.register_buffer("noise_const", torch.randn(width, width))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        if width < (sizes.end_resolution or sizes.width):
            self.register_buffer("grid_pos", sinusoids(width, latent))
            self.transformer = TransformerLayer(
                outputs, latent, sizes.components, kmeans=sizes.kmeans, integration="mul"
            )

    def forward(self, x: Tensor, w: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        if not self.is_plain:
            shape = (len(x), 1, *self.noise_const.shape)
            noise = torch.randn(shape, device=x.device) if self.training else self.noise_const
            noise = noise * self.noise_strength
        styles = self.affine(w[:, -1])
        x = modulated_convolve(
            x, self.weight * self.scale, styles, self.taps, up=self.up, demodulate=True, fused=not self.training
        )
        if self.transformer is not None:
            pixels = x.reshape(*x.shape[:2], -1).permute(0, 2, 1)
            pixels, _ = self.transformer(pixels, w[:, :-1], self.grid_pos.flatten(0, 1), positions, mask)
            x = pixels.permute(0, 2, 1).reshape(x.shape)
        if self.is_plain:
            return x
        result: Tensor = self.biasAct(x.add_(noise))
        return result


class ToRGBLayer(nn.Module):
    """Modulated convolution of 1 × 1 to three colours."""

    taps: Tensor

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.affine = FullyConnectedLayer(latent, channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.register_buffer("taps", fir_taps(), persistent=False)
        self.biasAct = BiasActLayer(3)
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w[:, -1]) * self.scale
        fused = not self.training
        x = modulated_convolve(x, self.weight, styles, self.taps, up=False, demodulate=False, fused=fused)
        result: Tensor = self.biasAct(x)
        return result


class SynthesisBlock(nn.Module):
    """All layers of one width, with a residual connection around them; the last block ends in colours."""

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        channels, self.is_first, self.is_last = sizes.channels(width), width == 4, width == sizes.width
        if self.is_first:
            self.const = nn.Parameter(torch.randn(channels, width, width))
            self.conv1 = SynthesisLayer(sizes, channels, width)
        else:
            inputs, gain = sizes.channels(width // 2), math.sqrt(0.5)
            self.conv0 = SynthesisLayer(sizes, inputs, width, up=True)
            self.conv1 = SynthesisLayer(sizes, channels, width, gain=gain)
            self.skip = Conv2dLayer(inputs, channels, 1, act=None, up=True, gain=gain)
        if self.is_last:
            self.conv_last = SynthesisLayer(sizes, channels, width, is_plain=True)
            self.torgb = ToRGBLayer(channels, sizes.latent)
        self.layers = 1 if self.is_first else 2 + 2 * self.is_last

    def forward(self, x: Tensor, ws: list[Tensor], positions: Tensor, mask: Tensor) -> Tensor:
        if self.is_first:
            x = self.const[None].repeat([len(ws[0]), 1, 1, 1])
            return self.conv1(x, ws[0], positions, mask)  # type: ignore[no-any-return]
        before = self.skip(x)
        x = self.conv1(self.conv0(x, ws[0], positions, mask), ws[1], positions, mask)
        x = before.add_(x)
        return self.torgb(self.conv_last(x, ws[2], positions, mask), ws[3]) if self.is_last else x


class SynthesisNetwork(nn.Module):
    """w [B, k, layers, D] → images."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.blocks = []
        for width in sizes.widths:
            block = SynthesisBlock(sizes, width)
            setattr(self, f"b{width}", block)
            self.blocks.append(block)
        self.layers = sum(block.layers for block in self.blocks)

    def forward(self, w: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        x, ws = w, list(w.unbind(dim=2))
        for block in self.blocks:
            x = block(x, ws[: block.layers], positions, mask)
            ws = ws[block.layers :]
        return x


class Generator(nn.Module):
    """z [B, k, D] → images [B, 3, H, W]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.rand(sizes.components, sizes.latent))
        self.synthesis = SynthesisNetwork(sizes)
        self.mapping = MappingNetwork(sizes.latent, sizes.components, self.synthesis.layers, sizes.mapping_layers)

    def map(self, z: Tensor, track: bool = False) -> Tensor:
        """Return w [B, k, layers, D]; `track` moves the mean of w."""
        w: Tensor = self.mapping(z, self.pos, self.mask(z), track)
        return w

    def mask(self, z: Tensor) -> Tensor:
        """Return the mask of the components, [B, T]: all take part."""
        return torch.ones(len(z), z.shape[1] - 1, device=z.device)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.synthesis(self.map(z), self.pos, self.mask(z))
        return images


class DiscriminatorBlock(nn.Module):
    """Residual block of one width, which ends in half of it."""

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        inputs, outputs, gain = sizes.channels(width), sizes.channels(width // 2), math.sqrt(0.5)
        self.fromrgb = Conv2dLayer(3, inputs, 1) if width == sizes.width else None
        self.conv0 = Conv2dLayer(inputs, inputs, 3)
        self.conv1 = Conv2dLayer(inputs, outputs, 3, down=True, gain=gain)
        self.skip = Conv2dLayer(inputs, outputs, 1, act=None, down=True, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.fromrgb is None else self.fromrgb(x)
        before: Tensor = self.skip(x)
        return before.add_(self.conv1(self.conv0(x)))


class DiscriminatorEpilogue(nn.Module):
    """Deviation within groups of four images as one more channel, then the score [B, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2dLayer(channels + 1, channels, 3)
        self.fc = FullyConnectedLayer(channels * 16, channels, "lrelu")
        self.out = FullyConnectedLayer(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        group = min(4, len(x))
        y = x.reshape(group, -1, 1, *x.shape[1:])
        y = (y - y.mean(dim=0)).square().mean(dim=0)
        y = (y + EPSILON).sqrt().mean(dim=[2, 3, 4]).reshape(-1, 1, 1, 1).repeat(group, 1, *x.shape[2:])
        score: Tensor = self.out(self.fc(self.conv(torch.cat([x, y], dim=1)).flatten(1)))
        return score


class Discriminator(nn.Module):
    """Images [B, 3, H, W] → logits [B, 1]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.blocks = []
        for width in sizes.widths[:0:-1]:
            block = DiscriminatorBlock(sizes, width)
            setattr(self, f"b{width}", block)
            self.blocks.append(block)
        self.b4 = DiscriminatorEpilogue(sizes.channels(4))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.b4(x)
        return logits


# ------------------------------------------------------------------------------------------------ training


def lazy_adam(network: nn.Module, interval: int) -> Adam:
    """Return Adam, one parameter after another, with rate and betas for a regularisation every `interval` steps."""
    ratio = interval / (interval + 1)
    return Adam(network.parameters(), lr=RATE * ratio, betas=(0.0, BETA2**ratio), eps=EPSILON, foreach=False)


class Training:
    """Training steps of the released loop: generator, discriminator, R1 every 16 steps, moving average."""

    make_generator: ClassVar[type[nn.Module]] = Generator

    def __init__(self, sizes: Sizes, batch: int, device: str = "cpu") -> None:
        self.device = device
        self.generator: Any = self.make_generator(sizes).requires_grad_(False).to(device)
        self.discriminator = Discriminator(sizes).requires_grad_(False).to(device)
        self.average = copy.deepcopy(self.generator).eval()
        self.generator_adam = lazy_adam(self.generator, PATH_INTERVAL)
        self.discriminator_adam = lazy_adam(self.discriminator, R1_INTERVAL)
        self.shape: tuple[int, ...] = (batch, sizes.components + 1, sizes.latent)

    def step(self, reals: Tensor, step: int) -> None:
        """Update both networks and the average with real images [B, 3, H, W]; step 0, 16, 32, … has R1."""
        self._update(self.generator, self.generator_adam, self._generator_loss)
        self._update(self.discriminator, self.discriminator_adam, lambda: self._discriminator_loss(reals))
        if step % R1_INTERVAL == 0:
            self._update(self.discriminator, self.discriminator_adam, lambda: self._penalty(reals))
        beta = 0.5 ** (len(reals) / AVERAGE_HALF_LIFE)
        with torch.no_grad():
            for mean, parameter in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.copy_(parameter.lerp(mean, beta))
            for copied, buffer in zip(self.average.buffers(), self.generator.buffers(), strict=True):
                copied.copy_(buffer)

    def _update(self, network: nn.Module, adam: Adam, accumulate: Callable[[], None]) -> None:
        adam.zero_grad(set_to_none=True)
        network.requires_grad_(True)
        accumulate()
        network.requires_grad_(False)
        for parameter in network.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        adam.step()

    def _generate(self) -> Tensor:
        z = torch.randn(self.shape, device=self.device)
        w = self.generator.map(z, track=True)
        layers = w.shape[2]
        cut = int(torch.randint(1, layers, ())) if torch.rand(()) < STYLE_MIXING else layers
        w[:, :, cut:] = self.generator.map(torch.randn_like(z))[:, :, cut:]
        images: Tensor = self.generator.synthesis(w, self.generator.pos, self.generator.mask(z))
        return images

    def _generator_loss(self) -> None:
        F.softplus(-self.discriminator(self._generate())).mean().backward()

    def _discriminator_loss(self, reals: Tensor) -> None:
        F.softplus(self.discriminator(self._generate())).mean().backward()
        F.softplus(-self.discriminator(reals)).mean().backward()

    def _penalty(self, reals: Tensor) -> None:
        reals = reals.detach().requires_grad_()
        logits = self.discriminator(reals)
        (gradient,) = torch.autograd.grad(logits.sum(), [reals], create_graph=True)
        penalty = gradient.square().sum([1, 2, 3]) * (R1_GAMMA / 2)
        ((logits * 0).squeeze(1) + penalty).mean().mul(R1_INTERVAL).backward()
