"""The plain GAN: StyleGAN2 in everything but how the latent enters."""

from itertools import pairwise

import pytest
import torch

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.gan import model as gan
from ganformer.models.stylegan2 import model as stylegan2
from ganformer.nn.layers import ModulatedConvolution, ModulatedToRGB
from ganformer.nn.stem import LatentStem
from tests.variants import fingerprint

SMALL = {"channel_base": 128, "channel_max": 8, "latent_size": 4, "mapping_layers": 3}


def config(**settings: object) -> gan.Config:
    return gan.Config.model_validate({"kind": "gan", **settings})


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_has_the_settings_of_stylegan2() -> None:
    def defaults(kind: type[stylegan2.Config] | type[gan.Config]) -> dict[str, object]:
        return {name: field.default for name, field in kind.model_fields.items() if name != "kind"}

    only_stylegan2 = {"mapping_architecture"}  # which imported snapshots need
    assert defaults(gan.Config) == {
        name: default for name, default in defaults(stylegan2.Config).items() if name not in only_stylegan2
    }


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("image", [ImageSpec(height=64, width=64), ImageSpec(height=48, width=64, classes=3)])
def test_generator_is_stylegan2s_with_the_stem_in_place_of_styles(
    architecture: str, refine: bool, image: ImageSpec
) -> None:
    settings = {**SMALL, "generator_architecture": architecture, "refine_colours": refine}
    plain = gan.generator(config(**settings), image)
    styled = stylegan2.generator(stylegan2.Config.model_validate({"kind": "stylegan2", **settings}), image)
    affine = [part.affine for part in styled.modules() if isinstance(part, ModulatedConvolution | ModulatedToRGB)]
    assert len(affine) >= 10
    values = styled.synthesis.stem.constant.numel()
    stem = values * 4 + values
    assert count(plain) == count(styled) - sum(count(layer) for layer in affine) - values + stem
    assert plain.mapping.state_dict().keys() == styled.mapping.state_dict().keys()
    assert plain.latent_shape == styled.latent_shape


def test_discriminator_is_stylegan2s() -> None:
    image = ImageSpec(height=16, width=16, classes=3)
    learners = [
        model.build(model.Config.model_validate({"kind": kind, **SMALL}), image)
        for kind, model in (("gan", gan), ("stylegan2", stylegan2))
    ]
    ours, theirs = (
        {name: value.shape for name, value in learner.network.discriminator.state_dict().items()}
        for learner in learners
    )
    assert ours == theirs


def test_parameters_at_the_papers_size() -> None:
    with torch.device("meta"):
        generator = gan.generator(config(), ImageSpec(height=256, width=256))
    channels = [512] * 5 + [256, 128]
    layers = [
        (512, 512),
        *((a, b) for below, c in pairwise(channels) for a, b in ((below, c), (c, c))),
    ]
    ladder = sum(9 * a * b + b + 1 for a, b in layers) + sum(3 * c + 3 for c in channels)
    assert count(generator) == 8 * (512 * 512 + 512) + (512 + 1) * 512 * 16 + ladder


def test_has_one_latent_so_that_there_is_nothing_to_mix() -> None:
    learner = gan.build(config(**SMALL), ImageSpec(height=16, width=16))
    generator = learner.network.generator
    assert isinstance(generator.synthesis.stem, LatentStem)
    w = generator.map(torch.randn(3, 4), torch.zeros(3, 0))
    assert w.shape == (3, 1, 4)
    assert learner.settings.style_mixing == 0.9
    assert all(torch.equal(*learner._draw(torch.zeros(3, 0))) for _ in range(20))


def test_says_which_images_it_cannot_make() -> None:
    problems = list(config().problems(ImageSpec(height=24, width=24), TrainingSettings()))
    assert problems == ["width 24 of the images is not a power of two from 8"]


CHANGES = {
    "adversarial": {"r1_gamma": 3.0},
    "channel_base": 64,
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
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) | {"kind", "initial"} == set(gan.Config.model_fields)  # `initial` names weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    before, after = (made(config(**settings)) for settings in (SMALL, {**SMALL, name: CHANGES[name]}))
    assert before != after


def made(config: gan.Config) -> tuple[object, ...]:
    torch.manual_seed(0)
    learner = gan.build(config, ImageSpec(height=16, width=16, classes=2))
    return fingerprint(learner)
