"""Record of the files that commands wrote into a folder, which protects all other files there."""

from collections.abc import Iterable
from pathlib import Path

from ganformer import artifacts
from ganformer.errors import DataError, listed
from ganformer.records.written import WRITTEN_FILE as NAME
from ganformer.records.written import WrittenFiles


class Ledger:
    """Names of our files in `folder`: from the record there, and `known` names from another record."""

    def __init__(self, folder: Path, known: Iterable[str] = ()) -> None:
        self.folder = folder
        recorded = WrittenFiles.find(folder / NAME)
        self.names = {*known, *(recorded.files if recorded else ())}

    def claim(self, names: Iterable[str]) -> None:
        """Record these files before they are written; DataError, and none is recorded, if one is not ours."""
        new = [name for name in names if name not in self.names]
        self.refuse(new)
        if new:
            self.names.update(new)
            self._write()

    def refuse(self, names: Iterable[str]) -> None:
        """Raise DataError if one of these files exists and is not ours."""
        theirs = [name for name in names if name not in self.names and _exists(self.folder / name)]
        if theirs:
            raise DataError(
                f"{self.folder}: has {listed(theirs)}, which no earlier call wrote and this one would "
                "replace; choose another output folder, or move these files away"
            )

    def clear(self, first: str) -> None:
        """Make the folder, and remove our files from it, also temporary files of a killed process.

        `first`: the file to remove first, without which the others count as unfinished.
        """
        with artifacts.may_write(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write()
            for path in sorted(self.folder.iterdir(), key=lambda path: path.name != first):
                if path.name in self.names or artifacts.of_temporary(path.name) in {*self.names, NAME}:
                    path.unlink()
        self.names = set()
        (self.folder / NAME).unlink(missing_ok=True)

    def _write(self) -> None:
        WrittenFiles(files=sorted(self.names)).write(self.folder / NAME)


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
