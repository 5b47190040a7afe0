"""Parts are found by file name, wrong names are answered with the right ones."""

import pytest

from ganformer import plugins
from ganformer.errors import ConfigError


def test_file_names_become_names():
    assert {"npy", "png"} <= set(plugins.names("ganformer.data.formats"))
    assert "precision-recall" in plugins.names("ganformer.metrics.measures")


def test_part_is_the_module_of_that_name():
    module = plugins.find("ganformer.metrics.measures", "inception-score")
    assert module.__name__ == "ganformer.metrics.measures.inception_score"


@pytest.mark.parametrize(
    ("package", "name", "place"),
    [
        ("ganformer.models", "gan", "ganformer.settings.models.gan"),
        ("ganformer.metrics.extractors", "random-vgg16", "ganformer.settings.extractors.random_vgg16"),
        ("ganformer.data.sources", "scenes", "ganformer.scenes.source"),
    ],
)
def test_settings_stand_apart_where_the_part_needs_torch(package, name, place):
    module = plugins.settings(package, name)
    assert module.__name__ == place
    assert module.Config


def test_settings_of_an_unknown_part_are_answered_with_the_right_one():
    with pytest.raises(ConfigError, match=r"'gann' is not in ganformer.models; did you mean 'gan'"):
        plugins.settings("ganformer.models", "gann")


@pytest.mark.parametrize(("wrong", "hint"), [("frechett", "did you mean 'frechet'"), ("zzz", "allowed: .*, frechet, ")])
def test_unknown_name_is_answered_with_the_right_one(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        plugins.find("ganformer.metrics.measures", wrong)
