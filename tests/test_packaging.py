"""What the project says of itself in several files is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from ganformer import __version__

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "lmdb": "python-lmdb", "isal": "python-isal"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def versions():
    """Version ranges of the package's dependencies by conda name."""
    pairs = (re.match(r"([\w-]+)(?:\[\w+\])?(.*)", line).groups() for line in project()["dependencies"])
    return {CONDA_NAMES.get(name, name): versions for name, versions in pairs}


def test_version_stands_in_the_package_and_its_metadata():
    assert project()["version"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


@pytest.mark.parametrize("name", ["torch", "report"])
def test_environments_ask_for_the_same_versions(name):
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    asked = dict(line.split(" ", 1) if " " in line else (line, "") for line in environment["dependencies"])
    assert asked.pop("python").startswith(project()["requires-python"])
    assert asked.pop("pip") == ""
    assert asked == {name: versions()[name] for name in asked}


def test_torch_environment_has_everything_but_the_workflow():
    environment = yaml.safe_load((ROOT / "envs/torch.yaml").read_text())
    names = {line.split(" ")[0] for line in environment["dependencies"]} - {"python", "pip"}
    assert names == set(versions()) - {"snakemake", "pandas", "matplotlib-base", "jinja2"}
