"""Training with features in bfloat16: near float32, in float32 where it matters, and as reproducible."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer import devices
from ganformer.config import ImageSpec, Spec
from ganformer.config.base import parse
from ganformer.nn.resampling import Operation
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner, Reals

SMALL = {"channel_base": 128, "channel_max": 16, "latent_size": 16}
MODELS = {
    "gan": SMALL,
    "kgan": {**SMALL, "components": 2, "merge_resolution": 8},
    "sagan": {**SMALL, "attention_resolutions": [8]},
    "stylegan2": {**SMALL, "adversarial": {"path_length_weight": 2}},
    "msggan": SMALL,
    "simplex": {**SMALL, "kind": "ganformer", "components": 4, "attention": "simplex", "integration": "both"},
    "duplex": {
        **SMALL,
        "kind": "ganformer",
        "components": 4,
        "attention": "duplex",
        "iterations": 2,
        "image_gate": True,
    },
    "centroid": {
        **SMALL,
        "kind": "ganformer",
        "components": 4,
        "attention": "centroid",
        "iterations": 2,
        "carried_centroids": True,
        "discriminator_components": 2,
    },
    "vqgan": {
        "channels": 8,
        "channel_multipliers": [1, 2],
        "groups": 4,
        "latent_channels": 8,
        "codes": 16,
        "code_size": 8,
        "attention_downsampling": [],
        "perceptual": {"kind": "none"},
        "discriminator": {"channels": 8, "layers": 1},
        "transformer": {"layers": 1, "heads": 2, "width": 16},
    },
}


def learner(model: str, precision: str, **training: Any) -> Learner:
    settings = {
        "image": ImageSpec(height=16, width=16).model_dump(),
        "mirror": False,
        "seed": 0,
        "training": {"kimg": 1, "batch": 4, "precision": precision, **training},
        "model": {"kind": model, **MODELS[model]},
    }
    return build(parse(Spec, settings, "spec"))


def batch(seed: int) -> list[Reals]:
    generator = torch.Generator().manual_seed(seed)
    return [Reals(torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1, torch.zeros(4, 0))]


def trained(model: str, precision: str, steps: range = range(3)) -> Learner:
    learner_ = learner(model, precision)
    with devices.reproducible(1):
        for step in steps:
            torch.manual_seed(step)
            scalars = learner_.step(batch(step), step)
            assert all(torch.as_tensor(value).isfinite() for value in scalars.values())
    return learner_


def images(learner_: Learner) -> Tensor:
    return learner_.sample(torch.zeros(4, 0), [1, 2, 3, 4])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_near_float32(model: str) -> None:
    wide, narrow = trained(model, "float32"), trained(model, "bfloat16")
    assert {value.dtype for value in narrow.network.state_dict().values()} <= {torch.float32, torch.int64}
    first, second = (torch.cat([p.flatten() for p in each.network.parameters()]) for each in (wide, narrow))
    assert not first.equal(second)
    assert (first - second).norm() < 0.2 * first.norm()
    shown = images(narrow)
    assert shown.dtype == torch.float32
    assert shown.isfinite().all()


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_the_first_images_are_near_those_of_float32(model: str) -> None:
    expected, found = images(learner(model, "float32")), images(learner(model, "bfloat16"))
    assert not found.equal(expected)
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_same_bits_come_of_the_same_steps(model: str) -> None:
    one, other = (trained(model, "bfloat16", range(2)).network.state_dict() for _ in range(2))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "vqgan"])
def test_features_are_bfloat16_and_what_is_delicate_is_not(model: str) -> None:
    network = learner(model, "bfloat16").network
    operations = [part for part in network.modules() if isinstance(part, Operation)]
    assert operations
    assert {part.dtype for part in operations} == {torch.bfloat16}
    generator, discriminator = network.generator, network.discriminator
    w = generator.map(generator.latents(4), torch.zeros(4, 0))
    scales = generator.scales(w)
    logits = discriminator(scales, torch.zeros(4, 0))
    assert {w.dtype, logits.dtype, *(scale.dtype for scale in scales)} == {torch.float32}


def test_tf32_is_used_where_it_is_asked_for_and_nowhere_else() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for asked in (True, False):
        with devices.reproducible(1, tf32=asked):
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (asked, asked)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
