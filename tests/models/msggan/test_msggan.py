"""MSG-GAN, counted and trained with every loss of its paper and its code."""

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.models.msggan import model as msggan
from ganformer.nn.synthesis import Resolution
from ganformer.training.adversarial import Adversarial
from ganformer.training.learner import Reals

SMALL = {"channel_base": 64, "channel_max": 8, "latent_size": 8}
LOSSES: dict[str, dict[str, Any]] = {
    "standard": {"loss": "logistic"},
    "hinge": {"loss": "hinge"},
    "relativistic-hinge": {"loss": "relativistic-hinge"},
    "wgan-gp": {"loss": "wgan", "gradient_penalty": 10.0},
    "lsgan": {"loss": "lsgan"},
    "lsgan-with-sigmoid": {"loss": "lsgan-sigmoid"},
}


def config(**settings: object) -> msggan.Config:
    return msggan.Config.model_validate({"kind": "msggan", **settings})


def square(width: int, classes: int = 0) -> ImageSpec:
    return ImageSpec(height=width, width=width, classes=classes)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def labels(image: ImageSpec, number: int) -> Tensor:
    return torch.eye(image.classes)[torch.arange(number) % image.classes] if image.classes else torch.zeros(number, 0)


def learner(image: ImageSpec, seed: int = 0, **settings: object) -> Adversarial:
    torch.manual_seed(seed)
    return msggan.build(config(**{**SMALL, **settings}), image)


def stepped(learner: Adversarial, image: ImageSpec, steps: range) -> dict[str, Tensor]:
    scalars: dict[str, Tensor] = {}
    for step in steps:
        torch.manual_seed(step)
        images = torch.rand(4, 3, image.height, image.width) * 2 - 1
        scalars = dict(learner.step([Reals(images, labels(image, 4))], step))
    return scalars


def test_features_of_every_resolution() -> None:
    """Numbers of Progressive GAN, and of the authors' code with a latent of 512."""
    widths = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [config().channels(width) for width in widths] == [512] * 4 + [256, 128, 64, 32, 16]


@pytest.mark.parametrize(
    ("width", "generator", "discriminator"), [(256, 23_044_309, 18_733_185), (1024, 23_079_115, 18_756_321)]
)
def test_has_the_parameters_of_the_authors_code(width: int, generator: int, discriminator: int) -> None:
    like_the_code = config(combine="lin_cat", deviation="last")
    with torch.device("meta"):
        assert count(msggan.generator(like_the_code, square(width))) == generator
        assert count(msggan.discriminator(like_the_code, square(width))) == discriminator


def test_discriminator_has_the_parameters_of_the_paper() -> None:
    channels = [512, 512, 512, 512, 256, 128, 64, 32, 16]  # from the stem up
    total = 3 * 16 + 16  # from colours
    inputs = 16
    for above, below in zip(channels[:0:-1], channels[-2::-1], strict=True):
        total += 9 * (inputs + 1) * above + above + 9 * above * below + below
        inputs = below + 3
    total += 9 * (inputs + 1) * 512 + 512 + 16 * 512 * 512 + 512 + 512 + 1
    with torch.device("meta"):
        assert count(msggan.discriminator(config(), square(1024))) == total


@pytest.mark.parametrize("width", [8 << doubling for doubling in range(8)])
def test_every_width(width: int) -> None:
    with torch.device("meta"):
        network = learner(square(width)).network if width <= 64 else learner(square(width), channel_base=1024).network
        scales = network.generator.scales(torch.zeros(2, 1, 8))
        assert [scale.shape[-1] for scale in scales] == [4 << i for i in range(len(scales))]
        assert scales[-1].shape == (2, 3, width, width)
        assert network.discriminator(scales, torch.zeros(2, 0)).shape == (2,)


@pytest.mark.parametrize(
    ("height", "width", "stem"), [(16, 32, (2, 4)), (32, 16, (8, 4)), (12, 16, (3, 4)), (8, 32, (1, 4))]
)
def test_rectangles(height: int, width: int, stem: tuple[int, int]) -> None:
    image = ImageSpec(height=height, width=width, classes=2)
    assert list(config(**SMALL).problems(image, TrainingSettings())) == []
    assert config(**SMALL).resolutions(image)[0] == Resolution(*stem, 8)
    trained = learner(image)
    stepped(trained, image, range(1))
    assert trained.network.generator.scales(torch.zeros(1, 1, 8))[0].shape[2:] == stem


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("classes", [0, 3], ids=["", "labelled"])
def test_every_loss_moves_both_networks_and_resumes(loss: str, classes: int) -> None:
    settings = {"adversarial": {**LOSSES[loss], "r1_gamma": 1.0, "r1_interval": 2}}
    image = square(8, classes)
    whole, first, second = learner(image, **settings), learner(image, **settings), learner(image, seed=1, **settings)
    before = copy.deepcopy(whole.network.state_dict())
    scalars = stepped(whole, image, range(3))
    assert scalars.keys() == {"generator", "discriminator", "real_score", "fake_score", "r1"}
    assert all(value.isfinite() for value in scalars.values())
    after = whole.network.state_dict()
    still = {name for name, value in before.items() if value.equal(after[name])}
    shift = "discriminator.last.head.layer.bias"  # of all logits: hinges may not feel it, relativistic ones never do
    assert still - ({shift} if "hinge" in loss else set()) == {"path_length_mean"}

    stepped(first, image, range(2))
    second.load(copy.deepcopy(first.save()))
    stepped(second, image, range(2, 3))
    assert all(value.equal(second.network.state_dict()[name]) for name, value in after.items())


def test_losses_differ() -> None:
    found = set()
    for settings in LOSSES.values():
        trained = learner(square(8), adversarial={**settings, "r1_gamma": 0})
        found.add(float(stepped(trained, square(8), range(1))["discriminator"]))
    assert len(found) == len(LOSSES)


def test_path_lengths_are_measured_without_a_mapping_network() -> None:
    trained = learner(square(8), adversarial={"path_length_weight": 2.0, "path_length_interval": 1})
    assert stepped(trained, square(8), range(1))["path_length"] > 0


def test_truncation_shrinks_latents_towards_their_average() -> None:
    generator = learner(square(8)).network.generator
    generator.w_average.copy_(torch.arange(8.0))
    w = generator.map(torch.randn(3, 8), torch.zeros(3, 0))
    torch.testing.assert_close(generator.truncate(w, 0.25), 0.25 * w + 0.75 * torch.arange(8.0))
    assert generator.truncate(w, 0.0).equal(torch.arange(8.0).expand(3, 1, 8))


def test_labels_reach_every_scale() -> None:
    network = learner(square(16, classes=3)).network
    z = torch.randn(2, 8)
    one, other = (network.generator.scales(network.generator.map(z, torch.eye(3)[[i, i]])) for i in (0, 1))
    assert [torch.equal(a, b) for a, b in zip(one, other, strict=True)] == [False] * 3
    logits = [network.discriminator(one, torch.eye(3)[[i, i]]) for i in (0, 1)]
    assert not torch.equal(*logits)


@pytest.mark.parametrize(
    ("settings", "image", "words"),
    [
        ({}, ImageSpec(height=24, width=24), "width 24 of the images is not a power of two from 8"),
        (
            {},
            ImageSpec(height=17, width=16),
            "height 17 of the images is not a multiple of 4, a quarter of their width",
        ),
        ({"channel_base": 32}, square(64), "channel_base 32 leaves no features at width 64; set it to at least 64"),
    ],
)
def test_says_which_images_it_cannot_make(settings: dict[str, int], image: ImageSpec, words: str) -> None:
    assert list(config(**settings).problems(image, TrainingSettings())) == [words]


def test_one_feature_cannot_be_shared() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        config(channel_max=1)


CHANGES = {
    "adversarial": {"r1_gamma": 3.0},
    "channel_base": 128,
    "channel_max": 4,
    "latent_size": 4,
    "discriminator_labels": "projection",
    "combine": "cat_lin",
    "deviation": "last",
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) | {"kind", "initial"} == set(msggan.Config.model_fields)  # `initial` names weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_model(name: str) -> None:
    image = square(16, classes=2)
    before, after = (fingerprint(learner(image, **settings)) for settings in ({}, {name: CHANGES[name]}))
    assert before != after


def fingerprint(learner: Adversarial) -> object:
    weights = {name: value.tolist() for name, value in learner.network.state_dict().items()}
    return weights, learner.settings, [type(part).__name__ for part in learner.network.modules()]
