"""StyleGAN2-ADA's networks, written from their description, with their names, in float32."""

import math

import numpy as np
import torch
from torch import nn

from tests.interop.official import (
    FILTER,
    Network,
    convolved,
    downsampled,
    lrelu,
    modulated,
    normalised,
    upsampled,
    with_deviation,
)


class FullyConnectedLayer(Network):
    def __init__(self, inputs, outputs, activation="linear", lr_multiplier=1.0, bias_init=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(bias_init + torch.randn(outputs) * 0.3 / lr_multiplier)
        self.activation, self.bias_gain = activation, lr_multiplier
        self.weight_gain = lr_multiplier / np.sqrt(inputs)

    def forward(self, x):
        x = x @ self.weight.T * self.weight_gain + self.bias * self.bias_gain
        return lrelu(x) if self.activation == "lrelu" else x


class Conv2dLayer(Network):
    def __init__(self, inputs, outputs, size, bias=True, activation="linear", up=False, down=False, clamp=None):
        super().__init__()
        self.register_buffer("resample_filter", FILTER.clone())
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.randn(outputs) * 0.3) if bias else None
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, clamp

    def forward(self, x, gain=1.0):
        x = convolved(x, self.weight / math.sqrt(self.weight[0].numel()), up=self.up, down=self.down)
        x = x if self.bias is None else x + self.bias[:, None, None]
        return lrelu(x, gain, self.conv_clamp) if self.activation == "lrelu" else x * gain


class MappingNetwork(Network):
    def __init__(self, z_dim, c_dim, w_dim, num_layers=8, lr_multiplier=0.01, activation="lrelu"):
        super().__init__()
        if c_dim:
            self.embed = FullyConnectedLayer(c_dim, w_dim)
        for index in range(num_layers):
            inputs = w_dim if index else z_dim + (w_dim if c_dim else 0)
            setattr(self, f"fc{index}", FullyConnectedLayer(inputs, w_dim, activation, lr_multiplier))
        if z_dim:
            self.register_buffer("w_avg", torch.randn(w_dim))
        self.num_layers, self.c_dim = num_layers, c_dim

    def forward(self, z, labels):
        parts = [] if z is None else [normalised(z, 1)]
        x = torch.cat([*parts, normalised(self.embed(labels), 1)] if self.c_dim else parts, dim=1)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        return x


class SynthesisLayer(Network):
    def __init__(self, inputs, outputs, w_dim, resolution, up=False, clamp=None, use_noise=True):
        super().__init__()
        self.register_buffer("resample_filter", FILTER.clone())
        self.affine = FullyConnectedLayer(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.randn([]) * 0.3)
        self.bias = nn.Parameter(torch.randn(outputs) * 0.3)
        self.up, self.conv_clamp, self.use_noise, self.activation = up, clamp, use_noise, "lrelu"

    def forward(self, x, w, gain=1.0):
        x = modulated(x, self.weight, self.affine(w), demodulate=True, up=self.up)
        x = x + self.noise_const * self.noise_strength if self.use_noise else x
        return lrelu(x + self.bias[:, None, None], gain, self.conv_clamp)


class ToRGBLayer(Network):
    def __init__(self, inputs, channels, w_dim, clamp):
        super().__init__()
        self.affine = FullyConnectedLayer(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.randn(channels) * 0.3)
        self.conv_clamp = clamp

    def forward(self, x, w):
        x = modulated(x, self.weight, self.affine(w) / math.sqrt(x.shape[1]), demodulate=False)
        x = x + self.bias[:, None, None]
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(Network):
    def __init__(self, inputs, outputs, w_dim, resolution, channels, is_last, architecture, clamp, use_noise, use_fp16):
        super().__init__()
        self.register_buffer("resample_filter", FILTER.clone())
        self.architecture, self.is_stem, self.use_fp16 = architecture, not inputs, use_fp16
        shared = {"w_dim": w_dim, "resolution": resolution, "clamp": clamp, "use_noise": use_noise}
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, up=True, **shared)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, **shared)
        self.has_colours = is_last or architecture == "skip"
        if self.has_colours:
            self.torgb = ToRGBLayer(outputs, channels, w_dim, clamp)
        if inputs and architecture == "resnet":
            self.skip = Conv2dLayer(inputs, outputs, 1, bias=False, up=True)
        self.num_conv = 1 if self.is_stem else 2

    def forward(self, x, image, ws):
        if self.is_stem:
            x = self.conv1(self.const[None].expand(len(ws[0]), -1, -1, -1), ws[0])
        elif self.architecture == "resnet":
            y = self.skip(x, math.sqrt(0.5))
            x = y + self.conv1(self.conv0(x, ws[0]), ws[1], math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x, ws[0]), ws[1])
        image = None if image is None else upsampled(image)
        if self.has_colours:
            colours = self.torgb(x, ws[self.num_conv])
            image = colours if image is None else image + colours
        return x, image


class SynthesisNetwork(Network):
    def __init__(self, w_dim, resolution, channels, default_clamp, **options):
        super().__init__()
        base, most = options.get("channel_base", 32768), options.get("channel_max", 512)
        self.resolutions = [4 << index for index in range(int(math.log2(resolution)) - 1)]
        for size in self.resolutions:
            block = SynthesisBlock(
                min(2 * base // size, most) if size > 4 else 0,
                min(base // size, most),
                w_dim,
                size,
                channels,
                size == resolution,
                options.get("architecture", "skip"),
                options.get("conv_clamp", default_clamp),
                options.get("use_noise", True),
                size >= max(2 * resolution >> options.get("num_fp16_res", 0), 8),
            )
            setattr(self, f"b{size}", block)
        self.num_ws = 2 * len(self.resolutions)

    def forward(self, ws):
        x, image = None, None
        for size in self.resolutions:
            block = getattr(self, f"b{size}")
            x, image = block(x, image, ws)
            ws = ws[block.num_conv :]
        return image


SHAPE = ("c_dim", "img_resolution", "img_channels")


class Generator(Network):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        size = arguments["w_dim"]
        vars(self).update({name: arguments[name] for name in ("z_dim", "w_dim", *SHAPE)})
        default_clamp, options = self.options(arguments)
        self.synthesis = SynthesisNetwork(
            size, arguments["img_resolution"], arguments["img_channels"], default_clamp, **options
        )
        self.mapping = MappingNetwork(arguments["z_dim"], arguments["c_dim"], size, **arguments["mapping_kwargs"])

    def options(self, arguments):
        """Return the clamp where none is said, and the arguments of the synthesis network."""
        return None, arguments["synthesis_kwargs"]

    def forward(self, z, labels, psi=1.0):
        w = self.mapping(z, labels)
        w = self.mapping.w_avg + psi * (w - self.mapping.w_avg)
        return self.synthesis([w] * self.synthesis.num_ws)


class LaterGenerator(Generator):
    """That of StyleGAN3's code: arguments of the synthesis network are the generator's own, and it limits to 256."""

    def options(self, arguments):
        own = {"z_dim", "w_dim", "mapping_kwargs", *SHAPE}
        return 256, {"num_fp16_res": 4, **{name: value for name, value in arguments.items() if name not in own}}


LaterGenerator.__name__ = "Generator"


class DiscriminatorBlock(Network):
    def __init__(self, inputs, outputs, channels, is_first, architecture, clamp):
        super().__init__()
        self.register_buffer("resample_filter", FILTER.clone())
        self.architecture, self.has_colours = architecture, is_first or architecture == "skip"
        if self.has_colours:
            self.fromrgb = Conv2dLayer(channels, inputs, 1, activation="lrelu", clamp=clamp)
        self.conv0 = Conv2dLayer(inputs, inputs, 3, activation="lrelu", clamp=clamp)
        self.conv1 = Conv2dLayer(inputs, outputs, 3, activation="lrelu", down=True, clamp=clamp)
        if architecture == "resnet":
            self.skip = Conv2dLayer(inputs, outputs, 1, bias=False, down=True)

    def forward(self, x, image):
        if self.has_colours:
            x = self.fromrgb(image) + (0 if x is None else x)
            image = downsampled(image)
        if self.architecture == "resnet":
            return self.skip(x, math.sqrt(0.5)) + self.conv1(self.conv0(x), math.sqrt(0.5)), image
        return self.conv1(self.conv0(x)), image


class MinibatchStdLayer(Network):
    def __init__(self, group_size, num_channels):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x):
        return with_deviation(x, len(x) if self.group_size is None else self.group_size)


class DiscriminatorEpilogue(Network):
    def __init__(
        self,
        size,
        embedding,
        channels,
        architecture,
        clamp,
        mbstd_group_size=4,
        mbstd_num_channels=1,
        activation="lrelu",
    ):
        super().__init__()
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(channels, size, 1, activation="lrelu")
        self.mbstd = MinibatchStdLayer(mbstd_group_size, mbstd_num_channels)
        self.conv = Conv2dLayer(size + 1, size, 3, activation=activation, clamp=clamp)
        self.fc = FullyConnectedLayer(size * 16, size, activation)
        self.out = FullyConnectedLayer(size, embedding or 1)
        self.architecture = architecture

    def forward(self, x, image, embedded):
        x = x + self.fromrgb(image) if self.architecture == "skip" else x
        x = self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))
        return x if embedded is None else (x * embedded).sum(dim=1, keepdim=True) / math.sqrt(x.shape[1])


class Discriminator(Network):
    default_clamp = None

    def __init__(self, **arguments):
        super().__init__(**arguments)
        base, most = arguments.get("channel_base", 32768), arguments.get("channel_max", 512)
        architecture, clamp = arguments.get("architecture", "resnet"), arguments.get("conv_clamp", self.default_clamp)
        width, channels, labels = (arguments[name] for name in ("img_resolution", "img_channels", "c_dim"))
        self.resolutions = [width >> index for index in range(int(math.log2(width)) - 2)]
        for size in self.resolutions:
            sizes = min(base // size, most), min(2 * base // size, most)
            setattr(self, f"b{size}", DiscriminatorBlock(*sizes, channels, size == width, architecture, clamp))
        last = min(base // 4, most)
        if labels:
            self.mapping = MappingNetwork(0, labels, last, **arguments.get("mapping_kwargs", {}))
        self.b4 = DiscriminatorEpilogue(
            last, last if labels else 0, channels, architecture, clamp, **arguments.get("epilogue_kwargs", {})
        )
        self.is_labelled = labels > 0

    def forward(self, image, labels):
        x = None
        for size in self.resolutions:
            x, image = getattr(self, f"b{size}")(x, image)
        return self.b4(x, image, self.mapping(None, labels) if self.is_labelled else None)


class LaterDiscriminator(Discriminator):
    """That of StyleGAN3's code, which limits to 256 where nothing is said."""

    default_clamp = 256


LaterDiscriminator.__name__ = "Discriminator"
