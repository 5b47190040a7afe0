"""The file that holds what is known of a data set's real images."""

import json
import zipfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.metrics.statistics import Observed

FORMAT = 2
# What arrays are called in the file, where that is not their name: pytorch-fid reads these two.
NAMES = {"mean": "mu", "covariance": "sigma"}


@dataclass(frozen=True)
class Reference:
    """Real images, and their mirror images where they are `mirrored`, as an extractor with these settings sees them.

    `data_sha256` names their data.
    """

    observed: Observed
    extractor: Mapping[str, Any]
    mirrored: bool
    data_sha256: str

    def write(self, path: Path) -> None:
        """Write an npz of the arrays and of `about`, a JSON text with all the rest.

        Mean and covariance are its `mu` and `sigma`, so that whatever reads pytorch-fid's statistics reads them.
        """
        about = {
            "format": FORMAT,
            "title": self.observed.title,
            "count": self.observed.count,
            "extractor": self.extractor,
            "mirrored": self.mirrored,
            "data_sha256": self.data_sha256,
            "code": artifacts.code_version(),
        }
        arrays = {NAMES.get(name, name): array for name, array in self.observed.arrays.items()}
        content: dict[str, Any] = {"about": np.array(json.dumps(about)), **arrays}
        with artifacts.atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **content)

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Read what `write` wrote; DataError where it is missing or something else."""
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                names = {theirs: name for name, theirs in NAMES.items()}
                arrays = {names.get(name, name): file[name] for name in file.files if name != "about"}
        except FileNotFoundError as error:
            raise DataError(f"{path}: there are no reference statistics here; make them first") from error
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: is not a file of reference statistics; delete it and run again") from error
        if about["format"] != FORMAT:
            raise DataError(f"{path}: is of format {about['format']!r}, format {FORMAT} was expected; make it again")
        observed = Observed(about["title"], about["count"], arrays)
        return cls(observed, about["extractor"], about["mirrored"], about["data_sha256"])

    def check(
        self, where: Path, extractor: Mapping[str, Any], mirrored: bool, data_sha256: str, needed: Set[str]
    ) -> None:
        """DataError, naming the file `where`, unless it is of this extractor and pack and holds the arrays `needed`."""
        if self.extractor != extractor:
            raise DataError(
                f"{where}: was measured with the extractor {artifacts.canonical(self.extractor)}, not with "
                f"{artifacts.canonical(extractor)}; make it again with the present settings"
            )
        if self.mirrored != mirrored:
            images = {False: "the images as they are", True: "all images and their mirror images"}
            raise DataError(
                f"{where}: is of {images[self.mirrored]}, not of {images[mirrored]}; make it again with the present "
                "settings"
            )
        if self.data_sha256 != data_sha256:
            raise DataError(
                f"{where}: is of the data {self.data_sha256[:12]}…, not of those of the pack named, "
                f"{data_sha256[:12]}…; make it again from that pack"
            )
        missing = sorted(needed - set(self.observed.arrays))
        if missing:
            raise DataError(
                f"{where}: has no {', '.join(missing)}, which the metrics need; make it again with the present settings"
            )
