"""What holds for every model that plays the adversarial game, found by its file name."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganformer import plugins
from ganformer.config import AdversarialModel, ImageSpec
from ganformer.learning.adversarial import Adversarial
from ganformer.nn.layers import constant_noise

PACKAGE = "ganformer.models"
SMALL = {"channel_base": 256, "channel_max": 8, "latent_size": 16, "components": 4, "mapping_layers": 3}
CHOICES = {"ganformer": [{"attention": kind} for kind in ("simplex", "duplex", "centroid")]}
SHAPES = [ImageSpec(height=height, width=width, channels=3) for height, width in ((16, 16), (8, 8), (20, 16), (8, 32))]


def variants() -> Iterator[Any]:
    for kind in plugins.names(PACKAGE):
        if issubclass(plugins.find(PACKAGE, kind).Config, AdversarialModel):
            for choice in CHOICES.get(kind, [{}]):
                yield pytest.param(kind, choice, id="-".join([kind, *choice.values()]))


VARIANTS = list(variants())


def learner(kind: str, choice: dict[str, str], image: ImageSpec) -> Adversarial:
    torch.manual_seed(0)
    module = plugins.find(PACKAGE, kind)
    small = {name: value for name, value in SMALL.items() if name in module.Config.model_fields}
    config = module.Config(kind=kind, **{**small, **choice})
    assert list(config.problems(image)) == []
    return module.build(config, image)


def stirred(network: nn.Module) -> nn.Module:
    """Parameters that begin at zero, such as the strength of noise, moved away from it."""
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
@pytest.mark.parametrize("image", SHAPES, ids=lambda image: f"{image.height}x{image.width}")
def test_maps_latents_to_images_to_logits(kind: str, choice: dict[str, str], image: ImageSpec) -> None:
    network = learner(kind, choice, image).network
    z = torch.randn(2, *network.generator.latent_shape)
    w = network.generator.map(z)
    assert w.shape[0] == 2
    assert w.shape[1] > 1
    assert w.shape[-1] == len(network.generator.w_average)
    assert (w == w[:, :1]).all()  # until styles are mixed, all layers have the same
    images = network.generator.synthesise(w)
    assert images.shape == (2, image.channels, image.height, image.width)
    assert images.isfinite().all()
    assert network.discriminator(images).shape == (2,)


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
@pytest.mark.parametrize("width", [16, 32, 64])
def test_every_layer_has_its_say(kind: str, choice: dict[str, str], width: int) -> None:
    generator = stirred(learner(kind, choice, ImageSpec(height=width, width=width)).network.generator).eval()
    w = generator.map(torch.randn(2, *generator.latent_shape)).contiguous().requires_grad_()
    with constant_noise(generator):
        images = generator.synthesise(w)
    (gradient,) = torch.autograd.grad(images.square().sum(), w)
    assert (gradient.flatten(2).abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
def test_every_parameter_learns(kind: str, choice: dict[str, str]) -> None:
    network = stirred(learner(kind, choice, SHAPES[0]).network)
    images = network.generator(torch.randn(4, *network.generator.latent_shape))
    loss = network.discriminator(images).square().sum()
    players = {"generator": network.generator, "discriminator": network.discriminator}
    parameters = {f"{who}.{name}": p for who, player in players.items() for name, p in player.named_parameters()}
    gradients = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
    found = dict(zip(parameters, gradients, strict=True))
    assert [name for name, gradient in found.items() if gradient is None or not gradient.any()] == []


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
def test_regularisers_differentiate_twice(kind: str, choice: dict[str, str]) -> None:
    network = stirred(learner(kind, choice, SHAPES[0]).network)
    images = torch.randn(4, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(network.discriminator(images).sum(), images, create_graph=True)
    assert_finite_and_not_zero(slope.square().sum(), network.discriminator)

    w = network.generator.map(torch.randn(4, *network.generator.latent_shape))
    (slope,) = torch.autograd.grad(network.generator.synthesise(w).sum(), w, create_graph=True)
    assert_finite_and_not_zero(slope.square().sum(), network.generator)


def assert_finite_and_not_zero(penalty: Tensor, network: nn.Module) -> None:
    gradients = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
    given = [gradient for gradient in gradients if gradient is not None]
    assert all(gradient.isfinite().all() for gradient in given)
    assert sum(bool(gradient.any()) for gradient in given) > len(gradients) / 3


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
def test_a_deep_copy_is_independent_and_alike(kind: str, choice: dict[str, str]) -> None:
    generator = stirred(learner(kind, choice, SHAPES[0]).network.generator).eval()
    twin = copy.deepcopy(generator)
    z = torch.randn(2, *generator.latent_shape)
    with constant_noise(generator), constant_noise(twin), torch.no_grad():
        before = generator(z)
        assert before.equal(twin(z))
        stirred(twin)
        assert before.equal(generator(z))
        assert not before.equal(twin(z))


@pytest.mark.parametrize(("kind", "choice"), VARIANTS)
def test_images_depend_on_their_own_latents_only(kind: str, choice: dict[str, str]) -> None:
    generator = stirred(learner(kind, choice, SHAPES[0]).network.generator).eval()
    z = torch.randn(3, *generator.latent_shape)
    with constant_noise(generator), torch.no_grad():
        together, alone = generator(z), generator(z[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)
    assert not together[0].allclose(together[1])
