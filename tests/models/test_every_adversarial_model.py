"""Contract of every model that is trained adversarially, found by its file name."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import ImageSpec, TrainingSettings
from ganformer.nn.interfaces import Generator
from ganformer.nn.layers import constant_noise
from ganformer.training.adversarial import Adversarial
from tests.variants import PACKAGE, label, variants

CLASSES = 3
SHAPES = [
    ImageSpec(height=height, width=width, classes=classes)
    for height, width, classes in ((16, 16, 0), (8, 8, CLASSES), (20, 16, 0), (8, 32, CLASSES))
]
VARIANTS = list(variants(adversarial_only=True))

pytestmark = pytest.mark.parametrize("model", VARIANTS, ids=label)


def new_learner(model: dict[str, Any], image: ImageSpec) -> Adversarial:
    torch.manual_seed(0)
    module = plugins.find(PACKAGE, model["kind"])
    config = module.Config(**model)
    assert list(config.problems(image, TrainingSettings())) == []
    return module.build(config, image)


def labels(image: ImageSpec, count: int) -> Tensor:
    return torch.eye(image.classes)[torch.arange(count) % image.classes] if image.classes else torch.zeros(count, 0)


def mapped(generator: Generator, image: ImageSpec, count: int) -> Tensor:
    return generator.map(torch.randn(count, *generator.latent_shape), labels(image, count))


def stirred(network: nn.Module) -> nn.Module:
    """Return parameters that begin at zero, such as the strength of noise, moved away from it."""
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("image", SHAPES, ids=lambda image: f"{image.height}x{image.width}-{image.classes}")
def test_maps_latents_to_images_to_logits(model: dict[str, Any], image: ImageSpec) -> None:
    network = new_learner(model, image).network
    w = mapped(network.generator, image, 2)
    assert w.shape[0] == 2
    assert w.shape[-1] == len(network.generator.w_average)
    assert (w == w[:, :1]).all()  # until styles are mixed, all layers have the same
    images = network.generator.synthesise(w)
    assert images.shape == (2, image.channels, image.height, image.width)
    assert images.isfinite().all()
    scales = network.generator.scales(w)
    assert [scale.shape for scale in scales] == [scale.shape for scale in network.discriminator.scales(images)]
    assert scales[-1].shape == images.shape
    assert network.discriminator(scales, labels(image, 2)).shape == (2,)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_every_layer_has_its_say(model: dict[str, Any], width: int) -> None:
    image = ImageSpec(height=width, width=width)
    generator = stirred(new_learner(model, image).network.generator).eval()
    w = mapped(generator, image, 2).contiguous().requires_grad_()
    with constant_noise(generator):
        images = generator.synthesise(w)
    (gradient,) = torch.autograd.grad(images.square().sum(), w)
    assert (gradient.flatten(2).abs().amax(dim=2) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("image", SHAPES[:2], ids=["", "labelled"])
def test_every_parameter_learns(model: dict[str, Any], image: ImageSpec) -> None:
    network = stirred(new_learner(model, image).network)
    scales = network.generator.scales(mapped(network.generator, image, 6))
    loss = network.discriminator(scales, labels(image, 6)).square().sum()
    networks = {"generator": network.generator, "discriminator": network.discriminator}
    parameters = {f"{role}.{name}": p for role, one in networks.items() for name, p in one.named_parameters()}
    gradients = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
    found = dict(zip(parameters, gradients, strict=True))
    assert [name for name, gradient in found.items() if gradient is None or not gradient.any()] == []


@pytest.mark.slow
def test_regularisers_differentiate_twice(model: dict[str, Any]) -> None:
    network = stirred(new_learner(model, SHAPES[0]).network)
    none = labels(SHAPES[0], 4)
    scales = [scale.requires_grad_() for scale in network.discriminator.scales(torch.randn(4, 3, 16, 16))]
    slopes = torch.autograd.grad(network.discriminator(scales, none).sum(), scales, create_graph=True)
    assert_finite_and_not_zero(sum(slope.square().sum() for slope in slopes), network.discriminator)

    w = mapped(network.generator, SHAPES[0], 4).requires_grad_()
    (slope,) = torch.autograd.grad(network.generator.synthesise(w).sum(), w, create_graph=True)
    assert_finite_and_not_zero(slope.square().sum(), network.generator)


def assert_finite_and_not_zero(penalty: Tensor, network: nn.Module) -> None:
    gradients = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
    given = [gradient for gradient in gradients if gradient is not None]
    assert all(gradient.isfinite().all() for gradient in given)
    assert sum(bool(gradient.any()) for gradient in given) > len(gradients) / 4


def test_a_deep_copy_is_independent_and_alike(model: dict[str, Any]) -> None:
    generator = stirred(new_learner(model, SHAPES[0]).network.generator).eval()
    twin = copy.deepcopy(generator)
    z = torch.randn(2, *generator.latent_shape)
    with constant_noise(generator), constant_noise(twin), torch.no_grad():
        before = generator(z, labels(SHAPES[0], 2))
        assert before.equal(twin(z, labels(SHAPES[0], 2)))
        stirred(twin)
        assert before.equal(generator(z, labels(SHAPES[0], 2)))
        assert not before.equal(twin(z, labels(SHAPES[0], 2)))


def test_images_depend_on_their_own_latents_only(model: dict[str, Any]) -> None:
    generator = stirred(new_learner(model, SHAPES[0]).network.generator).eval()
    z = torch.randn(3, *generator.latent_shape)
    with constant_noise(generator), torch.no_grad():
        together, alone = generator(z, labels(SHAPES[0], 3)), generator(z[1:2], labels(SHAPES[0], 1))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)
    assert not together[0].allclose(together[1])


def test_truncation_by_zero_gives_each_class_its_own_mean(model: dict[str, Any]) -> None:
    image = ImageSpec(height=8, width=8, classes=CLASSES)
    learner = new_learner(model, image)
    given = labels(image, 2 * CLASSES)
    with constant_noise(learner.sampler):
        own, whole = (
            learner.sample(given, range(first, first + len(given)), psi) for first, psi in ((0, 0.0), (0, 1.0))
        )
        again = learner.sample(given, range(50, 50 + len(given)), 0.0)
        learner.truncation_mean = "global"
        common = learner.sample(given, range(len(given)), 0.0)
    torch.testing.assert_close(own, again)
    torch.testing.assert_close(own[:CLASSES], own[CLASSES:])
    assert (own[:CLASSES] - own[:CLASSES].roll(1, 0)).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    torch.testing.assert_close(common, common[:1].expand_as(common))
    assert not torch.equal(whole, own)
