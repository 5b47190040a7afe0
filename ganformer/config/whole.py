"""The whole configuration: `config.yaml` and its overlays, merged, checked and resolved."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError

from ganformer import artifacts, plugins
from ganformer.config.base import Name, Strict, as_mapping, message_of, overlaid, parse, plug_in, problems_of, report
from ganformer.config.data import Dataset
from ganformer.config.evaluation import AnyParsing, Evaluation, Parsers, Parsing
from ganformer.config.exhibit import AnyExperiment, Experiment
from ganformer.config.logs import Logging
from ganformer.config.training import (
    Adversarial,
    AdversarialModel,
    AdversarialSettings,
    AnyModel,
    Spec,
    Training,
    TrainingSettings,
)
from ganformer.errors import ConfigError

SECTIONS = ("datasets", "models", "measured_against", "parsing", "experiments")
"""Parts of the configuration that consist of entries with names of one's own."""


class Publication(Strict):
    """Page about the tables and figures of `all`, which the target `publish` writes."""

    template: Path
    """Markdown with Jinja expressions (`ganformer step publish`)."""
    out: Path
    """Folder that gets index.md, csv and pictures."""
    weights_of: Name | None = None
    """Experiment whose models' best seeds, by `best_by`, the target `pretrained` copies to `pretrained/DATASET-MODEL`;
    None: no such target."""


class Config(Strict):
    """The reproduction as data: `config.yaml` and its overlays."""

    datasets: Mapping[Name, Dataset]
    models: Mapping[Name, AnyModel]
    training: Training = Training()
    adversarial: Adversarial = Adversarial()
    evaluation: Evaluation
    measured_against: Mapping[Name, Name] = {}
    """Data sets whose runs are measured against the images of another one, such as parts of it."""
    parsing: Mapping[Name, AnyParsing] = {}
    """Parsers of objects in the images of data sets; data sets of the source `scenes` have one by default."""
    best_by: str = "fd"
    """Name in metrics.json of the value that decides which snapshot of a run is the best one."""
    experiments: Mapping[Name, AnyExperiment] = {}
    logging: Logging = Logging()
    publication: Publication | None = None
    """Page for the documentation, made by the target `publish`; None: no such target."""

    def text(self) -> str:
        """Return canonical text that `load` turns into this configuration again; it holds only given settings.

        A default that is written down would override a section.
        """
        return artifacts.canonical(self.model_dump(mode="json", exclude_unset=True))

    def spec(self, dataset: str, model: str, seed: int) -> Spec:
        """Return the resolved run: defaults < section < data set's own < its `per_dataset` < the model's own entry."""
        entry = self.models[model]
        if isinstance(entry, AdversarialModel):
            recommended = self.datasets[dataset].source.r1_gamma
            section: Adversarial = self.adversarial
            if recommended is not None:
                section = section.model_copy(update={"r1_gamma": float(recommended)})
            shared = overlaid(AdversarialSettings, section, self.adversarial.per_dataset.get(dataset))
            entry = entry.model_copy(update={"adversarial": overlaid(AdversarialSettings, shared, entry.adversarial)})
        return Spec(
            image=self.datasets[dataset].image.canvas,
            finds_channels=self.datasets[dataset].known_channels is None,
            mirror=self.datasets[dataset].mirror,
            model=entry.model_dump(),  # type: ignore[arg-type]
            training=overlaid(TrainingSettings, self.training, self.training.per_dataset.get(dataset)),
            seed=seed,
        )

    def parser(self, dataset: str) -> Parsing:
        """Return the parser of objects for a data set; ConfigError if there is none."""
        source = self.datasets[dataset].source.kind
        if dataset in self.parsing:
            return self.parsing[dataset]
        if source not in plugins.names("ganformer.analysis.parsers"):
            raise ConfigError(f"nothing reads objects in images of '{dataset}'; name a parser as parsing.{dataset}")
        return parse(Parsers, {"parser": {"kind": source}}, f"parsing.{dataset}").parser

    def reals(self, dataset: str) -> str:
        """Return the data set against whose images runs on this one are measured."""
        return self.measured_against.get(dataset, dataset)

    def only(self, experiments: Iterable[str]) -> Self:
        """Return this configuration with no other tables and figures than these."""
        return self.model_copy(update={"experiments": {name: self.experiments[name] for name in experiments}})

    def usual(self) -> Self:
        """Return this configuration without the tables and figures that only the target `extended` makes."""
        return self.only(name for name, experiment in self.experiments.items() if not experiment.extended)

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Return every (data set, model, seed) that some experiment needs, once."""
        needed = (experiment.runs() for experiment in self.experiments.values())
        return iter(dict.fromkeys(itertools.chain.from_iterable(needed)))


def load(raw: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Check merged YAML. Raises ConfigError with all problems, each with its YAML path; `where` names the files.

    An entry of a section that is null is left out: so an overlay removes what another file has. The word null is null:
    values in braces after Snakemake's option --config arrive as words.
    """
    raw = {
        section: {name: entry for name, entry in entries.items() if entry is not None}
        if isinstance(entries, Mapping) and section in SECTIONS
        else entries
        for section, entries in _with_nulls(raw).items()
    }
    problems = list(_unknown_names(raw))
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(report(where, [*problems_of(Config, error), *problems])) from None
    if not problems:
        problems = list(_unfit_runs(config))
    if problems:
        raise ConfigError(report(where, problems))
    return config


def merged(files: Iterable[Path]) -> dict[str, Any]:
    """Merge YAML files, later ones over earlier ones, mappings key by key, as Snakemake merges configurations.

    Raises ConfigError if a file cannot be read or is no mapping.
    """
    content: dict[str, Any] = {}
    for file in files:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{file}: is not valid YAML ({error})") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{file}: is no configuration, which is a mapping of sections")
        content = _updated(content, found)
    return content


def _updated(base: Any, other: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(other, Mapping)):
        return other
    return {**base, **{key: _updated(base.get(key), value) for key, value in other.items()}}


def parse_experiment(raw: Any, where: str) -> Experiment:
    """Return the checked settings of one table or figure of any kind; ConfigError with all problems of it."""
    kind = as_mapping(raw).get("kind")
    if kind is None:
        raise ConfigError(f"{where}: 'kind' is missing")
    if kind not in plugins.names("ganformer.exhibits"):
        raise ConfigError(
            f"{where}: kind '{kind}' is unknown; {plugins.choices(str(kind), plugins.names('ganformer.exhibits'))}"
        )
    return parse(plug_in("ganformer.exhibits", kind), raw, where)  # type: ignore[return-value]


def schema_text() -> str:
    """Return the JSON schema of `config.yaml`, for editors; a test keeps `workflow/config.schema.json` current."""
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}, indent=2)
        + "\n"
    )


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nulls(inside) for key, inside in value.items()}
    return None if value == "null" else value


def _unknown_names(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield references to data sets and models that the configuration does not define."""
    defined = {section: list(as_mapping(raw.get(section))) for section in ("datasets", "models", "experiments")}
    for section in ("training", "adversarial"):
        for name in as_mapping(as_mapping(raw.get(section)).get("per_dataset")):
            yield from _undefined(f"{section}.per_dataset.{name}", name, "datasets", defined)
    for name in as_mapping(raw.get("parsing")):
        yield from _undefined(f"parsing.{name}", name, "datasets", defined)
    for name, other in as_mapping(raw.get("measured_against")).items():
        for each in (name, other):
            yield from _undefined(f"measured_against.{name}", each, "datasets", defined)
    if (chosen := as_mapping(raw.get("publication")).get("weights_of")) is not None:
        yield from _undefined("publication.weights_of", chosen, "experiments", defined)
    for experiment, entry in as_mapping(raw.get("experiments")).items():
        kind = as_mapping(entry).get("kind")
        is_known = kind in plugins.names("ganformer.exhibits")
        settings = plugins.settings("ganformer.exhibits", str(kind)).Config if is_known else Experiment
        for path, section, name in settings.references(as_mapping(entry)):
            yield from _undefined(f"experiments.{experiment}.{path}", name, section, defined)


def _undefined(path: str, name: Any, section: str, defined: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    if name not in defined[section]:
        yield path, f"'{name}' is not an entry of {section}; {plugins.choices(str(name), defined[section])}"


def _unfit_runs(config: Config) -> Iterator[tuple[str, str]]:
    """Yield problems that only show when a run is resolved."""
    seen = set()
    for dataset, model, seed in config.runs():
        if (dataset, model) in seen:
            continue
        seen.add((dataset, model))
        try:
            spec = config.spec(dataset, model, seed)
        except ValidationError as error:
            yield f"training for data set {dataset}", "; ".join(message_of(e, {}) for e in error.errors())
            continue
        for problem in spec.model.problems(spec.image, spec.training):
            yield f"models.{model}", f"{problem} (images of data set {dataset})"
    for name, other in config.measured_against.items():
        yield from of_one_shape(config, f"measured_against.{name}", name, other)
    for name, experiment in config.experiments.items():
        for key, problem in experiment.problems(config):
            yield f"experiments.{name}.{key}", problem


def of_one_shape(config: Config, path: str, name: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield a problem if the pictures of two data sets are of different shapes."""
    here, there = (config.datasets[each].image.picture for each in (name, other))
    if here != there:
        yield (
            path,
            f"pictures of {name} are of {here[1]}×{here[0]} pixels, pictures of {other} of {there[1]}×{there[0]}; give "
            "both one resolution and ratio",
        )
