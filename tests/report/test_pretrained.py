"""Weights that come with the repository: the best seed, its records, a model card, and their list."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganformer import config
from ganformer.errors import ConfigError, DataError
from ganformer.records.run import Run
from ganformer.report import pretrained

MakeFile = Callable[..., Path]


@pytest.fixture
def seeds(run: MakeFile, metrics: MakeFile) -> tuple[list[Path], list[Path]]:
    """Write three seeds of a model with weights, the second one with the smallest FD and the third with most recall."""
    runs, measured = [], []
    for seed, (fd, recall) in enumerate([(3.0, 0.1), (1.5, 0.2), (2.0, 0.3)]):
        content = f"weights {seed}".encode()
        digest = hashlib.sha256(content).hexdigest()
        ends = [{"step": 500, "kimg": 8.0, "file": "state/500.safetensors", "sha256": "5" * 64}]
        ends.append({"step": 1000, "kimg": 16.0, "file": "weights.safetensors", "sha256": digest})
        runs.append(run(seed=seed, weights_sha256=digest, snapshots=ends))
        (runs[-1].parent / "weights.safetensors").write_bytes(content)
        (runs[-1].parent / "state").mkdir()
        values = {
            "fd": {"name": "fd_random_vgg16", "value": fd},
            "recall": {"name": "recall_random_vgg16", "value": recall},
        }
        measured.append(metrics(seed=seed, values={**values, "fd_bias": {"name": "fd_bias", "value": 1.0}}))
        measured.append(metrics(seed=seed, step=500, values={"fd": {"name": "fd_random_vgg16", "value": 0.1}}))
    return runs, measured


@pytest.fixture
def _whole(monkeypatch: pytest.MonkeyPatch, seeds: tuple[list[Path], list[Path]]) -> None:
    """Write the weights of the earlier snapshots as well."""
    for path in seeds[0]:
        record = json.loads(path.read_text())
        early = b"early"
        record["snapshots"][0]["sha256"] = hashlib.sha256(early).hexdigest()
        path.write_text(json.dumps(record))
        (path.parent / "state" / "500.safetensors").write_bytes(early)


@pytest.mark.usefixtures("_whole")
@pytest.mark.parametrize(("by", "best"), [("fd", 1), ("recall", 2)])
def test_best_seed_is_exported(
    tmp_path: Path, seeds: tuple[list[Path], list[Path]], by: str, best: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pretrained" / "scenes-duplex"
    pretrained.export(by, *seeds, out)
    value = {"fd": "fd_random_vgg16 1.5", "recall": "recall_random_vgg16 0.3"}[by]
    assert capsys.readouterr().out == f"{out}: seed {best} of 3, {value}\n"
    assert {path.name for path in out.iterdir()} == {"weights.safetensors", "run.json", "metrics.json", "README.md"}
    assert (out / "weights.safetensors").read_bytes() == f"weights {best}".encode()
    record = Run.read(out / "run.json")
    assert record.run.seed == best
    assert [(kept.step, kept.file) for kept in record.snapshots] == [(1000, "weights.safetensors")]
    assert not record.changed_files(out)
    before = json.loads(seeds[0][best].read_text())
    assert {**json.loads((out / "run.json").read_text()), "snapshots": 0} == {**before, "snapshots": 0}
    assert json.loads((out / "metrics.json").read_text())["run"]["seed"] == best


@pytest.mark.usefixtures("_whole")
def test_model_card_has_data_budget_values_and_licence(tmp_path: Path, seeds: tuple[list[Path], list[Path]]) -> None:
    out = tmp_path / "scenes-duplex"
    pretrained.export("fd", *seeds, out)
    text = (out / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# GANformer (duplex) on scenes\n")
    assert f"ganformer generate --weights {out} --grid" in text
    assert "| Data | scenes, 4,000 images of 32×32 pixels, mirrored at random; sha256 dddddddddddd |" in text
    assert "| Training | 16 kimg in batches of 16, seed 1, best of 3 seeds by FD |" in text
    assert "| Time | 2 min 15 s on Example CPU 3000, 2 threads |" in text
    assert "| FD (random-vgg16) | 1.50 |\n| Recall % (random-vgg16) | 20.0 |" in text
    assert "fd_bias" not in text
    assert "| Licence | MIT" in text


@pytest.mark.usefixtures("_whole")
@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "kid",
            r"step-1000\.json: 'kid', which decides the best seed, was not measured; allowed: fd, fd_bias, recall$",
        ),
        ("fd_bias", "neither small nor large values are"),
    ],
)
def test_value_that_cannot_decide_is_refused(
    tmp_path: Path, seeds: tuple[list[Path], list[Path]], by: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        pretrained.export(by, *seeds, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("_whole")
def test_changed_weights_are_refused(tmp_path: Path, seeds: tuple[list[Path], list[Path]]) -> None:
    (seeds[0][1].parent / "weights.safetensors").write_bytes(b"other")
    message = (
        r"seed1/weights\.safetensors: is missing or not the file that .*seed1/run\.json names; train the run again"
    )
    with pytest.raises(DataError, match=message):
        pretrained.export("fd", *seeds, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_several_models_are_refused(tmp_path: Path, run: MakeFile, metrics: MakeFile) -> None:
    runs = [run(model="gan"), run(model="duplex")]
    with pytest.raises(
        DataError,
        match=r"/out: is for one model, but runs of scenes/duplex and scenes/gan were given; export each by itself",
    ):
        pretrained.export("fd", runs, [metrics(model="gan")], tmp_path / "out")


@pytest.mark.usefixtures("_whole")
def test_list_names_each_model_once_with_its_values(
    tmp_path: Path, seeds: tuple[list[Path], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("here", "clone"):
        pretrained.export("fd", *seeds, tmp_path / place / "pretrained" / "scenes-duplex")
    monkeypatch.chdir(tmp_path / "here")
    found = list(pretrained.find([tmp_path / "here", tmp_path / "clone"]))
    assert pretrained.listing(found) == (
        "pretrained/scenes-duplex  GANformer (duplex)  16 kimg  FD 1.50, Recall % 20.0"
    )


def test_card_of_the_only_seed_on_grey_oblong_images(
    tmp_path: Path, run: MakeFile, metrics: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    end = {"step": 1000, "kimg": 16.0, "file": "weights.safetensors", "sha256": digest}
    spec = {
        "image": {"height": 24, "width": 32, "channels": 1},
        "mirror": False,
        "model": {"kind": "gan"},
        "training": {"kimg": 16.0, "batch": 8},
        "seed": 3,
    }
    code = {"ganformer": "0.2.0"}
    record = run(model="gan", seed=3, spec=spec, code=code, weights_sha256=digest, snapshots=[end])
    (record.parent / "weights.safetensors").write_bytes(b"weights")
    values = {
        "fd": {"name": "fd_random_vgg16", "value": 12.345},
        "fd_std": {"name": "fd_std_random_vgg16", "value": 0.5},
        "kid": {"name": "kid_random_vgg16", "value": 0.00123},
        "second_fd": {"name": "fd_inception_random", "value": 0.5, "by": "inception-random"},
    }
    recipe = {"extractor": {"kind": "random-vgg16"}, "images": 1000, "image": {"height": 24, "width": 32}}
    out = tmp_path / "pretrained" / "scenes-gan"
    pretrained.export("fd", [record], [metrics(model="gan", seed=3, values=values, recipe=recipe)], out)
    assert (out / "README.md").read_text(encoding="utf-8").splitlines() == [
        "# GAN on scenes",
        "",
        "```sh",
        f"ganformer generate --weights {out} --grid",
        "```",
        "",
        "| | |",
        "| --- | --- |",
        "| Model | gan, 2.08 M parameters in training |",
        "| Data | scenes, 4,000 images of 32×24 pixels; sha256 dddddddddddd |",
        "| Training | 16 kimg in batches of 8, seed 3, the only seed |",
        "| Time | 2 min 15 s on Example CPU 3000, 2 threads |",
        "| Code | 0.2.0 (no commit) |",
        f"| Weights | moving average of the generator, float32, sha256 {digest[:12]} |",
        "| Licence | MIT, as the code; the images are rendered or named by the data set |",
        "",
        "Measured on 1,000 generated images. FD is a Fréchet distance of the features of the",
        "network in brackets, so it compares with no published FID.",
        "",
        "| Measure | Value |",
        "| --- | --- |",
        "| FD (random-vgg16) | 12.3 |",
        "| KID × 10³ (random-vgg16) | 1.23 |",
        "| FD (inception-random) | 0.500 |",
        "",
        "All settings are in `run.json`, all values in `metrics.json`. It is a small model for studies of models, of "
        "32×24 pixels, and",
        "was made for no other use.",
    ]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pretrained.listing(pretrained.find([tmp_path])) == f"{out}  GAN  16 kimg  FD 12.3, KID × 10³ 1.23"


def test_list_is_in_columns_and_in_the_order_of_the_names(
    tmp_path: Path, run: MakeFile, metrics: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, model in (("b", "gan"), ("a", "stylegan2")):
        (tmp_path / "pretrained" / folder).mkdir(parents=True)
        run(model=model).rename(tmp_path / "pretrained" / folder / "run.json")
        metrics(model=model).rename(tmp_path / "pretrained" / folder / "metrics.json")
    monkeypatch.chdir(tmp_path)
    assert pretrained.listing(pretrained.find([tmp_path])).splitlines() == [
        "pretrained/a  StyleGAN2  16 kimg  FD 12.3, IS 2.50, Precision % 50.0, Recall % 25.0",
        "pretrained/b  GAN        16 kimg  FD 12.3, IS 2.50, Precision % 50.0, Recall % 25.0",
    ]


def test_list_says_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "places", lambda: [tmp_path, tmp_path / "b"])
    found = pretrained.find(pretrained.places())
    assert pretrained.listing(found) == (
        f"no pretrained weights in {tmp_path}/pretrained and {tmp_path}/b/pretrained; the repository has them, see its "
        "README"
    )


def test_places_are_the_working_folder_and_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Path(pretrained.__file__).resolve().parents[2]
    monkeypatch.chdir(tmp_path)
    assert pretrained.places() == [tmp_path, clone]
    monkeypatch.chdir(clone)
    assert pretrained.places() == [clone]


def test_weights_of_an_unknown_experiment_are_refused() -> None:
    settings: dict[str, Any] = {
        "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 16}},
        "models": {"duplex": {"kind": "ganformer", "attention": "duplex"}},
        "evaluation": {"extractor": {"kind": "random-vgg16"}},
        "publication": {"template": "a.md", "out": "docs", "weights_of": "table9"},
    }
    with pytest.raises(ConfigError, match=r"publication\.weights_of: 'table9' is not an entry of experiments"):
        config.load(settings)
