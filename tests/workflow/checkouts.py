"""A copy of the workflow in an empty folder, and the commands users type in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.workflow import warm

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "tests/smoke.yaml")


class Checkout:
    """A folder that holds the workflow and nothing it made."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder, self.environment = folder, environment
        for part in PARTS:
            source, copy = ROOT / part, folder / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)

    def snakemake(
        self, *words: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake here; output and errors come together. `environment` is added to that of this process."""
        command = [sys.executable, "-m", "snakemake", *words]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "default",
            **self.environment,
            **environment,
        }
        return subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def with_stand_in(self, replace: str) -> dict[str, str]:
        """Return the environment of processes in which `replace(module)` changes `ganformer.devices` on import.

        So pretended GPUs can be computed with; `replace`: its source.
        """
        file = self.folder / "stand_in.py"
        file.write_text(replace)
        places = [warm.FOLDER, ROOT, os.environ.get("PYTHONPATH", "")]
        return {"PYTHONPATH": os.pathsep.join(map(str, places)), warm.STAND_IN: str(file)}

    def smoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake here on the smallest configuration."""
        return self.snakemake("--cores", "2", *words, "--configfile", "tests/smoke.yaml")
