"""Weights that come with the repository are whole, small, described, and make pictures at once."""

import hashlib
from pathlib import Path

import pytest

import ganformer
from ganformer import config
from ganformer.records.metrics import Measured
from ganformer.records.run import Run
from ganformer.report import pretrained

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "pretrained"
FOLDERS = sorted(FOLDER.iterdir())
STUDY = config.load(config.merged([ROOT / "config.yaml", ROOT / "workflow/presets/study.yaml"]))
MOST_BYTES = 16_000_000


def test_every_model_of_the_study_is_there() -> None:
    table = STUDY.experiments[str(STUDY.publication and STUDY.publication.weights_of)]
    assert [path.name for path in FOLDERS] == sorted(f"scenes-{model}" for model in table.models)
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) < MOST_BYTES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_weights_are_those_of_the_record_and_the_card(folder: Path) -> None:
    run, measured = Run.read(folder / "run.json"), Measured.read(folder / "metrics.json")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert run.weights_sha256 == measured.weights_sha256 == digest
    assert run.run == measured.run
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert digest[:12] in card
    assert f"ganformer generate --weights pretrained/{folder.name} --grid" in card
    studied = STUDY.spec(run.run.dataset, run.run.model, run.run.seed).model
    lengths = {"autoencoder_kimg", "discriminator_start_kimg"}  # follow from the length of the training
    own = run.settings(folder / "run.json").model
    assert own.model_dump(exclude=lengths) == studied.model_dump(exclude=lengths)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_weights_make_pictures(folder: Path) -> None:
    images = ganformer.load_run(folder).sample(seeds=range(8))
    assert images.shape == (8, 32, 32, 3)
    assert len({image.tobytes() for image in images}) == 8
    assert 100 < images.mean() < 180  # a grey ground in the middle light


def test_list_names_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = pretrained.listing(pretrained.find(pretrained.places())).splitlines()
    assert [line.split()[0] for line in lines] == [f"pretrained/{folder.name}" for folder in FOLDERS]
