"""Images from runs: a function of their seeds, in every form, and clear words where a run cannot give them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer import artifacts, cli
from ganformer.analysis import generate as module
from ganformer.analysis import stored_images
from ganformer.analysis.generate import Request, generate
from ganformer.config import Dataset, Evaluation, Spec
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.data.pictures import grid, save_picture
from ganformer.errors import ConfigError, DataError, DeviceError
from ganformer.metrics import compare
from ganformer.metrics.sets import Generated
from ganformer.nn.layers import Noise, constant_noise
from ganformer.records.npz import StoredImages
from ganformer.records.run import TrainingData, find_run
from ganformer.training import runs
from ganformer.training.checkpoint import restore
from ganformer.training.loop import train
from ganformer.training.samples import draw_labels, pixels

EVALUATION = Evaluation.model_validate({"extractor": {"kind": "random-vgg16"}, "metrics": ["frechet"]})
SMALL = {"channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide folder of a run with two classes of images, twice as wide as high."""
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
    names = [path.name.partition("-")[0] for path in sorted((tmp_path / "a").glob("seed*.png"))]
    assert names == [f"seed00000{i}" for i in range(3, 8)]
    learner, _ = restore(run / "run.json")
    labels = torch.eye(2)[read_labels(run, tmp_path, seed=3, count=5)]
    with constant_noise(learner.sampler):
        expected = pixels(learner.sample(labels, range(3, 8), truncation=0.7))
    assert np.abs(read(tmp_path / "a").astype(int) - expected).max() <= 1  # sums are rounded as whole blocks are


def test_folder_has_the_name_of_the_run_if_none_is_given(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generate(run, Request(1, 0, 8, 0.7, None, False), None, as_grid=True, as_npz=False, threads=1, gpus=0)
    (folder,) = (tmp_path / "generated").iterdir()
    assert folder.name == "scenes-stylegan2-seed0"
    assert (folder / "grid.png").exists()
    assert f"generated/{folder.name}: 1 image of 16×8 pixels" in capsys.readouterr().out


def read_labels(run: Path, tmp_path: Path, **changes: Any) -> np.ndarray:
    with np.load(made(run, tmp_path / "labels", as_npz=True, **changes) / "images.npz") as arrays:
        return arrays["arr_1"]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read runs with layers whose noise is visible."""

    def read_loud(path: Path, step: int | None = None) -> Any:
        learner, known = restore(path, step)
        for part in learner.sampler.modules():
            if isinstance(part, Noise):
                part.strength.fill_(0.5)
        return learner, known

    monkeypatch.setattr(runs, "restore", read_loud)
    monkeypatch.setattr(stored_images, "restore", read_loud)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("is_noisy", [False, True])
def test_images_are_the_same_bits_alone_and_among_any_others(run: Path, tmp_path: Path, is_noisy: bool) -> None:
    def bits(name: str, **changes: Any) -> dict[str, bytes]:
        folder = made(run, tmp_path / name, is_noisy=is_noisy, **changes)
        return {path.name: path.read_bytes() for path in folder.glob("*.png")}

    whole = bits("whole", seed=0, count=21, batch=32)
    assert len(set(whole.values())) == 21
    for batch in (1, 8, 9):
        assert bits(f"by {batch}", seed=0, count=21, batch=batch) == whole
    assert bits("later", seed=5, count=14, batch=3).items() <= whole.items()
    assert bits("alone", seed=17, count=1).items() <= whole.items()


@pytest.mark.usefixtures("loud")
def test_samples_and_evaluations_see_the_images_that_are_generated(run: Path, tmp_path: Path) -> None:
    expected = read(made(run, tmp_path, seed=0, count=37, truncation=1.0, is_noisy=True))
    stored_images.sample(run / "run.json", 37, tmp_path / "samples.npz", threads=1, gpus=0)
    with np.load(tmp_path / "samples.npz") as arrays:
        assert (arrays["images"] == expected).all()
    measured = Generated(*stored_images.restore(run / "run.json"), run / "run.json", None, range(5, 37))
    batches = list(measured.batches(measured.picture, torch.device("cpu")))
    assert (torch.cat(batches).permute(0, 2, 3, 1).numpy() == expected[5:]).all()


def test_black_bars_are_left_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(made(run, tmp_path / "whole"))
    learner, known = restore(run / "run.json")
    known.spec["image"]["rows"] = 6
    monkeypatch.setattr(runs, "restore", lambda path, step: (learner, known))
    assert (read(made(run, tmp_path / "picture")) == whole[:, 1:7]).all()


def test_again_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for form in ({}, {"as_grid": True}, {"as_npz": True}, {"is_noisy": True}):
        one, other = (made(run, tmp_path / str(len(form)) / name / next(iter(form), ""), **form) for name in "ab")
        assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def test_a_grid_is_one_picture(run: Path, tmp_path: Path) -> None:
    folder = made(run, tmp_path, as_grid=True)
    assert {path.name for path in folder.iterdir()} == {"grid.png", "generated.json"}
    images = read(made(run, tmp_path / "each"))
    assert (np.asarray(Image.open(folder / "grid.png")) == grid(images)).all()


def test_an_array_holds_all_images_and_labels(run: Path, tmp_path: Path) -> None:
    made(run, tmp_path, as_npz=True, as_grid=True)
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "images.npz", "generated.json"}
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
    restore = runs.restore

    def without_mean(path: Path, step: int | None) -> Any:
        learner, known = restore(path, step)
        learner.truncation_mean = None
        return learner, known

    monkeypatch.setattr(runs, "restore", without_mean)
    with pytest.raises(
        ConfigError,
        match=r"--truncation-mean global: .*run\.json is of a model .*temperature.* leave --truncation-mean out",
    ):
        made(run, tmp_path / "out", mean="global")
    assert not (tmp_path / "out").exists()
    made(run, tmp_path / "out")


@pytest.mark.parametrize("name", [".", "run.json", "weights.safetensors"])
def test_a_run_has_three_names(run: Path, name: str) -> None:
    assert find_run(run / name).samefile(run / "run.json")


@pytest.mark.parametrize("suffix", ["pkl", "pth", "pt", "ckpt"])
def test_snapshots_of_other_code_are_to_be_imported(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "run.json").touch()
    with pytest.raises(
        ConfigError,
        match=rf"a\.{suffix}: is no run; import snapshots of official code first: ganformer"
        ".*--out FOLDER, then --weights FOLDER",
    ):
        find_run(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("label", "number"), [(None, None), ("cat", 1), ("1", 0), ("2", 2), ("0", 0)])
def test_a_class_is_named_or_numbered_and_a_name_wins(label: str | None, number: int | None) -> None:
    data = TrainingData(data_sha256="d", count=6, label_counts=[1, 2, 3], class_names=["1", "cat", "dog"])
    assert module.class_number(label, data, Path("run.json")) == number


@pytest.mark.parametrize(
    ("classes", "names", "words"),
    [
        (0, 0, "it was trained without labels; leave the label out"),
        (21, 0, "its classes are 0 to 20"),
        (20, 20, f"its classes are {', '.join(f'c{i}' for i in range(20))}, or 0 to 19"),
        (21, 21, f"its classes are {', '.join(f'c{i}' for i in range(20))} and 1 more, or 0 to 20"),
    ],
)
def test_a_class_that_is_not_there_is_answered_with_those_that_are(classes: int, names: int, words: str) -> None:
    called = [f"c{i}" for i in range(names)]
    data = TrainingData(data_sha256="d", count=6, label_counts=[1] * classes, class_names=called)
    for label in ("21", "cow", "-1", "²"):
        with pytest.raises(ConfigError) as refused:
            module.class_number(label, data, Path("run.json"))
        assert str(refused.value) == f"label {label}: run.json has no such class; {words}"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("snapshot.pkl", r"snapshot\.pkl: is no run; .* ganformer import .*snapshot\.pkl --out FOLDER"),
        ("gdrive:ffhq-snapshot.pkl", r"^gdrive:ffhq-snapshot\.pkl: is no run; import snapshots"),
        ("nowhere", r"nowhere: there is no run\.json here; name the folder of a finished or imported run"),
    ],
)
def test_what_is_no_run_is_refused(weights: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_run(Path(weights))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "2"}, r"label 2: .*run\.json has no such class; its classes are 0 to 1"),
        ({"truncation": float("inf")}, r"truncation ψ inf: is not from 0 \(the mean\) to 1000; 0\.5 to 1 is usual"),
        ({"truncation": 1e39}, r"truncation ψ 1e\+39: is not from 0"),
        ({"truncation": float("nan")}, r"truncation ψ nan: is not from 0"),
        ({"seed": 2**32 - 2}, r"seeds 4294967294 to 4294967298: are not all from 0 to 4294967295; choose others"),
    ],
)
def test_what_a_run_cannot_give_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(run, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_stored_images_name_their_classes(run: Path, tmp_path: Path) -> None:
    stored_images.sample(run / "run.json", 5, tmp_path / "samples.npz", threads=1, gpus=0)
    stored_images.reals(run.parent / "pack", 4, tmp_path / "reals.npz")
    data = restore(run / "run.json")[1].data
    drawn = draw_labels(data.label_counts, range(5)).argmax(dim=1).tolist()
    images = Images(run.parent / "pack")
    shown = images.labels(images.places(4)).argmax(axis=1).tolist()
    for name, labels in (("samples", drawn), ("reals", shown)):
        assert StoredImages.read(tmp_path / f"{name}.npz")[0].classes == [
            data.class_names[label] if data.class_names else str(label) for label in labels
        ]


def test_limits_themselves_are_allowed() -> None:
    for truncation, first, last in ((0.0, 0, 0), (1000.0, 0, 2**32 - 1)):
        module.check(truncation, first, last)
    for truncation, first, last in ((-0.001, 0, 0), (1000.1, 0, 0), (1.0, -1, 0), (1.0, 0, 2**32)):
        with pytest.raises(ConfigError):
            module.check(truncation, first, last)


def test_without_classes_there_is_no_label(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"label 0: .* it was trained without labels; leave the label out"):
        made(runs["stylegan2"], tmp_path / "out", label="0")
    with np.load(made(runs["stylegan2"], tmp_path, as_npz=True) / "images.npz") as arrays:
        assert arrays.files == ["arr_0"]


def test_stopped_half_way_leaves_no_array(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(images: torch.Tensor) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "pixels", stop)
    with pytest.raises(KeyboardInterrupt):
        made(run, tmp_path / "out", as_npz=True, as_grid=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["generated.json"]


# ----------------------------------------------------------------------------------------- into one folder


def test_the_record_says_what_the_images_are_of(run: Path, tmp_path: Path) -> None:
    record = artifacts.read_json(made(run, tmp_path, label="1") / "generated.json")
    assert record["weights_sha256"] == artifacts.read_json(run / "run.json")["weights_sha256"]
    assert (record["first_seed"], record["count"], record["truncation"], record["label"]) == (3, 5, 0.7, 1)
    assert (record["noise"], record["form"], record["is_complete"]) == ("constant", ["pictures"], True)
    assert {path.name for path in tmp_path.glob("*.png")} == {f"seed00000{seed}-class1.png" for seed in range(3, 8)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truncation": 1.0}, "truncation 0.7, now 1.0"),
        ({"label": "0"}, "label None, now 0"),
        ({"count": 4}, "count 5, now 4"),
        ({"seed": 0, "is_noisy": True}, "first_seed 3, now 0, noise constant, now fresh"),
        ({"as_grid": True}, r"form \['pictures'\], now \['grid'\]"),
    ],
)
def test_images_of_another_call_are_not_mixed_in(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    before = read(made(run, tmp_path))
    with pytest.raises(
        ConfigError, match=rf"holds images of another call \({message}\), among which .* choose another folder"
    ):
        made(run, tmp_path, **changes)
    assert (read(tmp_path) == before).all()
    assert (read(made(run, tmp_path, batch=1)) == before).all()  # the same call


def test_a_folder_of_somebody_else_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "seed000003-class0.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"has seed000003-class0\.png, which no earlier call of generate recorded"):
        made(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["seed000003-class0.png"]
    assert (tmp_path / "seed000003-class0.png").read_bytes() == b"mine"


def test_an_interrupted_folder_is_unfinished_until_it_is_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path, image: np.ndarray) -> None:
        if "6" in path.name:
            raise KeyboardInterrupt
        save_picture(path, image)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "save_picture", stop)
        made(run, tmp_path / "out")
    with pytest.raises(
        DataError,
        match=r"out: generating was interrupted \(3 of 5 images are there\); run the same"
        " `ganformer generate` again, or delete the folder",
    ):
        compare.compare(EVALUATION, str(tmp_path / "out"), str(tmp_path / "out"), threads=1, gpus=0)
    made(run, tmp_path / "out")
    assert compare.compare(EVALUATION, str(tmp_path / "out"), str(tmp_path / "out"), threads=1, gpus=0)
    next((tmp_path / "out").glob("seed*.png")).unlink()
    with pytest.raises(
        DataError,
        match=r"has 4 pictures called seed….png, but 5 were generated.*if these are the ones that are meant",
    ):
        compare.compare(EVALUATION, str(tmp_path / "out"), str(tmp_path / "out"), threads=1, gpus=0)


def test_command_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ganformer", "generate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    out = tmp_path / "images"
    assert call("--weights", str(run), "--out", str(out), "--images-num", "3", "--truncation-psi", "1") == 0
    assert len(list(out.glob("seed*.png"))) == 3
    zero, mean = ("--truncation-psi", "0", "--images-num", "1"), ("--truncation-mean", "global")
    assert call("--weights", str(run), "--out", str(tmp_path / "own"), "--label", "0", *zero) == 0
    assert call("--weights", str(run), "--out", str(tmp_path / "mean"), "--label", "0", *zero, *mean) == 0
    assert (read(tmp_path / "own") != read(tmp_path / "mean")).any()
    assert call("--weights", str(run), "--out", str(tmp_path / "other"), "--label", "9") == 1
    assert "ganformer: ConfigError: label 9:" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_call_that_was_interrupted_before_its_first_image_blocks_no_other(run: Path, tmp_path: Path) -> None:
    record = artifacts.read_json(made(run, tmp_path / "first") / "generated.json")
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "generated.json").write_text(json.dumps(record | {"is_complete": False}))
    made(run, begun, count=2)
    assert len(list(begun.glob("*.png"))) == 2
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "generated.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="holds images of another call"):
        made(run, tmp_path / "finished", count=2)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "generated.json").write_text('{"is_complete": false}')
    with pytest.raises(ConfigError, match="holds images of another call"):
        made(run, tmp_path / "foreign", count=2)


def test_a_refused_device_leaves_no_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> str:
        raise DeviceError("refused")

    for place in ("devices.acquire", "compiled.backend"):
        with monkeypatch.context() as patch:
            patch.setattr(f"ganformer.analysis.generate.{place}", refused)
            with pytest.raises(DeviceError, match="refused"):
                made(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_may_be_named_like_a_snapshot(tmp_path: Path) -> None:
    (tmp_path / "a b.pkl").mkdir()
    (tmp_path / "a b.pkl" / "run.json").touch()
    assert find_run(tmp_path / "a b.pkl") == tmp_path / "a b.pkl" / "run.json"
    with pytest.raises(ConfigError, match=r"ganformer import 'x y\.pkl' --out FOLDER, then --weights FOLDER$"):
        find_run(Path("x y.pkl"))
