"""The graph on a real Slurm of one node with pretend GPUs, started here."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from conftest import Checkout
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
        subprocess.run(["scontrol", "update", "partitionname=gpu", "MaxTime=3-00:00:00"], check=True)
        yield
        subprocess.run([script, "wipe", "--dir", folder], check=True)


def wipe_orphan(script):
    """Ends the cluster of a test run that was killed, whose daemons and configuration outlived it."""
    if CONFIGURATION.is_symlink() and CONFIGURATION.readlink().parent.name.startswith(FOLDER):
        subprocess.run([script, "wipe", "--dir", CONFIGURATION.readlink().parent], check=True)
        CONFIGURATION.unlink(missing_ok=True)  # left where its folder is gone already


# Stands for the library that pretended GPUs lack: whoever is given GPUs computes on the processor, and notes what it
# was given. Python imports it in every process that starts with its folder in PYTHONPATH.
STAND_IN = """
import importlib.machinery, json, os, sys

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "ganformer.devices":
            return None
        spec = super().find_spec(name, path, target)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            def acquire_all(gpus, folder=None):
                import torch
                given = {"assigned": module.is_assigned(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}
                with open(os.environ["GIVEN"], "a") as file:
                    file.write(json.dumps({"command": sys.argv[1:], "gpus": gpus, **given}) + chr(10))
                return [torch.device("cpu")]
            module.acquire_all = acquire_all
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder)
"""
COMPUTE = ["parser", "reference", "train", "evaluate", "sample", "attend"]
COMPUTE += ["attention_segments", "disentanglement", "scene_statistics"]
RUN = "results/runs/scenes/duplex/seed0"
OPTIONS = ["--workflow-profile", "profiles/slurm", "--latency-wait", "10"]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "3"]
DOUBLED = ["--set-resources", "train:runtime=2880"]


def jobs():
    """What Slurm knows of each job, the newest last: rule, time limit and GPUs."""
    listed = subprocess.run(["scontrol", "show", "job", "-o"], capture_output=True, text=True, check=True).stdout
    fields = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in listed.splitlines() if line.startswith("JobId")]
    found = []
    for job in sorted(fields, key=lambda job: int(job["JobId"])):
        rule = job["Comment"].partition("_wildcards")[0].removeprefix("rule_")
        found.append((rule, job["TimeLimit"], int(job.get("TresPerJob", "gres:gpu:0").removeprefix("gres:gpu:"))))
    return found


@pytest.fixture(scope="module")
def cluster_run(slurm, tmp_path_factory):
    """A checkout in which the graph ran on Slurm with one model, and what its jobs asked Slurm for."""
    made = Checkout(tmp_path_factory.mktemp("cluster"))
    experiments = yaml.safe_load((made.folder / "config.yaml").read_text())["experiments"]
    few = {"experiments": {name: {"models": ["duplex"]} for name in experiments}}
    (made.folder / "few.yaml").write_text(yaml.safe_dump(few))
    made.options = [*OPTIONS, "--configfile", "tests/smoke.yaml", "few.yaml"]
    stand_in = made.folder / "stand-in"
    stand_in.mkdir()
    (stand_in / "sitecustomize.py").write_text(STAND_IN)
    made.environment = {
        "GIVEN": str(made.folder / "given.jsonl"),
        "PYTHONPATH": os.pathsep.join([str(stand_in), os.environ.get("PYTHONPATH", "")]),
    }
    made.said = made.snakemake(*made.options, *DOUBLED, environment=made.environment)
    assert made.said.returncode == 0, made.said.stdout
    made.jobs = jobs()
    return made


def test_graph_runs_on_slurm(cluster_run):
    assert "submitted with SLURM jobid" in cluster_run.said.stdout
    assert (cluster_run.folder / "results/report.html").exists()
    again = cluster_run.snakemake(*cluster_run.options, "-n")
    assert "Nothing to be done" in again.stdout


def test_every_job_that_computes_has_its_gpu(cluster_run):
    asked = {rule: {(limit, gpus) for name, limit, gpus in cluster_run.jobs if name == rule} for rule in COMPUTE}
    limits = {"train": "2-00:00:00", "reference": "02:00:00", "evaluate": "02:00:00"}
    limits |= dict.fromkeys(("parser", "disentanglement", "scene_statistics"), "01:00:00")
    assert asked == {rule: {(limits.get(rule, "00:30:00"), 1)} for rule in COMPUTE}
    assert {(rule, gpus) for rule, _, gpus in cluster_run.jobs if rule not in COMPUTE} == {("pack", 0)}
    given = [json.loads(line) for line in (cluster_run.folder / "given.jsonl").read_text().splitlines()]
    assert len(given) == len(cluster_run.jobs) - 1
    assert {(job["gpus"], job["assigned"]) for job in given} == {(1, True)}
    assert {job["visible"] for job in given} <= {"0", "1"}


def test_training_ends_at_once_where_its_gpu_cannot_be_used(cluster_run):
    words = [*cluster_run.options, "--force", f"{RUN}/run.json", "--retries", "0"]
    weights = (cluster_run.folder / RUN / "weights.safetensors").read_bytes()
    said = cluster_run.snakemake(*words)
    assert said.returncode == 1
    assert jobs()[len(cluster_run.jobs) :] == [("train", "1-00:00:00", 1)]
    log = (cluster_run.folder / "results/logs/train/scenes.duplex.seed0.log").read_text()
    assert log.startswith("ganformer: DeviceError: --gpus 1: torch "), log
    assert (cluster_run.folder / RUN / "weights.safetensors").read_bytes() == weights


def test_no_gpu_is_asked_for_where_there_are_to_be_none(cluster_run):
    before = len(jobs())
    words = [*cluster_run.options, "--force", f"{RUN}/samples-4.npz", "--resources", "gpu=0"]
    said = cluster_run.snakemake(*words)
    assert said.returncode == 0, said.stdout
    assert jobs()[before:] == [("sample", "00:30:00", 0)]
