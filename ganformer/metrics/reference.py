"""File with the statistics of a data set's real images."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganformer import artifacts
from ganformer.errors import DataError
from ganformer.metrics.statistics import CPU, Observed
from ganformer.records.npz import ReferenceFacts

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
        facts = ReferenceFacts(
            title=self.observed.title,
            count=self.observed.count,
            extractor=self.extractor,
            mirrored=self.mirrored,
            data_sha256=self.data_sha256,
            code=artifacts.code_version(),
        )
        facts.write(path, {NAMES.get(name, name): array for name, array in self.observed.arrays.items()})

    @classmethod
    def read(cls, path: Path, device: torch.device = CPU) -> "Reference":
        """Read what `write` wrote, for measures on a device; DataError if it is missing or something else."""
        if not path.exists():
            raise DataError(f"{path}: there are no reference statistics here; make them first")
        facts, found = ReferenceFacts.read(path)
        names = {theirs: name for name, theirs in NAMES.items()}
        arrays = {names.get(name, name): array for name, array in found.items()}
        observed = Observed(facts.title, facts.count, arrays, device)
        return cls(observed, facts.extractor, facts.mirrored, facts.data_sha256)

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
                f"{where}: is of the data {self.data_sha256[:12]}…, not of the pack named, "
                f"{data_sha256[:12]}…; make it again from that pack"
            )
        missing = sorted(needed - set(self.observed.arrays))
        if missing:
            raise DataError(
                f"{where}: has no {', '.join(missing)}, which the metrics need; make it again with the present settings"
            )
