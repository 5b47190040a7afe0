"""Detection of files that were named as weights but are something else, so that refusals can name it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganformer.data.decoding import START, recognise, signatures
from ganformer.errors import CheckpointError
from ganformer.records.run import RUN_FILE
from ganformer.training.checkpoint import METADATA

POINTER = b"version https://git-lfs"
HEADER = 8  # bytes at the start of a safetensors file that give the length of its JSON
MAX_HEADER_BYTES = 100 << 20  # of that JSON, as the format has it
TAR = slice(257, 262)  # where a tar archive says what it is

PACKED: Mapping[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
"""First bytes of compressed files, and the program that unpacks them."""

OTHERS: Mapping[bytes, str] = {
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it and name what is in it",
    b"Rar!": "is a RAR archive; unpack it and name what is in it",
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, as Keras writes weights; no such file is read",
    b"\x93NUMPY": "is an array of numpy (npy), and no file of weights",
    b"GGUF": "is a GGUF file; no such file is read",
}


def refusal(path: Path, otherwise: str) -> CheckpointError:
    """Return the error that says what the file is instead of weights, or `otherwise` where that is not known."""
    return CheckpointError(f"{path}: {described(path) or otherwise}")


def described(path: Path) -> str | None:
    """Describe a file or folder that is no snapshot, and what to do; None if it is of no known kind."""
    return disguised(path) or _safetensors(path)


def disguised(path: Path) -> str | None:
    """Return the same of all but safetensors, which are weights and no snapshots."""
    if path.is_dir():
        return _folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(TAR.stop)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not start:
        return "is empty; fetch it again"
    if start.startswith(POINTER):
        return signatures.refusal(start)
    if start.lstrip()[:1] == b"<":
        return "is a web page, as servers send where a file is not to be had; fetch it again, with a browser if need be"
    for signature, (name, tool) in PACKED.items():
        if start.startswith(signature):
            return f"is compressed by {name}; unpack it first, e.g. with {tool}, and name what comes out"
    if path.suffix == ".onnx":
        return "is an ONNX graph, which cannot be turned into a network; import the snapshot that it was made from"
    if start[TAR] == b"ustar":
        return "is a tar archive; unpack it and name what is in it"
    if (other := next((what for signature, what in OTHERS.items() if start.startswith(signature)), None)) is not None:
        return other
    if (picture := recognise(start[:START])) is not None:
        return f"is a picture ({picture}), and no file of weights"
    return None


def _folder(path: Path) -> str:
    if (path / RUN_FILE).exists():
        return "is the folder of a run, which needs no import; name it where weights are asked for, e.g. --weights"
    return "is a folder; name a file in it"


def _safetensors(path: Path) -> str | None:
    """Return the same for safetensors; None if it is no such file. A run's own weights are told by what they say."""
    with path.open("rb") as file:
        start = file.read(HEADER + 1)
    length = int.from_bytes(start[:HEADER], "little")
    if start[HEADER:] != b"{" or length > MAX_HEADER_BYTES:
        return None
    header = _header(path, length)
    if header is None:
        return "is a safetensors file that ends too early; copy or fetch it again"
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or METADATA not in metadata:
        return "is a safetensors file; no network that can be imported is published in one, so no such file is read"
    if (path.parent / RUN_FILE).exists():
        return f"holds weights of a run, which needs no import; name its folder as --weights: {path.parent}"
    return f"holds weights of a run, which needs no import but its {RUN_FILE}; put that beside it and name its folder"


def _header(path: Path, length: int) -> dict[str, Any] | None:
    """Return the header of a safetensors file; None if the file is incomplete."""
    with path.open("rb") as file:
        file.seek(HEADER)
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError):
            return None
    return header if path.stat().st_size == HEADER + length + max(ends, default=0) else None
