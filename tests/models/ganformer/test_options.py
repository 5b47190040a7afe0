"""GANformer with any option: gradients, independence, order, evaluation; and component dropout."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.models.ganformer import model as ganformer
from ganformer.models.ganformer.attention import AttendedLayer, CarriedCentroid, Centroid
from ganformer.models.ganformer.generator import ComponentGenerator
from ganformer.models.ganformer.parts import present
from ganformer.nn.layers import constant_noise
from ganformer.training.adversarial import Adversarial
from ganformer.training.learner import Reals

SMALL = {"channel_base": 128, "channel_max": 8, "latent_size": 16, "components": 4, "mapping_layers": 2}
IMAGE = ImageSpec(height=12, width=16)
OPTIONS: dict[str, dict[str, Any]] = {
    "carried": {"attention": "centroid", "carried_centroids": True},
    "carried-later": {"attention": "centroid", "carried_centroids": True, "start_resolution": 8, "end_resolution": 32},
    "carried-iterated": {"attention": "centroid", "carried_centroids": True, "iterations": 3},
    "among-simplex": {"attention": "simplex", "synthesis_self_attention": True},
    "among-duplex": {"attention": "duplex", "synthesis_self_attention": True},
    "among-centroid": {"attention": "centroid", "synthesis_self_attention": True},
    "update-simplex": {"attention": "simplex", "update_components": True},
    "update-centroid": {"attention": "centroid", "update_components": True},
    "gates-simplex": {"attention": "simplex", "image_gate": True, "component_gate": True},
    "gates-duplex": {"attention": "duplex", "image_gate": True, "component_gate": True},
    "gates-centroid": {"attention": "centroid", "image_gate": True, "component_gate": True},
    "dropout-simplex": {"attention": "simplex", "component_dropout": 0.5},
    "dropout-duplex": {"attention": "duplex", "component_dropout": 0.5, "synthesis_self_attention": True},
    "dropout-centroid": {"attention": "centroid", "component_dropout": 0.5, "carried_centroids": True, "iterations": 2},
    "aggregators": {"attention": "simplex", "discriminator_components": 3, "discriminator_start_resolution": 4},
    "everything": {
        "attention": "centroid",
        "carried_centroids": True,
        "synthesis_self_attention": True,
        "update_components": True,
        "image_gate": True,
        "component_gate": True,
        "component_dropout": 0.3,
        "discriminator_components": 3,
        "integration": "both",
        "positions": "trainable",
        "iterations": 3,
    },
}
whatever_options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
whatever_heads = pytest.mark.parametrize("heads", [1, 2])


def build(options: dict[str, Any], **others: Any) -> Adversarial:
    """Return a small learner; all parameters are random, also the ones that begin at zero."""
    torch.manual_seed(0)
    config = ganformer.Config.model_validate({"kind": "ganformer", **SMALL, **options, **others})
    learner = ganformer.build(config, IMAGE)
    for parameter in learner.network.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return learner


def evaluated(options: dict[str, Any], **others: Any) -> ComponentGenerator:
    generator: ComponentGenerator = build(options, **others).network.generator.eval()
    return generator


def none(count: int) -> Tensor:
    return torch.zeros(count, 0)


def images_of(generator: ComponentGenerator, z: Tensor) -> Tensor:
    with torch.no_grad(), constant_noise(generator):
        return generator(z, none(len(z)))


@pytest.mark.slow
@whatever_options
@whatever_heads
def test_every_parameter_learns(options: dict[str, Any], heads: int) -> None:
    network = build(options, heads=heads).network
    generator, discriminator = network.generator, network.discriminator
    images = generator(generator.latents(8), none(8))
    assert images.shape == (8, 3, 12, 16)
    discriminator([images], none(8)).square().sum().backward()
    named = [*generator.named_parameters(), *discriminator.named_parameters()]
    assert [name for name, p in named if p.grad is None or not p.grad.any()] == []


@pytest.mark.slow
@whatever_options
def test_regularisers_differentiate_twice(options: dict[str, Any]) -> None:
    learner = build(options, adversarial={"path_length_weight": 2.0, "component_mixing": 0.5, "style_mixing": 0.5})
    network = learner.network
    before = copy.deepcopy(network.state_dict())
    reals = [Reals(torch.randn(4, 3, 12, 16), none(4))]
    scalars = learner.step(reals, step=0)  # both networks and both regularisers
    assert {"path_length", "r1"} < scalars.keys()
    assert all(value.isfinite().all() for value in scalars.values())
    assert all(value.isfinite().all() for value in network.state_dict().values())
    moved = [name for name, p in network.named_parameters() if p.requires_grad and not p.equal(before[name])]
    assert len(moved) == sum(p.requires_grad for p in network.parameters())


@whatever_options
@whatever_heads
def test_images_depend_on_their_own_latents_only(options: dict[str, Any], heads: int) -> None:
    generator = evaluated(options, heads=heads)
    z = torch.randn(4, *generator.latent_shape)
    together = images_of(generator, z)
    torch.testing.assert_close(images_of(generator, z[1:2]), together[1:2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(images_of(generator, z.flip(0)), together.flip(0), rtol=1e-4, atol=1e-4)
    assert not together[0].allclose(together[1])


@whatever_options
@whatever_heads
def test_order_of_components_is_only_a_name(options: dict[str, Any], heads: int) -> None:
    generator = evaluated(options, heads=heads)
    z, order = torch.randn(2, *generator.latent_shape), torch.tensor([2, 0, 3, 1])
    before = images_of(generator, z)
    shuffled = torch.cat([z[:, order], z[:, 4:]], dim=1)
    assert not images_of(generator, shuffled).allclose(before, rtol=1e-3, atol=1e-3)
    generator.load_state_dict(chosen(generator, order))
    torch.testing.assert_close(images_of(generator, shuffled), before, rtol=1e-3, atol=1e-3)


def chosen(generator: ComponentGenerator, components: Tensor) -> dict[str, Tensor]:
    """Return the state of a generator of some of the components alone, or of all in another order."""
    state = dict(generator.state_dict())
    state["positions"] = state["positions"][components]
    for name, value in state.items():
        if name.endswith(".attention.centroids"):
            state[name] = value[:, :, components]
    return state


@whatever_options
def test_nothing_is_random_in_evaluation(options: dict[str, Any]) -> None:
    network = build(options, attention_dropout=0.5).network
    generator, discriminator = network.generator, network.discriminator
    z, seen = torch.randn(2, *generator.latent_shape), torch.randn(2, 3, 12, 16)
    assert not images_of(generator, z).equal(images_of(generator, z))
    network.eval()
    assert images_of(generator, z).equal(images_of(generator, z))
    assert discriminator([seen], none(2)).equal(discriminator([seen], none(2)))


@whatever_options
@whatever_heads
def test_maps_are_what_the_image_was_given(options: dict[str, Any], heads: int) -> None:
    generator = evaluated(options, heads=heads)
    z = torch.randn(2, *generator.latent_shape)
    with torch.no_grad(), constant_noise(generator):
        images, maps = generator.attention_maps(generator.map(z, none(2)))
    assert images.equal(images_of(generator, z))
    layers = [part for part in generator.modules() if isinstance(part, AttendedLayer)]
    assert [part.shape for part in maps] == [(2, heads, 4, *layer.grid) for layer in layers]
    for part in maps:
        total = part.sum(dim=2)
        if "image_gate" in options:
            assert (total < 1).all()
        else:
            torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("option", ["synthesis_self_attention", "update_components"])
def test_changed_components_meet_in_synthesis(option: str) -> None:
    """Without attention in the mapping network, one component is changed by another in every layer."""
    generator = evaluated({"attention": "simplex", "latent_self_attention": False, option: True})
    z = torch.randn(1, *generator.latent_shape)
    other = z.clone()
    other[:, 3] += 1
    before, after = changes_of(generator, z), changes_of(generator, other)
    assert len(before) == 3
    assert not before[0].allclose(before[1])
    for one, two in list(zip(before, after, strict=True))[1:]:  # the first of an image is of one that no component saw
        assert not one.allclose(two)


def changes_of(generator: ComponentGenerator, z: Tensor) -> list[Tensor]:
    """Return component 0 before each attention, if it was changed."""
    seen: list[Tensor] = []
    hooks = [
        change.register_forward_hook(lambda *call: seen.append(call[-1][:, 0]))
        for layer in generator.modules()
        if isinstance(layer, AttendedLayer)
        for change in layer.changes
    ]
    images_of(generator, z)
    for hook in hooks:
        hook.remove()
    return seen


# ---------------------------------------------------------------------------------------- carried centroids


@pytest.mark.parametrize(("start", "learned"), [(4, 4), (8, 8)])
def test_only_the_first_attention_learns_constants(start: int, learned: int) -> None:
    options = {"attention": "centroid", "carried_centroids": True, "start_resolution": start, "end_resolution": 32}
    layers = [part for part in evaluated(options).modules() if isinstance(part, AttendedLayer)]
    kinds = [type(layer.attention) for layer in layers]
    assert kinds == [Centroid] + [CarriedCentroid] * (len(layers) - 1)
    assert layers[0].grid[1] == learned
    assert len(layers) == {4: 5, 8: 4}[start]


@pytest.mark.parametrize("components", [1, 3, 8])
@whatever_heads
def test_carried_centroids_are_those_of_one_image_whatever_their_number(components: int, heads: int) -> None:
    generator = evaluated(OPTIONS["carried"], components=components, latent_size=4 * components, heads=heads)
    z = torch.randn(3, *generator.latent_shape)
    alone = torch.cat([images_of(generator, one[None]) for one in z])
    torch.testing.assert_close(images_of(generator, z), alone, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------- component dropout

DROPPING = {name: options for name, options in OPTIONS.items() if "component_dropout" in options}
whatever_drops = pytest.mark.parametrize("options", DROPPING.values(), ids=DROPPING)


def test_components_are_dropped_whole_but_never_all() -> None:
    generator = build(OPTIONS["dropout-simplex"], component_dropout=0.7).network.generator
    z = generator.latents(4000)
    here = present(z)
    assert here[:, 4].all()  # the global one
    assert (z != 0)[here].all()
    local = here[:, :4]
    assert local.any(dim=1).all()
    dropped = 0.7 - 0.7**4 / 4  # where all would go, one of four stays
    assert (~local).float().mean().item() == pytest.approx(dropped, abs=0.02)
    assert (~local).float().mean(dim=0).tolist() == pytest.approx([dropped] * 4, abs=0.04)
    values = z[:, :4][local]
    assert values.std().item() == pytest.approx(1, abs=0.02)
    assert present(build(OPTIONS["dropout-simplex"], component_dropout=1.0).network.generator.latents(100)).sum() == 200


@whatever_drops
@whatever_heads
def test_what_is_dropped_might_as_well_not_exist(options: dict[str, Any], heads: int) -> None:
    deep = {"heads": heads, "mapping_layers": 4}  # components attend twice there
    generator = evaluated(options, **deep)
    z = torch.randn(2, *generator.latent_shape)
    z[:, 1] = 0
    w = generator.map(z, none(2))
    assert not w[:, :, 1].any()
    with torch.no_grad(), constant_noise(generator):
        _, maps = generator.attention_maps(w)
    assert not any(part[:, :, 1].any() for part in maps)

    here = torch.tensor([0, 2, 3])
    fewer = evaluated(options, **deep, components=3, latent_size=12)
    fewer.load_state_dict(chosen(generator, here))
    expected = images_of(fewer, torch.cat([z[:, here], z[:, 4:]], dim=1))
    torch.testing.assert_close(images_of(generator, z), expected, rtol=1e-4, atol=1e-4)


@whatever_drops
def test_dropped_components_keep_what_trains_finite(options: dict[str, Any]) -> None:
    """Even where mixing leaves an image without any component."""
    generator = build(options).network.generator
    z = torch.randn(2, *generator.latent_shape)
    z[0, :4] = 0
    images = generator(z, none(2))
    images.square().sum().backward()
    assert images.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_what_is_dropped_does_not_pull_the_average_of_w() -> None:
    generator = build(OPTIONS["dropout-simplex"]).network.generator
    z = generator.latents(64)
    here = present(z)
    w = generator.map(z, none(64))
    generator.track(w, 0)
    expected = w[:, 0][here].mean(dim=0)  # all layers have the same
    torch.testing.assert_close(generator.w_average, expected)


def test_nothing_is_dropped_from_samples() -> None:
    options = OPTIONS["dropout-simplex"]
    dropping, whole = build(options), build({**options, "component_dropout": 0.0})
    assert dropping.sampler.state_dict().keys() == whole.sampler.state_dict().keys()
    seeds = [0, 1, 2]
    assert dropping.sample(none(3), seeds).equal(whole.sample(none(3), seeds))


# ------------------------------------------------------------------------------------------------ positions


@pytest.mark.parametrize("positions", ["linear", "trainable", "trainable-2d"])
@pytest.mark.parametrize("attention", ["simplex", "duplex", "centroid"])
def test_learned_positions_learn_and_are_used_at_once(attention: str, positions: str) -> None:
    """Copy are independent, every step moves them, and the moved ones are what is seen next."""
    learner = build({"attention": attention, "positions": positions})
    generator = learner.network.generator
    twin = copy.deepcopy(generator)
    learned = [name for name, _ in generator.named_parameters() if ".attention.positions." in name]
    assert len(learned) == 3 * {"trainable": 2}.get(positions, 1)
    learner.step([Reals(torch.randn(4, 3, 12, 16), none(4))], step=0)
    moved, stayed = dict(generator.named_parameters()), dict(twin.named_parameters())
    assert all(not moved[name].equal(stayed[name]) for name in learned)

    twin.eval()
    z = torch.randn(1, *generator.latent_shape)
    before = images_of(twin, z)
    for name in learned:
        stayed[name].data.copy_(moved[name] + torch.randn_like(moved[name]))
    assert not images_of(twin, z).allclose(before)


def test_both_halves_of_an_integration_learn_what_they_are() -> None:
    """The first half of the modulation multiplies, the second adds, each C wide."""
    generator = evaluated({"attention": "simplex", "integration": "both"})
    attention = generator.synthesis.stem.layer.attention
    assert attention.modulation.weight.shape == (16, 8)
    pixels = []
    hook = attention.integration.register_forward_hook(lambda _, given, out: pixels.append((given[0], out[0])))
    for half in (slice(0, 8), slice(8, 16)):
        torch.nn.init.zeros_(attention.modulation.weight)
        torch.nn.init.zeros_(attention.modulation.bias)
        attention.modulation.bias.data[half] = 2.0
        images_of(generator, torch.ones(1, *generator.latent_shape))
    hook.remove()
    normalised = torch.nn.functional.layer_norm(pixels[0][0], (8,), eps=1e-8)
    torch.testing.assert_close(pixels[0][1], normalised * 3, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pixels[1][1], normalised + 2, rtol=1e-4, atol=1e-4)
