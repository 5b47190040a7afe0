"""GPUs of this machine in the graph: who gets which, and what happens where there are none."""

import json
import re

import pytest

# GPUs that torch believes in are leased; what computes then does so on the processor, once both jobs have theirs.
LEASE = """
def replace(module):
    import os, time, torch
    from pathlib import Path
    from tests.pretended_gpus import pretend
    lease = module.acquire_all
    def acquire_all(gpus, folder=None):
        before = []
        def set_(place, name, value):
            before.append((place, name, getattr(place, name)))
            setattr(place, name, value)
        pretend(set_, 4)
        try:
            chosen = lease(gpus, Path(os.environ["LEASES"]))
        finally:
            for place, name, value in before:
                setattr(place, name, value)
        with open(os.environ["GIVEN"], "a") as file:
            file.write("".join(f"{device.index}" + chr(10) for device in chosen))
        end = time.monotonic() + 60
        while len(Path(os.environ["GIVEN"]).read_text().split()) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        return [torch.device("cpu")]
    module.acquire_all = acquire_all
"""
# Rules that compute, and the minutes that they ask for.
MINUTES = {"parser": 60, "reference": 120, "train": 1440, "evaluate": 120, "sample": 30, "attend": 30, "look": 30}
MINUTES |= {"attention_segments": 30, "disentanglement": 60, "scene_statistics": 60}
RESOURCE = re.compile(r"(\w+)=([^,]+)")
RUNS = [f"results/runs/scenes/gan/seed{seed}/run.json" for seed in (0, 1)]


def test_jobs_share_out_the_visible_gpus(checkout):
    (checkout.folder / "leases").mkdir()
    environment = {
        "CUDA_VISIBLE_DEVICES": "2,3",
        "LEASES": str(checkout.folder / "leases"),
        "GIVEN": str(checkout.folder / "given"),
        **checkout.with_stand_in(LEASE),
    }
    words = ["--resources", "gpu=2", "--set-resources", "train:gpu=1"]  # this machine may have none
    said = checkout.snakemake(
        *RUNS, "--cores", "2", *words, "--configfile", "tests/smoke.yaml", environment=environment
    )
    assert said.returncode == 0, said.stdout
    assert sorted((checkout.folder / "given").read_text().split()) == ["0", "1"]
    assert {path.name for path in (checkout.folder / "leases").iterdir()} == {
        f"gpu-{index:08}-0000.lock" for index in (2, 3)
    }
    assert all(json.loads((checkout.folder / run).read_text())["steps"] for run in RUNS)


def test_a_gpu_that_is_not_there_ends_training_and_retries_are_those_asked_for(checkout):
    words = ["--set-resources", "train:gpu=1", "--retries", "1", "--configfile", "tests/smoke.yaml"]
    said = checkout.snakemake(RUNS[0], "--cores", "1", *words, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert said.returncode == 1
    assert said.stdout.count("Error in rule train") == 2
    assert "ganformer: DeviceError: --gpus 1: torch " in said.stdout
    assert "snakemake --resources gpu=0" in said.stdout
    assert not (checkout.folder / RUNS[0]).exists()


@pytest.mark.parametrize("changes", [[], ["--set-resources", "train:runtime=2880"]])
def test_on_a_cluster_every_rule_asks_for_what_it_needs(checkout, changes):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e '.[slurm]'")
    said = checkout.snakemake("-n", "--printshellcmds", "--workflow-profile", "profiles/slurm", *changes)
    jobs = [job for job in said.stdout.split("\nrule ")[1:] if " --gpus " in job]
    computing = [
        (job.partition(":")[0], dict(RESOURCE.findall(re.search(r"^ +resources: (.*)", job, re.MULTILINE)[1])))
        for job in jobs
    ]
    assert {rule for rule, _ in computing} == set(MINUTES), said.stdout
    for rule, asked in computing:
        assert asked["gpu"] == "1"
        assert asked["mem_mb"] == "4000"
        assert asked.get("slurm_extra") == ("--signal=TERM@120" if rule == "train" else None)
        assert asked["runtime"] == ("2880" if changes and rule == "train" else str(MINUTES[rule]))
