"""The preset of MSG-GAN's authors' PyTorch code: its settings are the stated ones, and its model trains."""

import copy
import math
from pathlib import Path

import pytest
import torch

from ganformer import config
from ganformer.config import AdversarialModel, ImageSpec, Spec
from ganformer.models.msggan import model as msggan
from ganformer.models.msggan.settings import Config
from ganformer.training.adversarial import average_beta
from ganformer.training.learner import Reals
from tests.interop.test_bmsg import discriminator_state, generator_state
from tests.models.msggan.test_msggan import count

ROOT = Path(__file__).resolve().parents[3]
FOUND = config.load(config.merged([ROOT / "config.yaml", ROOT / "workflow/presets/bmsg-gan.yaml"]))

# README.md and sourcecode/train.py of akanimax/BMSG-GAN at 079b735.
README = {"learning_rate": 0.003, "loss": "relativistic-hinge", "celeba": 128, "bedrooms": 128}
DEFAULTS = {"depth": 6, "latent_size": 512, "batch_size": 20, "num_epochs": 3, "beta1": 0.0, "beta2": 0.99}
EMA_DECAY = 0.999
IMAGES = {"celeba": 202_599, "bedrooms": 3_033_042}
both = pytest.mark.parametrize("dataset", IMAGES)


def spec(dataset: str) -> Spec:
    return FOUND.spec(dataset, "bmsg-gan", 0)


def settings(dataset: str) -> Config:
    model = spec(dataset).model
    assert isinstance(model, Config)
    return model


def test_every_table_and_figure_is_of_its_two_trainings() -> None:
    assert set(FOUND.runs()) == {(dataset, "bmsg-gan", 0) for dataset in IMAGES}


@both
def test_its_settings_are_those_of_the_readme_and_the_defaults(dataset: str) -> None:
    model, training, image = settings(dataset), spec(dataset).training, spec(dataset).image
    game = model.adversarial
    assert (game.generator_learning_rate, game.discriminator_learning_rate) == (README["learning_rate"],) * 2
    assert game.loss == README["loss"]
    assert (image.height, image.width) == (README[dataset],) * 2
    assert len(model.resolutions(image)) == DEFAULTS["depth"]
    assert model.latent_size == DEFAULTS["latent_size"]
    assert (game.beta1, game.beta2) == (DEFAULTS["beta1"], DEFAULTS["beta2"])
    assert (training.batch, training.microbatch) == (DEFAULTS["batch_size"], None)
    assert spec(dataset).mirror  # flip_augment
    assert training.kimg == pytest.approx(DEFAULTS["num_epochs"] * IMAGES[dataset] / 1000)
    # That code knows none of these.
    assert game.gamma == game.gradient_penalty == game.path_length_weight == game.style_mixing == 0
    assert not game.generator_correction
    assert game.augmentation.kind == "none"


@both
def test_the_average_forgets_as_fast_as_there(dataset: str) -> None:
    game = settings(dataset).adversarial
    assert average_beta(game, DEFAULTS["batch_size"], seen=0) == pytest.approx(EMA_DECAY, abs=1e-7)
    assert game.ema_kimg == pytest.approx(20 * math.log(0.5) / math.log(EMA_DECAY) / 1000, abs=1e-3)


@both
def test_its_networks_have_the_parameters_of_the_authors(dataset: str) -> None:
    with torch.device("meta"):
        learner = msggan.build(settings(dataset), spec(dataset).image)
        there = generator_state(DEFAULTS["depth"], 512), discriminator_state(DEFAULTS["depth"], 512)
    networks = learner.network.generator, learner.network.discriminator
    assert [count(network) for network in networks] == [
        sum(value.numel() for value in state.values()) for state in there
    ]


def test_bedrooms_are_measured_against_fewer_of_them() -> None:
    assert FOUND.reals("bedrooms") == "bedrooms-50k"
    assert FOUND.datasets["bedrooms-50k"].max_images == 50_000


def test_a_small_model_of_it_trains() -> None:
    full = settings("celeba")
    small = full.model_copy(update={"latent_size": 8, "channel_base": 64, "channel_max": 8})
    image = ImageSpec(height=16, width=16)
    assert isinstance(small, AdversarialModel)
    assert list(small.problems(image, spec("celeba").training)) == []
    torch.manual_seed(0)
    learner = msggan.build(small, image)
    before = copy.deepcopy(learner.network.state_dict())
    images = torch.rand(20, 3, 16, 16) * 2 - 1
    scalars = learner.step([Reals(images, torch.zeros(20, 0))], 0)
    assert all(value.isfinite() for value in scalars.values())
    after = learner.network.state_dict()
    # Adam's first step is as long as the learning rate wherever there is a gradient.
    for name in ("generator.stem.bias", "discriminator.last.hidden.bias"):
        moved = (after[name] - before[name]).abs().max().item()
        assert moved == pytest.approx(README["learning_rate"], rel=1e-3)
