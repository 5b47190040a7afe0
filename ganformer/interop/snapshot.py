"""Importing a snapshot of the official code, whichever it is."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.errors import CheckpointError, UserError
from ganformer.interop import bmsg, imported, pytorch, stylegan2_ada, taming, tensorflow, unpickler
from ganformer.interop.imported import Imported

ZIP = b"PK\x03\x04"
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch.save wrote before it wrote zip archives
STATE = b"state_dict"  # where checkpoints of PyTorch Lightning keep weights
LARGEST = 1 << 26  # bytes of the pickle in a zip archive that are looked at
READ = "GANformer (PyTorch or TensorFlow), StyleGAN2-ADA (PyTorch), BMSG-GAN, Taming Transformers"


def import_snapshot(path: Path, out: Path, sha256: str | None = None) -> Imported:
    """Writes a snapshot as a run into the folder `out`: everything or, after an error, nothing.

    `sha256` (hex): what the file must be. Raises CheckpointError where the file is another one, is damaged, asks for
    code to be executed, or holds what no model here is equal to.
    """
    check_digest(path, sha256)
    snapshot = read(path)
    imported.write(snapshot, path, out)
    return snapshot


def check_digest(path: Path, sha256: str | None) -> None:
    """CheckpointError where the file cannot be read, or its sha256 is another one than given."""
    try:
        found = artifacts.file_digest(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if sha256 is not None and found != sha256.lower():
        raise CheckpointError(
            f"{path}: is not the file that was asked for: its sha256 is {found}, expected {sha256}; fetch it again, or "
            "correct --sha256"
        )


def read(path: Path) -> Imported:
    """What a snapshot holds, in our terms."""
    try:
        return _read(path)
    except UserError:
        raise
    except (AttributeError, IndexError, KeyError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be imported: is built otherwise than snapshots of {READ} are "
            f"({type(error).__name__}: {reason})"
        ) from error


def _read(path: Path) -> Imported:
    with path.open("rb") as file:
        beginning = file.read(64)
    if beginning.lstrip()[:1] == b"<":
        raise CheckpointError(
            f"{path}: is a web page, not a snapshot; servers answer with one where a file is not to be had: fetch it "
            "again, with a browser if need be"
        )
    if beginning.startswith(TORCH):
        return taming.read(path) if path.suffix == ".ckpt" else bmsg.read(path)
    if beginning.startswith(ZIP):
        return taming.read(path) if STATE in _zipped(path) else bmsg.read(path)
    content = unpickler.load(path)
    return _reader(content, path)(content, path)


def _zipped(path: Path) -> bytes:
    """The pickle in a zip archive that torch.save wrote, as it is; CheckpointError where it is any other archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    return archive.open(name).read(LARGEST)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path}: is a damaged zip archive ({error}); fetch it again") from error
    raise CheckpointError(f"{path}: is a zip archive without a snapshot; unpack it and import what is in it")


def _reader(content: Any, path: Path) -> Callable[[Any, Path], Imported]:
    if isinstance(content, Mapping) and {"G", "D", "Gs"} <= content.keys():
        return pytorch.read
    if isinstance(content, Mapping) and {"G", "D", "G_ema"} <= content.keys():
        return stylegan2_ada.read
    if isinstance(content, tuple) and len(content) == 3:
        return tensorflow.read
    raise CheckpointError(f"{path}: is a pickle, but no snapshot of {READ}")
