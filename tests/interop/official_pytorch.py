"""GANformer's PyTorch networks, written from their description, with their names, their options and their quirks."""

import math

import torch
from torch import nn

from tests.interop.official import (
    FILTER,
    FullyConnectedLayer,
    Network,
    convolved,
    downsampled,
    lrelu,
    modulated,
    normalised,
    upsampled,
    with_deviation,
)

# B batch, F image positions, T components, C channels, D size of a component


class BiasActLayer(Network):
    def __init__(self, channels, act, gain=1.0):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(channels) * 0.3)
        self.act, self.gain = act, gain

    def forward(self, x):
        x = x + self.bias[:, None, None]
        return lrelu(x, self.gain) if self.act == "lrelu" else x


class Conv2dLayer(Network):
    def __init__(self, inputs, outputs, size, bias=True, act="linear", up=False, down=False, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.biasAct = BiasActLayer(outputs, act, gain) if bias else NoBias(gain)
        self.register_buffer("resample_kernel", FILTER.clone())
        self.up, self.down = up, down

    def forward(self, x):
        weight = self.weight / math.sqrt(self.weight[0].numel())
        return self.biasAct(convolved(x, weight, up=self.up, down=self.down))


class NoBias(Network):
    def __init__(self, gain):
        super().__init__()
        self.register_parameter("bias", None)
        self.gain = gain

    def forward(self, x):
        return x * self.gain


NoBias.__name__ = "BiasActLayer"


class GateAttention(Network):
    def __init__(self, is_used, size, position_size, heads, bias):
        super().__init__()
        self.is_used, self.gate_bias = is_used, bias
        if is_used:
            self.gate = FullyConnectedLayer(size, heads)
            self.gate_pos = FullyConnectedLayer(position_size, heads)

    def forward(self, x, positions):
        """[B, n, heads], or 1."""
        if not self.is_used:
            return torch.ones(1, 1, 1)
        gate = self.gate(x) + self.gate_bias
        return (gate if positions is None else gate + self.gate_pos(positions)).sigmoid()


class TransformerLayer(Network):
    def __init__(self, channels, size, components, from_gate=False, to_gate=False, **options):
        super().__init__()
        self.heads = options.get("num_heads", 1)
        self.integration, self.norm = options.get("integration", "add"), options.get("norm")
        self.kmeans, self.iterations = options.get("kmeans", False), options.get("kmeans_iters", 1)
        self.att_dp = nn.Dropout(p=options.get("attention_dropout", 0.12) / 2)
        self.to_queries = FullyConnectedLayer(channels, channels)
        self.to_keys = FullyConnectedLayer(size, channels)
        self.to_values = FullyConnectedLayer(size, channels)
        self.from_pos_map = FullyConnectedLayer(size, channels)
        self.to_pos_map = FullyConnectedLayer(size, channels)
        self.to_gate_attention = GateAttention(to_gate, channels, size, self.heads, 0)
        self.from_gate_attention = GateAttention(from_gate, channels, size, self.heads, 1)
        self.modulation = FullyConnectedLayer(channels, channels * (2 if self.integration == "both" else 1))
        if self.kmeans:
            width = 2 * channels // self.heads
            self.att_weight = nn.Parameter(1 + 0.3 * torch.randn(self.heads, 1, width))
            self.centroids = nn.Parameter(torch.randn(1, self.heads, components, width))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B h n s

    def forward(self, x, y, x_positions, y_positions):
        content = self.to_queries(x)
        queries = content if x_positions is None else content + self.from_pos_map(x_positions)
        keys = self.to_keys(y) if y_positions is None else self.to_keys(y) + self.to_pos_map(y_positions)
        values, size = self.split(self.to_values(y)), content.shape[-1] // self.heads
        scores = self.split(queries) @ self.split(keys).transpose(2, 3)  # B h F T
        if self.kmeans:
            elements = self.split(torch.cat([content, queries - content], dim=-1))
            centroids = self.centroids.expand(len(x), -1, -1, -1)
        weights = None
        for iteration in range(self.iterations):
            if self.kmeans:
                if iteration:
                    assigned = weights / (weights.sum(dim=2, keepdim=True) + 1e-8)
                    centroids = assigned.transpose(2, 3) @ elements
                scores = (elements * self.att_weight) @ centroids.transpose(2, 3)
            scores = scores / math.sqrt(size)
            weights = scores.softmax(dim=-1)
        weights = weights * self.to_gate_attention(y, y_positions).permute(0, 2, 1)[:, :, None]
        weights = weights * self.from_gate_attention(x, x_positions).permute(0, 2, 1)[..., None]
        control = self.modulation((weights @ values).transpose(1, 2).flatten(2))
        return self.integrate(x, control)

    def integrate(self, x, control):
        axis = 1 if self.norm == "instance" else 2
        if self.norm is not None:
            if self.integration in ("add", "both"):
                x = x - x.mean(dim=axis, keepdim=True)
            if self.integration in ("mul", "both"):
                x = normalised(x, axis)
        gain, bias = control.chunk(2, dim=-1) if self.integration == "both" else (control, control)
        x = x if self.integration == "add" else x * (gain + 1)
        return x if self.integration == "mul" else x + bias


class ResnetLayer(Network):
    def __init__(self, size, lrmul):
        super().__init__()
        self.fc0 = FullyConnectedLayer(size, size, "lrelu", lrmul)
        self.fc1 = FullyConnectedLayer(size, size, "linear", lrmul)

    def forward(self, x, before):
        return nn.functional.leaky_relu(self.fc1(self.fc0(x)) + before, 0.2)


class MLP(Network):
    def __init__(self, inputs, size, layers, resnet, lrmul, components=0, sa=False, **options):
        super().__init__()
        self.count = (layers + 1) // 2 if resnet else layers
        self.out_layer = FullyConnectedLayer(size, size, "lrelu", lrmul)
        for index in range(self.count):
            if sa:
                setattr(self, f"sa{index}", TransformerLayer(size, size, components, **options))
            width = inputs if index == 0 else size
            layer = ResnetLayer(size, lrmul) if resnet else FullyConnectedLayer(width, size, "lrelu", lrmul)
            setattr(self, f"l{index}", layer)
        self.sa, self.resnet = sa, resnet

    def forward(self, x, positions=None):
        for index in range(self.count):
            layer, before = getattr(self, f"l{index}"), x
            if self.sa:
                x = getattr(self, f"sa{index}")(x, x, positions, positions)
            x = layer(x, before) if self.resnet else layer(x)
        return self.out_layer(x)


class MappingNetwork(Network):
    def __init__(self, z_dim, c_dim, k, num_layers=8, lrmul=0.01, transformer=False, resnet=False, **options):
        super().__init__()
        self.transformer, self.use_pos = transformer, options.get("use_pos", False)
        self.normalize_global = options.pop("normalize_global", True)
        gate = options.pop("ltnt_gate", False)
        if c_dim:
            self.embed = FullyConnectedLayer(c_dim, z_dim)
        self.global_mlp = MLP(z_dim * (2 if c_dim else 1), z_dim, num_layers, resnet, lrmul)
        if transformer:
            sa, options["num_heads"] = options.pop("ltnt2ltnt", False), options.get("num_heads", 1)
            self.mlp = MLP(
                z_dim, z_dim, num_layers, resnet, lrmul, k - 1, sa=sa, from_gate=gate, to_gate=gate, **options
            )
        self.register_buffer("w_avg", torch.randn(z_dim))
        self.c_dim = c_dim

    def forward(self, z, labels, positions):
        if self.transformer:
            z, last = normalised(z[:, :-1], (1, 2)), z[:, -1:]
            last = normalised(last, (1, 2)) if self.normalize_global else last
        else:
            last = normalised(z, (1, 2))
        if self.c_dim:
            last = torch.cat([last, normalised(self.embed(labels), 1)[:, None]], dim=2)
        last = self.global_mlp(last)
        if not self.transformer:
            return last
        return torch.cat([self.mlp(z, positions if self.use_pos else None), last], dim=1)


def positions_of(size, dims, kind, directions):
    """Return encodings [size, size, dims] of the pixels of a grid, and what was learned of them."""
    line = torch.linspace(-1, 1, size)
    y, x = line[:, None].expand(size, size), line[None].expand(size, size)
    if kind == "trainable2d":
        grid = nn.Parameter(torch.rand(size, size, dims))
        return grid, [grid]
    if kind == "trainable":
        columns, rows = nn.Parameter(torch.rand(size, dims // 2)), nn.Parameter(torch.rand(size, dims // 2))
        both = [columns[None].expand(size, -1, -1), rows[:, None].expand(-1, size, -1)]
        return torch.cat(both, dim=2).detach(), [columns, rows]
    parts = []
    for direction in range(directions):
        angle = direction * math.pi / directions
        length = (x * math.cos(angle) + y * math.sin(angle))[..., None]
        if kind == "linear":
            parts.append(length * torch.rand(dims // directions))
            continue
        waves = 10000 ** (torch.arange(dims // (2 * directions)) * 2 * directions / dims)
        parts += [(length / waves).sin(), (length / waves).cos()]
    return torch.cat(parts, dim=2), []


class SynthesisLayer(Network):
    def __init__(
        self, inputs, outputs, y_dim, k, resolution, up=False, gain=1.0, style=True, transformer=False, **options
    ):
        super().__init__()
        self.affine = FullyConnectedLayer(y_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.biasAct = BiasActLayer(outputs, "lrelu", gain) if options.get("bias", True) else None
        self.register_buffer("resample_kernel", FILTER.clone())
        self.local_noise, self.style, self.up = options.get("local_noise", True), style, up
        if self.local_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.randn([]) * 0.3)
        self.transformer, self.use_pos = None, options.get("use_pos", False)
        if transformer:
            grid, learned = positions_of(
                resolution, y_dim, options.get("pos_type", "sinus"), options.get("pos_directions_num", 2)
            )
            if learned:
                self.grid_pos = grid
                for index, parameter in enumerate(learned):
                    setattr(self, f"pos{index}", parameter)
            else:
                self.register_buffer("grid_pos", grid)
            gates = {"from_gate": options.get("img_gate", False), "to_gate": options.get("ltnt_gate", False)}
            self.transformer = TransformerLayer(outputs, y_dim, k - 1, **gates, **options)

    def forward(self, x, w, positions):
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.style:
            x = modulated(x, weight, self.affine(w[:, -1]), demodulate=True, up=self.up)
        else:
            x = convolved(x, weight, up=self.up)
        if self.transformer is not None:
            pixels = x.flatten(2).transpose(1, 2)
            grid = self.grid_pos.flatten(0, 1)
            pixels = self.transformer(pixels, w[:, :-1], grid, positions if self.use_pos else None)
            x = pixels.transpose(1, 2).reshape(x.shape)
        if self.local_noise:
            x = x + self.noise_const * self.noise_strength
        return x if self.biasAct is None else self.biasAct(x)


class ToRGBLayer(Network):
    def __init__(self, inputs, channels, y_dim, style=True):
        super().__init__()
        self.affine = FullyConnectedLayer(y_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.biasAct = BiasActLayer(channels, "linear")
        self.style = style

    def forward(self, x, w):
        weight = self.weight / math.sqrt(x.shape[1])
        x = modulated(x, weight, self.affine(w[:, -1]), demodulate=False) if self.style else convolved(x, weight)
        return self.biasAct(x)


class SynthesisBlock(Network):
    def __init__(self, inputs, outputs, w_dim, resolution, channels, is_last, architecture, style, **options):
        super().__init__()
        self.architecture, self.is_stem, self.is_last = architecture, not inputs, is_last
        self.register_buffer("resample_kernel", FILTER.clone())
        shared = {"y_dim": w_dim, "resolution": resolution, "style": style, **options}
        gain = math.sqrt(0.5) if architecture == "resnet" else 1.0
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, up=True, **shared)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, gain=gain if inputs else 1.0, **shared)
        if is_last or architecture == "skip":
            self.torgb = ToRGBLayer(outputs, channels, w_dim, style)
        if inputs and architecture == "resnet":
            self.skip = Conv2dLayer(inputs, outputs, 1, bias=False, up=True, gain=gain)
        if is_last:
            plain = {**shared, "transformer": False, "bias": False, "local_noise": False}
            self.conv_last = SynthesisLayer(outputs, outputs, **plain)
        self.num_conv = (1 if self.is_stem else 2) + is_last

    def forward(self, x, image, ws, positions):
        ws = iter(ws)
        if self.is_stem:
            w = next(ws)
            x = self.conv1(self.const[None].expand(len(w), -1, -1, -1), w, positions)
        else:
            before = x
            x = self.conv1(self.conv0(x, next(ws), positions), next(ws), positions)
            if self.architecture == "resnet":
                x = self.skip(before) + x
        if image is not None:
            image = upsampled(image)
        if self.is_last:
            x = self.conv_last(x, next(ws), positions)
        if self.is_last or self.architecture == "skip":
            colours = self.torgb(x, next(ws))
            image = colours if image is None else image + colours
        return x, image


def channels_at(resolution, base=32768, most=512):
    return min(base // resolution, most)


class SynthesisNetwork(Network):
    def __init__(self, w_dim, k, resolution, channels, channel_base=32768, channel_max=512, **options):
        super().__init__()
        transformer, start, end = (
            options.pop(name, default) for name, default in (("transformer", False), ("start_res", 0), ("end_res", 20))
        )
        architecture, style = options.pop("architecture", "skip"), options.pop("style", True)
        self.resolutions = [2**power for power in range(2, int(math.log2(resolution)) + 1)]
        for power, size in enumerate(self.resolutions, start=2):
            inputs = channels_at(size // 2, channel_base, channel_max) if size > 4 else 0
            block = SynthesisBlock(
                inputs,
                channels_at(size, channel_base, channel_max),
                w_dim,
                size,
                channels,
                is_last=size == resolution,
                architecture=architecture,
                style=style,
                k=k,
                transformer=transformer and start <= power < end,
                **options,
            )
            setattr(self, f"b{size}", block)
        self.num_ws = sum(getattr(self, f"b{size}").num_conv for size in self.resolutions) + 1

    def forward(self, ws, positions):
        """ws: one [B, k, D] for each layer."""
        x, image = None, None
        for size in self.resolutions:
            block = getattr(self, f"b{size}")
            x, image = block(x, image, ws, positions)
            ws = ws[block.num_conv :]
        return image


class Generator(Network):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        size, k, labels = arguments["z_dim"], arguments["k"], arguments.get("c_dim", 0)
        self.pos = nn.Parameter(torch.rand(k - 1, size)) if k > 1 else None
        self.synthesis = SynthesisNetwork(
            size, k, arguments["img_resolution"], arguments["img_channels"], **arguments["synthesis_kwargs"]
        )
        self.mapping = MappingNetwork(size, labels, k, **arguments["mapping_kwargs"])

    def forward(self, z, labels, psi=1.0):
        w = self.mapping(z, labels, self.pos)
        w = self.mapping.w_avg + psi * (w - self.mapping.w_avg)
        return self.synthesis([w] * self.synthesis.num_ws, self.pos)


class DiscriminatorBlock(Network):
    def __init__(self, inputs, outputs, channels, is_first, architecture):
        super().__init__()
        self.architecture = architecture
        self.register_buffer("resample_kernel", FILTER.clone())
        gain = math.sqrt(0.5) if architecture == "resnet" else 1.0
        self.has_colours = is_first or architecture == "skip"
        if self.has_colours:
            self.fromrgb = Conv2dLayer(channels, inputs, 1, act="lrelu")
        self.conv0 = Conv2dLayer(inputs, inputs, 3, act="lrelu")
        self.conv1 = Conv2dLayer(inputs, outputs, 3, act="lrelu", down=True, gain=gain)
        if architecture == "resnet":
            self.skip = Conv2dLayer(inputs, outputs, 1, bias=False, down=True, gain=gain)

    def forward(self, x, image):
        if self.has_colours:
            x = self.fromrgb(image) + (0 if x is None else x)
            image = downsampled(image)
        y = self.conv1(self.conv0(x))
        return (self.skip(x) + y if self.architecture == "resnet" else y), image


class DiscriminatorEpilogue(Network):
    def __init__(self, size, labels, channels, architecture, mbstd_group_size=4, mbstd_num_channels=1):
        super().__init__()
        self.group = mbstd_group_size
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(channels, size, 1, act="lrelu")
        self.conv = Conv2dLayer(size + 1, size, 3, act="lrelu")
        self.fc = FullyConnectedLayer(size * 16, size, "lrelu")
        self.out = FullyConnectedLayer(size, max(labels, 1))
        self.is_labelled, self.architecture = labels > 0, architecture

    def forward(self, x, image, labels):
        x = x + self.fromrgb(image) if self.architecture == "skip" else x
        x = self.out(self.fc(self.conv(with_deviation(x, self.group)).flatten(1)))
        return (x * labels).sum(dim=1, keepdim=True) if self.is_labelled else x


class Discriminator(Network):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        architecture, channels = arguments.get("architecture", "resnet"), arguments["img_channels"]
        limits = arguments.get("channel_base", 32768), arguments.get("channel_max", 512)
        self.resolutions = [2**power for power in range(int(math.log2(arguments["img_resolution"])), 2, -1)]
        for size in self.resolutions:
            inputs, outputs = channels_at(size, *limits), channels_at(size // 2, *limits)
            block = DiscriminatorBlock(inputs, outputs, channels, size == self.resolutions[0], architecture)
            setattr(self, f"b{size}", block)
        self.b4 = DiscriminatorEpilogue(
            channels_at(4, *limits),
            arguments.get("c_dim", 0),
            channels,
            architecture,
            **arguments.get("epilogue_kwargs", {}),
        )

    def forward(self, image, labels):
        x = None
        for size in self.resolutions:
            x, image = getattr(self, f"b{size}")(x, image)
        return self.b4(x, image, labels)
