"""Common parts of the official code bases, written from their description: plain, one image at a time, their names.

Tests make snapshots of these networks in the official formats, and compare what they compute with what we import.
"""

import contextlib
import math
import pickle
import sys
import types

import torch
import torch.nn.functional as F
from torch import nn

FILTER = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64
VERSION = 6  # of torch_utils.persistence
NEVER = "raise SystemExit('the source code in a snapshot was executed')"


# ---------------------------------------------------------------------------------------------- operations


def lrelu(x, gain=1.0, clamp=None):
    x = F.leaky_relu(x, 0.2) * math.sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def normalised(x, dims):
    return x / (x.square().mean(dim=dims, keepdim=True) + 1e-8).sqrt()


def filtered(x, before, after, gain=1.0):
    """Return x padded and convolved with the filter."""
    channels = x.shape[1]
    kernel = (FILTER * gain).expand(channels, 1, 4, 4)
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=channels)


def with_zeros(x):
    """Return x with a zero behind every pixel and every row."""
    grown = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    grown[:, :, ::2, ::2] = x
    return grown


def upsampled(x):
    return filtered(with_zeros(x), 2, 1, gain=4)


def downsampled(x):
    return filtered(x, 1, 1)[:, :, ::2, ::2]


def convolved(x, weight, up=False, down=False):
    if weight.shape[-1] == 1:
        x = F.conv2d(downsampled(x) if down else x, weight)
        return upsampled(x) if up else x
    if up:
        return filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 1, gain=4)
    if down:
        return F.conv2d(filtered(x, 2, 2), weight, stride=2)
    return F.conv2d(x, weight, padding=1)


def modulated(x, weight, styles, demodulate, up=False):
    """Return every image convolved with weights of its own."""
    images = []
    for image, style in zip(x, styles, strict=True):
        own = weight * style[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        images.append(convolved(image[None], own, up=up))
    return torch.cat(images)


def with_deviation(x, group):
    """Return mean deviation within groups of a batch as one more channel."""
    group = min(group, len(x))
    y = x.reshape(group, -1, *x.shape[1:])
    y = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, y.repeat(group).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], dim=1)


# ------------------------------------------------------------------------------------------------- modules


class Network(nn.Module):
    """A part with the official class's name, which snapshots of it say; `arguments` built it."""

    def __init__(self, **arguments):
        super().__init__()
        self._init_args = ()
        self._init_kwargs = arguments


class FullyConnectedLayer(Network):
    def __init__(self, inputs, outputs, act="linear", lrmul=1.0, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lrmul)
        self.bias = nn.Parameter(bias + torch.randn(outputs) * 0.3 / lrmul)
        self.act, self.lrmul = act, lrmul

    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        x = x @ (self.weight * self.lrmul / math.sqrt(shape[-1])).T + self.bias * self.lrmul
        x = lrelu(x) if self.act == "lrelu" else x
        return x.reshape(*shape[:-1], -1)


# ---------------------------------------------------------------------------------------------- persistence


def _reconstruct_persistent_obj(meta):
    raise AssertionError(meta)


class EasyDict(dict):
    """Container of arguments in snapshots."""


PROTOCOLS = (2, 3, 4, 5)
OLD = 3  # the newest protocol that Python 3.7 writes where none is asked for, with numpy of that time


def in_protocols(variants):
    """Return pairs of a variant and the protocol it is pickled in: the first one in all of them, the others in turn."""
    first, *others = variants
    turns = [(name, PROTOCOLS[index % len(PROTOCOLS)]) for index, name in enumerate(others)]
    return [*((first, protocol) for protocol in PROTOCOLS), *turns]


def aged(content, protocol):
    """Return a pickle of today as it was written at the time of the protocol: numpy has renamed a module since."""
    return content.replace(b"cnumpy._core.", b"cnumpy.core.") if protocol <= OLD else content


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict.__module__ = "dnnlib.util"


class _Persistent:
    def __init__(self, meta):
        self.meta = meta

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,)


@contextlib.contextmanager
def official_modules(**names):
    """Let pickle find names in modules that are not installed: {"module": {"name": object}}."""
    before = dict(sys.modules)
    for module, content in names.items():
        sys.modules[module] = types.ModuleType(module)
        vars(sys.modules[module]).update(content)
    try:
        yield
    finally:
        for module in names:
            sys.modules.pop(module)
        sys.modules.update({name: module for name, module in before.items() if name in names})


def dumped(value, protocol=4):
    """Return a pickle of networks and other values in the format of torch_utils.persistence."""
    modules = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
    }
    with official_modules(**modules):
        return aged(pickle.dumps(_persistent(value), protocol=protocol), protocol)


def persistent(name, state, source=NEVER):
    """Return what a network of class `name`, whose module is this source code, is pickled as."""
    return _Persistent({"type": "class", "version": VERSION, "module_src": source, "class_name": name, "state": state})


def _persistent(value):
    if isinstance(value, Network):
        state = {**vars(value), "_init_kwargs": _persistent(value._init_kwargs)}
        state["_modules"] = {name: _persistent(part) for name, part in value._modules.items()}
        return persistent(type(value).__name__, state)
    if isinstance(value, dict):
        return EasyDict({name: _persistent(entry) for name, entry in value.items()})
    return value
