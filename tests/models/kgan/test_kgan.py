"""k-GAN: components, and where and how they become one."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.kgan import model as kgan
from ganformer.models.kgan.model import ComposingGenerator
from ganformer.models.stylegan2 import model as stylegan2
from ganformer.nn.layers import constant_noise
from ganformer.training.learner import Reals
from tests.variants import fingerprint

SMALL = {
    "channel_base": 128,
    "channel_max": 8,
    "latent_size": 12,
    "components": 3,
    "mapping_layers": 2,
    "merge_resolution": 8,
}
MERGES = ["softmax", "sum", "max", "leaves"]


def config(**settings: object) -> kgan.Config:
    return kgan.Config.model_validate({"kind": "kgan", **settings})


def square(width: int) -> ImageSpec:
    return ImageSpec(height=width, width=width)


def small(image: ImageSpec | None = None, **settings: object) -> ComposingGenerator:
    """Return a small generator in evaluation; all parameters are random, also the ones that begin at zero."""
    torch.manual_seed(0)
    generator = kgan.generator(config(**{**SMALL, **settings}), image or square(16)).eval()
    for parameter in generator.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def seen(generator: ComposingGenerator, w: Tensor) -> Tensor:
    with torch.no_grad(), constant_noise(generator):
        return generator.synthesise(w)


def drawn(generator: ComposingGenerator, count: int = 2) -> Tensor:
    return generator.map(torch.randn(count, *generator.latent_shape), torch.zeros(count, 0))


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_has_stylegan2s_parameters_of_one_component_but_constants_and_scores() -> None:
    with torch.device("meta"):
        generator = kgan.generator(config(), square(256))
        single = stylegan2.generator(
            stylegan2.Config.model_validate({"kind": "stylegan2", "latent_size": 64}), square(256)
        )
    assert count(generator) == count(single) + 7 * 512 * 4 * 4 + 512  # 8 constants instead of 1, and one score
    assert generator.latent_shape == (8, 64)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("resolution", [4, 8, None])
def test_makes_rectangles_of_labels(architecture: str, merge: str, resolution: int | None) -> None:
    image = ImageSpec(height=12, width=16, classes=2)
    generator = small(image, generator_architecture=architecture, merge=merge, merge_resolution=resolution)
    w = generator.map(torch.randn(2, 3, 4), torch.eye(2))
    assert w.shape == (2, generator.synthesis.layers, 3, 4)
    assert seen(generator, w).shape == (2, 3, 12, 16)
    other = generator.map(torch.randn(2, 3, 4), torch.eye(2).flip(0))
    assert not seen(generator, w).allclose(seen(generator, other))


@pytest.mark.parametrize(("resolution", "index"), [(4, 0), (8, 1), (16, 2), (None, 2)])
def test_merges_behind_the_width_it_is_told(resolution: int | None, index: int) -> None:
    assert small(merge_resolution=resolution).synthesis.merged_at == index


@pytest.mark.parametrize("merge", ["softmax", "sum"])
def test_order_of_components_is_only_a_name(merge: str) -> None:
    generator = small(merge=merge)
    w = drawn(generator)
    before = seen(generator, w)
    order = torch.tensor([2, 0, 1])
    permuted = w[:, :, order]
    assert not seen(generator, permuted).allclose(before, rtol=1e-2)
    generator.synthesis.stem.constants.data = generator.synthesis.stem.constants.data[order]
    torch.testing.assert_close(seen(generator, permuted), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("merge", MERGES)
def test_the_order_of_leaves_matters_and_every_component_has_its_say(merge: str) -> None:
    generator = small(merge=merge)
    w = drawn(generator).contiguous().requires_grad_()
    with constant_noise(generator):
        images = generator.synthesise(w)
    (gradient,) = torch.autograd.grad(images.square().sum(), w)
    assert (gradient.abs().amax(dim=3) > 0).all()  # B layers k
    if merge == "leaves":
        order = torch.tensor([2, 0, 1])
        generator.synthesis.stem.constants.data = generator.synthesis.stem.constants.data[order]
        assert not seen(generator, w[:, :, order]).allclose(images, rtol=1e-2)


def test_components_are_apart_below_the_merge() -> None:
    """A component changes its own features and no others."""
    generator = small(merge_resolution=8)
    given: list[Tensor] = []
    generator.synthesis.merge.weights.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    w = drawn(generator).contiguous()
    seen(generator, w)
    w[:, :, 1] += 1
    seen(generator, w)
    changed = (given[0] != given[1]).flatten(2).any(dim=2)
    assert changed.tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("merge", MERGES)
def test_trains_with_every_regulariser_and_both_mixings(merge: str) -> None:
    torch.manual_seed(0)
    regularised = {
        "path_length_weight": 2.0,
        "path_length_interval": 1,
        "r1_interval": 1,
        "style_mixing": 1.0,
        "component_mixing": 1.0,
    }
    learner = kgan.build(config(**SMALL, merge=merge, adversarial=regularised), square(16))
    before = {name: value.clone() for name, value in learner.network.generator.named_parameters()}
    for step in range(2):
        scalars = learner.step([Reals(torch.rand(4, 3, 16, 16) * 2 - 1, torch.zeros(4, 0))], step)
        assert all(value.isfinite() for value in scalars.values())
    unmoved = [name for name, value in learner.network.generator.named_parameters() if value.equal(before[name])]
    assert unmoved == []
    truncated = learner.sample(torch.zeros(3, 0), [0, 1, 2], truncation=0.0)
    assert truncated.shape == (3, 3, 16, 16)


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_size": 100, "components": 8}, "latent_size 100 is not divisible by components 8; 96 is"),
        ({"latent_size": 4, "components": 8}, "latent_size 4 is not divisible by components 8; 8 is"),
        ({"components": 1}, "greater than or equal to 2"),
        ({"merge_resolution": 24}, "24 is not a power of two from 4"),
        ({"merge_resolution": 2}, "2 is not a power of two from 4"),
        ({"merge": "maximum"}, "'softmax', 'sum', 'max' or 'leaves'"),
    ],
)
def test_says_what_does_not_fit_together(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**settings)


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (16, ["merge_resolution 32 is wider than the images; set it to at most 16, their width"]),
        (32, []),
        (1024, []),
    ],
)
def test_says_what_does_not_fit_the_images(width: int, words: list[str]) -> None:
    assert list(config().problems(square(width), TrainingSettings())) == words
    assert list(config(merge_resolution=None).problems(square(width), TrainingSettings())) == []


CHANGES = {
    "adversarial": {"r1_gamma": 3.0},
    "channel_base": 64,
    "channel_max": 4,
    "latent_size": 24,
    "mapping_layers": 3,
    "mapping_learning_rate_multiplier": 0.1,
    "discriminator_architecture": "skip",
    "discriminator_labels": "projection",
    "noise": False,
    "activation_clamp": 256.0,
    "generator_architecture": "resnet",
    "components": 4,
    "merge": "leaves",
    "merge_resolution": 4,
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) | {"kind", "initial"} == set(kgan.Config.model_fields)  # `initial` names weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    before, after = (made(config(**settings)) for settings in (SMALL, {**SMALL, name: CHANGES[name]}))
    assert before != after


def made(config: kgan.Config) -> tuple[object, ...]:
    torch.manual_seed(0)
    learner = kgan.build(config, ImageSpec(height=16, width=16, classes=2))
    return (*fingerprint(learner), learner.sample(torch.eye(2), [0, 1]).tolist())
