"""VGG16's features are those that published precision and recall are measured with."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, DataError
from ganformer.metrics import resizing
from ganformer.metrics.extractors.vgg16 import model as vgg16
from ganformer.metrics.extractors.vgg16.model import Config
from tests.metrics.other_implementations import rival
from tests.metrics.test_weights import script

CPU = torch.device("cpu")


@pytest.fixture
def tiny(monkeypatch):
    """Let the network have few channels: with all of them a file has half a gigabyte."""
    monkeypatch.setattr(vgg16, "BLOCKS", ((2, 3), (3, 4), (4, 4, 4), (5, 5, 5), (6, 6, 6)))
    monkeypatch.setattr(vgg16, "FEATURES", 10)
    monkeypatch.setattr(vgg16, "CLASSES", 7)


def drawn():
    """Return random weights that keep activations in size, under torchvision's names."""
    random = np.random.default_rng(0)
    state = {}
    for name, shape in vgg16.published().shapes.items():
        size = (6 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2
        state[name] = torch.from_numpy((2 * random.random(shape, np.float32) - 1) * np.float32(size))
    return state


@pytest.fixture
def state(tiny):
    return drawn()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load the network from a file, taken for torchvision's or, as an archive, for NVIDIA's, with these weights."""

    def loaded(state, layout=0):
        published = vgg16.published()
        files = list(published.files)
        path = tmp_path / files[layout].name
        if layout:
            script({theirs: state[name] for name, theirs in files[1].names.items()}, path)
        else:
            torch.save(state, path)
        files[layout] = replace(files[layout], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setattr(vgg16, "published", lambda: replace(published, files=tuple(files)))
        return vgg16.load(Config(kind="vgg16", weights=path), CPU)

    return loaded


@pytest.fixture
def images():
    return torch.from_numpy(np.random.RandomState(1).randint(0, 256, (2, 3, 40, 24), np.uint8))


def textbook(state, images):
    """Return the network built of torch's modules in the order of torchvision's numbers, in float64.

    Features and logits.
    """
    x = resizing.tensorflow(images, 224).double() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    number = 0
    for channels in vgg16.BLOCKS:
        for _ in channels:
            weight, bias = (state[f"features.{number}.{part}"].double() for part in ("weight", "bias"))
            x = nn.functional.conv2d(x, weight, bias, padding=1).relu()
            number += 2
        x = nn.functional.max_pool2d(x, 2)
        number += 1
    x = x.flatten(1)
    outputs = []
    for number in (0, 3, 6):
        x = nn.functional.linear(x, *(state[f"classifier.{number}.{part}"].double() for part in ("weight", "bias")))
        outputs.append(x)
        x = x.relu()
    return outputs[1].relu(), outputs[2]


# ---------------------------------------------------------------------------------------------------- the network


def test_features_are_those_of_the_second_connected_layer_behind_its_relu(state, load, images):
    features, logits = load(state)(images)
    assert features.dtype == logits.dtype == torch.float32
    assert (features.shape, logits.shape) == ((2, 10), (2, 7))
    for found, expected in zip((features, logits), textbook(state, images), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert (features == 0).any()
    assert (features > 0).any()


def test_many_images_give_what_each_gives_alone(state, load):
    network = load(state)
    images = torch.from_numpy(np.random.RandomState(3).randint(0, 256, (vgg16.CPU_BATCH + 2, 3, 8, 8), np.uint8))
    features, _ = network(images)
    torch.testing.assert_close(features, torch.cat([network(image)[0] for image in images.split(1)]))


@pytest.mark.parametrize("size", [(8, 8), (224, 224), (320, 240), (1, 50)])
def test_takes_images_of_any_size(state, load, size):
    features, _ = load(state)(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert features.shape == (1, 10)
    assert features.isfinite().all()


def test_has_the_tensors_of_torchvisions_file():
    shapes = vgg16.published().shapes
    assert len(shapes) == 32
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 138_357_544
    assert shapes["features.0.weight"] == (64, 3, 3, 3)
    assert shapes["features.28.bias"] == (512,)
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.3.weight"] == (4096, 4096)
    assert shapes["classifier.6.weight"] == (1000, 4096)


def test_equals_torch_fidelity_on_real_images(shared, load, monkeypatch):
    module = rival("torch_fidelity.feature_extractor_vgg16", "torch-fidelity")
    state = drawn()
    network = load(state)
    monkeypatch.setattr(torch, "load", lambda *_, **__: state)
    other = module.FeatureExtractorVGG16("oracle", ["fc2_relu"], "weights.pth")
    for pattern in ("food_thumbs/images/*.jpg", "clevr_samples/*.png", "coco_ccby/images/*.jpg"):
        with Image.open(min((shared / "data").glob(pattern))) as opened:
            picture = torch.from_numpy(np.asarray(opened.convert("RGB")).transpose(2, 0, 1)[None].copy())
        (expected,) = other(picture)
        assert (network(picture)[0] - expected).abs().max() < 1e-5 * expected.abs().max()


# ---------------------------------------------------------------------------------------------------- the weights


def test_nvidias_archive_gives_the_same(state, load, images):
    expected = load(state)(images)
    found = load(state, layout=1)(images)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_nvidias_names_count_layers():
    names = vgg16.published().files[1].names
    assert len(set(names.values())) == 32
    assert names["features.0.weight"] == "layers.conv1.weight"
    assert names["features.28.bias"] == "layers.conv13.bias"
    assert names["classifier.3.weight"] == "layers.fc2.weight"


def test_another_network_is_refused_by_its_tensors(tiny, tmp_path):
    path = tmp_path / "vgg16.pth"
    torch.save({"features.0.weight": torch.zeros(2, 3, 3, 3), "classifier.weight": torch.zeros(2)}, path)
    message = (
        rf"^{path}: is not VGG16 as torchvision trained it: its content does not fit the model; missing: "
        r"features\.0\.bias, .* and 26 more \(sha256 \w{64}, expected 397923af\w{56} of vgg16-397923af\.pth or "
        r"b437eb09\w{56} of vgg16\.pt\); delete it to have it fetched again, or correct "
        r"evaluation\.extractor\.weights$"
    )
    with pytest.raises(CheckpointError, match=message):
        vgg16.load(Config(kind="vgg16", weights=path), CPU)


def test_missing_weights_are_fetched_or_asked_for(tmp_path, monkeypatch):
    asked = []

    def fetch(remote, folder):
        asked.append(remote)
        raise DataError(f"{folder / remote.name}: could not be fetched; why")

    monkeypatch.setattr(download, "fetch", fetch)
    path = tmp_path / "vgg16-397923af.pth"
    message = (
        rf"^{path}: could not be fetched; why\nThese are the weights of VGG16 as torchvision trained it; if you have "
        r"vgg16-397923af\.pth or vgg16\.pt elsewhere, name its place in evaluation\.extractor\.weights$"
    )
    with pytest.raises(DataError, match=message):
        vgg16.fetch(Config(kind="vgg16", weights=path))
    assert asked == [download.Remote(path.name, asked[0].urls, sha256=asked[0].sha256)]
    assert asked[0].sha256.startswith("397923af")
    assert asked[0].urls == ("https://download.pytorch.org/models/vgg16-397923af.pth",)


def test_says_which_file_it_reads(tmp_path):
    assert Config(kind="vgg16", weights=tmp_path / "own.pth").inputs == (tmp_path / "own.pth",)
    assert str(Config(kind="vgg16").weights) == "results/weights/vgg16-397923af.pth"
