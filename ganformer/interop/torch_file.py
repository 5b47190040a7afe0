"""Reading what torch.save wrote without executing anything in it."""

import pickle
import pickletools
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, serialization

from ganformer.interop import kinds

LEGACY_PICKLES = 4  # that torch before 1.6 wrote one behind the other; the last is of the content


class Inert:
    """Stand-in for a class of a library that is not needed to read weights: holds nothing, does nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


def load(path: Path, ignored: Collection[str] = ()) -> Any:
    """Read a file of weights; classes of the packages `ignored` become `Inert`.

    Raises CheckpointError if it is damaged or asks for anything but weights; nothing in it is executed.
    """
    try:
        unneeded = [name for name in _asked(path) if name.partition(".")[0] in ignored]
        with serialization.safe_globals([(Inert, name) for name in unneeded]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever reading a damaged or hostile file comes to
        raise kinds.refusal(path, _reason(error)) from error


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without what DataParallel puts before the names of what it holds."""
    return {re.sub(r"(?:^|(?<=\.))module\.", "", name): value for name, value in state.items()}


def _asked(path: Path) -> Iterator[str]:
    """Yield names of all that the file asks for beside weights."""
    if zipfile.is_zipfile(path):
        yield from serialization.get_unsafe_globals_in_checkpoint(path)
        return
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    yield str(argument).replace(" ", ".")


def _reason(error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and asked:
        return f"refused, it asks for {asked[1]!r}, which no state dict needs; nothing in it was executed"
    return f"is damaged or was not written by torch.save ({str(error).partition(chr(10))[0]}); fetch it again"
