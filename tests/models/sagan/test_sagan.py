"""SAGAN: where its features attend, and weights of norm 1."""

import copy
from collections.abc import Iterator

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.gan import model as gan
from ganformer.models.sagan import model as sagan
from ganformer.models.sagan.self_attention import PixelAttention
from ganformer.nn.layers import Convolution, Projection, constant_noise
from ganformer.training.adversarial import Adversarial
from ganformer.training.learner import Reals

SMALL = {"channel_base": 256, "channel_max": 8, "latent_size": 4, "mapping_layers": 2, "attention_resolutions": (8, 16)}
IMAGE = ImageSpec(height=24, width=32, classes=2)


def config(**settings: object) -> sagan.Config:
    return sagan.Config.model_validate({"kind": "sagan", **settings})


def built(seed: int = 0, **settings: object) -> Adversarial:
    torch.manual_seed(seed)
    return sagan.build(config(**{**SMALL, **settings}), IMAGE)


def attentions(network: nn.Module) -> Iterator[PixelAttention]:
    return (part for part in network.modules() if isinstance(part, PixelAttention))


def labels(count: int) -> Tensor:
    return torch.eye(2)[torch.arange(count) % 2]


def played(learner: Adversarial, steps: range) -> Adversarial:
    for step in steps:
        torch.manual_seed(step)
        images = torch.rand(4, 3, IMAGE.height, IMAGE.width) * 2 - 1
        scalars = learner.step([Reals(images[:2], labels(2)), Reals(images[2:], labels(2))], step)
        assert all(value.isfinite() for value in scalars.values())
    return learner


def attended(network: nn.Module, *inputs: object) -> list[tuple[int, int, int]]:
    """Return shapes of the features that attend in one pass, in their order."""
    seen: list[tuple[int, int, int]] = []
    for part in attentions(network):
        part.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape[1:])))
    network(*inputs)
    return seen


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_features_attend_at_their_resolutions(architecture: str) -> None:
    network = built(generator_architecture=architecture, discriminator_architecture=architecture).network
    assert attended(network.generator, torch.randn(2, 4), labels(2)) == [(8, 6, 8), (8, 12, 16)]
    assert attended(network.discriminator, [torch.randn(2, 3, 24, 32)], labels(2)) == [(8, 12, 16), (8, 6, 8)]


def test_features_as_wide_as_the_image_attend() -> None:
    network = built(attention_resolutions=(32,)).network
    assert attended(network.generator, torch.randn(2, 4), labels(2)) == [(8, 24, 32)]
    assert attended(network.discriminator, [torch.randn(2, 3, 24, 32)], labels(2)) == [(8, 24, 32)]


def test_the_discriminator_attends_only_if_told() -> None:
    assert len(list(attentions(built(discriminator_attention=False).network.discriminator))) == 0
    assert len(list(attentions(built(discriminator_attention=False).network.generator))) == 2


def test_begins_as_the_plain_gan() -> None:
    """With γ = 0 attention has no effect, and all other weights are the same as in the plain GAN."""
    generator = built().network.generator.eval()
    shared = {name: value for name, value in SMALL.items() if name in gan.Config.model_fields}
    plain = gan.generator(gan.Config.model_validate({"kind": "gan", **shared}), IMAGE)
    weights = {name.replace(".block.", "."): value for name, value in generator.state_dict().items()}
    plain.load_state_dict({name: value for name, value in weights.items() if ".attention." not in name})
    z = torch.randn(3, 4)
    with torch.no_grad(), constant_noise(generator), constant_noise(plain):
        before = plain.eval()(z, labels(3))
        assert generator(z, labels(3)).equal(before)
        nn.init.constant_(next(attentions(generator)).strength, 0.5)
        assert not generator(z, labels(3)).allclose(before)


def test_pooling_is_handed_on() -> None:
    assert [part.pooled for part in attentions(built(attention_pooling=True).network)] == [True] * 6
    assert [part.pooled for part in attentions(built().network)] == [False] * 6


# ------------------------------------------------------------------------------------------- spectral norm


def top(part: nn.Module) -> float:
    """Return the largest singular value of the effective weight of a layer."""
    return torch.linalg.svdvals((part.weight * part.scale).detach().flatten(1))[0].item()


def normalised(network: nn.Module) -> list[nn.Module]:
    return [part for part in network.modules() if isinstance(part, Convolution | Projection)]


@pytest.mark.slow
def test_weights_of_both_networks_get_norm_1_but_not_those_of_the_mapping() -> None:
    labelled = {"discriminator_architecture": "orig", "discriminator_labels": "projection"}
    network = played(built(spectral_norm=True, **labelled), range(12)).network.eval()
    for ladder in (network.generator.synthesis, network.sampler.synthesis, network.discriminator):
        assert [top(part) for part in normalised(ladder)] == pytest.approx([1] * len(normalised(ladder)), rel=0.1)
    assert not any("parametrizations" in name for name in network.generator.mapping.state_dict())


def test_an_average_of_one_step_is_the_generator() -> None:
    learner = played(built(spectral_norm=True, adversarial={"ema_kimg": 1e-6}), range(3))
    generator, sampler = learner.network.generator.eval(), learner.sampler
    z = torch.randn(2, 4)
    with torch.no_grad(), constant_noise(generator), constant_noise(sampler):
        assert sampler(z, labels(2)).equal(generator(z, labels(2)))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"spectral_norm": True}, {"attention_pooling": True}], ids=str)
def test_continues_where_it_stopped(settings: dict[str, object]) -> None:
    settings = {**settings, "adversarial": {"path_length_weight": 2.0, "path_length_interval": 2, "r1_interval": 2}}
    whole = played(built(**settings), range(4))
    first = played(built(**settings), range(2))
    state = copy.deepcopy(first.save())
    second = built(seed=1, **settings)
    second.load(state)
    played(second, range(2, 4))
    expected, found = whole.save()["network"], second.save()["network"]
    assert expected.keys() == found.keys()
    assert all(expected[name].equal(found[name]) for name in expected)
    draws = [learner.sample(labels(2), [0, 1]) for learner in (whole, second)]
    assert draws[0].equal(draws[1])


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize("width", [0, 4, 12])
def test_says_which_widths_there_are_not(width: int) -> None:
    with pytest.raises(ValidationError, match=f"1 validation error.*\n.*\n.* {width} is not a power of two from 8"):
        config(attention_resolutions=(8, width))


def test_wants_some_resolution() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        config(attention_resolutions=())


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (16, ["no features are 32 wide, as attention_resolutions want; there are 8, 16"]),
        (32, []),
        (256, []),
        (
            4,
            [
                "width 4 of the images is not a power of two from 8",
                "no features are 32 wide, as attention_resolutions want; there are none",
            ],
        ),
    ],
)
def test_says_that_no_features_attend(width: int, words: list[str]) -> None:
    assert list(config().problems(ImageSpec(height=width, width=width), TrainingSettings())) == words


CHANGES = {
    "attention_resolutions": (8,),
    "attention_pooling": True,
    "discriminator_attention": False,
    "spectral_norm": True,
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) == set(sagan.Config.model_fields) - set(gan.Config.model_fields)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    def fingerprint(**settings: object) -> object:
        network = built(**settings).network
        pooled = [part.pooled for part in attentions(network)]
        return pooled, {name: value.tolist() for name, value in network.state_dict().items()}

    assert fingerprint() != fingerprint(**{name: CHANGES[name]})
