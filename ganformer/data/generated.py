"""Record of one call that generated images into a folder: settings, and whether it was finished."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.errors import ConfigError, DataError, listed
from ganformer.records.generated import GENERATED_FILE, GeneratedCall, GeneratedImages


class Record:
    """Record in `folder` of a call; `call` identifies it by settings, weights and form of the images.

    `begin` and `finish` write it; an interrupted call stays unfinished.
    """

    def __init__(self, folder: Path, call: GeneratedCall) -> None:
        self.folder = folder
        self.call, self.content = call, call.content()

    def begin(self) -> None:
        """Make the folder. ConfigError if images of another call or files of somebody else are in it.

        A call that was interrupted before its first image left only its record, which any other call replaces.
        """
        with artifacts.may_write(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        found = artifacts.read_existing(self.folder / GENERATED_FILE)
        names = sorted(path.name for path in self.folder.iterdir() if path.name[0] != ".")
        if found is None:
            self._refuse(names)
        elif not (self._is_only_begun(names) or artifacts.agrees(found, self.content)):
            raise ConfigError(
                f"{self.folder}: holds images of another call ({self._differences(found)}), among which these would be "
                "lost; choose another folder"
            )
        self._write(is_complete=False)

    def finish(self) -> None:
        """Write that the call was finished."""
        self._write(is_complete=True)

    def _write(self, *, is_complete: bool) -> None:
        settings: dict[str, Any] = {name: getattr(self.call, name) for name in self.call.model_fields_set}
        made = GeneratedImages(**settings, is_complete=is_complete, code=artifacts.code_version())
        made.write(self.folder / GENERATED_FILE)

    def _is_only_begun(self, names: Sequence[str]) -> bool:
        known = GeneratedImages.find(self.folder / GENERATED_FILE)
        return names == [GENERATED_FILE] and known is not None and not known.is_complete

    def _refuse(self, others: Sequence[str]) -> None:
        if others:
            raise ConfigError(
                f"{self.folder}: has {listed(others)}, which no earlier call of generate recorded; "
                "choose a new or an empty folder"
            )

    def _differences(self, found: Any) -> str:
        if not isinstance(found, Mapping):
            return f"{GENERATED_FILE} is none of ours"
        keys = [key for key, value in self.content.items() if not artifacts.agrees(found.get(key), value)]
        return listed(f"{key} {found.get(key)}, now {self.content[key]}" for key in keys)


def check(folder: Path) -> None:
    """Raise DataError if images were generated into a folder, and not all of them are there or others too."""
    found = GeneratedImages.find(folder / GENERATED_FILE)
    if found is None:
        return
    pictures = sum(1 for _ in folder.glob("seed*.png"))
    if not found.is_complete:
        raise DataError(
            f"{folder}: generating was interrupted ({pictures:,} of {found.count:,} images are there); run the same "
            "`ganformer generate` again, or delete the folder"
        )
    if "pictures" in found.form and pictures != found.count:
        raise DataError(
            f"{folder}: has {pictures:,} pictures called seed….png, but {found.count:,} were generated; generate "
            f"them again, or delete {GENERATED_FILE} if these are the ones that are meant"
        )
