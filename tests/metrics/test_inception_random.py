"""The random Inception network is the same everywhere, keeps activations in size, and sees more damage as farther."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import ndimage

from ganformer.metrics.extractors.inception_2015 import model as inception_2015
from ganformer.metrics.extractors.inception_random import model as inception_random
from ganformer.metrics.extractors.inception_random.model import Config
from ganformer.metrics.measures import frechet, inception_score

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return inception_random.load(Config(kind="inception-random"), CPU)


@pytest.fixture(scope="module")
def shapes(draw_shapes):
    return torch.from_numpy(draw_shapes(12, seed=1, size=40))


@pytest.fixture(scope="module")
def seen(network, shapes):
    with torch.inference_mode():
        return network(shapes)


def test_convolutions_are_the_same_bits_everywhere():
    sha = hashlib.sha256()
    for name, tensor in inception_random.draw(np.random.PCG64(0)):
        if name.endswith("conv.weight"):
            sha.update(tensor.numpy().astype("<f4").tobytes())
    assert sha.hexdigest() == "7bfc4bc471f1bfdc0ef4f4583e8c4728e1a0dfdac2b0b765cdd083c97de91b35"


def test_weights_keep_the_variance_of_activations():
    for name, tensor in inception_random.draw(np.random.PCG64(0)):
        if name.endswith("conv.weight") and tensor.numel() > 10_000:
            assert tensor.var().item() == pytest.approx(2 / tensor[0].numel(), rel=0.05)


def test_blocks_neither_vanish_nor_explode(network, shapes):
    sizes, hooks = {}, []
    for name, block in network.named_children():
        if name != "fc":
            hook = block.register_forward_hook(
                lambda _, __, x, name=name: sizes.update({name: x.square().mean().sqrt()})
            )
            hooks.append(hook)
    network(shapes[:2])
    for hook in hooks:
        hook.remove()
    assert len(sizes) == 16
    assert all(0.2 < size < 1.5 for size in sizes.values()), sizes


def test_features_are_alive(seen):
    features, logits = seen
    assert (features.shape, logits.shape) == ((12, 2048), (12, 1008))
    assert features.dtype == logits.dtype == torch.float32
    assert (features.amax(dim=0) > 0).float().mean() > 0.9
    assert 0.2 < features.square().mean().sqrt() < 1.5


def test_is_the_same_again_and_with_other_threads(seen, shapes):
    again = inception_random.load(Config(kind="inception-random"), CPU)
    assert torch.equal(again(shapes[:2])[0], seen[0][:2])
    torch.set_num_threads(2)
    try:
        torch.testing.assert_close(again(shapes[:2])[0], seen[0][:2], rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(1)


def test_spatial_features_have_the_same_weights(network, shapes, observe):
    spatial = inception_random.load(Config(kind="inception-random", features="spatial"), CPU)
    seen = []
    hook = network.Mixed_6d.register_forward_hook(lambda _, __, output: seen.append(output[:, :7]))
    network(shapes[:3])
    hook.remove()
    features, logits = spatial(shapes[:3])
    assert (features.shape, logits.shape) == ((3, 2023), (3, 0))
    torch.testing.assert_close(features.view(3, 17, 17, 7), seen[0].permute(0, 2, 3, 1))
    same = observe(features.numpy(), logits.numpy())
    assert frechet.compute(same, same)["fd"] == pytest.approx(0, abs=1e-6)


def test_building_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    inception_random.load(Config(kind="inception-random"), CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_chooses_the_weights(network):
    (name, tensor), *_ = inception_random.draw(np.random.PCG64(1))
    assert not torch.equal(tensor, dict(inception_random.draw(np.random.PCG64(0)))[name])


def test_logits_leave_out_what_all_images_have_in_common(seen):
    features, logits = seen
    raw = features @ dict(inception_random.draw(np.random.PCG64(0)))["fc.weight"].T
    common, left = (x.mean(dim=0).var() / x.var(dim=0).mean() for x in (raw, logits))
    assert left < 0.2 * common
    assert 1 < inception_score.inception_score(raw.numpy()) < inception_score.inception_score(logits.numpy())


def test_what_images_have_in_common_is_what_eight_images_of_noise_have(network):
    draws = np.random.PCG64(0)
    for name, shape in inception_2015.expected().items():
        if name.endswith(("conv.weight", "fc.weight")):
            draws.random_raw(int(np.prod(shape)))
    noise = (draws.random_raw(8 * 3 * 32 * 32) >> np.uint64(56)).astype(np.uint8).reshape(8, 3, 32, 32)
    with torch.inference_mode():
        features, _ = network(torch.from_numpy(noise))
    common = torch.nn.functional.normalize(features.mean(dim=0), dim=0)
    assert network.fc.weight.std().item() == pytest.approx(1, abs=0.01)
    assert (network.fc.weight @ common).abs().max() < 1e-4


def test_distance_grows_with_blur(network, shapes, seen, observe):
    reals = observe(*(x.numpy() for x in seen))
    distances = []
    for strength in (0.5, 2):
        blurred = ndimage.gaussian_filter(shapes.numpy().astype(float), (0, 0, strength, strength)).astype(np.uint8)
        with torch.inference_mode():
            distances.append(
                frechet.compute(reals, observe(*(x.numpy() for x in network(torch.from_numpy(blurred)))))["fd"]
            )
    assert 0 < 2 * distances[0] < distances[1]
