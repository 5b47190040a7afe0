"""Grey and transparent data sets on their whole way: packed, trained on, sampled, measured, shown."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.analysis import stored_images as stored
from ganformer.analysis.attention_maps import attend
from ganformer.analysis.copies import find_copies
from ganformer.analysis.generate import Request, generate
from ganformer.config import Dataset, Evaluation, ImageSpec, Spec
from ganformer.data.dataset import Images
from ganformer.data.images import in_colours
from ganformer.data.packing.pack import pack
from ganformer.errors import ConfigError
from ganformer.exhibits import attention as attention_figure
from ganformer.exhibits import samples as samples_figure
from ganformer.metrics import compare, evaluate
from ganformer.metrics.sets import open_set
from ganformer.training.loop import train

pytestmark = pytest.mark.slow

SETTINGS = Evaluation.model_validate(
    {"extractor": {"kind": "random-vgg16"}, "images": 24, "metrics": ["frechet", "precision-recall", "kid"]}
)
SETTINGS_OF_FILES = Evaluation.model_validate(SETTINGS.model_dump(exclude={"images"}, exclude_unset=True))
CHANNELS = {1: "L", 4: "RGBA"}
MODEL = {
    "kind": "ganformer",
    "attention": "duplex",
    "channel_base": 64,
    "channel_max": 8,
    "latent_size": 16,
    "components": 4,
    "adversarial": {"augmentation": {"kind": "ada", "interval": 1}},
}


@pytest.fixture(scope="module", params=CHANNELS, ids=CHANNELS.get)
def channels(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def home(channels: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide pictures of two classes.

    Their pack, and a run of two steps whose spec leaves the channels to the data.
    """
    home = tmp_path_factory.mktemp(CHANNELS[channels])
    random = np.random.default_rng(channels)
    for number in range(24):
        path = home / "pictures" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (16, 16, channels), np.uint8)
        Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, CHANNELS[channels]).save(path)
    source = {"kind": "folder", "path": str(home / "pictures")}
    pack(Dataset.model_validate({"source": source, "resolution": 16, "classes": 2}), home / "pack")
    plan = {"image": ImageSpec(height=16, width=16, classes=2), "finds_channels": True, "mirror": True, "seed": 0}
    training = {"kimg": 0.008, "batch": 4, "snapshots": 1}
    spec = Spec.model_validate({**plan, "model": MODEL, "training": training})
    train(spec, home / "pack", home / "run", names={"dataset": "d", "model": "duplex"}, threads=1, gpus=0)
    return home


def request_of(**changes: object) -> Request:
    given = {"count": 24, "seed": 0, "batch": 32, "truncation": 1.0, "label": None, "is_noisy": True, **changes}
    return Request(**given)  # type: ignore[arg-type]


def test_a_run_has_the_channels_and_classes_of_its_data(home: Path, channels: int) -> None:
    record = json.loads((home / "run/run.json").read_text())
    assert record["spec"]["image"]["channels"] == channels
    assert record["spec"]["finds_channels"] is False
    assert record["data"]["class_names"] == ["cat", "dog"]
    assert record["data"]["data_sha256"] == Images(home / "pack").digest


def test_samples_are_pictures_of_that_mode(home: Path, channels: int, tmp_path: Path) -> None:
    generate(home / "run", request_of(count=2), tmp_path, as_grid=False, as_npz=False, threads=1, gpus=0)
    generate(home / "run", request_of(count=2), tmp_path / "all", as_grid=True, as_npz=True, threads=1, gpus=0)
    for path in (*tmp_path.glob("seed000000*.png"), tmp_path / "all/grid.png"):
        with Image.open(path) as image:
            assert image.mode == CHANNELS[channels]
    with np.load(tmp_path / "all/images.npz") as arrays:
        assert arrays["arr_0"].shape == (2, 16, 16, channels)
    with Image.open(home / "run/samples/reals.png") as image:
        assert image.mode == CHANNELS[channels]


def test_a_class_is_chosen_by_its_name(home: Path, tmp_path: Path) -> None:
    made = {}
    for label in ("dog", "1", "cat"):
        out = tmp_path / label
        generate(home / "run", request_of(count=3, label=label), out, as_grid=False, as_npz=True, threads=1, gpus=0)
        with np.load(out / "images.npz") as arrays:
            made[label] = arrays["arr_0"], arrays["arr_1"].tolist()
    assert (made["dog"][1], made["cat"][1]) == ([1] * 3, [0] * 3)
    assert (made["dog"][0] == made["1"][0]).all()
    with pytest.raises(ConfigError, match=r"^label cow: .* has no such class; its classes are cat, dog, or 0 to 1"):
        request = request_of(label="cow")
        generate(home / "run", request, tmp_path / "cow", as_grid=False, as_npz=False, threads=1, gpus=0)


def test_a_run_measures_what_its_pictures_measure(home: Path, tmp_path: Path) -> None:
    for name, as_npz in (("fake", False), ("array", True)):
        generate(home / "run", request_of(), tmp_path / name, as_grid=False, as_npz=as_npz, threads=1, gpus=0)
    (tmp_path / "array/images.npz").rename(tmp_path / "images.npz")
    values = []
    for real in ("pack", "pictures"):
        for fake in (home / "run", tmp_path / "fake", tmp_path / "images.npz"):
            chosen = SETTINGS if fake == home / "run" else SETTINGS_OF_FILES
            measured = compare.compare(chosen, str(home / real), str(fake), threads=1, gpus=0)
            values.append({key: found.value for key, found in measured.values.items()})
    assert all(value == values[0] for value in values[1:])


@pytest.mark.parametrize("kind", ["random-vgg16", "inception-random"])
def test_every_extractor_sees_colours(home: Path, kind: str) -> None:
    """Extractors take three channels: every kind of set gives them, from other numbers of channels too."""
    settings = Evaluation.model_validate({"extractor": {"kind": kind}, "images": 4, "metrics": ["frechet"]})
    for side in ("run", "pack", "pictures"):
        images = open_set(str(home / side), settings)
        batch = next(iter(images.batches((16, 16), torch.device("cpu"))))  # type: ignore[union-attr]
        assert batch.shape[1:] == (3, 16, 16)
    measured = compare.compare(settings, str(home / "pack"), str(home / "run"), threads=1, gpus=0)
    assert np.isfinite(measured.values["fd"].value)


def test_the_commands_of_the_graph_take_it(home: Path, channels: int, tmp_path: Path) -> None:
    run, manifest = home / "run/run.json", home / "pack/manifest.json"
    evaluate.reference(SETTINGS, manifest, tmp_path / "reference", threads=1, gpus=0)
    job = evaluate.Job(SETTINGS, run, None, manifest, tmp_path / "reference", False)
    evaluate.evaluate(job, tmp_path / "metrics.json", threads=1, gpus=0)
    find_copies(SETTINGS, run, manifest, None, 2, tmp_path / "copies.npz", threads=1, gpus=0)
    stored.sample(run, 4, tmp_path / "samples.npz", threads=1, gpus=0)
    stored.reals(manifest, 4, tmp_path / "reals.npz")
    attend(run, 2, tmp_path / "attention.npz", threads=1, gpus=0)
    with np.load(tmp_path / "reals.npz") as arrays:
        assert arrays["images"].shape == (4, 16, 16, channels)
        assert json.loads(str(arrays["provenance"]))["classes"] == ["cat", "cat", "dog", "dog"]
        shown = in_colours(arrays["images"], axis=-1)
    assert shown.shape == (4, 16, 16, 3)
    experiment = {"title": "Samples", "datasets": ["d"], "models": ["duplex"], "count": 4}
    drawn = [tmp_path / "samples.npz", tmp_path / "reals.npz"]
    samples_figure.draw(
        samples_figure.Config.model_validate({**experiment, "kind": "samples"}), drawn, tmp_path / "samples"
    )
    attention = attention_figure.Config.model_validate({**experiment, "kind": "attention", "count": 2})
    attention_figure.draw(attention, [tmp_path / "attention.npz"], tmp_path / "attention")
    for name in ("samples.png", "attention.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 100


def test_the_same_data_in_another_pack_goes_on_with_the_run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "moved").symlink_to(home / "pictures")
    source = {"kind": "folder", "path": str(tmp_path / "moved")}
    settings = {"source": source, "resolution": 16, "classes": 2, "format": "png", "shards": 3}
    pack(Dataset.model_validate(settings), tmp_path / "pack")
    record = json.loads((home / "run/run.json").read_text())
    spec = Spec.model_validate(record["spec"])
    train(spec, tmp_path / "pack", home / "run", names={"dataset": "d", "model": "duplex"}, threads=1, gpus=0)
    assert "holds this run already, complete; nothing is trained" in capsys.readouterr().out
