"""GPUs of this machine in the graph: who gets which, and what happens where there are none."""

import json

# GPUs that torch believes in are leased; what computes then does so on the processor, once both jobs have theirs.
LEASE = """
def replace(module):
    import os, time, torch
    from pathlib import Path
    from pretended_gpus import pretend
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
