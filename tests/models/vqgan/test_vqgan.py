"""VQGAN's settings: the paper's by default, and one sentence for everything that does not fit."""

from typing import Any

import pytest
import torch
from torch import nn

from ganformer.config import ImageSpec, Spec, TrainingSettings, parse
from ganformer.errors import ConfigError
from ganformer.models.vqgan import model as vqgan
from ganformer.models.vqgan.quantisation import GumbelSoftmax, NearestEntry

IMAGE = ImageSpec(height=256, width=256)


def config(**settings: Any) -> vqgan.Config:
    return vqgan.Config.model_validate({"kind": "vqgan", **settings})


def problems(image: ImageSpec = IMAGE, kimg: float = 25_000, batch: int = 32, **settings: Any) -> list[str]:
    return list(config(**settings).problems(image, TrainingSettings(kimg=kimg, batch=batch)))


def count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def test_defaults_are_the_papers() -> None:
    """256×256 images become 16×16 of 1024 codes; numbers of parameters equal the official code."""
    assert problems() == []
    with torch.device("meta"):
        network = vqgan.build(config(), IMAGE).network
    autoencoder = network.autoencoder
    assert network.sampler.shape == (16, 16)
    assert count(autoencoder.encoder) == 29_298_176
    assert count(autoencoder.decoder) == 42_449_795
    assert count(autoencoder.before) == count(autoencoder.after) == 256 * 256 + 256
    assert autoencoder.quantiser.codebook.shape == (1024, 256)
    assert count(network.discriminator) == 2_765_633
    assert (network.transformer.length, len(network.transformer.blocks)) == (256, 24)


def test_parameters_are_counted_by_stage() -> None:
    small = {"transformer": {"layers": 1, "heads": 1, "width": 8}, "channels": 32}
    with torch.device("meta"):
        learner = vqgan.build(config(**small), IMAGE)
    assert set(learner.parameters()) == {"autoencoder", "discriminator", "transformer"}


def test_a_quantiser_is_picked_by_its_kind() -> None:
    with torch.device("meta"):
        made = [vqgan.autoencoder(config(quantiser={"kind": kind}), 3).quantiser for kind in ("nearest", "gumbel")]
    assert [type(part) for part in made] == [NearestEntry, GumbelSoftmax]


def test_downsampling_follows_from_the_multipliers() -> None:
    assert config().downsampling == 16
    assert config(channel_multipliers=(1, 1, 2, 4), attention_downsampling=()).downsampling == 8


@pytest.mark.parametrize(
    ("image", "settings", "said"),
    [
        (
            {"height": 200, "width": 256},
            {},
            ["height 200 of the images is not divisible by 16, the downsampling that 5 channel_multipliers make"],
        ),
        (
            {"height": 16, "width": 16},
            {},
            [
                "discriminator.layers 3 need more than height 16 of the images; take fewer",
                "discriminator.layers 3 need more than width 16 of the images; take fewer",
            ],
        ),
        (
            {"height": 256, "width": 256, "channels": 1},
            {},
            [],  # which the perceptual network sees as colours
        ),
        ({"height": 256, "width": 256, "channels": 1}, {"perceptual": {"kind": "none"}}, []),
        ({"height": 256, "width": 512}, {}, []),
        ({"height": 48, "width": 48}, {"discriminator": {"layers": 4}}, []),  # one patch is enough
    ],
)
def test_images_that_do_not_fit(image: dict[str, int], settings: dict[str, Any], said: list[str]) -> None:
    assert problems(ImageSpec(**image), **settings) == said


def test_both_stages_need_images() -> None:
    said = "leaves the transformer nothing of training.kimg 10; leave it out, or set it to about half of that"
    assert problems(kimg=10, autoencoder_kimg=12.0) == [f"autoencoder_kimg 12 {said}"]
    assert problems(kimg=10) == []
    small = {"autoencoder_kimg": 1.0, "discriminator_start_kimg": 0.5}
    assert problems(kimg=1.032, **small) == []
    assert problems(kimg=1.024, **small) != []  # 32 steps of 32 images, all of them the autoencoder's


def test_what_is_left_out_follows_from_the_training() -> None:
    def lengths(kimg: float, **settings: Any) -> tuple[float, float]:
        run = {"image": {"height": 32, "width": 32}, "mirror": False, "training": {"kimg": kimg}, "seed": 0}
        model = Spec.model_validate({**run, "model": {"kind": "vqgan", **settings}}).model
        assert isinstance(model, vqgan.Config)
        return model.lengths

    assert lengths(12) == (1.5, 6.0)
    assert lengths(25_000) == (90.0, 12_500.0)
    assert lengths(12, autoencoder_kimg=8) == (2.0, 8.0)
    assert lengths(12, discriminator_start_kimg=1, autoencoder_kimg=8) == (1.0, 8.0)


def test_the_discriminator_must_begin() -> None:
    assert problems(discriminator_start_kimg=12_500) == [
        "discriminator_start_kimg 12500 is not before autoencoder_kimg 12500, the end of the autoencoder's training; "
        "set it lower"
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"channels": 48}, "48 features (channels × channel_multipliers) are not divisible by groups 32"),
        (
            {"attention_downsampling": [16, 3]},
            "attention_downsampling 3 is none of 1, 2, 4, 8, 16, which channel_multipliers lead to",
        ),
        ({"transformer": {"width": 10, "heads": 4}}, "transformer: width 10 is not divisible by heads 4"),
        ({"quantiser": {"kind": "nearest", "temperature": 1}}, "quantiser.temperature: unknown key"),
        ({"quantiser": {"kind": "neares"}}, "quantiser: kind 'neares' is unknown; did you mean 'nearest'?"),
        ({"perceptual": {"kind": "vgg16"}}, "perceptual.network: is missing"),
        ({"sampling": {"top_p": 0}}, "sampling.top_p: Input should be greater than 0, got 0"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(vqgan.Config, {"kind": "vqgan", **settings}, "model")
    assert said in str(caught.value)
