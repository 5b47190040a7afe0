"""The graph on a real Slurm of one node with pretend GPUs, started here."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

pytestmark = pytest.mark.slurm
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = Path("/etc/slurm/slurm.conf")  # the only place where Snakemake's plugin lets Slurm look
FOLDER = "ganformer-slurm"


@pytest.fixture(scope="module")
def slurm(shared, tmp_path_factory):
    """A running cluster; skipped where Debian's packages slurmctld, slurmd, slurm-client and munge are missing."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)} missing")
    if os.geteuid() != 0:
        pytest.skip("starting Slurm's daemons needs root")
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e '.[slurm]'")
    script = shared / "tools" / "slurm_local.sh"
    folder = tmp_path_factory.mktemp(FOLDER)
    with FileLock(Path(tempfile.gettempdir()) / "ganformer-tests-slurm.lock"):  # one test run on this machine at a time
        wipe_orphan(script)
        if CONFIGURATION.is_symlink() or CONFIGURATION.exists():
            pytest.skip(f"{CONFIGURATION} belongs to another Slurm")
        subprocess.run([script, "start", "--dir", folder, "--gpus", "2", "--cpus", "8"], check=True)
        yield
        subprocess.run([script, "wipe", "--dir", folder], check=True)


def wipe_orphan(script):
    """Ends the cluster of a test run that was killed, whose daemons and configuration outlived it."""
    if CONFIGURATION.is_symlink() and CONFIGURATION.readlink().parent.name.startswith(FOLDER):
        subprocess.run([script, "wipe", "--dir", CONFIGURATION.readlink().parent], check=True)
        CONFIGURATION.unlink(missing_ok=True)  # left where its folder is gone already


def test_graph_runs_on_slurm(checkout, slurm):
    experiments = yaml.safe_load((checkout.folder / "config.yaml").read_text())["experiments"]
    few = {"experiments": {name: {"models": ["stylegan2", "duplex"]} for name in experiments}}
    for name in ("attention", "attention_segmentation"):
        few["experiments"][name]["models"] = ["duplex"]
    (checkout.folder / "few.yaml").write_text(yaml.safe_dump(few))
    words = ["--workflow-profile", "profiles/slurm", "--configfile", "tests/smoke.yaml", "few.yaml"]
    words += ["--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "5"]
    said = checkout.snakemake(*words, "--default-resources", "mem_mb=1000", "runtime=10")
    assert said.returncode == 0, said.stdout
    assert "submitted with SLURM jobid" in said.stdout
    assert (checkout.folder / "results/report.html").exists()
    log = (checkout.folder / "results/logs/train/scenes.duplex.seed0.log").read_text()
    assert "GPU was asked for" in log
    again = checkout.snakemake(*words, "-n")
    assert "Nothing to be done" in again.stdout
