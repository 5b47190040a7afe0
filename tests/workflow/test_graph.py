"""The graph runs from nothing to the report, makes only what is asked for, and nothing twice."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ganformer import config, plugins
from tests.interop.test_bmsg import generator_state, saved

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
MODELS = CONFIG["experiments"]["table1"]["models"]
NOTHING = "Nothing to be done"
PICTURES = {"source": {"kind": "folder", "path": "pictures"}, "resolution": 16}


def planned(said):
    """Return how many jobs of each rule a dry run lists."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", said.stdout, re.DOTALL | re.MULTILINE)
    if table is None:
        assert NOTHING in said.stdout, said.stdout
        return {}
    return {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines()) if rule != "total"}


def edited(checkout, edit):
    """Rewrite config.yaml after `edit` has changed its content."""
    path = checkout.folder / "config.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(edit(raw) or raw, sort_keys=False))


@pytest.fixture
def copied(finished, checkout):
    """Copy the finished checkout, to be changed."""
    shutil.rmtree(checkout.folder)
    shutil.copytree(finished.folder, checkout.folder, symlinks=True)
    return checkout


def test_everything_is_made(finished):
    results = finished.folder / "results"
    for name in ("table1", "table2", "table3", "cost"):
        assert all((results / f"tables/{name}.{suffix}").stat().st_size for suffix in ("csv", "md", "tex"))
    for name in ("learning_curves", "samples", "attention", "attention_segmentation"):
        assert all((results / f"figures/{name}.{suffix}").stat().st_size for suffix in ("png", "pdf"))
    for name in ("learning_curves", "attention_segmentation"):
        assert (results / f"figures/{name}.csv").stat().st_size
    assert "<html" in (results / "report.html").read_text()


# What takes longer, with few models.
GROUPS = [{"changed": "Integration", "models": ["duplex", "duplex-add"]}]
FEW = {"experiments": {"data_efficiency": {"models": ["duplex"]}, "ablations": {"groups": GROUPS}}}


def test_what_takes_longer_is_made_when_asked_for(copied):
    (copied.folder / "few.yaml").write_text(yaml.safe_dump(FEW))
    said = copied.snakemake("--cores", "2", "extended", "--configfile", "tests/smoke.yaml", "few.yaml")
    assert said.returncode == 0, said.stdout
    assert planned(said)["train"] == 3
    results = copied.folder / "results"
    for name in ("data_efficiency", "ablations", "memorisation"):
        assert all((results / f"figures/{name}.{suffix}").stat().st_size for suffix in ("csv", "png", "pdf"))
    numbers = list(csv.DictReader((results / "figures/data_efficiency.csv").read_text().splitlines()))
    assert [(row["dataset"], row["images"]) for row in numbers] == [
        ("scenes-250", "24"),
        ("scenes-1000", "32"),
        ("scenes", "48"),
    ]
    page = (results / "extended.html").read_text()
    assert 'id="ablations"' in page
    assert 'id="table1"' in page
    assert 'id="ablations"' not in (results / "report.html").read_text()
    reals = json.loads((results / "runs/scenes-250/duplex/seed0/metrics/step-8.json").read_text())["reference"]
    run = json.loads((results / "runs/scenes/duplex/seed0/run.json").read_text())
    assert reals["data_sha256"] == run["data"]["data_sha256"]
    with np.load(results / "runs/scenes/duplex/seed0/copies-memorisation.npz") as file:
        assert json.loads(str(file["provenance"]))["recipe"]["images"] == 24
        assert len(file["samples_to_training"]) == 24


def test_the_best_snapshot_is_found(copied):
    run = "results/runs/scenes/duplex/seed0"
    said = copied.smoke(f"{run}/best.json")
    assert said.returncode == 0, said.stdout
    best = json.loads((copied.folder / run / "best.json").read_text())
    assert sorted(best["measured"]) == ["4", "8"]
    assert best["by"]["value"] == min(best["measured"].values())
    assert (copied.folder / best["weights"]).exists()
    assert planned(copied.smoke("-n", "best_checkpoint")) == {"best": len(MODELS) - 1, "best_checkpoint": 1}


def test_all_models_are_in_one_table(finished):
    kinds = set(plugins.names("ganformer.models"))
    assert {CONFIG["models"][name]["kind"] for name in MODELS} == kinds
    rows = list(csv.DictReader((finished.folder / "results/tables/table1.csv").read_text().splitlines()))
    assert [row["model"] for row in rows] == MODELS
    assert all(float(row["fd_random_vgg16"]) > 0 for row in rows)
    assert [row["model"] for row in rows if row["rfd_random_vgg16"]] == ["vqgan"]
    assert {float(row["kimg"]) for row in rows} == {0.064}  # of the last snapshot


def test_labels_go_from_the_source_to_the_metrics(checkout):
    run = "results/runs/scenes/duplex/seed0"
    said = checkout.smoke(f"{run}/metrics/step-8.json", "--config", "datasets={scenes: {classes: 6}}")
    assert said.returncode == 0, said.stdout
    record = json.loads((checkout.folder / run / "run.json").read_text())
    assert record["spec"]["image"]["classes"] == 6
    assert sum(record["data"]["label_counts"]) == 48
    assert json.loads((checkout.folder / run / "metrics/step-8.json").read_text())["values"]["fd"]["value"] > 0


def test_it_ends_by_saying_where_the_report_is(finished):
    said = "\n".join(finished.said.stdout.splitlines()[-5:])
    assert f"The report is {(finished.folder / 'results/report.html').as_uri()}" in said


def test_progress_is_shown(finished):
    assert re.search(r"train scenes/duplex seed 0 █.* ETA ", finished.said.stdout)


def test_every_number_can_be_traced(finished):
    run = finished.folder / "results/runs/scenes/duplex/seed0"
    record = json.loads((run / "run.json").read_text())
    metrics = json.loads((run / f"metrics/step-{record['steps']}.json").read_text())
    assert metrics["weights_sha256"] == record["weights_sha256"]
    assert metrics["reference"]["data_sha256"] == record["data"]["data_sha256"]
    shown = (finished.folder / "results/tables/table1.csv").read_text()
    rows = list(csv.DictReader(shown.splitlines()))
    assert {row["model"] for row in rows} >= set(MODELS)


def test_second_run_does_nothing_and_says_so(finished):
    said = finished.smoke()
    assert said.returncode == 0
    assert NOTHING in said.stdout


def test_second_dry_run_plans_nothing(finished):
    assert planned(finished.smoke("-n")) == {}


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def test_order_and_comments_of_the_yaml_retrain_nothing(copied):
    edited(copied, reordered)
    path = copied.folder / "config.yaml"
    path.write_text("# a remark\n" + path.read_text())
    assert planned(copied.smoke("-n")) == {}


def test_one_models_setting_retrains_it_alone(copied):
    edited(copied, lambda raw: raw["models"]["duplex"].update(heads=2))
    said = copied.smoke("-n")
    assert planned(said)["train"] == 1
    assert "model=duplex" in said.stdout
    assert "pack" not in planned(said)
    assert not re.search(r"rule train:.*?model=(?!duplex)", said.stdout.replace("\n", " "))


def test_mirroring_trains_again_and_packs_nothing(copied):
    edited(copied, lambda raw: raw["datasets"]["scenes"].update(mirror=not raw["datasets"]["scenes"]["mirror"]))
    jobs = planned(copied.smoke("-n"))
    assert jobs["train"] == len(MODELS)
    assert not {"pack", "reference"} & set(jobs)


def test_a_shell_line_retrains_nothing(copied):
    rules = copied.folder / "workflow/rules/train.smk"
    rules.write_text(rules.read_text().replace("exec ganformer", "exec  ganformer"))
    assert planned(copied.smoke("-n")) == {}


def test_snakemakes_own_report_has_the_tables_and_figures(copied):
    said = copied.smoke("--report", "report.html")
    assert said.returncode == 0, said.stdout
    page = (copied.folder / "report.html").read_text()
    assert "table1" in page
    assert "attention" in page


def test_without_a_target_everything_is_planned(checkout):
    said = checkout.snakemake("-n")
    assert said.returncode == 0, said.stdout
    jobs = planned(said)
    assert jobs["all"] == 1
    assert jobs["train"] == len(MODELS)
    assert jobs["evaluate"] == CONFIG["training"]["snapshots"] * len(MODELS)


def test_one_table_needs_no_figure(checkout):
    jobs = planned(checkout.smoke("-n", "table1"))
    assert jobs["evaluate"] == len(MODELS)
    assert not {"sample", "attend", "learning_curves", "page", "cost"} & set(jobs)


def test_one_figure_needs_no_evaluation(checkout):
    jobs = planned(checkout.smoke("-n", "attention"))
    assert jobs["train"] == jobs["attend"] == 3
    assert not {"evaluate", "reference", "comparison"} & set(jobs)


def inception(**settings):
    """Return an edit that measures with the network of FID."""
    return lambda raw: raw["evaluation"].update(extractor={"kind": "inception-2015", **settings})


def test_weights_of_the_extractor_are_fetched_by_a_job_of_their_own(checkout):
    edited(checkout, inception())
    assert planned(checkout.smoke("-n", "table1"))["weights"] == 1


def reference_of(checkout):
    """Return the reference of real images that a dry run plans, measured with the network of FID."""
    planned = re.findall(r"results/reference/scenes/[\w-]+\.npz", checkout.smoke("-n", "table1").stdout)
    (file,) = set(planned)
    assert Path(file).name.startswith("inception-2015-")
    return file


def test_weights_are_fetched_for_references_alone(checkout):
    edited(checkout, inception())
    assert planned(checkout.smoke("-n", reference_of(checkout))) == {"pack": 1, "reference": 1, "weights": 1}


def test_weights_are_fetched_where_references_are_there(copied):
    edited(copied, inception())
    reference = reference_of(copied)
    (copied.folder / reference).touch()
    jobs = planned(copied.smoke("-n", "results/runs/scenes/duplex/seed0/metrics/step-8.json"))
    assert (jobs["evaluate"], jobs["weights"]) == (1, 1)


def test_every_seed_has_a_run_of_its_own(checkout):
    edited(checkout, lambda raw: raw["experiments"]["cost"].update(seeds=[0, 1], models=["gan"]))
    said = checkout.smoke("-n", "--printshellcmds", "cost")
    assert planned(said)["train"] == 2
    specs = [json.loads(words[words.index("--spec") + 1]) for words in commands(said) if "train" in words]
    assert sorted(spec["seed"] for spec in specs) == [0, 1]


def test_runs_on_parts_of_a_data_set_are_measured_against_the_whole(checkout):
    run = "results/runs/scenes-250/duplex/seed0"
    said = checkout.smoke("-n", "--printshellcmds", f"{run}/metrics/step-8.json", f"{run}/scene-statistics-8.json")
    assert planned(said) == {"evaluate": 1, "pack": 2, "parser": 1, "reference": 1, "scene_statistics": 1, "train": 1}
    data = {
        words[words.index("step") + 1]: words[words.index("--data") + 1]
        for words in commands(said)
        if "step" in words and "--data" in words
    }
    assert data == dict.fromkeys(("reference", "metrics", "analyse"), "results/data/scenes/manifest.json")
    assert sum("--other-data" in words for words in commands(said)) == 1


def test_the_report_shows_tables_and_figures_in_the_order_of_their_kinds(checkout):
    said = checkout.smoke("-n", "--printshellcmds", "results/report.html")
    (page,) = (words for words in commands(said) if "page" in words)
    names = [Path(word).stem for word in page if re.match(r"results/(tables|figures)/", word)]
    files = [checkout.folder / "config.yaml", checkout.folder / "tests/smoke.yaml"]
    places = [config.load(config.merged(files)).experiments[name].place for name in names]
    assert len(names) > 5
    assert places == sorted(places)


def test_weights_are_exported_by_what_was_measured_at_the_end_of_training(checkout):
    publication = {"template": "page.md", "out": "docs/page", "weights_of": "table1"}
    edited(checkout, lambda raw: raw.update(publication=publication))
    said = checkout.smoke("-n", "--printshellcmds", "pretrained/scenes-duplex/run.json")
    (export,) = (words for words in commands(said) if "export" in words)
    run = "results/runs/scenes/duplex/seed0"
    assert export[-2:] == [f"{run}/run.json", f"{run}/metrics/step-8.json"]
    by = export.index("--by")
    assert export[by : by + 4] == ["--by", "fd", "--out", "pretrained/scenes-duplex"]


def commands(said):
    """Return words of every call of ganformer that a dry run prints."""
    return [shlex.split(line) for line in re.findall(r"exec ganformer (.*)", said.stdout)]


def test_own_weights_are_taken_from_where_they_are(checkout):
    (checkout.folder / "inception.pth").touch()
    edited(checkout, inception(weights="inception.pth"))
    assert "weights" not in planned(checkout.smoke("-n", "table1"))


def test_files_that_settings_name_are_inputs_of_what_reads_them(checkout):
    """So one that is missing is named before any job, and one that changes has what reads it made again."""

    def edit(raw):
        raw["parsing"] = {"scenes": {"kind": "torchvision", "weights": "segmentor.pth"}}
        raw["experiments"]["mixed"] = {
            "kind": "look",
            "title": "Mixed",
            "datasets": ["scenes"],
            "models": ["gan"],
            "look": {"kind": "mixing", "latents": "found.npz"},
        }

    edited(checkout, edit)
    targets = {"segmentor.pth": "results/parsers/scenes/parser.json", "found.npz": "mixed"}
    for file, target in targets.items():
        said = checkout.snakemake("-n", target)
        assert (said.returncode, "MissingInputException" in said.stdout) == (1, True)
        assert f"    {file}\n" in said.stdout
        (checkout.folder / file).touch()
    said = checkout.snakemake("-n", *targets.values())
    assert (planned(said)["parser"], planned(said)["look"]) == (1, 1)


def test_misspelt_key_stops_before_any_job(checkout):
    edited(checkout, lambda raw: raw["models"]["duplex"].update(componnts=2))
    said = checkout.smoke()
    assert said.returncode != 0
    assert "models.duplex.componnts: unknown key; did you mean 'components'?" in said.stdout
    assert "Traceback" not in said.stdout
    assert not (checkout.folder / "results/data").exists()


def test_failed_job_says_why_and_fails_the_run(checkout):
    edited(checkout, lambda raw: raw["datasets"].update(pictures=PICTURES))
    (checkout.folder / "pictures").mkdir()
    said = checkout.smoke("results/data/pictures/manifest.json")
    assert said.returncode != 0
    assert "no images below" in said.stdout


def test_overlay_for_own_pictures_needs_only_the_pictures(checkout):
    (checkout.folder / "pictures").mkdir()
    said = checkout.snakemake("-n", "--configfile", "workflow/presets/own_images.yaml")
    jobs = planned(said)
    assert (jobs["pack"], jobs["train"], jobs["all"]) == (1, len(MODELS), 1)
    assert "dataset=scenes" not in said.stdout


def test_the_run_that_another_one_starts_from_is_trained_before_it(checkout):
    tuned = {"initial": "results/runs/scenes/duplex/seed0"}
    edited(checkout, lambda raw: raw["models"].update(tuned={**raw["models"]["duplex"], **tuned}))
    said = checkout.smoke("-n", "results/runs/scenes/tuned/seed0/run.json")
    assert planned(said) == {"pack": 1, "train": 2}, said.stdout


def test_a_change_of_logging_trains_nothing_again(checkout):
    pytest.importorskip("wandb", reason="needs wandb: pip install -e '.[wandb]'")
    run = "results/runs/scenes/gan/seed0"

    def told(mode, *words):
        logging = f"logging={{wandb: {{project: scenes, mode: {mode}}}}}"
        return checkout.smoke(*words, f"{run}/run.json", "--config", logging)

    said = told("offline")
    assert said.returncode == 0, said.stdout
    assert len(list((checkout.folder / run).glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert planned(told("disabled", "-n")) == {}
    assert planned(checkout.smoke("-n", f"{run}/run.json")) == {}


@pytest.mark.parametrize("snapshot", ["clevr-snapshot.pkl", "-sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa"])
def test_a_snapshot_that_a_run_starts_from_is_imported_before_it(checkout, snapshot):
    tuned = {"initial": f"gdrive:{snapshot}"}
    edited(checkout, lambda raw: raw["models"].update(tuned={**raw["models"]["duplex"], **tuned}))
    said = checkout.smoke("-n", "-p", "results/runs/scenes/tuned/seed0/run.json")
    assert planned(said) == {"pack": 1, "import_snapshot": 1, "train": 1}, said.stdout
    place = f"results/imported/{snapshot}"
    assert f"output: {place}/run.json" in said.stdout
    assert f"import gdrive:{snapshot} --out $(dirname {place}/run.json) --cache results/weights" in said.stdout


def test_a_snapshot_is_imported_and_trained_from(checkout):
    """It was fetched before, so that no network is needed. Imported again, it stays as it is, and so does the run."""
    name = "1sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa9"
    fetched = checkout.folder / "results/weights" / name
    fetched.parent.mkdir(parents=True)
    saved(generator_state(4, 4), fetched)
    like = {"channel_base": 128, "channel_max": 4, "latent_size": 4, "deviation": "last"}
    tuned = {"initial": f"gdrive:{name}", **like}
    edited(checkout, lambda raw: raw["models"].update(tuned={**raw["models"]["msggan"], **tuned}))
    run, imported = "results/runs/scenes/tuned/seed0/run.json", f"results/imported/{name}/run.json"
    records = []
    for words in ([], ["--forcerun", "import_snapshot"]):
        said = checkout.smoke(run, *words)
        assert said.returncode == 0, said.stdout
        assert planned(checkout.smoke("-n", run)) == {}
        records.append([json.loads((checkout.folder / path).read_text()) for path in (run, imported)])
    assert records[0] == records[1]
    assert records[0][0]["begun_from"] == records[0][1]["imported"]
    assert records[0][1]["imported"]["file"] == name


def test_pictures_added_to_a_folder_in_a_folder_are_packed(checkout):
    edited(checkout, lambda raw: raw["datasets"].update(pictures=PICTURES))
    inner = checkout.folder / "pictures/all/of_them"
    inner.mkdir(parents=True)
    manifest = "results/data/pictures/manifest.json"
    Image.new("RGB", (16, 16)).save(inner / "one.png")
    said = checkout.smoke(manifest)
    assert said.returncode == 0, said.stdout
    assert planned(checkout.smoke("-n", manifest)) == {}
    Image.new("RGB", (16, 16), "red").save(inner / "other.png")
    assert planned(checkout.smoke("-n", manifest)) == {"pack": 1}


def test_pictures_added_to_a_folder_are_packed(copied):
    edited(copied, lambda raw: raw["datasets"].update(pictures=PICTURES))
    (copied.folder / "pictures").mkdir()
    said = copied.smoke("-n", "results/data/pictures/manifest.json")
    assert planned(said) == {"pack": 1}, said.stdout
