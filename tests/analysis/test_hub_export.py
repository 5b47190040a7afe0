"""Runs as folders for the Hugging Face Hub."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import ganformer
from ganformer.errors import ConfigError, DataError
from ganformer.records.run import Run
from ganformer.report import card
from ganformer.training.loop import train
from tests.analysis.untrained import TINY
from tests.training.tiny_runs import NAMES, tiny_spec, write_pack

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder of a run of 4 steps with a snapshot at step 2."""
    folder = tmp_path_factory.mktemp("trained")
    spec = tiny_spec(4, kind="stylegan2", **TINY)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"snapshots": 2})})
    train(spec, write_pack(folder / "pack", 40), folder / "run", names=NAMES, threads=1, gpus=0)
    return folder / "run"


def measurements(folder: Path, sha256: str) -> Path:
    """Write measurements of weights with this checksum."""
    content = json.loads((PRETRAINED / "scenes-gan" / "metrics.json").read_text(encoding="utf-8"))
    path = folder / "measured.json"
    path.write_text(json.dumps({**content, "weights_sha256": sha256}), encoding="utf-8")
    return path


def test_the_folder_is_a_run_with_a_card(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = ganformer.load_run(trained), tmp_path / "hub"
    metrics = measurements(tmp_path, run.record.weights_sha256)
    run.export("huggingface", out, metrics=metrics, licence="mit")
    assert (
        capsys.readouterr().out == f"{out}: huggingface of noise/tiny\n  note: upload it with: hf upload NAME {out}\n"
    )
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "run.json", "weights.safetensors", "metrics.json", "samples.png"}
    again = ganformer.load_run(out)
    assert again.snapshots == [4]
    np.testing.assert_array_equal(again.sample(range(3)), run.sample(range(3)))
    assert not Run.read(out / "run.json").changed_files(out)
    _, header, body = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    (entry,) = yaml.safe_load(header).pop("model-index")
    assert {**yaml.safe_load(header), "model-index": None} == {
        "library_name": "ganformer",
        "pipeline_tag": "unconditional-image-generation",
        "license": "mit",
        "tags": ["gan", "image-generation", "stylegan2", "noise"],
        "model-index": None,
    }
    values = json.loads(metrics.read_text())["values"]
    (result,) = entry["results"]
    assert result["dataset"] == {"name": "noise", "type": "noise"}
    first = result["metrics"][0]
    assert (first["type"], first["name"]) == ("FD", "FD (random-vgg16)")
    assert first["value"] == pytest.approx(values["fd"]["value"], rel=0.01)
    assert body.startswith("\n# tiny on noise\n\n![Samples of seeds 0 to 15, truncation 0.7](samples.png)\n")
    assert "| Model | stylegan2, " in body
    assert "| FD (random-vgg16) | " in body
    assert "| Licence | mit |" in body


def test_an_earlier_snapshot_has_its_own_weights(trained: Path, tmp_path: Path) -> None:
    early = ganformer.load_run(trained, 2)
    early.export("huggingface", tmp_path / "hub")
    again = ganformer.load_run(tmp_path / "hub")
    np.testing.assert_array_equal(again.sample([5]), early.sample([5]))
    assert (again.record.steps, again.record.weights_sha256) == (2, early.record.snapshots[0].sha256)
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "license" not in card
    assert "Measured" not in card
    assert "| Time |" not in card  # the record says only how long all of it took
    assert not (tmp_path / "hub" / "metrics.json").exists()


def test_a_run_in_training_has_the_weights_of_its_checkpoint(trained: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "state").symlink_to(trained / "state")
    run = ganformer.load_run(unfinished)
    run.export("huggingface", tmp_path / "hub")
    np.testing.assert_array_equal(ganformer.load_run(tmp_path / "hub").sample([5]), run.sample([5]))


def test_measurements_beside_the_run_are_taken(tmp_path: Path) -> None:
    ganformer.load_run(PRETRAINED / "scenes-vqgan").export("huggingface", tmp_path / "hub")
    beside = PRETRAINED / "scenes-vqgan" / "metrics.json"
    assert json.loads((tmp_path / "hub" / "metrics.json").read_text()) == json.loads(beside.read_text())


def test_measurements_of_other_weights_are_refused(trained: Path, tmp_path: Path) -> None:
    path = measurements(tmp_path, "9" * 64)
    message = (
        r"measured\.json: holds measurements of other weights \(scenes/gan at step 5000\) than .*run\.json at step 4"
    )
    with pytest.raises(ConfigError, match=message):
        ganformer.load_run(trained).export("huggingface", tmp_path / "hub", metrics=path)
    assert not (tmp_path / "hub").exists()


def test_nothing_that_is_there_is_replaced(trained: Path, tmp_path: Path) -> None:
    run, out = ganformer.load_run(trained), tmp_path / "hub"
    out.mkdir()
    (out / ".gitattributes").write_text("*.safetensors filter=lfs")  # as in a new repository
    run.export("huggingface", out)
    assert ganformer.load_run(out).record.steps == 4
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = (
        r"hub: has README\.md, run\.json, samples\.png, weights\.safetensors, which could be lost; choose a new or an"
    )
    with pytest.raises(ConfigError, match=message):
        ganformer.load_run(trained, 2).export("huggingface", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(ConfigError, match=r"run: has .*state, .*, which could be lost"):
        run.export("huggingface", trained)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "samples.png").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"own: has samples\.png, which could be lost; .* empty folder, or move them awa"
    ):
        run.export("huggingface", tmp_path / "own")


def test_after_an_error_there_is_no_part_of_the_folder(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: object, **more: object) -> str:
        raise DataError("the disk is full")

    monkeypatch.setattr(card, "text", failing)
    with pytest.raises(DataError, match="the disk is full"):
        ganformer.load_run(trained).export("huggingface", tmp_path / "hub")
    assert list(tmp_path.iterdir()) == []


def test_the_command_to_upload_can_be_copied(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ganformer.load_run(trained).export("huggingface", tmp_path / "a b")
    assert f"hf upload NAME '{tmp_path / 'a b'}'\n" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"export\.licence: "):
        ganformer.load_run(trained).export("huggingface", tmp_path / "c", licence="")


def test_a_file_in_the_place_of_the_folder_stays(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("mine")
    with pytest.raises(ConfigError, match=r"hub: is a file, and this form is a folder; choose another name$"):
        ganformer.load_run(trained).export("huggingface", tmp_path / "hub")
    assert (tmp_path / "hub").read_text() == "mine"
