"""A copy of the workflow in an empty folder, and the commands users type in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "tests/smoke.yaml")


class Checkout:
    """A folder that holds the workflow and nothing it made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            source, copy = ROOT / part, folder / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)

    def snakemake(
        self, *words: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake here; output and errors come together. `environment` is added to that of this process."""
        command = [sys.executable, "-m", "snakemake", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", **environment}
        return subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def smoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake here on the smallest configuration."""
        return self.snakemake("--cores", "2", *words, "--configfile", "tests/smoke.yaml")


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A checkout in which the smallest configuration has run; tests leave it as it is."""
    made = Checkout(tmp_path_factory.mktemp("finished"))
    made.said = made.smoke()
    assert made.said.returncode == 0, made.said.stdout
    return made
