"""Reading pickles of official snapshots without executing anything in them.

A pickle is a program that may call whatever it names. Here every name that snapshots need stands for a harmless part
of this file, and any other is refused. What comes out is plain values, `Held` tensors, and the `Persistent` and
`TensorFlowNetwork` objects that the official code would have made by executing source code in the file.
"""

# A pickle can call what it names (REDUCE, NEWOBJ) and hand a state to whatever it holds (BUILD). The parts below check
# their arguments, and all have a `__setstate__`, without which BUILD would set any attribute, also of classes.

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ganformer.interop import kinds

SCALARS = {"b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}  # kinds of numbers that arrays may hold
TUPLES = 50_000  # in one pickle; a snapshot has some thousand
STORAGE_PICKLES = 5  # that torch.save wrote before the numbers of a storage
MAX_NAME_LENGTH = 100  # characters of a name in a message


def load(path: Path) -> Any:
    """Load a snapshot's pickle; CheckpointError if it is damaged or asks for anything that is not allowed."""
    try:
        stream = io.BytesIO(path.read_bytes())
        _check_depth(stream)
        return Unpickler(stream).load()
    except _RefusedError as error:
        # bytes of another format may ask for anything
        raise kinds.refusal(path, f"refused, {error}; nothing in it was executed") from None
    except Exception as error:  # whatever reading a damaged pickle comes to
        reason = str(error).partition("\n")[0][:MAX_NAME_LENGTH] or type(error).__name__
        raise kinds.refusal(path, f"is damaged or no pickle ({reason}); fetch it again") from error


def _check_depth(stream: io.BytesIO, pickles: int = 1) -> None:
    """Refuse pickles that could nest tuples so deeply that Python, computing a hash of one, has no stack left."""
    for _ in range(pickles):
        if sum("TUPLE" in opcode.name for opcode, _, _ in pickletools.genops(stream)) > TUPLES:
            raise _RefusedError(f"it has more than {TUPLES} tuples, which no snapshot needs")
    stream.seek(0)


class _RefusedError(pickle.UnpicklingError):
    """A pickle asks for something that no snapshot needs; the message says for what."""


class Unpickler(pickle.Unpickler):
    """Finds only the parts in `ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the part that stands for a name."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(
                f"it asks for {f'{module}.{name}'[:MAX_NAME_LENGTH]!r}, which no snapshot needs"
            ) from None

    def persistent_load(self, pid: Any) -> NoReturn:
        """Return snapshots keep nothing outside of the pickle."""
        raise _RefusedError("it asks for something outside of it, which no snapshot needs")


def _refuse(what: str) -> NoReturn:
    raise _RefusedError(f"it misuses {what}")


# ------------------------------------------------------------------------------------------- what comes out


class Held:
    """A tensor; held, so that nothing in the pickle can reach the tensor itself."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __setstate__(self, state: Any) -> None:
        _refuse("a tensor")


class Persistent:
    """Object that torch_utils.persistence would rebuild by executing source code: `meta` has class and arguments."""

    __slots__ = ("meta",)

    def __init__(self, meta: Any) -> None:
        if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
            _refuse("torch_utils.persistence")
        self.meta = meta

    def __setstate__(self, state: Any) -> None:
        _refuse("torch_utils.persistence")


class TensorFlowNetwork:
    """A dnnlib.tflib.Network: `state` holds static_kwargs, variables and components, and source code, not executed."""

    __slots__ = ("state",)
    state: Mapping[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            _refuse("dnnlib.tflib.network.Network")
        self.state = state


class _Module:
    """A part of torch without weights."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Ignore the state: nothing that is read here depends on it."""


class Absent(_Module):
    """torch.nn.Identity, which stands for a network that is not there in snapshots written by this project."""

    __slots__ = ()


# ------------------------------------------------------------------------------------------ how it is made


class _Function:
    """Stand-in for a function, which the pickle can call and nothing else."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        _refuse("a function")


class _Dtype:
    """A numpy.dtype of plain numbers; its state says the byte order."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any, *options: Any) -> None:
        if name not in SCALARS:
            _refuse("numpy.dtype: arrays of anything but numbers are not read")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            _refuse("numpy.dtype")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(Held):
    """A numpy.ndarray, empty until its state says what is in it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            _refuse("numpy.ndarray")
        _, shape, dtype, is_fortran, content = state
        self.tensor = _numbers(content, dtype, shape, "F" if is_fortran is True else "C").tensor


def _reconstruct(subtype: Any, shape: Any, typecode: Any) -> _Array:
    if subtype is not _NDARRAY:
        _refuse("numpy.ndarray")
    return _Array(torch.empty(0))


def _numbers(content: Any, dtype: Any, shape: Any, order: Any) -> Held:
    """Return the array of these bytes; its numbers must be exactly as many as its shape says."""
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype) or not _are_sizes(shape):
        _refuse("numpy.ndarray: arrays of anything but numbers are not read")
    if order not in ("C", "F") or math.prod(shape) * dtype.dtype.itemsize != len(content):
        _refuse("numpy.ndarray: its bytes do not fit its shape")
    array = np.frombuffer(content, dtype.dtype).reshape(shape, order=order)
    return Held(torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True)))


def _scalar(dtype: Any, content: Any) -> Any:
    return _numbers(content, dtype, (), "C").tensor.item()


def _load_from_bytes(content: Any) -> Held:
    """Return the numbers that a storage of torch saved, one-dimensional; torch allows weights only in it."""
    if not isinstance(content, bytes) or content.startswith(b"PK"):  # a zip could hold far more than its size
        _refuse("torch.storage")
    stream = io.BytesIO(content)
    _check_depth(stream, STORAGE_PICKLES)
    try:
        storage = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        _refuse(
            f"torch.storage, with a pickle in the pickle that asks for {asked[1] if asked else 'what is no weight'!r}"
        )
    if not isinstance(storage, torch.storage.TypedStorage):
        _refuse("torch.storage")
    flat = torch.empty(0, dtype=storage.dtype)
    return Held(flat.set_(storage._untyped_storage))


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *options: Any) -> Held:
    """Return the part of a storage that is one tensor; one with repeated or missing numbers is refused."""
    if not isinstance(storage, Held) or not _are_sizes((offset,)) or not _are_sizes(size) or not _are_sizes(stride):
        _refuse("torch._utils._rebuild_tensor_v2")
    count, flat = math.prod(size), storage.tensor.flatten()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
    if last >= max(flat.numel(), 1) or count > flat.numel():
        _refuse("torch._utils._rebuild_tensor_v2: the tensor does not fit its storage")
    return Held(flat.as_strided(size, stride, offset))


def _rebuild_parameter(data: Any, *options: Any) -> Held:
    if not isinstance(data, Held):
        _refuse("torch._utils._rebuild_parameter")
    return data


def _set(content: Any) -> set[Any]:
    """Return a set as protocols below 4 write it."""
    if not isinstance(content, list):
        _refuse("set")
    return set(content)


def _encode(text: Any, encoding: Any) -> bytes:
    """Return bytes as protocol 2 writes them: each is the letter of its number."""
    if not isinstance(text, str) or encoding != "latin1":
        _refuse("_codecs.encode")
    return text.encode("latin1")


def _bytes(*content: Any) -> bytes:
    """Return empty bytes, as protocol 2 writes them."""
    if content:
        _refuse("bytes")
    return b""


def _bytearray(content: Any = b"", encoding: Any = "latin-1") -> bytearray:
    """Return an array of bytes as protocols below 5 write it; a number would ask for as much memory."""
    if isinstance(content, str) and encoding == "latin-1":
        content = content.encode("latin-1")
    if not isinstance(content, bytes):
        _refuse("bytearray")
    return bytearray(content)


def _are_sizes(sizes: Any) -> bool:
    return isinstance(sizes, tuple) and all(type(size) is int and 0 <= size < 2**48 for size in sizes)


_NDARRAY = _Function(lambda *_: _refuse("numpy.ndarray"))

ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("dnnlib.util", "EasyDict"): dict,
    ("dnnlib", "EasyDict"): dict,
    ("dnnlib.tflib.network", "Network"): TensorFlowNetwork,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Function(Persistent),
    ("torch.nn.modules.dropout", "Dropout"): _Module,
    ("torch.nn.modules.linear", "Identity"): Absent,
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("torch.storage", "_load_from_bytes"): _Function(_load_from_bytes),
    **{
        (module, name): _Function(call)
        for module in ("builtins", "__builtin__")  # in Python 3 and, as protocol 2 has it, in Python 2
        for name, call in (("set", _set), ("bytes", _bytes), ("bytearray", _bytearray))
    },
    ("_codecs", "encode"): _Function(_encode),
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    **{
        (f"numpy.{core}.{module}", name): _Function(call)
        for core in ("core", "_core")  # before and since numpy 2
        for module, name, call in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _numbers),
        )
    },
}
"""Names that a pickle may ask for, and their stand-ins, by module and name."""
