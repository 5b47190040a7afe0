"""Sentences about results that are not as the configuration has them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganformer import artifacts
from ganformer.config import Config, load
from ganformer.records.exhibit import Exhibit
from ganformer.report import check
from ganformer.report.check import Finding
from tests.report.conftest import IMAGE


def test_three_settings_that_differ_are_named() -> None:
    was = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "f": 5}
    now = {"a": 1.5, "b": {"c": 6, "d": 3}, "e": 7, "f": 8, "g": 9}
    assert check._differences(was, now) == "a 1, now 1.5, b.c 2, now 6, e 4, now 7 and 2 more"
    assert check._differences(was, {**was, "f": 0}) == "f 5, now 0"
    assert check._differences({"a": 1}, {"a": 1, "h": 1}) == "h not set, now 1"


def test_dates_go_back_by_50_years_without_leap_days() -> None:
    assert check.SHIFT == 1_576_800_000 * 10**9


RAW = {
    "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 32}},
    "models": {"duplex": {"kind": "ganformer", "attention": "duplex"}},
    "training": {"kimg": 16, "batch": 16, "snapshots": 1},
    "evaluation": {"extractor": {"kind": "random-vgg16"}, "metrics": ["fid"], "images": 1000},
    "experiments": {"t": {"kind": "comparison", "title": "T", "datasets": ["scenes"], "models": ["duplex"]}},
}


@pytest.fixture
def results(tmp_path: Path, run: Callable[..., Path], metrics: Callable[..., Path]) -> Path:
    """Folder with a run, its measured values and a table, all as `RAW` has them."""
    config = load(RAW)
    spec = config.spec("scenes", "duplex", 0)
    folder = tmp_path / "runs/scenes/duplex/seed0"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    sha256 = artifacts.file_digest(folder / "weights.safetensors")
    kept = {"step": 1000, "kimg": 16.0, "file": "weights.safetensors", "sha256": sha256}
    path = run(spec=spec.model_dump(mode="json"), spec_sha256=spec.digest, weights_sha256=sha256, snapshots=[kept])
    recipe = config.evaluation.model_dump(mode="json")
    measured = metrics(weights_sha256=sha256, recipe={**recipe, "real_images": 4000, "image": IMAGE})
    (folder / "metrics").mkdir()
    measured.rename(folder / "metrics/step-1000.json")
    metrics(weights_sha256=sha256).rename(folder / "scene-statistics-40.json")
    exhibit = Exhibit(exhibit="table", target="t", title="T", caption="C")
    exhibit.signed(config.experiments["t"].json(), [path]).write(tmp_path / "tables/t.json")
    return tmp_path


def found(results: Path, changes: dict[str, Any] | None = None, **options: bool) -> list[str]:
    """Return findings that are not current, without the folder."""
    findings = check.check(load({**RAW, **(changes or {})}), results, **options)
    return [str(finding).replace(f"{results}/", "") for finding in findings if not finding.is_current]


RUN = "runs/scenes/duplex/seed0"
STALE = [
    f"stale    {RUN}/{file}.json: is of a run that is stale" for file in ("metrics/step-1000", "scene-statistics-40")
]
TABLE = "stale    tables/t.json: is of files that changed, are stale or missing:"


def test_results_as_the_configuration_has_them_are_current(results: Path) -> None:
    findings = check.check(load(RAW), results)
    files = ["run.json", "metrics/step-1000.json", "scene-statistics-40.json"]
    assert [finding.path for finding in findings] == [
        *(results / RUN / file for file in files),
        results / "tables/t.json",
    ]
    assert found(results) == []


@pytest.mark.parametrize("place", ["results/runs/scenes/source", "elsewhere/source"])
def test_the_run_that_training_starts_from_is_looked_at(
    results: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It belongs to the settings; `results` stands for the folder of results, other paths for themselves."""
    monkeypatch.chdir(results.parent)
    models = {name: {**settings, "initial": place} for name, settings in RAW["models"].items()}
    shown = place.removeprefix("results/")
    assert found(results, {"models": models})[0] == (
        f"stale    {RUN}/run.json: was trained from {shown}/run.json, which is not there"
    )
    start = results / "runs/scenes/source" if place.startswith("results") else results.parent / place
    start.mkdir(parents=True)
    other = json.loads((results / RUN / "run.json").read_text())
    (start / "run.json").write_text(json.dumps({**other, "weights_sha256": "1" * 64}))
    told = found(results, {"models": models})[0]
    assert "was trained with other settings: " in told
    assert f"initial_sha256 not set, now {'1' * 64}" in told


def test_other_settings_of_a_run_make_all_that_is_of_it_stale(results: Path) -> None:
    training = {**RAW["training"], "kimg": 8}
    told = found(results, {"training": training})
    assert told[0].startswith(f"stale    {RUN}/run.json: was trained with other settings: training.kimg 16.0, now 8.0")
    assert told[1:] == [*STALE, f"{TABLE} {results}/{RUN}/run.json".replace(f"{results}/", "")]


def test_weights_that_changed_are_found_unless_it_is_to_be_quick(results: Path) -> None:
    weights = results / RUN / "weights.safetensors"
    weights.write_bytes(b"others")
    assert found(results)[0] == f"stale    {RUN}/run.json: {RUN}/weights.safetensors was changed after training"
    assert found(results, is_quick=True) == []
    weights.unlink()
    assert found(results)[0] == f"stale    {RUN}/run.json: {RUN}/weights.safetensors is missing"


def test_missing_results_are_named(results: Path) -> None:
    (results / "tables/t.json").unlink()
    assert found(results) == ["missing  {tables,figures}/t.json"]
    (results / RUN / "run.json").write_text("{}")
    assert found(results)[0] == f"stale    {RUN}/run.json: is no record of a run"
    (results / RUN / "run.json").unlink()
    assert found(results) == [f"missing  {RUN}/run.json", "missing  {tables,figures}/t.json"]


def test_values_of_other_weights_or_settings_are_stale(results: Path) -> None:
    evaluation = {**RAW["evaluation"], "seed": 1}
    assert found(results, {"evaluation": evaluation}) == [
        f"stale    {RUN}/metrics/step-1000.json: was measured with other settings: seed 0, now 1"
    ]
    for file in ("metrics/step-1000.json", "scene-statistics-40.json"):
        content = artifacts.read_json(results / RUN / file)
        artifacts.write_json(results / RUN / file, {**content, "weights_sha256": "b" * 64})
    assert found(results) == [
        f"stale    {RUN}/{file}: {check.OTHER_WEIGHTS}"
        for file in ("metrics/step-1000.json", "scene-statistics-40.json")
    ]
    (results / RUN / "metrics/step-1000.json").write_text("{}")
    assert found(results)[0] == f"stale    {RUN}/metrics/step-1000.json: is no record of measured values"


def test_other_images_are_found_as_long_as_the_pack_is_there(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = results / "data/scenes"
    pack.mkdir(parents=True)
    (pack / "manifest.json").write_text("{}")
    told = found(results)
    assert told[0] == f"stale    {RUN}/run.json: was trained on other images than data/scenes/manifest.json holds"
    assert told[1] == (
        f"stale    {RUN}/metrics/step-1000.json: is of a run that is stale; was measured against other images than "
        "data/scenes/manifest.json holds"
    )
    monkeypatch.setattr(check.manifest.Manifest, "find", lambda path: SimpleNamespace(data_sha256="d" * 64))
    assert found(results) == []
    monkeypatch.setattr(check.manifest.Manifest, "find", lambda path: SimpleNamespace(data_sha256="e" * 64))
    assert found(results)[:2] == told[:2]


def test_exhibits_of_other_settings_or_files_are_stale(results: Path) -> None:
    experiments = {"t": {**RAW["experiments"]["t"], "title": "Other"}}
    assert found(results, {"experiments": experiments}) == ["stale    tables/t.json: was made with other settings"]
    path = results / RUN / "run.json"
    path.write_text(path.read_text() + "\n")
    assert found(results) == [f"{TABLE} {RUN}/run.json"]
    Exhibit(exhibit="table", target="t", title="T", caption="C").write(results / "tables/t.json")
    assert found(results) == ["stale    tables/t.json: does not name its inputs"]


def test_an_exhibit_is_signed_with_its_settings_and_files(results: Path) -> None:
    Exhibit(exhibit="table", target="t", title="T", caption="C").write(results / "tables/t.json")
    file = results / RUN / "run.json"
    check.sign(results / "tables/t", "settings", iter([file]))
    signed = Exhibit.read(results / "tables/t.json")
    assert (signed.title, signed.experiment_sha256) == ("T", artifacts.digest("settings"))
    assert signed.inputs == {str(file): artifacts.file_digest(file)}


def test_only_files_that_were_not_dated_back_are_dated_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    years = {1990: 631_152_000, 2000: 946_684_800, 2002: 1_009_843_200, 2010: 1_262_304_000}
    for year, second in years.items():
        for state in ("current", "stale"):
            path = tmp_path / f"{state}-{year}"
            path.touch()
            os.utime(path, (second, second))
    findings = [Finding(path, problems=["differs"] * ("stale" in path.name)) for path in tmp_path.iterdir()]
    findings.append(Finding(tmp_path / "absent", is_missing=True))
    asked = []
    monkeypatch.setattr(check, "check", lambda *given, is_quick: asked.append((given, is_quick)) or findings)
    config = Config.model_construct()
    check.date_back(config, tmp_path)
    assert asked == [((config, tmp_path), True)]
    shifts = {path.name: int(path.stat().st_mtime) - years[int(path.name[-4:])] for path in tmp_path.iterdir()}
    assert {name: seconds * 10**9 for name, seconds in shifts.items() if seconds} == {
        "current-1990": check.SHIFT,
        "current-2000": check.SHIFT,
        "stale-2002": -check.SHIFT,
        "stale-2010": -check.SHIFT,
    }


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Path("run.json"))) == "current  run.json"
    assert str(Finding(Path("run.json"), is_missing=True)) == "missing  run.json"
    assert str(Finding(Path("run.json"), problems=["one", "two"])) == "stale    run.json: one; two"


def test_a_figure_is_checked_as_a_table_is_and_an_input_that_is_gone_is_named(results: Path) -> None:
    (results / "tables").rename(results / "figures")
    assert found(results) == []
    other = results / "other.csv"
    other.write_text("1")
    check.sign(results / "figures/t", load(RAW).experiments["t"].json(), [results / RUN / "run.json", other])
    assert found(results) == []
    other.unlink()
    assert found(results) == [
        "stale    figures/t.json: is of files that changed, are stale or missing: other.csv",
    ]


def test_measured_values_without_a_reference_are_no_record(results: Path) -> None:
    file = results / RUN / "metrics/step-1000.json"
    content = artifacts.read_json(file)
    artifacts.write_json(file, {key: value for key, value in content.items() if key != "reference"})
    assert found(results) == [f"stale    {RUN}/metrics/step-1000.json: is no record of measured values"]


def test_images_that_runs_are_measured_against_are_checked_apart_from_those_of_training(results: Path) -> None:
    other = {
        "datasets": {**RAW["datasets"], "whole": RAW["datasets"]["scenes"]},
        "measured_against": {"scenes": "whole"},
    }
    assert found(results, other) == []
    (results / "data/whole").mkdir(parents=True)
    (results / "data/whole/manifest.json").write_text("{}")
    assert found(results, other) == [
        f"stale    {RUN}/metrics/step-1000.json: was measured against other images than data/whole/manifest.json holds"
    ]


def test_channels_that_the_data_have_are_no_other_settings(results: Path) -> None:
    datasets = {"scenes": {"source": {"kind": "folder", "path": "pictures"}, "resolution": 32}}
    spec = load({**RAW, "datasets": datasets}).spec("scenes", "duplex", 0)
    assert spec.finds_channels
    path = results / RUN / "run.json"
    grey = spec.with_channels(1)
    content = {**artifacts.read_json(path), "spec": grey.model_dump(mode="json"), "spec_sha256": grey.digest}
    artifacts.write_json(path, content)
    told = found(results, {"datasets": datasets})
    assert told == [f"{TABLE} {RUN}/run.json"]
