"""Writing networks as torch_utils.persistence pickles them, so that the official code rebuilds them with its classes.

A pickle of that module holds source code, which its reader executes. In ours it is `SOURCE`: it imports the networks
of the code that reads the file, builds one with the arguments in the file, and fills it with the values in the file.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganformer.interop.persistence import VERSION

PROTOCOL = 3
"""The newest pickle protocol without frames, so that pickles can be put together; it holds bytes as they are."""

SOURCE = '''
"""Networks whose values come from a pickle of the Python package ganformer; their code is that of the reader."""

import torch

try:  # StyleGAN3's code has them there
    from training import networks_stylegan2 as networks
    is_later = True
except ImportError:
    from training import networks
    is_later = False


def _become(network, kind, state):
    arguments = dict(state["_init_kwargs"])
    if is_later:
        arguments.update(arguments.pop("synthesis_kwargs", {}))
    network.__class__ = kind  # so that it is pickled again as any other network of that code
    network.__init__(**arguments)
    own = dict(network.named_parameters())
    own.update(network.named_buffers())
    with torch.no_grad():
        for name, value in state["_buffers"].items():
            own[name].copy_(value)
    network.eval().requires_grad_(False)


class Generator(networks.Generator):
    def __setstate__(self, state):
        _become(self, networks.Generator, state)


class Discriminator(networks.Discriminator):
    def __setstate__(self, state):
        _become(self, networks.Discriminator, state)
'''


def pickled(networks: Mapping[str, "Network | None"], others: Mapping[str, Any]) -> bytes:
    """Return the pickle of a dict of networks and plain values; None: a network that is not there.

    In its place is torch.nn.Identity, since the official code wants some module.
    """
    absent = _part(torch.nn.Identity())
    parts = [_part(name) + (absent if network is None else network.part()) for name, network in networks.items()]
    parts += [_part(name) + _part(value) for name, value in others.items()]
    start = pickle.PROTO + bytes([PROTOCOL]) + pickle.EMPTY_DICT
    return start + b"".join(part + pickle.SETITEM for part in parts) + pickle.STOP


class Network:
    """A network of class `name` ("Generator" or "Discriminator"): the arguments it is built with, and its values."""

    def __init__(self, name: str, arguments: Mapping[str, Any], values: Mapping[str, Tensor]) -> None:
        self.name, self.arguments, self.values = name, arguments, values

    def part(self) -> bytes:
        """Return opcodes that call torch_utils.persistence with it."""
        state = {
            "_init_args": (),
            "_init_kwargs": dict(self.arguments),
            "_parameters": {},
            "_buffers": {name: value.detach().clone() for name, value in self.values.items()},
            "_modules": {},
        }
        meta = {"type": "class", "version": VERSION, "module_src": SOURCE, "class_name": self.name, "state": state}
        function = pickle.GLOBAL + b"torch_utils.persistence\n_reconstruct_persistent_obj\n"
        return function + _part(meta) + pickle.TUPLE1 + pickle.REDUCE


def _part(value: Any) -> bytes:
    """Return the opcodes of a value.

    Each part numbers what it repeats from 0, and repeats nothing of another part, so parts can follow each other.
    """
    stream = io.BytesIO()
    pickle.Pickler(stream, PROTOCOL).dump(value)
    return stream.getvalue()[2 : -len(pickle.STOP)]
