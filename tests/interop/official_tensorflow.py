"""GANformer's TensorFlow networks, written from their description: variables by their names, computed with torch.

Variables are made where they are first used, as TensorFlow makes them, so that a network is its description.
"""

import math
import pickle

import numpy as np
import torch
import torch.nn.functional as F

from tests.interop.official import (
    NEVER,
    EasyDict,
    aged,
    downsampled,
    filtered,
    lrelu,
    normalised,
    official_modules,
    upsampled,
    with_deviation,
)
from tests.interop.official import with_zeros as spread
from tests.interop.official_pytorch import positions_of

# B batch, F image positions, T components, C channels, D size of a component


class Variables:
    """Random values by name; `scope` leads into one part of the names."""

    def __init__(self, values=None, prefix=""):
        self.values, self.prefix = {} if values is None else values, prefix

    def scope(self, name):
        return Variables(self.values, f"{self.prefix}{name}/")

    def get(self, name, *shape, spread=1.0, mean=0.0):
        name = self.prefix + name
        if name not in self.values:
            self.values[name] = mean + spread * torch.randn(shape)
        return self.values[name]


def dense(v, x, outputs, name="", lrmul=1.0, act="linear", weight="weight", bias="bias"):
    weight, bias = (f"{kind}_{name}" if name else kind for kind in (weight, bias))
    shape, inputs = x.shape, x.shape[-1]
    x = x.reshape(-1, inputs) @ v.get(weight, inputs, outputs, spread=1 / lrmul) * (lrmul / math.sqrt(inputs))
    x = x + v.get(bias, outputs, spread=0.3 / lrmul) * lrmul
    return (lrelu(x) if act == "lrelu" else x).reshape(*shape[:-1], outputs)


def correlated(x, kernel, up=False):
    """Return images x with kernel [k, k, I, O]; doubled ones are spread out first."""
    weight = kernel.permute(3, 2, 0, 1)
    if not up:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    if weight.shape[-1] == 1:
        return upsampled(F.conv2d(x, weight))
    return filtered(F.conv2d(F.pad(spread(x), (2, 1, 2, 1)), weight), 1, 1, gain=4)


def scaled(v, inputs, outputs, size):
    return v.get("weight", size, size, inputs, outputs) / math.sqrt(inputs * size**2)


def modulated(v, x, style, outputs, size, modulate, demodulate=True, up=False):
    kernel = scaled(v, x.shape[1], outputs, size)
    styles = dense(v, style, x.shape[1], weight="mod_weight", bias="mod_bias") + 1
    if not modulate:
        return correlated(x, kernel, up)
    images = []
    for image, row in zip(x, styles, strict=True):
        own = kernel * row[:, None]
        own = own / (own.square().sum(dim=(0, 1, 2)) + 1e-8).sqrt() if demodulate else own
        images.append(correlated(image[None], own, up))
    return torch.cat(images)


def attended(
    v,
    x,
    y,
    x_positions,
    y_positions,
    channels,
    o,
    kmeans=False,
    kmeans_iters=1,
    integration="add",
    norm=None,
    from_gate=False,
    to_gate=False,
):
    heads = o["num_heads"]

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    content = dense(v, x, channels, "query")
    keys, values = dense(v, y, channels, "key"), split(dense(v, y, channels, "value"))
    queries = content if x_positions is None else content + dense(v, x_positions, channels, "from_pos")
    keys = keys if y_positions is None else keys + dense(v, y_positions, channels, "to_pos")
    scores, size = split(queries) @ split(keys).transpose(2, 3), channels // heads
    elements = split(torch.cat([content, queries - content], dim=-1))
    if kmeans:
        centroids = v.get("toasgn_init", 1, heads, y.shape[1], 2 * size).expand(len(x), -1, -1, -1)
    weights = None
    for iteration in range(kmeans_iters):
        if kmeans:
            if iteration:
                centroids = (weights / (weights.sum(dim=2, keepdim=True) + 1e-8)).transpose(2, 3) @ elements
            own = v.scope(f"iter_{iteration}").get("st_weights", heads, 1, 2 * size, spread=o["st_spread"], mean=1.0)
            scores = (elements * own) @ centroids.transpose(2, 3)
        scores = scores / math.sqrt(size)
        weights = scores.softmax(dim=-1)
    if to_gate:
        weights = weights * gated(v, y, y_positions, heads, "e", 0)[:, :, None]
    if from_gate:
        weights = weights * gated(v, x, x_positions, heads, "n", 1)[..., None]
    outputs = channels * (2 if integration == "both" else 1)
    control = dense(v, (weights @ values).transpose(1, 2).flatten(2), outputs, "out")
    axis = 1 if norm == "instance" else 2
    if norm is not None:
        x = x - x.mean(dim=axis, keepdim=True) if integration != "mul" else x
        x = normalised(x, axis) if integration != "add" else x
    gain, bias = control.chunk(2, dim=-1) if integration == "both" else (control, control)
    x = x if integration == "add" else x * (gain + 1)
    return x if integration == "mul" else x + bias


def gated(v, x, positions, heads, name, bias):
    """[B, heads, n]."""
    gate = dense(v, x, heads, f"{name}_cont") + bias
    gate = gate if positions is None else gate + dense(v, positions, heads, f"{name}_pos")
    return gate.sigmoid().transpose(1, 2)


def mlp(v, x, o, attend=None):
    lrmul, size = o["mapping_lrmul"], x.shape[-1]
    if not o["mapping_resnet"]:
        for index in range(o["layers"]):
            x = dense(v.scope(f"Dense{index}"), x, size, lrmul=lrmul, act="lrelu")
        return x
    for index in range(o["layers"] // 2):
        before = x
        x = attend(v.scope(f"AttLayer_{index}"), x) if attend else x
        x = dense(v.scope(f"Dense{index}_0"), x, size, lrmul=lrmul, act="lrelu")
        x = F.leaky_relu(dense(v.scope(f"Dense{index}_1"), x, size, lrmul=lrmul) + before, 0.2)
    return dense(v.scope(f"Dense{index}"), x, size, lrmul=lrmul, act="lrelu")


def mapped(v, z, positions, o):
    """Return z [B, k, D] → w [B, k, D]."""

    def attend(v, x):
        return attended(v, x, x, positions, positions, x.shape[-1], o)

    if not o["transformer"]:
        return mlp(v, normalised(z, 2), o)
    local = mlp(v, normalised(z[:, :-1], 2), o, attend if o["mapping_ltnt2ltnt"] else None)
    return torch.cat([local, mlp(v.scope("global"), z[:, -1], o)[:, None]], dim=1)


def channels_at(power, o):
    return int(min(o["base"] // 2 ** (power - 1), o["most"]))


def synthesised(v, ws, positions, o):
    """ws: one [B, k, D] for each of 2 log₂ r − 1 layers."""
    last, size = int(math.log2(o["resolution"])), ws[0].shape[-1]
    for power in range(last + 1):
        table(v.scope(f"pos_emb{power}"), 2**power, size, o)

    def layer(v_layer, x, index, up=False):
        power = (index + 5) // 2
        w, channels = ws[index + 1], channels_at(power, o)
        x = modulated(v_layer, x, w[:, -1], channels, 3, o["style"], up=up)
        if o["transformer"] and o["start_res"] <= power < o["end_res"]:
            grid = table(v.scope(f"pos_emb{power}"), 2**power, size, o).flatten(0, 1)
            special = {name: o[name] for name in ("kmeans", "kmeans_iters", "integration", "norm")}
            special |= {"from_gate": o.get("img_gate"), "to_gate": o.get("ltnt_gate")}
            pixels, latents = x.flatten(2).transpose(1, 2), w[:, :-1]
            place = v_layer.scope("AttLayer_l2n")
            pixels = attended(place, pixels, latents, grid, positions, channels, o, **special)
            x = pixels.transpose(1, 2).reshape(x.shape)
        noise = v.get(f"noise{index}", 1, 1, *x.shape[2:])
        if o["local_noise"]:
            x = x + noise * v_layer.get("noise_strength", spread=0.3)
        return lrelu(x + v_layer.get("bias", channels, spread=0.3)[:, None, None])

    def colours(v, x, image, power):
        if power == last and o["transformer"] and power <= o["end_res"]:
            style = ws[2 * power - 3][:, -1]
            x = modulated(v.scope("extraLayer"), x, style, channels_at(power, o), 3, o["style"])
        x = modulated(v, x, ws[2 * power - 2][:, -1], o["num_channels"], 1, o["style"], demodulate=False)
        x = x + v.get("bias", o["num_channels"], spread=0.3)[:, None, None]
        return x if image is None else image + x

    stem, image = v.scope("4x4"), None
    x = stem.scope("Const").get("const", 1, channels_at(2, o), 4, 4).expand(len(ws[0]), -1, -1, -1)
    x = layer(stem.scope("Conv"), x, 0)
    if o["architecture"] == "skip":
        image = colours(stem.scope("ToRGB"), x, image, 2)
    for power in range(3, last + 1):
        block, before = v.scope(f"{2**power}x{2**power}"), x
        x = layer(block.scope("Conv0_up"), x, 2 * power - 5, up=True)
        x = layer(block.scope("Conv1"), x, 2 * power - 4)
        if o["architecture"] == "resnet":
            kernel = scaled(block.scope("Skip"), before.shape[1], x.shape[1], 1)
            x = (x + correlated(before, kernel, up=True)) / math.sqrt(2)
        image = None if image is None else upsampled(image)
        if o["architecture"] == "skip" or power == last:
            image = colours(block.scope("ToRGB"), x, image, power)
    return image


def table(v, size, dims, o):
    """Return positions [size, size, dims] of the pixels; tables exist also for sizes that do not attend."""
    if o["pos_type"] == "trainable2d":
        return v.get("emb", size, size, dims)
    if o["pos_type"] == "trainable":
        columns, rows = v.get("x_emb", size, dims // 2), v.get("y_emb", size, dims // 2)
        return torch.cat([columns[None].expand(size, -1, -1), rows[:, None].expand(-1, size, -1)], dim=2)
    if o["pos_type"] == "linear":
        count = o["pos_directions_num"]
        slopes, line = v.get("emb", count, dims // count), torch.linspace(-1, 1, size)
        angles = torch.arange(count) * math.pi / count
        lengths = line[None, :, None] * angles.cos() + line[:, None, None] * angles.sin()  # s s n
        return (lengths[..., None] * slopes).flatten(2)
    return positions_of(size, dims, "sinus", o["pos_directions_num"])[0]


class Generator:
    """Options as they stand in snapshots; `layers`, `base` and `most` under the names of the time."""

    defaults = {"num_heads": 1, "transformer": False, "use_pos": False, "mapping_resnet": False, "style": True} | {
        "mapping_ltnt2ltnt": False,
        "mapping_lrmul": 0.01,
        "architecture": "skip",
        "local_noise": True,
        "kmeans": False,
        "kmeans_iters": 1,
        "integration": "add",
        "norm": None,
        "pos_type": "sinus",
        "pos_directions_num": 2,
        "start_res": 0,
        "end_res": 20,
        "num_channels": 3,
    }

    def __init__(self, options, names, st_spread=0.0):
        """`names`: what layers, base, most and the sizes of latents are called."""
        self.options, self.v = options, Variables()
        short = {short: options[name] for short, name in names.items()}
        self.o = {**self.defaults, **options, **short, "st_spread": st_spread}
        self.size, self.components = self.o["size"], options["components_num"]
        self.v.get("ltnt_emb/emb", self.components, self.size)
        self.v.get("dlatent_avg", self.size)
        self(torch.randn(1, self.k, self.size))

    @property
    def k(self):
        return self.components + self.o["transformer"]

    @property
    def num_ws(self):
        return 2 * int(math.log2(self.o["resolution"])) - 1

    def __call__(self, z, psi=1.0):
        w = mapped(self.v.scope("mapping"), z, self.positions, self.o)
        average = self.v.get("dlatent_avg")
        return self.synthesise([average + psi * (w - average)] * self.num_ws)

    def synthesise(self, ws):
        return synthesised(self.v.scope("synthesis"), ws, self.positions, self.o)

    @property
    def positions(self):
        return self.v.get("ltnt_emb/emb") if self.o["use_pos"] else None


class Discriminator:
    """Options as they stand in snapshots."""

    def __init__(self, options, names):
        short = {short: options[name] for short, name in names.items() if short in ("base", "most")}
        self.options, self.v = options, Variables()
        self.o = {"architecture": "resnet", "num_channels": 3, "mbstd_group_size": 4, **options, **short}
        if options.get("use_pos"):
            self.v.get("ltnt_emb/emb", options["components_num"], 8)  # of no use
        self(torch.randn(4, self.o["num_channels"], options["resolution"], options["resolution"]))

    def __call__(self, image):
        o, x, last = self.o, None, int(math.log2(self.o["resolution"]))

        def from_colours(v, x, image, power):
            y = convolved(v.scope("FromRGB"), image, channels_at(power, o), 1)
            return y if x is None else x + y

        for power in range(last, 2, -1):
            v = self.v.scope(f"{2**power}x{2**power}")
            if o["architecture"] == "skip" or power == last:
                x = from_colours(v, x, image, power)
            before = x
            x = convolved(v.scope("Conv0"), x, channels_at(power, o), 3)
            x = convolved(v.scope("Conv1_down"), x, channels_at(power - 1, o), 3, down=True)
            if o["architecture"] == "resnet":
                kernel = scaled(v.scope("Skip"), before.shape[1], x.shape[1], 1)
                x = (x + correlated(downsampled(before), kernel)) / math.sqrt(2)
            image = downsampled(image)
        v = self.v.scope("4x4")
        if o["architecture"] == "skip":
            x = from_colours(v, x, image, 2)
        x = convolved(v.scope("Conv"), with_deviation(x, o["mbstd_group_size"]), channels_at(2, o), 3)
        x = dense(v.scope("Dense0"), x.flatten(1), channels_at(1, o), act="lrelu")
        return dense(self.v.scope("Output"), x, 1)


def convolved(v, x, outputs, size, down=False):
    kernel = scaled(v, x.shape[1], outputs, size)
    x = F.conv2d(filtered(x, 2, 2), kernel.permute(3, 2, 0, 1), stride=2) if down else correlated(x, kernel)
    return lrelu(x + v.get("bias", outputs, spread=0.3)[:, None, None])


# --------------------------------------------------------------------------------------------------- pickle


VERSION = 4  # of dnnlib.tflib


class Network:
    """Return the pickled state."""

    def __init__(self, name, static_kwargs, variables, components):
        self.state = {
            "version": VERSION,
            "name": name,
            "static_kwargs": EasyDict(static_kwargs),
            "components": EasyDict(components),
            "build_module_src": NEVER,
            "build_func_name": name,
            "variables": variables,
        }

    def __getstate__(self):
        return self.state


Network.__module__ = "dnnlib.tflib.network"


def as_network(network):
    """Return a network as TensorFlow's code pickles it: a part of its own for each sub-network."""
    variables = {name: value.numpy() if value.ndim else np.float32(value) for name, value in network.v.values.items()}
    name, parts = type(network).__name__, ("mapping", "synthesis") if isinstance(network, Generator) else ()
    components = {
        part: Network(
            f"G_{part}",
            network.options,
            [
                (name.removeprefix(f"{part}/"), value)
                for name, value in variables.items()
                if name.startswith(f"{part}/")
            ],
            {},
        )
        for part in parts
    }
    own = [(name, value) for name, value in variables.items() if name.partition("/")[0] not in parts]
    return Network(name, network.options, own, components)


def dumped(networks, protocol=4):
    """Return a pickle of G, D and Gs."""
    modules = {
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": Network},
    }
    with official_modules(**modules):
        return aged(pickle.dumps(tuple(as_network(network) for network in networks), protocol=protocol), protocol)
