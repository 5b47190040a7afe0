"""Reading what torch.save wrote without executing anything in it."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import serialization

from ganformer.errors import CheckpointError


class Inert:
    """What stands for a class of a library that is not needed to read weights: holds nothing, does nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """What it was told does not matter."""


def load(path: Path, ignored: str | None = None) -> Any:
    """What a file of weights holds; classes of the package `ignored`, if any, become `Inert`.

    Raises CheckpointError where it is damaged or asks for anything but weights; nothing in it is executed.
    """
    try:
        with serialization.safe_globals([(Inert, name) for name in _asked(path, ignored)]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # whatever reading a damaged or hostile file comes to
        raise CheckpointError(f"{path}: {_reason(error)}") from error


def _asked(path: Path, package: str | None) -> list[str]:
    """Names of what the file asks for of a package; files that torch before 1.6 wrote are not looked into."""
    if package is None or not zipfile.is_zipfile(path):
        return []
    return [name for name in serialization.get_unsafe_globals_in_checkpoint(path) if name.partition(".")[0] == package]


def _reason(error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and asked:
        return f"refused, it asks for {asked[1]!r}, which no state dict needs; nothing in it was executed"
    return f"is damaged or was not written by torch.save ({str(error).partition(chr(10))[0]}); fetch it again"
