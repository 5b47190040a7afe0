"""Agreement of the project's files about its version, dependencies and contents."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ganformer import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "lmdb": "python-lmdb", "isal": "python-isal"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def versions():
    """Return version ranges of the package's dependencies by conda name."""
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Provide the wheel of this project, built of a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("ganformer", "ops"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run([*command, "--wheel-dir", folder, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_every_module_and_one_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (top_level,) = (archive.read(name).decode() for name in names if name.endswith("/top_level.txt"))
    assert top_level.split() == ["ganformer"]
    modules = {name for name in names if name.endswith(".py")}
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ganformer").rglob("*.py")}
    operations = {f"ganformer/ops/{path.name}" for path in (ROOT / "ops").glob("*.py")}
    assert modules == tracked | operations
    assert "ganformer/ops/upfirdn2d.py" in operations
    sources = {
        f"ganformer/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "ops").rglob("*")
        if path.suffix in (".h", ".cpp", ".cu")
    }
    assert sources <= set(names)
    assert {f"ganformer/ops/{name}" for name in ("cpu/upfirdn2d.cpp", "cuda/upfirdn2d.cu", "common.h")} <= sources


def test_operations_are_imported_from_the_wheel(wheel, tmp_path):
    program = "import ganformer.nn.layers; from ganformer.ops import bias_act; print(bias_act.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{wheel}/ganformer/ops/bias_act.py"


def test_every_dependency_has_an_exact_version():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if line and line[0] != "#")
    }
    extras = project()["optional-dependencies"]
    asked = [*project()["dependencies"], *extras["test"], *extras["docs"], *extras["slurm"], *extras["demo"]]
    for requirement in map(Requirement, asked):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no version in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"
