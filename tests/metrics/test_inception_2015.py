"""The network behind FID: the same numbers as other ports of it, and only the weights it is known by."""

import hashlib
import importlib.util
import shutil
import warnings

import numpy as np
import pytest
import torch

from ganformer.data import download
from ganformer.data.download import Remote
from ganformer.errors import CheckpointError, DataError
from ganformer.metrics.extractors import inception_2015
from ganformer.metrics.extractors.inception_2015 import Config

CPU = torch.device("cpu")

# Of the random weights and images below, checked against torch-fidelity 0.4.0 (which the first test repeats).
FEATURES = [[0.4818763, 22.607014], [0.57098305, 23.142962]]
LOGITS = [[-3.0655782, -13.829374, 1.7885394], [-3.2778745, -13.909416, 1.9264092]]


@pytest.fixture(scope="module")
def state():
    """Random weights that keep activations in size."""
    random = np.random.RandomState(0)
    with torch.device("meta"):
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in inception_2015.Network().state_dict().items()}

    def draw(name, shape):
        if len(shape) > 1:
            return random.uniform(-1, 1, shape) * (6 / np.prod(shape[1:])) ** 0.5
        if name.endswith(("running_var", "bn.weight")):
            return random.uniform(0.5, 1.5, shape)
        return random.uniform(-0.2, 0.2, shape)

    return {
        name: torch.from_numpy(np.asarray(draw(name, shape))).to(dtype)
        for name, (shape, dtype) in shapes.items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.fixture(scope="module")
def network(state):
    return inception_2015.network(state, CPU)


@pytest.fixture
def images():
    return torch.from_numpy(np.random.RandomState(1).randint(0, 256, (2, 3, 40, 24), np.uint8))


@pytest.fixture
def weights(state, tmp_path, monkeypatch):
    """A file that is taken for the weights of 2015."""
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    monkeypatch.setattr(inception_2015, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture(scope="module")
def torch_fidelity():
    """torch-fidelity's network; where torchvision lacks its compiled part, stand-ins for it let the import pass."""
    if importlib.util.find_spec("torch_fidelity") is None or importlib.util.find_spec("torchvision") is None:
        pytest.skip("torch-fidelity is not installed: pip install torch-fidelity")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")


# ----------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (299, 299), (400, 310)])
def test_equals_torch_fidelity(torch_fidelity, state, network, tmp_path, size):
    path = tmp_path / "weights.pth"
    torch.save({**state, **{n: t for n, t in network.state_dict().items() if n not in state}}, path)
    other = torch_fidelity.FeatureExtractorInceptionV3("oracle", ["2048", "logits_unbiased"], str(path))
    images = torch.from_numpy(np.random.RandomState(2).randint(0, 256, (2, 3, *size), np.uint8))
    for found, expected in zip(network(images), other(images), strict=True):
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_gives_the_numbers_that_agreed_with_torch_fidelity(network, images):
    features, logits = network(images)
    assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
    np.testing.assert_allclose(features[:, [0, 700]], FEATURES, rtol=1e-3)
    np.testing.assert_allclose(logits[:, [0, 500, 1007]], LOGITS, rtol=1e-3)


def test_has_the_tensors_of_the_published_file():
    with torch.device("meta"):
        state = inception_2015.Network().state_dict()
    assert len(state) == 566
    assert sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point()) == 23_885_392
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert state["Mixed_6b.branch7x7_2.conv.weight"].shape == (128, 128, 1, 7)


def test_building_leaves_the_random_numbers_alone(state):
    before = torch.get_rng_state()
    inception_2015.network(state, CPU)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [8, 32, 299, 512])
def test_pixel_of_the_resized_image_lies_at_its_index_times_the_ratio(size):
    ramp = torch.arange(size, dtype=torch.float32)
    expected = (torch.arange(299) * size / 299).clamp(max=size - 1)
    rows = inception_2015.resize(ramp[None, None, :, None].expand(1, 1, size, 4))
    columns = inception_2015.resize(ramp[None, None, None, :].expand(1, 1, 4, size))
    torch.testing.assert_close(rows[0, 0], expected[:, None].expand(299, 299))
    torch.testing.assert_close(columns[0, 0], expected[None, :].expand(299, 299))


# ----------------------------------------------------------------------------------------------- the weights


def test_loads_the_file_that_is_known(weights, images, network):
    loaded = inception_2015.load(Config(kind="inception-2015", weights=weights), CPU)
    assert torch.equal(loaded(images)[0], network(images)[0])


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    message = (
        rf"^{path}: is not the Inception network of 2015 \(sha256 [0-9a-f]{{64}}, expected 6726825d.*\); delete it"
    )
    with pytest.raises(CheckpointError, match=message):
        inception_2015.load(Config(kind="inception-2015", weights=path), CPU)


def test_missing_weights_are_fetched(weights, tmp_path, monkeypatch, images, network):
    asked = []

    def fetch(remote, folder):
        asked.append(remote)
        folder.mkdir()
        shutil.copy(weights, folder / remote.name)

    monkeypatch.setattr(download, "fetch", fetch)
    path = tmp_path / "new" / "own name.pth"
    for _ in range(2):
        loaded = inception_2015.load(Config(kind="inception-2015", weights=path), CPU)
        assert torch.equal(loaded(images)[0], network(images)[0])
    assert asked == [Remote("own name.pth", (inception_2015.URL,), sha256=inception_2015.SHA256)]


def test_weights_that_cannot_be_fetched_are_asked_for(tmp_path, monkeypatch):
    def fetch(remote, folder):
        raise DataError(f"{folder / remote.name}: could not be fetched; why")

    monkeypatch.setattr(download, "fetch", fetch)
    path = tmp_path / "weights.pth"
    message = (
        rf"^{path}: could not be fetched; why\nThese are the weights of the Inception network; if you have them "
        r"elsewhere, name their place in evaluation\.extractor\.weights$"
    )
    with pytest.raises(DataError, match=message):
        inception_2015.load(Config(kind="inception-2015", weights=path), CPU)
