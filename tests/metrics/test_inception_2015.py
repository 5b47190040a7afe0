"""The network behind FID: the same numbers as other ports of it, and only the weights it is known by."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, DataError
from ganformer.metrics.extractors.inception_2015 import model as inception_2015
from ganformer.metrics.extractors.inception_2015.model import Config
from tests.metrics.other_implementations import rival
from tests.metrics.test_clean_resizing import half_pixels
from tests.metrics.test_weights import script

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")

# Of the random weights and images below, checked against torch-fidelity 0.4.0 (which the first test repeats).
FEATURES = [[0.4818763, 22.607014], [0.57098305, 23.142962]]
LOGITS = [[-3.0655782, -13.829374, 1.7885394], [-3.2778745, -13.909416, 1.9264092]]

# Names of some tensors here and in NVIDIA's archive.
NVIDIA = {
    "Conv2d_1a_3x3.conv.weight": "layers.conv.weight",
    "Conv2d_4a_3x3.bn.bias": "layers.conv_4.beta",
    "Mixed_5b.branch1x1.bn.running_mean": "layers.mixed.conv.mean",
    "Mixed_5b.branch_pool.bn.running_var": "layers.mixed.tower_2.conv.var",
    "Mixed_5d.branch5x5_2.conv.weight": "layers.mixed_2.tower.conv_1.weight",
    "Mixed_6a.branch3x3.conv.weight": "layers.mixed_3.conv.weight",
    "Mixed_6a.branch3x3dbl_3.conv.weight": "layers.mixed_3.tower.conv_2.weight",
    "Mixed_6e.branch7x7dbl_5.conv.weight": "layers.mixed_7.tower_1.conv_4.weight",
    "Mixed_7a.branch3x3_1.conv.weight": "layers.mixed_8.tower.conv.weight",
    "Mixed_7a.branch7x7x3_4.conv.weight": "layers.mixed_8.tower_1.conv_3.weight",
    "Mixed_7b.branch3x3_2a.conv.weight": "layers.mixed_9.tower_mixed_conv.weight",
    "Mixed_7c.branch3x3dbl_2.conv.weight": "layers.mixed_10.tower_1_conv_1.weight",
    "Mixed_7c.branch3x3dbl_3b.conv.weight": "layers.mixed_10.tower_1_mixed_conv_1.weight",
    "Mixed_7c.branch_pool.bn.bias": "layers.mixed_10.tower_2_conv.beta",
    "fc.weight": "output.weight",
}


@pytest.fixture(scope="module")
def state():
    """Provide random weights that keep activations in size."""
    random = np.random.RandomState(0)

    def draw(name, shape):
        if len(shape) > 1:
            return random.uniform(-1, 1, shape) * (6 / np.prod(shape[1:])) ** 0.5
        if name.endswith(("running_var", "bn.weight")):
            return random.uniform(0.5, 1.5, shape)
        return random.uniform(-0.2, 0.2, shape)

    return {
        name: torch.from_numpy(np.asarray(draw(name, shape))).float()
        for name, shape in inception_2015.expected().items()
    }


@pytest.fixture(scope="module")
def network(state):
    return inception_2015.network(state, CPU)


@pytest.fixture
def images():
    return torch.from_numpy(np.random.RandomState(1).randint(0, 256, (2, 3, 40, 24), np.uint8))


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    """Provide a file with these weights."""
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def take_for(monkeypatch):
    """Let a file be taken for the published one at a place."""

    def take(path, index):
        real = inception_2015.published()
        files = list(real.files)
        files[index] = replace(files[index], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setattr(inception_2015, "published", lambda: replace(real, files=tuple(files)))

    return take


# ----------------------------------------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def oracle(weights):
    """torch-fidelity's network with the same weights."""
    module = rival("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity")
    return module.FeatureExtractorInceptionV3("oracle", ["2048", "logits_unbiased"], str(weights))


def assert_agree(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (299, 299), (400, 310)])
def test_equals_torch_fidelity(oracle, network, size):
    images = torch.from_numpy(np.random.RandomState(2).randint(0, 256, (2, 3, *size), np.uint8))
    assert_agree(network(images), oracle(images))


@pytest.mark.parametrize(
    "pattern", ["food_thumbs/images/*.jpg", "nlvr/*.png", "clevr_samples/*.png", "coco_ccby/images/*.jpg"]
)
def test_equals_torch_fidelity_on_real_images(oracle, network, shared, pattern):
    with Image.open(min((shared / "data").glob(pattern))) as opened:
        images = torch.from_numpy(np.asarray(opened.convert("RGB")).transpose(2, 0, 1)[None].copy())
    assert_agree(network(images), oracle(images))


def test_sees_what_pytorch_fid_sees_where_it_resizes_so(network, state, images):
    """It is the same network, but its images are resized otherwise and are from −1 to 1, not from −1 to 127/128."""
    resized = 2 * half_pixels(images.numpy()) - 1
    usual = torch.from_numpy((resized + 1) * 128).float()  # of which the usual x / 128 − 1 makes it again
    found = inception_2015.network(state, CPU, resize="pytorch-fid")(images)
    assert_agree(found, network(usual))
    assert (found[0] - network(images)[0]).abs().max() > 0.01 * found[0].abs().max()


@pytest.mark.parametrize("size", [(32, 32), (299, 299), (400, 310)])
def test_equals_pytorch_fid_where_it_resizes_so(monkeypatch, state, size):
    module = rival("pytorch_fid.inception", "pytorch-fid")
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: state)
    images = torch.from_numpy(np.random.RandomState(2).randint(0, 256, (2, 3, *size), np.uint8))
    with torch.inference_mode():
        (expected,) = module.InceptionV3().eval()(images / 255)
    found, _ = inception_2015.network(state, CPU, resize="pytorch-fid")(images)
    assert_agree([found], [expected[:, :, 0, 0]])


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


def test_many_images_give_what_each_gives_alone(network, monkeypatch):
    monkeypatch.setattr(inception_2015, "CPU_BATCH", 3)
    monkeypatch.setattr(inception_2015, "CPU_FIRST_BATCH", 2)
    images = torch.from_numpy(np.random.RandomState(3).randint(0, 256, (7, 3, 8, 8), np.uint8))
    features, logits = network(images)
    assert (features.shape, logits.shape) == ((7, 2048), (7, 1008))
    chosen = [0, 2, 3, 6]
    assert_agree((features[chosen], logits[chosen]), network(images[chosen]))
    assert (features[0] - features[6]).abs().max() > 1e-3 * features.abs().max()


def test_clean_resizing_is_another_measurement(state, network, images):
    features, _ = inception_2015.network(state, CPU, "clean")(images)
    assert (features - network(images)[0]).abs().max() > 0.01 * features.abs().max()
    whole = torch.from_numpy(np.random.RandomState(1).randint(0, 256, (1, 3, 299, 299), np.uint8))
    assert torch.equal(inception_2015.network(state, CPU, "clean")(whole)[0], network(whole)[0])


# ---------------------------------------------------------------------------------------------- in places


def test_spatial_features_are_the_first_channels_of_the_block(state, network, images):
    """`mixed_6/conv` is the path of the 1×1 convolution, which the block `mixed_6`, here `Mixed_6d`, begins with."""
    blocks = []
    hook = network.Mixed_6d.register_forward_hook(lambda _, __, output: blocks.append(output))
    network(images)
    hook.remove()
    features, logits = inception_2015.network(state, CPU, features="spatial")(images)
    assert (features.shape, logits.shape) == ((2, 2023), (2, 0))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.view(2, 17, 17, 7), blocks[0][:, :7].permute(0, 2, 3, 1))


def test_spatial_features_are_behind_normalisation_and_relu(state, images):
    """Step by step from what the block sees, with the tensors of the file."""
    spatial, seen = inception_2015.network(state, CPU, features="spatial"), []
    spatial.Mixed_6c.register_forward_hook(lambda _, __, output: seen.append(output))
    features, _ = spatial(images)
    weight, gain, bias, mean, variance = (
        state[f"Mixed_6d.branch1x1.{name}"][:7].double()
        for name in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    )
    places = torch.einsum("bihw,oi->bhwo", seen[0].double(), weight[:, :, 0, 0])
    expected = ((places - mean) / (variance + 0.001).sqrt() * gain + bias).clamp(min=0)
    np.testing.assert_allclose(features, expected.flatten(1), rtol=1e-4, atol=1e-4)
    assert 0.1 < (features == 0).float().mean() < 0.9


def test_moving_what_is_seen_changes_spatial_features_more(state):
    image = torch.from_numpy(np.random.RandomState(4).randint(0, 256, (1, 3, 6, 6), np.uint8))
    image = torch.nn.functional.interpolate(image, scale_factor=8)
    pair = torch.cat([image, image.flip(-1)])
    changes = []
    for features in ("spatial", "pool"):
        one, other = inception_2015.network(state, CPU, features=features)(pair)[0]
        changes.append((one - other).norm() / one.norm())
    assert changes[0] > 1.5 * changes[1]


def test_spatial_features_are_chosen_by_the_settings(weights, take_for, state, images):
    take_for(weights, 0)
    config = Config(kind="inception-2015", weights=weights, features="spatial")
    expected = inception_2015.network(state, CPU, features="spatial")(images)[0]
    assert torch.equal(inception_2015.load(config, CPU)(images)[0], expected)


# ----------------------------------------------------------------------------------------------- the weights


def test_loads_the_file_of_pytorch_fid(weights, take_for, images, network):
    take_for(weights, 0)
    loaded = inception_2015.load(Config(kind="inception-2015", weights=weights), CPU)
    assert torch.equal(loaded(images)[0], network(images)[0])


def test_resizes_as_it_is_told(weights, take_for, state, images):
    take_for(weights, 0)
    loaded = inception_2015.load(Config(kind="inception-2015", weights=weights, resize="clean"), CPU)
    assert torch.equal(loaded(images)[0], inception_2015.network(state, CPU, "clean")(images)[0])


def test_nvidias_names_are_tensorflows_without_factors():
    names = inception_2015.published().files[1].names
    assert {name: names[name] for name in NVIDIA} == NVIDIA
    assert len(set(names.values())) == len(names) == 4 * 94 + 2
    factors = {name for name in inception_2015.expected() if name.endswith("bn.weight")}
    assert names.keys() == inception_2015.expected().keys() - factors


def test_loads_the_archive_of_nvidia(state, tmp_path, take_for, images):
    names = inception_2015.published().files[1].names
    path = tmp_path / "inception-2015-12-05.pt"
    script({theirs: state[name] for name, theirs in names.items()}, path)
    take_for(path, 1)
    loaded = inception_2015.load(Config(kind="inception-2015", weights=path), CPU)
    ones = {name: torch.ones_like(tensor) for name, tensor in state.items() if name.endswith("bn.weight")}
    assert torch.equal(loaded(images)[0], inception_2015.network({**state, **ones}, CPU)(images)[0])


def test_another_file_is_refused(weights):
    message = (
        rf"^{weights}: is not the Inception network of 2015: its tensors have the right names and shapes, but other "
        r"values \(sha256 [0-9a-f]{64}, expected 6726825d\w{56} of pt_inception-2015-12-05-6726825d\.pth or "
        r"f58cb9b6\w{56} of inception-2015-12-05\.pt\); delete it to have it fetched again, or correct "
        r"evaluation\.extractor\.weights$"
    )
    with pytest.raises(CheckpointError, match=message):
        inception_2015.load(Config(kind="inception-2015", weights=weights), CPU)


def test_another_inception_network_is_told_by_its_tensors(tmp_path):
    # torchvision's has 1000 classes and names of its own for the convolutions of the 8×8 blocks.
    path = tmp_path / "inception_v3_google-0cc3c7bd.pth"
    shapes = {**inception_2015.expected(), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}, path)
    message = (
        rf"^{path}: is not the Inception network of 2015: its content does not fit the model; mis-shaped: "
        r"fc\.weight \[1000, 2048\] instead of \[1008, 2048\], fc\.bias \[1000\] instead of \[1008\] \(sha256 "
    )
    with pytest.raises(CheckpointError, match=message):
        inception_2015.load(Config(kind="inception-2015", weights=path), CPU)


def test_what_is_fetched_is_known_by_its_sum(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(download, "fetch", lambda remote, folder: asked.append(remote))
    for name in ("any.pth", "inception-2015-12-05.pt"):
        inception_2015.fetch(Config(kind="inception-2015", weights=tmp_path / name))
    assert [remote.name for remote in asked] == ["any.pth", "inception-2015-12-05.pt"]
    assert [remote.sha256[:8] for remote in asked] == ["6726825d", "f58cb9b6"]
    assert [remote.urls[0].rpartition("/")[2] for remote in asked] == [
        "pt_inception-2015-12-05-6726825d.pth",
        "inception-2015-12-05.pt",
    ]


def test_weights_that_cannot_be_fetched_are_asked_for(tmp_path, monkeypatch):
    def fetch(remote, folder):
        raise DataError(f"{folder / remote.name}: could not be fetched; why")

    monkeypatch.setattr(download, "fetch", fetch)
    path = tmp_path / "weights.pth"
    message = (
        rf"^{path}: could not be fetched; why\nThese are the weights of the Inception network of 2015; if you have "
        r"pt_inception-2015-12-05-6726825d\.pth or inception-2015-12-05\.pt elsewhere, name its place in "
        r"evaluation\.extractor\.weights$"
    )
    with pytest.raises(DataError, match=message):
        inception_2015.load(Config(kind="inception-2015", weights=path), CPU)
