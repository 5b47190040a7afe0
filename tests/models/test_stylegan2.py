"""StyleGAN2's configuration F, counted."""

import pytest
import torch

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.stylegan2 import model as stylegan2
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.synthesis import Resolution
from tests.variants import fingerprint


def config(**settings: object) -> stylegan2.Config:
    return stylegan2.Config.model_validate({"kind": "stylegan2", **settings})


def square(width: int) -> ImageSpec:
    return ImageSpec(height=width, width=width)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_features_of_every_resolution() -> None:
    widths = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [config().channels(width) for width in widths] == [512] * 5 + [256, 128, 64, 32]
    assert [config(channel_base=1024, channel_max=128).channels(width) for width in (4, 8, 16, 32)] == [
        128,
        128,
        64,
        32,
    ]


def test_rungs_of_a_rectangle() -> None:
    resolutions = config(channel_base=64, channel_max=8).resolutions(ImageSpec(height=12, width=16))
    assert resolutions == [Resolution(3, 4, 8), Resolution(6, 8, 8), Resolution(12, 16, 4)]


def test_generator_has_the_parameters_of_the_paper() -> None:
    channels = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    mapping = 8 * (512 * 512 + 512)
    total = mapping + 512 * 4 * 4
    below = 512
    for width, features in channels.items():
        for inputs in [features] if width == 4 else [below, features]:
            affine = 512 * inputs + inputs
            total += affine + 9 * inputs * features + features + 1  # bias and strength of the noise
        total += 512 * features + features + 3 * features + 3  # colours
        below = features
    with torch.device("meta"):
        generator = stylegan2.generator(config(), square(256))
    assert count(generator) == total == 30_034_338
    assert generator.synthesis.layers == 14


@pytest.mark.parametrize(
    ("width", "parameters"), [(128, 28_389_121), (256, 28_864_129), (512, 28_982_849), (1024, 29_012_513)]
)
def test_discriminator_has_the_parameters_of_the_released_one(width: int, parameters: int) -> None:
    with torch.device("meta"):
        discriminator = ladder_discriminator(config(), square(width))
    assert count(discriminator) == parameters


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (24, 24, "width 24 of the images is not a power of two from 8"),
        (4, 4, "width 4 of the images is not a power of two from 8"),
        (17, 16, "height 17 of the images is not a multiple of 4, a quarter of their width"),
    ],
)
def test_says_which_images_it_cannot_make(height: int, width: int, words: str) -> None:
    assert list(config().problems(ImageSpec(height=height, width=width), TrainingSettings())) == [words]


def test_says_that_no_features_are_left() -> None:
    problems = list(config(channel_base=32).problems(square(64), TrainingSettings()))
    assert problems == ["channel_base 32 leaves no features at width 64; set it to at least 64"]


CHANGES = {
    "adversarial": {"r1_gamma": 3.0},
    "channel_base": 128,
    "channel_max": 4,
    "latent_size": 8,
    "mapping_layers": 2,
    "mapping_learning_rate_multiplier": 0.1,
    "discriminator_architecture": "skip",
    "discriminator_labels": "projection",
    "noise": False,
    "activation_clamp": 256.0,
    "generator_architecture": "resnet",
    "refine_colours": True,
    "mapping_architecture": "resnet",
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) | {"kind", "initial"} == set(stylegan2.Config.model_fields)  # `initial` names weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    small = {"channel_base": 64, "channel_max": 8, "latent_size": 4, "mapping_layers": 3}
    before, after = (made(config(**settings)) for settings in (small, {**small, name: CHANGES[name]}))
    assert before != after


def made(config: stylegan2.Config) -> tuple[object, ...]:
    torch.manual_seed(0)
    learner = stylegan2.build(config, ImageSpec(height=16, width=16, classes=2))
    return fingerprint(learner)
