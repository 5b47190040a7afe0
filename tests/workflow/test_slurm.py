"""The graph on a real Slurm of one node with pretend GPUs, started here."""

import os
import shutil
import subprocess

import pytest
import yaml

pytestmark = pytest.mark.slurm
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")


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
    folder = str(tmp_path_factory.mktemp("slurm"))
    subprocess.run([script, "start", "--dir", folder, "--gpus", "2", "--cpus", "8"], check=True)
    yield
    subprocess.run([script, "wipe", "--dir", folder], check=True)


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
