"""Settings: types, defaults, meanings and checks, each written once.

`load` turns merged YAML into a frozen `Config`, or reports every problem at once. `Config.spec` resolves one run, which
`run.json` records. A model, source, extractor, parser or exhibit has its settings in its own file, found by `kind`.
"""

from ganformer.config.base import Name, Probability, S, Strict, as_mapping, as_sequence, docstrings, parse
from ganformer.config.data import Dataset, ImageSpec, Source
from ganformer.config.evaluation import (
    SHORT,
    AnyExtractor,
    AnyParsing,
    Evaluation,
    Extractor,
    Parsers,
    Parsing,
    SomePathLength,
)
from ganformer.config.exhibit import RUN, AnyExperiment, Experiment
from ganformer.config.export import AnyExport, Export, Exporting
from ganformer.config.logs import Logging, Wandb, chosen_logging, hand_on
from ganformer.config.look import AnyLook, Look, Looking
from ganformer.config.single import sections_of, single_run, with_settings
from ganformer.config.training import (
    ABILITIES,
    Ability,
    Ada,
    Adversarial,
    AdversarialModel,
    AdversarialSettings,
    AnyAugmentation,
    AnyModel,
    DiffAugment,
    LossName,
    Model,
    NoAugmentation,
    Spec,
    Training,
    TrainingSettings,
    trajectory,
)
from ganformer.config.whole import SECTIONS, Config, load, merged, of_one_shape, parse_experiment, schema_text

__all__ = [
    "ABILITIES",
    "RUN",
    "SECTIONS",
    "SHORT",
    "Ability",
    "Ada",
    "Adversarial",
    "AdversarialModel",
    "AdversarialSettings",
    "AnyAugmentation",
    "AnyExperiment",
    "AnyExport",
    "AnyExtractor",
    "AnyLook",
    "AnyModel",
    "AnyParsing",
    "Config",
    "Dataset",
    "DiffAugment",
    "Evaluation",
    "Experiment",
    "Export",
    "Exporting",
    "Extractor",
    "ImageSpec",
    "Logging",
    "Look",
    "Looking",
    "LossName",
    "Model",
    "Name",
    "NoAugmentation",
    "Parsers",
    "Parsing",
    "Probability",
    "S",
    "SomePathLength",
    "Source",
    "Spec",
    "Strict",
    "Training",
    "TrainingSettings",
    "Wandb",
    "as_mapping",
    "as_sequence",
    "chosen_logging",
    "docstrings",
    "hand_on",
    "load",
    "merged",
    "of_one_shape",
    "parse",
    "parse_experiment",
    "schema_text",
    "sections_of",
    "single_run",
    "trajectory",
    "with_settings",
]
