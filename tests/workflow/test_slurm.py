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
from filelock import FileLock

from tests.workflow import local_slurm
from tests.workflow.checkouts import Checkout
from tests.workflow.local_slurm import CONFIGURATION, PROGRAMS

pytestmark = pytest.mark.slurm
FOLDER = "ganformer-slurm"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Provide a cluster; skip if Debian's packages slurmctld, slurmd, slurm-client and munge are missing."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)} missing")
    if os.geteuid() != 0:
        pytest.skip("starting Slurm's daemons needs root")
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e '.[slurm]'")
    with FileLock(Path(tempfile.gettempdir()) / "ganformer-tests-slurm.lock"):  # one test run on this machine at a time
        wipe_orphan()
        if CONFIGURATION.is_symlink() or CONFIGURATION.exists():
            pytest.skip(f"{CONFIGURATION} belongs to another Slurm")
        with local_slurm.running(tmp_path_factory.mktemp(FOLDER), gpus=2, cpus=8):
            yield


def wipe_orphan():
    """End the cluster of a test run that was killed, whose daemons and configuration outlived it."""
    if CONFIGURATION.is_symlink() and CONFIGURATION.readlink().parent.name.startswith(FOLDER):
        local_slurm.wipe(CONFIGURATION.readlink().parent)


# Whoever is given GPUs computes on the processor, and notes what it was given.
NOTE = """
def replace(module):
    import json, os, torch
    def acquire_all(gpus, folder=None):
        given = {"gpus": gpus, "assigned": module.is_assigned(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}
        with open(os.environ["GIVEN"], "a") as file:
            file.write(json.dumps(given) + chr(10))
        return [torch.device("cpu")]
    module.acquire_all = acquire_all
"""
COMPUTE = ["parser", "reference", "train", "evaluate", "sample", "attend", "look"]
COMPUTE += ["attention_segments", "disentanglement", "scene_statistics"]
RUN = "results/runs/scenes/duplex/seed0"
OPTIONS = ["--workflow-profile", "profiles/slurm", "--latency-wait", "10"]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "1"]
DOUBLED = ["--set-resources", "train:runtime=2880"]


def jobs():
    """Return what Slurm knows of each job, the newest last: rule, time limit and GPUs."""
    listed = subprocess.run(["scontrol", "show", "job", "-o"], capture_output=True, text=True, check=True).stdout
    fields = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in listed.splitlines() if line.startswith("JobId")]
    found = []
    for job in sorted(fields, key=lambda job: int(job["JobId"])):
        rule = job["Comment"].partition("_wildcards")[0].removeprefix("rule_")
        found.append((rule, job["TimeLimit"], int(job.get("TresPerJob", "gres:gpu:0").removeprefix("gres:gpu:"))))
    return found


@pytest.fixture(scope="module")
def cluster_run(slurm, tmp_path_factory, warmed):
    """Provide a checkout in which the graph ran on Slurm with one model, and what its jobs asked Slurm for."""
    made = Checkout(tmp_path_factory.mktemp("cluster"), warmed)
    experiments = yaml.safe_load((made.folder / "config.yaml").read_text())["experiments"]
    few = {"experiments": {name: {"models": ["duplex"]} for name in experiments}}
    (made.folder / "few.yaml").write_text(yaml.safe_dump(few))
    made.options = [*OPTIONS, "--configfile", "tests/smoke.yaml", "few.yaml"]
    made.noting = {"GIVEN": str(made.folder / "given.jsonl"), **made.with_stand_in(NOTE)}
    made.said = made.snakemake(*made.options, *DOUBLED, environment=made.noting)
    assert made.said.returncode == 0, made.said.stdout
    made.jobs = jobs()
    return made


def test_graph_runs_on_slurm(cluster_run):
    assert "submitted with SLURM jobid" in cluster_run.said.stdout
    assert (cluster_run.folder / "results/report.html").exists()
    # The same environment finds the same package, whose file of published numbers is an input of tables.
    again = cluster_run.snakemake(*cluster_run.options, "-n", environment=cluster_run.noting)
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
    before, run = len(jobs()), "results/runs/scenes/duplex/seed1"
    said = cluster_run.snakemake(f"{run}/run.json", "--retries", "0", *cluster_run.options)
    assert said.returncode == 1
    assert jobs()[before:] == [("train", "1-00:00:00", 1)]
    log = (cluster_run.folder / "results/logs/train/scenes.duplex.seed1.log").read_text()
    assert log.startswith("ganformer: DeviceError: --gpus 1: torch "), log
    assert not (cluster_run.folder / run / "weights.safetensors").exists()


def test_no_gpu_is_asked_for_where_a_rule_is_to_have_none(cluster_run):
    before, words = len(jobs()), ["--force", "--set-resources", "sample:gpu=0"]
    said = cluster_run.snakemake(f"{RUN}/samples-4.npz", *words, *cluster_run.options)
    assert said.returncode == 0, said.stdout
    assert jobs()[before:] == [("sample", "00:30:00", 0)]


def test_a_limit_of_no_gpus_is_refused(cluster_run):
    before = len(jobs())
    said = cluster_run.snakemake(f"{RUN}/samples-4.npz", "--force", "--resources", "gpu=0", *cluster_run.options)
    assert said.returncode == 1
    assert "say it of each rule, as in --set-resources train:gpu=0" in said.stdout
    assert len(jobs()) == before
