"""Importing a snapshot of the official code, whichever it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.errors import CheckpointError, UserError
from ganformer.interop import imported, pytorch, stylegan2_ada, tensorflow, unpickler
from ganformer.interop.imported import Imported


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
    """CheckpointError where the file's sha256 is another one than given."""
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
    content = unpickler.load(path)
    try:
        return _reader(content, path)(content, path)
    except UserError:
        raise
    except (AttributeError, IndexError, KeyError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be imported: is built otherwise than snapshots are ({type(error).__name__}: {error})"
        ) from error


def _reader(content: Any, path: Path) -> Callable[[Any, Path], Imported]:
    if isinstance(content, Mapping) and {"G", "D", "Gs"} <= content.keys():
        return pytorch.read
    if isinstance(content, Mapping) and {"G", "D", "G_ema"} <= content.keys():
        return stylegan2_ada.read
    if isinstance(content, tuple) and len(content) == 3:
        return tensorflow.read
    raise CheckpointError(f"{path}: is a pickle, but no snapshot")
