"""One run outside of a table: a model, images and a few settings."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ganformer import plugins
from ganformer.config.base import as_mapping, parse, report
from ganformer.config.data import ImageSpec
from ganformer.config.training import Adversarial, AdversarialModel, Spec, TrainingSettings
from ganformer.errors import ConfigError

CHANGEABLE = ("model", "training", "adversarial")
"""Sections that `with_settings` changes."""


def single_run(
    model: Mapping[str, Any],
    image: ImageSpec,
    *,
    training: Mapping[str, Any],
    adversarial: Mapping[str, Any],
    seed: int = 0,
    mirror: bool = False,
) -> Spec:
    """Return the resolved run of a model, its settings with their `kind`, on images of the shape `image`.

    `training`, `adversarial`: settings of these sections; the model's own win. Raises ConfigError for wrong settings,
    and if the model does not fit the images.
    """
    if "kind" not in model:
        raise ConfigError(f"model: 'kind' is missing; give one of {', '.join(plugins.names('ganformer.models'))}")
    settings, kind = dict(model), model["kind"]
    parse(plugins.settings("ganformer.models", kind).Config, settings, "model")
    if _plays(model):
        section = parse(Adversarial, dict(adversarial), "adversarial")
        settings["adversarial"] = section.model_dump(exclude={"per_dataset"}) | dict(settings.get("adversarial") or {})
    elif adversarial:
        raise ConfigError(f"adversarial: a model of kind '{kind}' has no such settings; leave it out")
    spec = parse(
        Spec,
        {
            "image": image,
            "mirror": mirror,
            "model": settings,
            "training": parse(TrainingSettings, dict(training), "training").model_dump(),
            "seed": seed,
        },
        "train",
    )
    if problems := list(spec.model.problems(spec.image, spec.training)):
        raise ConfigError(report("train", [("model", problem) for problem in problems]))
    return spec


def sections_of(name: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections `model`, `training` and `adversarial` for a model of a raw configuration, or of this kind.

    A kind that is no entry of its `models` has its own defaults, and neither section of the configuration. Raises
    ConfigError if there is neither.
    """
    entries, kinds = as_mapping(configuration.get("models")), plugins.names("ganformer.models")
    if name in entries:
        model = dict(as_mapping(entries[name]))
        sections = {key: dict(as_mapping(configuration.get(key))) for key in ("training", "adversarial")}
        for section in sections.values():
            section.pop("per_dataset", None)
        return {"model": model, **sections} | ({} if _plays(model) else {"adversarial": {}})
    if name in kinds:
        return {"model": {"kind": name}, "training": {}, "adversarial": {}}
    raise ConfigError(f"--model: '{name}' is unknown; {plugins.choices(name, [*entries, *kinds])}")


def with_settings(sections: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Return sections with changes of the form `SECTION.NAME=VALUE`, such as `adversarial.r1_gamma=5`, values as YAML.

    Raises ConfigError for other forms and sections.
    """
    found = {name: dict(section) for name, section in sections.items()}
    for change in changes:
        path, is_one, text = change.partition("=")
        section, *names = path.split(".")
        if not is_one or section not in CHANGEABLE or not all(names) or not names:
            raise ConfigError(
                f"--set: '{change}' is not of the form SECTION.NAME=VALUE with a section {', '.join(CHANGEABLE)}; for "
                "example adversarial.r1_gamma=5"
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set: '{change}': the value is not valid YAML") from error
        place = found[section]
        for name in names[:-1]:
            place[name] = dict(as_mapping(place.get(name)))
            place = place[name]
        place[names[-1]] = value
    return found


def _plays(model: Mapping[str, Any]) -> bool:
    """Return whether a model plays the adversarial game, so that it has the settings of that section."""
    kind = model.get("kind")
    is_known = kind in plugins.names("ganformer.models")
    return is_known and issubclass(plugins.settings("ganformer.models", str(kind)).Config, AdversarialModel)
