"""Headers of checkpoints and of files of weights."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from ganformer.errors import CheckpointError, UserError
from ganformer.records.base import Part, Record
from ganformer.records.run import Stretch


class History(Part):
    """Progress of a training: finished steps, and the stretches in which they were trained, in order."""

    step: int = 0
    peak_memory_mb: Mapping[str, float] = {}
    stretches: tuple[Stretch, ...] = ()

    @property
    def wall_seconds(self) -> float:
        """Duration of all stretches."""
        return sum(stretch.wall_seconds for stretch in self.stretches)


class CheckpointHeader(Record):
    """Identity and progress of the training that a checkpoint belongs to; its file also holds `learner`."""

    KIND: ClassVar[str] = "checkpoint"
    REMEDY: ClassVar[str] = "train the run again"
    ERROR: ClassVar[type[UserError]] = CheckpointError

    trajectory_sha256: str
    data_sha256: str
    history: History

    def content(self) -> dict[str, Any]:
        """Return plain values; tuples stay, as checkpoints keep them."""
        return {"format": self.FORMAT, **self.model_dump()}


class WeightsHeader(Record):
    """Metadata of a file of weights: the run that they belong to."""

    KIND: ClassVar[str] = "file of weights of a run"
    REMEDY: ClassVar[str] = "train the run again"
    ERROR: ClassVar[type[UserError]] = CheckpointError

    # Files of version 0.1.0 name the whole spec instead.
    trajectory_sha256: str = Field(validation_alias=AliasChoices("trajectory_sha256", "spec_sha256"))
    step: int = 0
