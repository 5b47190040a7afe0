"""Importing a snapshot of the official code, whichever it is."""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.errors import CheckpointError, UserError, listed
from ganformer.interop import (
    bmsg,
    imported,
    kinds,
    published,
    pytorch,
    rosinality,
    strangers,
    stylegan2_ada,
    taming,
    tensorflow,
    torch_file,
    unpickler,
)
from ganformer.interop.imported import Imported

ZIP = b"PK\x03\x04"
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch.save wrote before it wrote zip archives
PACKAGES = ("pytorch_lightning", "argparse")  # whose objects are beside weights and do not matter
MAX_LISTED_NAMES, MAX_NAME_LENGTH = 3, 40  # names in a message, and letters of each
READ_KINDS = (
    "GANformer (PyTorch or TensorFlow), StyleGAN2 (StyleGAN2-ADA for PyTorch, StyleGAN3's code, rosinality's "
    "stylegan2-pytorch), BMSG-GAN, Taming Transformers"
)


def bring(snapshot: str, out: Path, cache: Path, sha256: str | None = None) -> list[str]:
    """Import a snapshot, fetched into `cache` first if it is in Google Drive; return lines that say what it is.

    Raises what `published.located` and `import_snapshot` do.
    """
    path = published.located(snapshot, cache)
    found = import_snapshot(path, out, sha256, published.address(snapshot))
    return [
        f"{out}: {found.origin}, images of {found.image.width}×{found.image.height} pixels",
        *(f"  note: {note}" for note in found.notes),
    ]


def import_snapshot(path: Path, out: Path, sha256: str | None = None, address: str = "") -> Imported:
    """Write a snapshot as a run into the folder `out`: everything or, after an error, nothing.

    `sha256` (hex): what the file must be; `address`: where it was fetched, for the record. Raises CheckpointError if
    the file is another one, is damaged, asks for code to be executed, or holds what no model here is equal to.
    """
    check_digest(path, sha256)
    snapshot = read(path)
    imported.write(snapshot, path, out, address)
    return snapshot


def check_digest(path: Path, sha256: str | None) -> None:
    """Raise CheckpointError if the file cannot be read, or its sha256 is another one than given."""
    try:
        found = artifacts.file_digest(path)
    except OSError as error:
        raise kinds.refusal(path, f"cannot be read ({error.strerror})") from error
    if sha256 is not None and found != sha256.lower():
        raise CheckpointError(
            f"{path}: is not the file that was asked for: its sha256 is {found}, expected {sha256}; fetch it again, or "
            "correct --sha256"
        )


def read(path: Path) -> Imported:
    """Read a snapshot and translate it into settings and weights of our models."""
    try:
        return _read(path)
    except UserError:
        raise
    except (AttributeError, IndexError, KeyError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be imported: is built otherwise than snapshots of {READ_KINDS} are "
            f"({type(error).__name__}: {reason})"
        ) from error


def _read(path: Path) -> Imported:
    with path.open("rb") as file:
        beginning = file.read(len(TORCH))
    if beginning.startswith(ZIP):
        _check_zip(path)
    if beginning.startswith((ZIP, TORCH)):
        content = torch_file.load(path, PACKAGES)
        return _reader_of_weights(content, path)(content, path)
    try:
        content = unpickler.load(path)
        return _reader(content, path)(content, path)
    except CheckpointError as error:
        if (program := strangers.pickled_by(path)) is not None:
            raise _strange(path, program) from error
        raise


def _strange(path: Path, program: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: is of {program}, and no model here is equal to its networks; importable files are of {READ_KINDS}. "
        "Nothing in it was executed"
    )


def _check_zip(path: Path) -> None:
    """Raise CheckpointError if a zip archive is none that torch.save wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path}: is a damaged zip archive ({error}); fetch it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path}: is a program of TorchScript, not a snapshot of {READ_KINDS}")
    if any(name.endswith("/data.pkl") for name in names):
        return
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path}: holds arrays of numpy (npz), and no snapshot")
    raise CheckpointError(f"{path}: is a zip archive without a snapshot; unpack it and import what is in it")


def _reader_of_weights(content: Any, path: Path) -> Callable[[Any, Path], Imported]:
    """Return the reader of what torch.save saved."""
    if isinstance(content, Mapping):
        if (program := strangers.saved_by(content)) is not None:
            raise _strange(path, program)
        readers: Sequence[tuple[Callable[[Mapping[Any, Any]], bool], Callable[[Any, Path], Imported]]] = (
            (taming.is_one, taming.read),
            (rosinality.is_one, rosinality.read),
            (bmsg.is_one, bmsg.read),
        )
        for is_one, read_it in readers:
            if is_one(content):
                return read_it
    raise CheckpointError(f"{path}: holds {_held(content)}, and no snapshot of {READ_KINDS}")


def _held(content: Any) -> str:
    """Describe the contents of a file in a few words."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    if isinstance(state := content.get("state_dict"), Mapping):
        return f"a state_dict with {_listed(state)}"
    return _listed(content)


def _listed(content: Mapping[Any, Any]) -> str:
    return listed((str(name)[:MAX_NAME_LENGTH] for name in content), MAX_LISTED_NAMES) or "nothing"


def _reader(content: Any, path: Path) -> Callable[[Any, Path], Imported]:
    """Return the reader of a pickle."""
    if isinstance(content, Mapping) and "Gs" in content:
        return pytorch.read
    if isinstance(content, Mapping) and "G_ema" in content:
        return stylegan2_ada.read
    if isinstance(content, tuple) and len(content) == 3:
        return tensorflow.read
    raise CheckpointError(f"{path}: is a pickle, but no snapshot of {READ_KINDS}")
