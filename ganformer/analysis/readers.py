"""Parsers of objects in images, for tables 2 and 3: a file for each kind, found by its name.

Each has `Config(Parsing)`, `prepare(config, dataset, out, *, threads, gpus)`, which makes `parser.json` in the folder
`out` and what belongs to it, and `load(path)`, which gives a `Reader`; `path`: a parser.json that names the kind.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ganformer import plugins
from ganformer.config import Dataset, Parsing
from ganformer.errors import CheckpointError
from ganformer.metrics.sets import ImageSet
from ganformer.records.metrics import Reals, Subject
from ganformer.records.parser import ParserClaim
from ganformer.records.run import Run

PACKAGE = "ganformer.analysis.parsers"

Record = list[dict[str, Any]]  # the objects of an image: `visible_pixels`, and the value of each attribute by its name


class Reader(Protocol):
    """Reader of the objects in images."""

    @property
    def attributes(self) -> Mapping[str, tuple[str, ...]]:
        """Attributes of each object, and their possible values."""

    @property
    def paired(self) -> tuple[str, ...]:
        """Attributes of which pairs are counted."""

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns of the images that it reads."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Its kind and settings, for records."""

    @property
    def accuracy(self) -> Mapping[str, float]:
        """Accuracy, as far as it is known."""

    def read(self, images: ImageSet, device: torch.device) -> list[Record]:
        """Return the objects in all images of a set. DataError if their shape is not the prepared one."""

    def parse(self, images: NDArray[np.uint8]) -> list[Record]:
        """Return the objects in images [n, 3, H, W]; DataError as above."""

    def segment(self, images: NDArray[np.uint8]) -> tuple[list[Record], NDArray[np.uint8]]:
        """Return the objects in images [n, 3, H, W], and the object of each pixel [n, H, W]: 0: none, i: the i-th."""


def prepare(config: Parsing, dataset: Dataset, out: Path, *, threads: int, gpus: int) -> None:
    """Make the parser of a data set: `parser.json` in the folder `out`, and its weights.

    Raises ConfigError if the settings do not fit the data set, and the errors of the kind.
    """
    plugins.find(PACKAGE, config.kind).prepare(config, dataset, out, threads=threads, gpus=gpus)


def load(path: Path) -> Reader:
    """Return the reader at `path`, its parser.json. CheckpointError if files are of something else or do not fit."""
    claim = ParserClaim.read(path)
    kind = None if claim is None else claim.kind
    kinds = plugins.names(PACKAGE)
    if kind not in kinds:
        raise CheckpointError(
            f"{path}: is no parser: its kind is {kind!r}, allowed: {', '.join(kinds)}; make it again with "
            "`ganformer step parser`"
        )
    reader: Reader = plugins.find(PACKAGE, kind).load(path)
    return reader


def origin(reader: Reader, record: Run, recipe: Mapping[str, Any], reals: str | None = None) -> Subject:
    """Return the part of a record like `metrics.json` that is known before a run's images are measured.

    `record`: the record of the run, at its end; `recipe`: settings beside the reader's own; `reals`:
    sha256 of the data that the images are compared with.
    """
    end = record.end
    known = record.diverged_before(end.kimg) | ({} if reals is None else {"reference": Reals(data_sha256=reals)})
    return Subject(
        run=record.run,
        step=end.step,
        kimg=end.kimg,
        weights_sha256=end.sha256,
        recipe={
            **recipe,
            "image": record.spec["image"],
            "extractor": reader.about,
            "accuracy": reader.accuracy,
        },
        **known,
    )
