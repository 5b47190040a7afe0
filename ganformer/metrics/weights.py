"""Weights of published networks: taken only from files that are known, in whichever layout they were published.

The name of a number depends on the network, so a file is recognised by its sha256, not by its name or place. Archives
of TorchScript are programs with tensors; the tensors are read without executing any of the program.
"""

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganformer import artifacts
from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, DataError
from ganformer.interop import torch_file, unpickler
from ganformer.training.state import Shapes, refuse_misfit, shapes

SETTING = "evaluation.extractor.weights"


@dataclass(frozen=True)
class File:
    """A file in which a network was published."""

    name: str
    sha256: str
    urls: tuple[str, ...]
    """Mirrors."""
    names: Mapping[str, str]
    """Names of tensors in the file, by their names in the network, which may have more."""


@dataclass(frozen=True)
class Published:
    """A network and the files that hold it."""

    title: str
    files: tuple[File, ...]
    """The first is fetched, unless the name of another is asked for."""
    shapes: Shapes
    """Facts about every tensor, by its name in the network."""


def fetch(network: Published, path: Path) -> None:
    """Fetch the weights if there is no file at `path`; DataError if they cannot be had."""
    path = artifacts.placed(path)
    if path.exists():
        return
    file = next((file for file in network.files if file.name == path.name), network.files[0])
    try:
        download.fetch(download.Remote(path.name, file.urls, sha256=file.sha256), path.parent)
    except DataError as error:
        raise DataError(
            f"{error}\nThese are the weights of {network.title}; if you have {_names(network)} elsewhere, name its "
            f"place in {SETTING}"
        ) from error


def load(network: Published, path: Path) -> dict[str, Tensor]:
    """Return the weights, float32, by their names in the network, fetched first where the file is missing.

    Raises DataError if they cannot be fetched, CheckpointError, which names the difference, if the file is
    none of those known.
    """
    fetch(network, path)
    path = artifacts.placed(path)
    try:
        digest = artifacts.file_digest(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); correct {SETTING}") from error
    file = next((file for file in network.files if file.sha256 == digest), None)
    if file is None:
        known = " or ".join(f"{file.sha256} of {file.name}" for file in network.files)
        raise CheckpointError(
            f"{path}: is not {network.title}: {_difference(network, path)} (sha256 {digest}, expected {known}); delete "
            f"it to have it fetched again, or correct {SETTING}"
        )
    state = read(path)
    _refuse_misfit(network, file, state, f"{path}: the file")
    return {name: state[theirs].float() for name, theirs in file.names.items()}


def _difference(network: Published, path: Path) -> str:
    """Return the difference between an unknown file and the network whose layout is closest to it."""
    try:
        state = read(path)
        file = max(network.files, key=lambda file: len(state.keys() & set(file.names.values())))
        _refuse_misfit(network, file, state, "its content")
    except CheckpointError as error:
        return str(error).removeprefix(f"{path}: ").partition("; fetch it again")[0]
    return "its tensors have the right names and shapes, but other values"


def _refuse_misfit(network: Published, file: File, state: Mapping[str, Tensor], where: str) -> None:
    expected = {theirs: network.shapes[name] for name, theirs in file.names.items()}
    found = shapes({name: tensor for name, tensor in state.items() if name in expected} or state)
    refuse_misfit(expected, found, where)


def _names(network: Published) -> str:
    return " or ".join(file.name for file in network.files)


# ------------------------------------------------------------------------------------------------- foreign files


def read(path: Path) -> dict[str, Tensor]:
    """Return every tensor by its name, of a state dict or of an archive of TorchScript; nothing in it is executed.

    Raises CheckpointError if it is damaged, asks for objects that no weights need, or holds no tensors by name.
    """
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                if constants := next((name for name in archive.namelist() if name.endswith("/constants.pkl")), None):
                    return _Script(archive, constants.removesuffix("constants.pkl")).tensors()
        except Exception as error:  # whatever reading a damaged or hostile archive comes to
            raise CheckpointError(
                f"{path}: its tensors cannot be read ({error or type(error).__name__}), and nothing in it was "
                "executed; fetch it again"
            ) from error
    elif _begins_archive(path):
        raise CheckpointError(f"{path}: is damaged, it ends too early; fetch it again")
    state = torch_file.load(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds something else than tensors by name")
    return dict(state)


def _begins_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


@dataclass(frozen=True)
class _Script:
    """An archive of TorchScript: `data.pkl` in `folder` is the tree of modules, `data` has the numbers of tensors."""

    archive: zipfile.ZipFile
    folder: str

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by its name."""
        stream = io.BytesIO(self.archive.read(f"{self.folder}data.pkl"))
        # Tuples could nest so deeply that Python, computing a hash of one, has no stack left.
        if sum("TUPLE" in opcode.name for opcode, _, _ in pickletools.genops(stream)) > unpickler.TUPLES:
            raise pickle.UnpicklingError(f"it has more than {unpickler.TUPLES} tuples, which no weights need")
        stream.seek(0)
        return dict(_walk(_ScriptUnpickler(stream, self.storage).load(), ""))

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """Return the numbers of a storage; there must be as many as the tree states, lest a small file fill memory."""
        name = f"{self.folder}data/{key}"
        if self.archive.getinfo(name).file_size != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"{name} is not of {count} numbers")
        content = bytearray(self.archive.read(name))
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


class _Inert:
    """A part of torch whose value does not matter to weights."""

    __slots__ = ()

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class _Scripted(_Inert):
    """A module: its tensors and the modules in it, by name."""

    __slots__ = ("attributes",)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a module's state is no dict")
        self.attributes = state


class _Storage(_Inert):
    """A kind of storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


STORAGES = {
    "BoolStorage": _Storage(torch.bool),
    "ByteStorage": _Storage(torch.uint8),
    "DoubleStorage": _Storage(torch.float64),
    "FloatStorage": _Storage(torch.float32),
    "HalfStorage": _Storage(torch.float16),
    "IntStorage": _Storage(torch.int32),
    "LongStorage": _Storage(torch.int64),
}


class _ScriptUnpickler(unpickler.Unpickler):
    """Makes of an archive's tree `_Scripted` modules and `unpickler.Held` tensors, and of anything else nothing."""

    def __init__(self, stream: io.BytesIO, storage: Callable[[str, torch.dtype, int], Tensor]) -> None:
        super().__init__(stream)
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the part that stands for a name."""
        if module.partition(".")[0] == "__torch__":
            return _Scripted
        if module == "torch.jit._pickle":  # lists of numbers, with the type of their items
            return _Inert
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> unpickler.Held:  # type: ignore[override]
        """Return the numbers of a storage; where they were kept, such as on a GPU, does not matter."""
        match pid:
            case ("storage", _Storage() as kind, str(key), _, int(count)):
                return unpickler.Held(self.storage(key, kind.dtype, count))
        raise pickle.UnpicklingError("it asks for something else than numbers of a tensor")


def _walk(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, unpickler.Held):
        yield name, value.tensor
    elif isinstance(value, _Scripted):
        for attribute, part in value.attributes.items():
            yield from _walk(part, f"{name}.{attribute}" if name else str(attribute))
