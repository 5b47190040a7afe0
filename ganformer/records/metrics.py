"""Files of measured values: metrics.json and files of its form, comparisons of two sets, and best.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ganformer import artifacts
from ganformer.config import ImageSpec
from ganformer.errors import DataError
from ganformer.records.base import Claim, JsonRecord, Part
from ganformer.records.run import RunName


class Value(Part):
    """Measured number, with the name that it has on these features (`fd_random_vgg16`)."""

    name: str
    value: float
    by: str | None = None
    """Kind of the network of its features, if that is not the recipe's extractor."""


class Recipe(Part):
    """Settings that values depend on. Only fields that are read are defined; a file holds more."""

    extractor: Mapping[str, Any]
    extractors: Mapping[str, Mapping[str, Any]] = {}
    """Extractors of single metrics."""
    second: Mapping[str, Any] | None = None
    """Second network and its metrics."""
    images: int
    """Number of generated images."""
    mirrored: bool = False
    seed: int = 0
    repeats: int = 1
    path_length: Mapping[str, Any] | None = None
    pairs: int = 0
    real_images: int | None = None
    image: ImageSpec | None = None
    """Shape of the images that the run makes."""
    picture: tuple[int, int] | None = None
    """Rows and columns that are measured."""
    measures: Mapping[str, Mapping[str, Any]] = {}
    """Settings of each metric."""
    accuracy: Mapping[str, float] | None = None
    """Accuracy of the parser of objects that read the images."""
    compared: int = 0

    @property
    def network(self) -> str:
        """Kind of the extractor or parser."""
        return str(self.extractor["kind"])


class Reals(Part):
    """Real images that were measured against: sha256 of their pack's data."""

    data_sha256: str


class Subject(JsonRecord):
    """Part of a record of measured values that is known before measuring."""

    KIND: ClassVar[str] = "record of measured values"

    run: RunName
    step: int
    kimg: float
    weights_sha256: str
    recipe: Mapping[str, Any]
    """Settings as they were written; see `how`."""
    reference: Reals | None = None
    diverged_kimg: float | None = None
    """Thousands of images after which the run diverged, if it did before this snapshot: the weights are those of the
    snapshot before."""

    @property
    def how(self) -> Recipe:
        """Recipe, checked."""
        return Recipe.model_validate(self.recipe)

    def is_measured(self, out: Path, *, is_silent: bool = False) -> bool:
        """Return whether the file `out` is of this subject, so that it stays; prints so unless `is_silent`."""
        return artifacts.is_kept(out, artifacts.read_existing(out), self.content(), is_silent=is_silent)

    def measured(
        self,
        values: Mapping[str, Value],
        *,
        seconds: float,
        hardware: Mapping[str, Any],
        **details: Any,
    ) -> "Measured":
        """Return the record of these values; `details`: further fields of `Measured`."""
        known: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        code = artifacts.code_version()
        return Measured(**known, values=values, seconds=seconds, code=code, hardware=hardware, **details)


class Measured(Subject):
    """Values of a snapshot of a run."""

    values: Mapping[str, Value]
    """Values by their keys (`fd`); standard deviations end with `_std`."""
    seconds: float | None = None
    code: Mapping[str, Any] = {}
    hardware: Mapping[str, Any] = {}
    real: Mapping[str, float] | None = None
    """Scene statistics: distances of real images from other real images."""
    chance: Mapping[str, float] | None = None
    """Attention segments: level of chance; `best`: layer and component chosen; `shown`: images with the class."""
    best: Mapping[str, Mapping[str, int]] | None = None
    shown: Mapping[str, int] | None = None

    def data_sha256(self, path: Path) -> str:
        """Return sha256 of the data measured against; DataError if the record, read from `path`, has none."""
        if self.reference is None:
            raise DataError(f"{path}: has no 'reference.data_sha256', so it is no complete {self.KIND}; {self.REMEDY}")
        return self.reference.data_sha256


class ValuesClaim(Claim):
    """Fields of all files of measured values."""

    values: Mapping[str, Any]
    recipe: Mapping[str, Any]


class ComparedSet(Part):
    """Set of images that was compared; each kind of set has some of these fields."""

    kind: str
    """"run", "pack", "statistics", "reference", or the kind of a source."""
    path: str | None = None
    images: int | None
    """Number of images; None: unknown."""
    data_sha256: str | None = None
    mirrored: bool = False
    """True if statistics are over all images and their mirror images."""
    layout: str | None = None
    """Program whose files of statistics look so, if their extractor is unknown."""
    left_out: Mapping[str, int] = {}
    """Number of files of the source that are no images, by kind."""
    run: RunName | None = None
    image: Mapping[str, Any] | None = None
    """Shape of the images that the run makes."""
    step: int | None = None
    weights_sha256: str | None = None
    seeds: tuple[int, int] | None = None
    """First and last seed."""
    truncation: None = None
    extractor: Mapping[str, Any] | None = None
    """Settings of the extractor of its features; None: unknown."""


class ComparisonRecipe(Part):
    """Settings that the values of a comparison depend on."""

    extractor: Mapping[str, Any] | None
    """None: all features come from files that do not name it."""
    metrics: Sequence[str]
    measures: Mapping[str, Mapping[str, Any]]
    """Settings of each metric."""
    left_out: Mapping[str, str]
    """Reason for each metric that was not measured."""
    picture: tuple[int, int] | None
    """Rows and columns that were measured; None: no images were at hand."""
    real: ComparedSet
    fake: ComparedSet


class Comparison(JsonRecord):
    """Values of one set of images measured against another."""

    KIND: ClassVar[str] = "record of a comparison"

    values: Mapping[str, Value]
    recipe: ComparisonRecipe
    seconds: float
    code: Mapping[str, Any]
    hardware: Mapping[str, Any]


class Best(JsonRecord):
    """best.json: the measured snapshot of a run with the best value."""

    KIND: ClassVar[str] = "record of a best snapshot"

    run: RunName
    step: int
    kimg: float
    by: Value
    weights: str
    weights_sha256: str
    measured: Mapping[str, float]
    """Value of each snapshot, by its step."""


def plain_values(values: Mapping[str, float]) -> dict[str, Value]:
    """Return values whose names are their keys."""
    return {name: Value(name=name, value=value) for name, value in values.items()}
