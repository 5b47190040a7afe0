"""The random network is the same everywhere, and what it sees gets farther from real images the worse others are."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import ndimage

from ganformer.metrics import batching
from ganformer.metrics.extractors.random_vgg16 import model as random_vgg16
from ganformer.metrics.measures import frechet, inception_score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(draw_shapes, shapes):
    """Return as many other images of the same kind as `shapes`."""
    return draw_shapes(len(shapes), seed=2)


@pytest.fixture(scope="module")
def seen_fresh(seen, fresh):
    return seen(fresh)


def blurred(images, strength):
    return ndimage.gaussian_filter(images.astype(float), (0, 0, strength, strength)).astype(np.uint8)


def noisy(images, strength):
    noise = np.random.default_rng(3).normal(0, strength, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def posterised(images, levels):
    return (np.round(images / 255 * (levels - 1)) * (255 / (levels - 1))).astype(np.uint8)


def narrowed(images, distinct):
    """Return as many images, but only so many different ones: mode collapse."""
    return np.resize(images[:distinct], images.shape)


def test_weights_are_the_same_bits_everywhere(network):
    sha = hashlib.sha256()
    for weight in [*(weight for block in network.blocks for weight in block), network.head]:
        sha.update(weight.contiguous().numpy().astype("<f4").tobytes())
    assert sha.hexdigest() == "e3814f9b9dbb9a6d8caff9aa60ea26b1b090810bfa2b36a0be476a0a6a2fa6d7"


def test_weights_keep_the_size_of_activations(network):
    for block in network.blocks:
        for weight in block:
            fan_in = weight[0].numel()
            assert weight.var().item() == pytest.approx(2 / fan_in, rel=0.03)
            assert abs(weight.mean().item()) < 0.1 * (2 / fan_in) ** 0.5
    assert network.head.var().item() == pytest.approx(1, rel=0.01)


def test_seed_chooses_the_weights(network):
    other = random_vgg16.load(random_vgg16.Config(kind="random-vgg16", seed=1), torch.device("cpu"))
    assert not torch.equal(other.head, network.head)


def test_features_are_averages_of_the_tenth_convolution(network, draw_shapes):
    images = torch.from_numpy(draw_shapes(2, seed=5, size=16))
    x = (images.double() / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    for i, block in enumerate(network.blocks):
        if i:
            x = torch.nn.functional.max_pool2d(x, 2)
        for weight in block:
            x = torch.nn.functional.conv2d(x, weight.double(), padding=1).relu()
    features, logits = network(images)
    expected = x.mean(dim=(2, 3))
    torch.testing.assert_close(features.double(), expected, rtol=1e-4, atol=1e-5)
    particular = expected - torch.outer(expected @ network.common.double(), network.common.double())
    torch.testing.assert_close(logits.double(), particular @ network.head.double().T, rtol=1e-4, atol=1e-3)


def test_logits_leave_out_what_all_images_have_in_common(network, draw_shapes):
    features, logits = network(torch.from_numpy(draw_shapes(50, seed=5)))
    average = torch.nn.functional.normalize(features.mean(dim=0), dim=0)
    assert average @ network.common > 0.99
    assert logits.mean(dim=0).var() < logits.var(dim=0).mean()


def test_what_images_have_in_common_is_what_sixteen_images_of_noise_have(network):
    draws = np.random.PCG64(0)
    draws.random_raw(sum(weight.numel() for block in network.blocks for weight in block) + network.head.numel())
    noise = (draws.random_raw(16 * 3 * 32 * 32) >> np.uint64(56)).astype(np.uint8).reshape(16, 3, 32, 32)
    features, _ = network(torch.from_numpy(noise))
    common = torch.nn.functional.normalize(features.mean(dim=0), dim=0)
    torch.testing.assert_close(network.common, common, rtol=1e-4, atol=1e-5)


def test_many_images_give_what_each_gives_alone(network, draw_shapes, monkeypatch):
    images = torch.from_numpy(draw_shapes(5, seed=5, size=16))
    alone = torch.cat([network(image)[0] for image in images.split(1)])
    monkeypatch.setattr(batching, "CPU_PIXELS", 2 * 16 * 16 + 1)
    features, logits = network(images)
    assert (features.shape, logits.shape) == ((5, 512), (5, 1000))
    torch.testing.assert_close(features, alone)


@pytest.mark.parametrize("size", [(16, 16), (24, 32), (8, 8), (2, 8)])
def test_takes_images_of_any_size(network, size):
    features, logits = network(torch.zeros(3, 3, *size, dtype=torch.uint8))
    assert (features.shape, logits.shape) == ((3, 512), (3, 1000))
    assert features.dtype == logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("damage", "strengths"),
    [(blurred, (0.5, 1, 2)), (noisy, (10, 30, 90)), (posterised, (5, 3, 2)), (narrowed, (50, 10, 1))],
    ids=["blur", "noise", "fewer colours", "mode collapse"],
)
def test_distance_grows_with_damage(seen, fresh, seen_fresh, reals, damage, strengths):
    found = [seen_fresh, *(seen(damage(fresh, strength)) for strength in strengths)]
    distances = [frechet.compute(reals, each)["fd"] for each in found]
    assert distances == sorted(distances)
    assert distances[1] > 1.1 * distances[0]
    assert distances[-1] > 10 * distances[0]


def test_halves_of_a_data_set_are_close_and_noise_is_far(seen, seen_fresh, shapes, reals):
    noise = np.random.default_rng(4).integers(0, 256, shapes.shape, np.uint8)
    other_half = frechet.compute(reals, seen_fresh)["fd"]
    assert other_half < 0.01 * frechet.compute(reals, seen(noise))["fd"]


def test_inception_score_falls_with_variety(seen, shapes, reals):
    damaged = [blurred(shapes, 1), blurred(shapes, 2), narrowed(shapes, 1)]
    scores = [inception_score.compute(reals, each)["is"] for each in [reals, *map(seen, damaged)]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 3
    assert scores[-1] == pytest.approx(1, abs=1e-6)
