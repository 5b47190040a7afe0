"""JSON file of a table or figure: its text for the report page, and its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ganformer import artifacts
from ganformer.records.base import JsonRecord


@dataclass(frozen=True)
class Column:
    """Column; `group` is the heading over it and its neighbours of the same group. Numbers are flush right."""

    title: str
    group: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Cell:
    """Text of a cell; `is_best` if it is the best of its column."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Block:
    """Part of a table with columns of its own, e.g. one data set; `heading` is empty if it is the only one."""

    heading: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


class Exhibit(JsonRecord):
    """Text of a table or figure; `blocks` of tables, `alt` of figures."""

    KIND: ClassVar[str] = "record of a table or figure"
    REMEDY: ClassVar[str] = "draw it again"

    exhibit: Literal["table", "figure"]
    target: str
    """Its name."""
    title: str
    caption: str
    blocks: Sequence[Block] = ()
    alt: str = ""
    """Figure in words."""
    experiment_sha256: str | None = None
    """sha256 of its settings, if `sign` added them."""
    inputs: Mapping[str, str] | None = None
    """sha256 of each input file."""

    def signed(self, experiment: str, files: Sequence[Path]) -> "Exhibit":
        """Return the record with the settings, as canonical JSON, and the files that it was drawn from."""
        known = {name: getattr(self, name) for name in self.model_fields_set if name in Exhibit.model_fields}
        inputs = {str(file): artifacts.file_digest(file) for file in files}
        return Exhibit(**{**known, "experiment_sha256": artifacts.digest(experiment), "inputs": inputs})
