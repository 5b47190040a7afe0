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


@pytest.mark.parametrize(("wrong", "hint"), [("frechett", "did you mean 'frechet'"), ("zzz", "allowed: .*, frechet, ")])
def test_unknown_name_is_answered_with_the_right_one(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        plugins.find("ganformer.metrics.measures", wrong)
