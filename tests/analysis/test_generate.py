"""Images from runs: a function of their seeds, in every form, and clear words where a run cannot give them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer import cli
from ganformer.analysis import generate as module
from ganformer.analysis.generate import Request, find_run, generate
from ganformer.config import Dataset, Spec
from ganformer.data.pack import pack
from ganformer.data.pictures import grid
from ganformer.errors import ConfigError
from ganformer.learning.checkpoint import restore
from ganformer.learning.loop import train
from ganformer.learning.samples import pixels
from ganformer.nn.layers import constant_noise

SMALL = {"channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with two classes of images, twice as wide as high."""
    folder = tmp_path_factory.mktemp("conditional")
    source = {"kind": "scenes", "images": 8, "min_objects": 1, "max_objects": 2}
    dataset = {"source": source, "resolution": 16, "ratio": 0.5, "classes": 2}
    pack(Dataset.model_validate(dataset), folder / "pack")
    settings = {
        "image": {"height": 8, "width": 16, "classes": 2},
        "mirror": False,
        "model": {"kind": "stylegan2", **SMALL},
        "training": {"kimg": 0.008, "batch": 4, "snapshots": 1},
        "seed": 0,
    }
    names = {"dataset": "scenes", "model": "stylegan2"}
    train(Spec.model_validate(settings), folder / "pack", folder / "run", names=names, threads=1, gpus=0)
    return folder / "run"


def made(run: Path, out: Path, *, as_grid: bool = False, as_npz: bool = False, **changes: Any) -> Path:
    request = Request(
        **{"count": 5, "seed": 3, "batch": 2, "truncation": 0.7, "label": None, "is_noisy": False, **changes}
    )
    generate(run, request, out, as_grid=as_grid, as_npz=as_npz, threads=1, gpus=0)
    return out


def read(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("seed*.png"))])


def test_every_seed_is_a_picture(run: Path, tmp_path: Path) -> None:
    made(run, tmp_path / "a")
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [f"seed00000{i}.png" for i in range(3, 8)]
    learner, _ = restore(run / "run.json")
    labels = torch.eye(2)[read_labels(run, tmp_path, seed=3, count=5)]
    with constant_noise(learner.sampler):
        expected = pixels(learner.sample(labels, range(3, 8), truncation=0.7))
    assert np.abs(read(tmp_path / "a").astype(int) - expected).max() <= 1  # sums are rounded as portions are


def read_labels(run: Path, tmp_path: Path, **changes: Any) -> np.ndarray:
    with np.load(made(run, tmp_path / "labels", as_npz=True, **changes) / "images.npz") as arrays:
        return arrays["arr_1"]


def test_images_do_not_depend_on_those_beside_them(run: Path, tmp_path: Path) -> None:
    one = read(made(run, tmp_path / "one", batch=1)).astype(int)
    other = read(made(run, tmp_path / "other", batch=5))
    later = read(made(run, tmp_path / "later", seed=5, count=2))
    assert np.abs(one - other).max() <= 1
    assert np.abs(one[2:4] - later).max() <= 1
    assert len(np.unique(one.reshape(5, -1), axis=0)) == 5


def test_black_bars_are_left_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(made(run, tmp_path / "whole"))
    learner, known = restore(run / "run.json")
    known["spec"]["image"]["rows"] = 6
    monkeypatch.setattr(module, "restore", lambda path: (learner, known))
    assert (read(made(run, tmp_path / "picture")) == whole[:, 1:7]).all()


def test_again_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for form in ({}, {"as_grid": True}, {"as_npz": True}, {"is_noisy": True}):
        one, other = (made(run, tmp_path / str(len(form)) / name / next(iter(form), ""), **form) for name in "ab")
        assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def test_a_grid_is_one_picture(run: Path, tmp_path: Path) -> None:
    folder = made(run, tmp_path, as_grid=True)
    assert [path.name for path in folder.iterdir()] == ["grid.png"]
    images = read(made(run, tmp_path / "each"))
    assert (np.asarray(Image.open(folder / "grid.png")) == grid(images)).all()


def test_an_array_holds_all_images_and_labels(run: Path, tmp_path: Path) -> None:
    made(run, tmp_path, as_npz=True, as_grid=True)
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "images.npz"}
    with np.load(tmp_path / "images.npz", allow_pickle=False) as arrays:
        images, labels = arrays["arr_0"], arrays["arr_1"]
    assert (images.dtype, images.shape) == (np.uint8, (5, 8, 16, 3))
    assert (images == read(made(run, tmp_path / "each"))).all()
    assert set(labels.tolist()) <= {0, 1}


def test_the_class_can_be_chosen(run: Path, tmp_path: Path) -> None:
    assert read_labels(run, tmp_path, label="1").tolist() == [1] * 5
    zero, one = (read(made(run, tmp_path / str(label), label=label)) for label in ("0", "1"))
    assert (zero != one).any()


def test_truncation_and_fresh_noise_change_images(run: Path, tmp_path: Path) -> None:
    base = read(made(run, tmp_path / "base"))
    assert (base != read(made(run, tmp_path / "whole", truncation=1.0))).any()
    average = read(made(run, tmp_path / "average", truncation=0.0, label="0")).astype(int)
    assert np.abs(average - average[:1]).max() <= 1


def test_zero_truncation_shows_different_classes_unless_the_global_mean_is_asked_for(run: Path, tmp_path: Path) -> None:
    def mean(label: str, **changes: Any) -> np.ndarray:
        folder = tmp_path / f"{label}{len(changes)}"
        return read(made(run, folder, count=2, truncation=0.0, label=label, **changes)).astype(int)

    own = [mean(label) for label in "01"]
    common = [mean(label, mean="global") for label in "01"]
    assert np.abs(own[0] - own[1]).max() > 1
    assert np.abs(common[0] - common[1]).max() <= 1
    assert np.abs(own[0][0] - own[0][1]).max() <= 1


def test_the_global_mean_is_refused_where_truncation_moves_nothing_towards_a_mean(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = module.restore

    def without_mean(path: Path) -> Any:
        learner, known = restore(path)
        learner.truncation_mean = None
        return learner, known

    monkeypatch.setattr(module, "restore", without_mean)
    with pytest.raises(ConfigError, match=r"--truncation-mean global: .*run\.json is of a model .*temperature.* leave"):
        made(run, tmp_path / "out", mean="global")
    assert not (tmp_path / "out").exists()
    made(run, tmp_path / "out")


@pytest.mark.parametrize("name", [".", "run.json", "weights.safetensors"])
def test_a_run_has_three_names(run: Path, name: str) -> None:
    assert find_run(run / name).samefile(run / "run.json")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("snapshot.pkl", r"snapshot\.pkl: is no run; .* ganformer import .*snapshot\.pkl --out FOLDER"),
        ("gdrive:ffhq-snapshot.pkl", r"^gdrive:ffhq-snapshot\.pkl: is no run; import snapshots"),
        ("nowhere", r"nowhere: there is no run\.json here; --weights takes the folder of a finished or imported run"),
    ],
)
def test_what_is_no_run_is_refused(weights: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_run(Path(weights))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "2"}, r"--label 2: .*run\.json has no such class; its classes are 0 to 1"),
        ({"seed": 2**32 - 2}, r"--seed 4294967294: with 5 images the last seed is beyond 4294967295; lower it"),
    ],
)
def test_what_a_run_cannot_give_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(run, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_without_classes_there_is_no_label(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--label 0: .* it was trained without labels; leave --label out"):
        made(runs["stylegan2"], tmp_path / "out", label="0")
    with np.load(made(runs["stylegan2"], tmp_path, as_npz=True) / "images.npz") as arrays:
        assert arrays.files == ["arr_0"]


def test_stopped_half_way_leaves_no_array(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(images: torch.Tensor) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "pixels", stop)
    with pytest.raises(KeyboardInterrupt):
        made(run, tmp_path / "out", as_npz=True, as_grid=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_command_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ganformer", "generate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    out = tmp_path / "images"
    assert call("--weights", str(run), "--out", str(out), "--images-num", "3", "--truncation-psi", "1") == 0
    assert len(list(out.iterdir())) == 3
    zero, mean = ("--truncation-psi", "0", "--images-num", "1"), ("--truncation-mean", "global")
    assert call("--weights", str(run), "--out", str(tmp_path / "own"), "--label", "0", *zero) == 0
    assert call("--weights", str(run), "--out", str(tmp_path / "mean"), "--label", "0", *zero, *mean) == 0
    assert (read(tmp_path / "own") != read(tmp_path / "mean")).any()
    assert call("--weights", str(run), "--out", str(tmp_path / "other"), "--label", "9") == 1
    assert "ganformer: ConfigError: --label 9:" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
