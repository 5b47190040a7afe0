"""Records of how results were made, and their comparison with the configuration."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.workflow.checkouts import Checkout

MODELS = ("gan", "stylegan2")
CONFIGS = ("tests/smoke.yaml", "few.json")


def few(checkout, **changes):
    """Return a configuration of one table of two models."""
    experiments = yaml.safe_load((checkout.folder / "config.yaml").read_text())["experiments"]
    content = {
        "experiments": {name: None for name in experiments if name != "table1"}
        | {"table1": {"models": list(MODELS), "published": None}},
        "evaluation": {"metrics": ["frechet"], "path_length": None},
        **changes,
    }
    (checkout.folder / "few.json").write_text(json.dumps(content))


def run(checkout, *words):
    return checkout.snakemake("--cores", "2", "table1", *words, "--configfile", *CONFIGS)


def check(checkout):
    command = [sys.executable, "-m", "ganformer", "check", "config.yaml", *CONFIGS]
    return subprocess.run(command, cwd=checkout.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def small(tmp_path_factory, warmed):
    made = Checkout(tmp_path_factory.mktemp("small"), warmed)
    few(made)
    made.said = run(made)
    assert made.said.returncode == 0, made.said.stdout
    return made


@pytest.fixture
def copied(small, checkout):
    """Provide as `cp -r` copies: every time is new, in no order that means anything.

    And Snakemake's own notes are gone.
    """
    shutil.rmtree(checkout.folder)
    shutil.copytree(small.folder, checkout.folder, copy_function=shutil.copyfile)
    shutil.rmtree(checkout.folder / ".snakemake")
    return checkout


def files(checkout):
    """Return content of every result that takes time to make."""
    found = checkout.folder.glob("results/runs/*/*/*/**/*.*")
    return {path.relative_to(checkout.folder): path.read_bytes() for path in found if path.suffix != ".pt"}


def test_a_page_that_this_call_neither_made_nor_looked_at_is_not_announced(small):
    assert "The report is" not in small.said.stdout


def test_a_copy_is_current_and_nothing_is_trained_or_measured_again(copied):
    said = check(copied)
    assert (said.returncode, said.stdout.count("stale"), said.stdout.count("missing")) == (0, 0, 0), said.stdout
    before = files(copied)
    shutil.rmtree(copied.folder / "results/data")  # packed again, to the same images
    said = run(copied, "--forcerun", "train", "evaluate")
    assert said.returncode == 0, said.stdout
    assert files(copied) == before
    assert said.stdout.count("holds this run already, complete; nothing is trained; to train it anew") == 2
    assert said.stdout.count("is of these weights, images and settings already and stays") == 3  # with the reference
    assert check(copied).returncode == 0
    planned = run(copied, "-n")
    assert "Nothing to be done" in planned.stdout, planned.stdout


def test_a_plan_with_other_settings_changes_nothing_for_the_old_ones(small):
    """Not even dates, though it dates back what is stale for it."""
    times = {path: path.stat().st_mtime_ns for path in small.folder.glob("results/**/*.json")}
    few(small, models={"gan": {"latent_size": 8}})
    planned = run(small, "-n")
    assert "rule train:" in planned.stdout
    assert "rule evaluate:" in planned.stdout
    few(small)
    assert "Nothing to be done" in run(small, "-n").stdout
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_lost_results_come_back_as_they_were(copied):
    before = files(copied)
    for name in ("run.json", "weights.safetensors"):
        (copied.folder / f"results/runs/scenes/gan/seed0/{name}").unlink()
    said = check(copied)
    assert said.returncode == 1
    assert "missing  results/runs/scenes/gan/seed0/run.json\n" in said.stdout
    assert run(copied).returncode == 0
    assert files(copied) == before


def test_a_changed_model_alone_is_trained_and_measured_again(copied):
    before = files(copied)
    few(copied, models={"gan": {"latent_size": 8}})
    said = check(copied)
    assert said.returncode == 1
    told = (
        "stale    results/runs/scenes/gan/seed0/run.json: was trained with other settings: model.latent_size 16, now 8"
    )
    assert told in said.stdout
    assert "stale    results/tables/table1.json: is of files that changed, are stale or missing: " in said.stdout
    assert "current  results/runs/scenes/stylegan2/seed0/run.json" in said.stdout
    assert run(copied).returncode == 0
    assert check(copied).returncode == 0
    changed = {path.parts[3] for path, content in files(copied).items() if before.get(path) != content}
    assert changed == {"gan"}


def test_a_longer_training_goes_on(copied):
    few(copied, training={"kimg": 0.128, "snapshots": 4})
    said = run(copied)
    assert said.returncode == 0, said.stdout
    record = json.loads((copied.folder / "results/runs/scenes/gan/seed0/run.json").read_text())
    assert [(each["first"], each["last"]) for each in record["stretches"]] == [(0, 8), (8, 16)]
    assert [each["step"] for each in record["snapshots"]] == [4, 8, 12, 16]
    assert "Nothing to be done" in run(copied, "-n").stdout


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("runs/scenes/gan/seed0/weights.safetensors", "was changed after training"),
        ("data/scenes/manifest.json", "was trained on other images than results/data/scenes/manifest.json holds"),
        ("data/scenes/manifest.json", "was measured against other images than results/data/scenes/manifest.json holds"),
        (
            "runs/scenes/gan/seed0/metrics/step-8.json",
            "is of files that changed, are stale or missing: results/runs/sc",
        ),
    ],
)
def test_what_was_changed_by_hand_is_stale(path, message, copied):
    file = copied.folder / "results" / path
    if path.startswith("data"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "content": "0" * 64}))
    else:
        file.write_bytes(file.read_bytes() + b" ")
    said = check(copied)
    assert said.returncode == 1
    assert message in said.stdout
