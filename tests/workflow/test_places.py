"""Places of the workflow and of its results: other folders, links, modules of other workflows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.checkouts import Checkout

# One model and one small table of it, which are made in half a minute.
FEW = {
    "experiments": {"table1": {"models": ["stylegan2"], "published": None}},
    "evaluation": {"metrics": ["frechet"], "path_length": None},
}


@pytest.fixture(autouse=True)
def _is_warm(monkeypatch, warmed):
    for name, value in warmed.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def clone(tmp_path):
    made = Checkout(tmp_path / "clone")
    (made.folder / "few.json").write_text(json.dumps(FEW))
    return made


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_another_folder_gets_everything_and_the_clone_nothing(clone, tmp_path):
    """So the clone may be read-only; results is a link to scratch space there."""
    before, elsewhere = files(clone.folder), tmp_path / "else where"
    (tmp_path / "scratch").mkdir()
    elsewhere.mkdir()
    (elsewhere / "results").symlink_to(tmp_path / "scratch")
    said = run(
        elsewhere,
        "table1",
        *("--snakefile", str(clone.folder / "Snakefile"), "--directory", str(elsewhere)),
        *("--configfile", *(str(clone.folder / name) for name in ("tests/smoke.yaml", "few.json"))),
    )
    assert said.returncode == 0, said.stdout
    assert files(clone.folder) == before
    assert (tmp_path / "scratch" / "tables" / "table1.tex").is_file()


def test_a_module_with_a_prefix_makes_its_results_below_that(clone, tmp_path):
    configfiles = "".join(f'configfile: "{clone.folder / name}"\n' for name in ("config.yaml", "tests/smoke.yaml"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Snakefile").write_text(
        f'''{configfiles}
configfile: "{clone.folder / "few.json"}"


module gan:
    snakefile:
        "{clone.folder / "Snakefile"}"
    config:
        config
    prefix:
        "gan"


use rule * from gan as gan_*


rule mine:
    default_target: True
    input:
        rules.gan_table1.input,
'''
    )
    said = run(tmp_path / "mine")
    assert said.returncode == 0, said.stdout
    made = files(tmp_path / "mine")
    assert "gan/results/tables/table1.csv" in made
    assert not [name for name in made if name.startswith("results/")]


def test_two_modules_take_one_configuration(clone, tmp_path):
    (tmp_path / "mine").mkdir()
    modules = "".join(
        f'''
module {name}:
    snakefile:
        "{clone.folder / "Snakefile"}"
    config:
        config
    prefix:
        "{name}"


use rule * from {name} as {name}_*
'''
        for name in ("one", "two")
    )
    inputs = "".join(f"        rules.{name}_cost.input,\n" for name in ("one", "two"))
    targets = f"\n\nrule mine:\n    default_target: True\n    input:\n{inputs}"
    (tmp_path / "mine" / "Snakefile").write_text(f'configfile: "{clone.folder / "config.yaml"}"\n{modules}{targets}')
    said = run(tmp_path / "mine", "-n")
    assert said.returncode == 0, said.stdout
    assert "output: one/results/tables/cost.csv" in said.stdout
    assert "output: two/results/tables/cost.csv" in said.stdout


def test_published_weights_and_data_of_a_module_lie_below_its_prefix(clone, tmp_path):
    """Results that settings name move; files that the user named do not."""
    mine = tmp_path / "mine"
    (mine / "pictures").mkdir(parents=True)
    (mine / "Snakefile").write_text(
        f'''
module gan:
    snakefile:
        "{clone.folder / "Snakefile"}"
    config:
        {{
            "datasets": {{"own": {{"source": {{"kind": "folder", "path": "pictures"}}, "resolution": 16}}}},
            "models": {{"stylegan2": {{"kind": "stylegan2"}}}},
            "training": {{"kimg": 0.1, "batch": 4}},
            "evaluation": {{"extractor": {{"kind": "vgg16"}}, "metrics": ["precision-recall"], "images": 8}},
            "experiments": {{
                "t": {{"kind": "comparison", "title": "T", "datasets": ["own"], "models": ["stylegan2"]}}
            }},
        }}
    prefix:
        "gan"


use rule * from gan as gan_*


rule mine:
    default_target: True
    input:
        rules.gan_t.input,
'''
    )
    said = run(mine, "-n", "--printshellcmds")
    assert said.returncode == 0, said.stdout
    assert "    input: pictures\n" in said.stdout
    assert "output: gan/results/weights/vgg16" in said.stdout
    assert "ganformer --results gan/results " in said.stdout


def test_a_storage_provider_is_refused_in_a_sentence(clone):
    said = clone.snakemake("-n", "--default-storage-provider", "fs", "--default-storage-prefix", "store")
    assert said.returncode == 1
    assert "use a folder that all jobs share, e.g. with --directory" in said.stdout


def test_folders_inside_a_source_are_one_input(clone):
    for number in range(30):
        (clone.folder / f"pictures/class{number}").mkdir(parents=True)
    said = clone.snakemake(
        "-n", "results/data/pictures/manifest.json", "--configfile", "workflow/presets/own_images.yaml"
    )
    assert said.returncode == 0, said.stdout
    assert "    input: pictures\n" in said.stdout


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gan/seed0/metrics/step-5.json", "the run has no snapshot of step 5; there are snapshots of 4, 8"),
        ("gan/seed0/attention-4.npz", "model gan has no attention maps; models that have them: simplex, duplex"),
        ("gan/seed0/attention-segmentation-4.json", "model gan has no attention maps"),
        (
            "vqgan/seed0/disentanglement-9.json",
            "model vqgan has no latents that are mapped; models that have them: gan",
        ),
    ],
)
def test_what_cannot_be_is_refused_while_planning(target, message, clone):
    said = clone.snakemake("-n", f"results/runs/scenes/{target}", "--configfile", "tests/smoke.yaml")
    assert said.returncode == 1
    assert message in said.stdout


def test_a_null_on_the_command_line_takes_an_entry_away(clone):
    planned = clone.snakemake("-n", "--config", "experiments={table1: null}")
    assert planned.returncode == 0, planned.stdout
    assert "results/tables/table1" not in planned.stdout


def test_commands_that_are_shown_are_those_of_this_call(clone):
    said = clone.snakemake(
        "-n", "--printshellcmds", "--configfile", "tests/smoke.yaml", "few.json", "--config", "best_by=fd"
    )
    assert said.returncode == 0, said.stdout
    told = "snakemake --cores all {} --configfile tests/smoke.yaml few.json --config "
    assert f"--command '{told}" in said.stdout
