"""GANformer: settings, counts, and what its attention depends on."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.ganformer import model as ganformer
from ganformer.models.ganformer.attention import Centroid
from ganformer.models.ganformer.generator import ComponentGenerator
from ganformer.nn.layers import constant_noise

SMALL = {"channel_base": 64, "channel_max": 8, "latent_size": 16, "components": 4, "mapping_layers": 3}
KINDS = ["simplex", "duplex", "centroid"]


def config(**settings: object) -> ganformer.Config:
    return ganformer.Config.model_validate({"kind": "ganformer", "attention": "simplex", **settings})


def square(width: int) -> ImageSpec:
    return ImageSpec(height=width, width=width)


def small(width: int = 16, **settings: object) -> ComponentGenerator:
    """Return a small generator in evaluation; all parameters are random, also the ones that begin at zero."""
    torch.manual_seed(0)
    generator = ganformer.generator(config(**{**SMALL, **settings}), square(width)).eval()
    for parameter in generator.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def seen(generator: ComponentGenerator, z: Tensor) -> tuple[Tensor, list[Tensor]]:
    with torch.no_grad(), constant_noise(generator):
        return generator.attention_maps(generator.map(z, torch.zeros(len(z), 0)))


# ------------------------------------------------------------------------------------------------ counting


@pytest.mark.parametrize(
    ("width", "parameters", "layers"),
    [(128, 30_866_766, 13), (256, 30_903_632, 15), (512, 30_913_874, 17), (1024, 30_916_948, 19)],
)
def test_has_the_parameters_of_the_released_generator_but_the_dead_ones(
    width: int, parameters: int, layers: int
) -> None:
    with torch.device("meta"):
        generator = ganformer.generator(config(attention="centroid", end_resolution=256), square(width))
    size, attending = 32, [512] * 9 + [256] * 2  # two layers at each of 8 to 128, one at 4
    dead_keys = sum(2 * (size * features + features) for features in attending)
    key_biases_of_the_mapping = 4 * 2 * size
    assert sum(p.numel() for p in generator.parameters()) == parameters - dead_keys - key_biases_of_the_mapping
    assert dead_keys == 337_920
    assert generator.synthesis.layers == layers


def test_has_the_parameters_of_the_released_preset_for_clevr_but_the_dead_ones() -> None:
    settings = config(
        attention="centroid", latent_size=128, components=8, global_style=False, latent_self_attention=False
    )
    with torch.device("meta"):
        generator = ganformer.generator(settings, square(256))
    size = 16
    dead_keys = sum(2 * (size * features + features) for features in [512] * 9 + [256] * 2)
    inputs = [512] * 9 + [512, 256] + [256, 128] + [128, 128]  # convolutions, the refining one and the colours
    affine = sum(size * features + features for features in inputs)
    global_mapping = 9 * (size * size + size)
    dead = dead_keys + affine + global_mapping
    assert sum(p.numel() for p in generator.parameters()) == 30_357_936 - dead
    assert generator.latent_shape == (8, 16)


def test_attends_from_the_start_to_below_the_end() -> None:
    def widths(**settings: object) -> list[int]:
        _, maps = seen(generator := small(32, **settings), torch.randn(1, *generator.latent_shape))
        assert all(attention.shape[:3] == (1, 1, 4) for attention in maps)
        return [attention.shape[-1] for attention in maps]

    assert widths() == [4, 8, 8, 16, 16]
    assert widths(end_resolution=16) == [4, 8, 8]
    assert widths(start_resolution=16, end_resolution=64) == [16, 16, 32, 32]


# ------------------------------------------------------------------------------------------- what maps are of


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_shares_of_every_pixel(kind: str) -> None:
    generator = small(attention=kind, heads=2)
    z = torch.randn(3, *generator.latent_shape)
    images, maps = seen(generator, z)
    with torch.no_grad(), constant_noise(generator):
        assert images.equal(generator(z, torch.zeros(len(z), 0)))
    assert [tuple(attention.shape) for attention in maps] == [(3, 2, 4, 4, 4), (3, 2, 4, 8, 8), (3, 2, 4, 8, 8)]
    for attention in maps:
        torch.testing.assert_close(attention.sum(dim=2), torch.ones(3, 2, *attention.shape[3:]))
        assert attention.std() > 0
    assert not generator.synthesis.stem.layer.attention.gates._forward_hooks


def test_maps_of_a_rectangle() -> None:
    torch.manual_seed(0)
    generator = ganformer.generator(config(**SMALL), ImageSpec(height=12, width=16)).eval()
    images, maps = seen(generator, torch.randn(1, *generator.latent_shape))
    assert images.shape == (1, 3, 12, 16)
    assert [tuple(attention.shape[3:]) for attention in maps] == [(3, 4), (6, 8), (6, 8)]


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_components_is_only_a_name(kind: str) -> None:
    generator = small(attention=kind, heads=2)
    z = torch.randn(2, *generator.latent_shape)
    images, maps = seen(generator, z)
    order = torch.tensor([2, 0, 3, 1])
    generator.positions.data = generator.positions.data[order]
    for part in generator.modules():
        if isinstance(part, Centroid):
            part.centroids.data = part.centroids.data[:, :, order]
    images_after, maps_after = seen(generator, torch.cat([z[:, order], z[:, 4:]], dim=1))
    torch.testing.assert_close(images_after, images, rtol=1e-4, atol=1e-4)
    for before, after in zip(maps, maps_after, strict=True):
        torch.testing.assert_close(after, before[:, :, order], rtol=1e-4, atol=1e-4)


def test_the_first_map_of_constant_centroids_is_the_same_for_every_image() -> None:
    unstyled = small(attention="centroid", global_style=False)
    _, maps = seen(unstyled, torch.randn(3, *unstyled.latent_shape))
    torch.testing.assert_close(maps[0], maps[0][:1].expand_as(maps[0]), rtol=0, atol=1e-6)
    assert not maps[1][0].allclose(maps[1][1])
    styled = small(attention="centroid")
    z = torch.randn(3, *styled.latent_shape)
    _, maps = seen(styled, z)
    assert not maps[0][0].allclose(maps[0][1])
    z[:, -1] = z[:1, -1]  # only the global latent reaches it
    _, maps = seen(styled, z)
    torch.testing.assert_close(maps[0], maps[0][:1].expand_as(maps[0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["simplex", "duplex"])
def test_components_reach_the_first_map(kind: str) -> None:
    generator = small(attention=kind)
    z = torch.randn(2, *generator.latent_shape)
    z[:, -1] = z[:1, -1]
    _, maps = seen(generator, z)
    assert not maps[0][0].allclose(maps[0][1])


def test_the_map_of_one_layer_depends_on_that_layers_latents() -> None:
    generator = small(attention="duplex")
    w = generator.map(torch.randn(1, *generator.latent_shape), torch.zeros(1, 0)).clone()
    mixed = w.clone()
    mixed[:, 2:] = generator.map(torch.randn(1, *generator.latent_shape), torch.zeros(1, 0))[:, 2:]
    with torch.no_grad(), constant_noise(generator):
        (_, before), (_, after) = generator.attention_maps(w), generator.attention_maps(mixed)
    assert before[0].equal(after[0])
    assert before[1].equal(after[1])
    assert not before[2].allclose(after[2])


def test_only_constant_centroids_without_anything_that_asks_have_no_use_for_positions() -> None:
    for kind in KINDS:
        for asks in ("latent_self_attention", "synthesis_self_attention", "component_gate", None):
            settings = {"latent_self_attention": False} | ({asks: True} if asks else {})
            generator = small(attention=kind, **settings)
            generator(torch.randn(2, *generator.latent_shape), torch.zeros(2, 0)).square().sum().backward()
            unused = [name for name, parameter in generator.named_parameters() if parameter.grad is None]
            assert unused == (["positions"] if kind == "centroid" and asks is None else [])


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_size": 100, "components": 8}, "latent_size 100 is not divisible by components 8; 96 is"),
        ({"latent_size": 4, "components": 8}, "latent_size 4 is not divisible by components 8; 8 is"),
        ({"latent_size": 48, "components": 8}, "= 6 values; sinusoidal positions need a multiple of 4"),
        ({"latent_size": 64, "positions": "linear", "position_directions": 3}, "positions need a multiple of 3"),
        ({"latent_size": 48, "positions": "trainable"}, "= 3 values; trainable positions need a multiple of 2"),
        ({"latent_size": 64, "heads": 3}, "= 4 values, which 3 heads cannot share"),
        (
            {"latent_size": 64, "heads": 3, "latent_self_attention": False, "attention": "duplex"},
            "= 4 values, which 3 heads cannot share",
        ),
        ({"iterations": 2}, "iterations 2 has no meaning for attention 'simplex'"),
        ({"positions": "trainable", "position_directions": 3}, "position_directions has no meaning for trainable"),
        ({"start_resolution": 6}, "6 is not a power of two from 4"),
        ({"end_resolution": 2}, "2 is not a power of two from 4"),
        ({"discriminator_components": 2, "discriminator_end_resolution": 9}, "9 is not a power of two from 4"),
        ({"carried_centroids": True}, "carried_centroids has no meaning for attention 'simplex'"),
        ({"carried_centroids": True, "attention": "duplex"}, "carried_centroids has no meaning for attention 'duplex'"),
        ({"update_components": True, "attention": "duplex"}, "update_components has no meaning for attention 'duplex'"),
        ({"component_dropout": 0.1, "components": 1}, "component_dropout has no meaning for components 1"),
        ({"component_dropout": 0.1, "latent_normalisation": "joint"}, "not go with latent_normalisation 'joint'"),
        ({"component_dropout": 0.1, "latent_normalisation": "joint-local"}, "latent_normalisation 'joint-local'"),
        ({"discriminator_start_resolution": 4}, "discriminator_start_resolution has no meaning without"),
        ({"discriminator_end_resolution": 8}, "discriminator_end_resolution has no meaning without"),
        *(
            ({"latent_size": 64, "heads": 3, "latent_self_attention": False, **splits}, "which 3 heads cannot share")
            for splits in (
                {"synthesis_self_attention": True},
                {"update_components": True},
                {"discriminator_components": 2},
            )
        ),
    ],
)
def test_says_what_does_not_fit_together(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match="1 validation error") as caught:
        config(**settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"start_resolution": 32}, "there is no attention: start_resolution 32 is not below 32"),
        ({"start_resolution": 8, "end_resolution": 8}, "there is no attention: start_resolution 8 is not below 8"),
        ({"end_resolution": 128}, "end_resolution 128 is outside the image; 64 means all features"),
        ({"start_resolution": 64, "end_resolution": 128}, "start_resolution 64 is not below 128, the end_resolution"),
        ({"channel_max": 9, "heads": 2}, "9 features at width 4 are not divisible by heads 2"),
        (
            {"discriminator_components": 2, "discriminator_start_resolution": 32},
            "discriminator_start_resolution 32 is not below 32, the discriminator_end_resolution",
        ),
        (
            {"discriminator_components": 2, "discriminator_end_resolution": 128},
            "discriminator_end_resolution 128 is outside the image; 64 means all features",
        ),
    ],
)
def test_says_what_does_not_fit_the_images(settings: dict[str, object], words: str) -> None:
    problems = list(config(**settings).problems(square(32), TrainingSettings()))
    assert words in problems[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"end_resolution": 64},  # all features
        {"start_resolution": 32, "end_resolution": 64},
        {"start_resolution": 16, "end_resolution": 32},
        {"discriminator_components": 2, "discriminator_end_resolution": 64},
        {"discriminator_components": 2, "discriminator_start_resolution": 32, "discriminator_end_resolution": 64},
        {"components": 1, "component_dropout": 0.0},
        {"component_dropout": 0.5, "latent_normalisation": "local"},
    ],
)
def test_settings_at_their_limits_fit(settings: dict[str, object]) -> None:
    assert list(config(**settings).problems(square(32), TrainingSettings())) == []


@pytest.mark.parametrize("width", [16, 32, 64, 256])
def test_defaults_fit(width: int) -> None:
    assert list(config().problems(square(width), TrainingSettings())) == []
    assert "attention maps" in ganformer.Config.abilities


CHANGES = {
    "adversarial": {"r1_gamma": 3.0},
    "attention": "centroid",
    "attention_dropout": 0.5,
    "carried_centroids": True,
    "component_dropout": 0.9,
    "component_gate": True,
    "activation_clamp": 0.5,
    "channel_base": 128,
    "channel_max": 4,
    "components": 2,
    "discriminator_components": 2,
    "discriminator_end_resolution": 32,
    "discriminator_labels": "projection",
    "discriminator_start_resolution": 4,
    "latent_normalisation": "joint",
    "discriminator_architecture": "orig",
    "end_resolution": 8,
    "generator_architecture": "skip",
    "global_style": False,
    "heads": 2,
    "image_gate": True,
    "integration": "both",
    "iterations": 2,
    "latent_self_attention": False,
    "latent_size": 32,
    "mapping_architecture": "plain",
    "mapping_layers": 5,
    "mapping_learning_rate_multiplier": 0.1,
    "noise": False,
    "normalisation": "instance",
    "position_directions": 1,
    "positions": "trainable-2d",
    "refine_colours": False,
    "start_resolution": 8,
    "synthesis_self_attention": True,
    "update_components": True,
}
NEEDS = {
    "carried_centroids": {"attention": "centroid"},
    "discriminator_end_resolution": {"discriminator_components": 2},
    "discriminator_start_resolution": {"discriminator_components": 2},
    "update_components": {"attention": "simplex"},
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) | {"kind", "initial"} == set(ganformer.Config.model_fields)  # `initial` names weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    base = {**SMALL, "attention": "duplex", **NEEDS.get(name, {})}
    before, after = (fingerprint(config(**settings)) for settings in (base, {**base, name: CHANGES[name]}))
    assert before != after


def fingerprint(config: ganformer.Config) -> object:
    """Return weights, an image in training, and what the learner was told."""
    torch.manual_seed(0)
    learner = ganformer.build(config, ImageSpec(height=16, width=16, classes=2))
    generator: nn.Module = learner.network.generator
    image = generator(generator.latents(1), torch.eye(2)[:1]).tolist()
    return {name: value.tolist() for name, value in learner.network.state_dict().items()}, image, learner.settings


@pytest.mark.parametrize("positions", ["sinusoidal", "linear", "trainable", "trainable-2d"])
@pytest.mark.parametrize("normalisation", ["layer", "instance", "none"])
@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_parts_go_together(positions: str, normalisation: str, architecture: str) -> None:
    generator = small(positions=positions, normalisation=normalisation, generator_architecture=architecture)
    assert generator(torch.randn(2, *generator.latent_shape), torch.zeros(2, 0)).shape == (2, 3, 16, 16)
