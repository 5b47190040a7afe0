"""Settings of evaluation: extractors, measures, and parsers of objects in images."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveInt, SerializeAsAny, field_validator, model_validator

from ganformer import plugins
from ganformer.config.base import Name, Plugged, SettingsIn, Strict, known
from ganformer.config.data import Dataset


class Extractor(Strict):
    """A network that turns images into features. Every file in `ganformer/metrics/extractors` has its own."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights it reads; files in `results/weights` are fetched by a job of their own."""
        return ()

    @property
    def metrics(self) -> frozenset[str] | None:
        """Metrics that its features are for; None: all."""
        return None


SHORT = {
    "fid": "frechet",
    "fd": "frechet",
    "fid-infinity": "frechet-infinity",
    "is": "inception-score",
    "pr": "precision-recall",
    "dc": "density-coverage",
    "sfid": "spatial-frechet",
}
"""Metrics by the names that the field has for their values."""
SomePathLength = SerializeAsAny[Annotated[Strict, SettingsIn("ganformer.config.path_length", "PathLength")]]
AnyExtractor = SerializeAsAny[Annotated[Extractor, Plugged("ganformer.metrics.extractors")]]


SECOND = "second_"
"""Beginning of the keys of values that the second network gives: `second_fd`."""


class Second(Strict):
    """Another network that measures the same images, so that no ranking depends on a single one."""

    extractor: AnyExtractor
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)] = ("frechet", "precision-recall")
    """Names of metrics as in `evaluation.metrics`."""

    @field_validator("metrics")
    @classmethod
    def _are_known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_metrics(value)

    @model_validator(mode="after")
    def _extractor_is_of_metrics(self) -> Self:
        refuse_unfit(self.metrics, lambda _: self.extractor)
        return self


class Evaluation(Strict):
    """Settings of evaluation: measures, extractors, number of images."""

    extractor: AnyExtractor
    extractors: Mapping[Name, AnyExtractor] = {}
    """Networks of single metrics, by the names of these, where it is another one than `extractor`."""
    images: PositiveInt = 50_000
    """Number of generated images. Real statistics use the whole data set."""
    mirrored: bool = False
    """Real statistics are over all images and their mirror images."""
    metrics: tuple[Name, ...] = ("frechet", "frechet-error", "inception-score", "precision-recall")
    """File names in `ganformer/metrics/measures`, or `fid`, `is`, `pr`, `dc`, `sfid`, `fid-infinity` for them."""
    seed: Annotated[int, Field(ge=0, le=1000)] = 0
    """Offset of the generated images: their seeds begin at seed × images."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of rounds, each on other images; values are their mean. The paper: 10."""
    path_length: SomePathLength | None = None
    """Perceptual path lengths, measured where a model has paths; None: not measured."""
    second: Second | None = None
    """A second network, whose values are beside the others as `second_fd`, …; None: no second one."""

    @field_validator("metrics")
    @classmethod
    def _are_known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_metrics(value)

    @field_validator("extractors")
    @classmethod
    def _are_by_metrics(cls, value: Mapping[str, AnyExtractor]) -> Mapping[str, AnyExtractor]:
        return {SHORT.get(name, name): extractor for name, extractor in value.items()}

    @model_validator(mode="after")
    def _extractors_are_of_metrics(self) -> Self:
        for name in self.extractors:
            if name not in self.metrics:
                raise ValueError(f"extractors: '{name}' is not in metrics; {plugins.choices(name, self.metrics)}")
        refuse_unfit(self.metrics, lambda name: self.extractors.get(name, self.extractor))
        return self

    @model_validator(mode="after")
    def _second_is_another(self) -> Self:
        used = {self.extractor.kind, *(extractor.kind for extractor in self.extractors.values())}
        if self.second and self.second.extractor.kind in used:
            raise ValueError(
                f"second: measures with '{self.second.extractor.kind}' as well; choose another kind of network "
                f"than {', '.join(sorted(used))}"
            )
        return self

    @property
    def seeds(self) -> range:
        """Seeds of the generated images, in the first of several rounds."""
        return range(self.seed * self.images, (self.seed + 1) * self.images)

    def parts(self) -> dict[str, "Evaluation"]:
        """Return the part of the evaluation of each network, by a name for files that no other settings share."""
        parts: dict[str, Evaluation] = {}
        measured = [(self.extractors.get(metric, self.extractor), metric) for metric in self.metrics]
        if self.second:
            measured += [(self.second.extractor, metric) for metric in self.second.metrics]
        for extractor, metric in measured:
            name = f"{extractor.kind}-{extractor.digest[:8]}"
            before = parts[name].metrics if name in parts else ()
            # Nothing that real images do not depend on, lest they are measured again where it changes.
            parts[name] = Evaluation(
                extractor=extractor.model_dump(),  # type: ignore[arg-type]
                mirrored=self.mirrored,
                metrics=(*before, metric),
            )
        return parts

    def before(self, extractor: AnyExtractor) -> str:
        """Return the beginning of the keys of this network's values: `second_` if it is the second one, else none."""
        return SECOND if self.second and extractor == self.second.extractor else ""


def known_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of metrics, each once, with short names replaced; ValueError names unknown ones."""
    return tuple(dict.fromkeys(known(SHORT.get(name, name), "ganformer.metrics.measures") for name in names))


def refuse_unfit(names: Iterable[str], extractor: Callable[[str], Extractor]) -> None:
    """Raise ValueError if a metric is not measured with the features of its network, `extractor` of its name."""
    for name in names:
        possible = extractor(name).metrics
        if possible is not None and name not in possible:
            raise ValueError(
                f"metrics: '{name}' is not measured with these features of {extractor(name).kind}, only "
                f"{', '.join(sorted(possible))} are; choose another network for it"
            )


class Parsing(Strict):
    """Parser of objects in images, for tables 2 and 3. Every file in `ganformer/analysis/parsers` has its own."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights it reads."""
        return ()

    def problems(self, dataset: Dataset) -> Iterable[str]:
        """Yield problems of these settings with a data set, one sentence each."""
        return ()


AnyParsing = SerializeAsAny[Annotated[Parsing, Plugged("ganformer.analysis.parsers")]]


class Parsers(Strict):
    """One parser, to be chosen by its kind."""

    parser: AnyParsing
