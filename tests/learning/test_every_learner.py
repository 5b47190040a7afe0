"""Every kind of model there is keeps the contract of `Learner`."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from tiny_runs import same
from torch import Tensor

from ganformer import plugins
from ganformer.config import ImageSpec, Spec
from ganformer.learning.checkpoint import build
from ganformer.learning.learner import Learner

IMAGE = ImageSpec(height=16, width=16)
SMALL = {"channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2, "components": 2}


def variants() -> Iterator[dict[str, Any]]:
    """The settings of every kind, made small, with each combination of what must be chosen."""
    for kind in plugins.names("ganformer.models"):
        fields = plugins.find("ganformer.models", kind).Config.model_fields
        choices = {
            name: get_args(field.annotation)
            for name, field in fields.items()
            if field.is_required() and name not in ("kind", *SMALL)
        }
        small = {name: value for name, value in SMALL.items() if name in fields}
        for chosen in itertools.product(*choices.values()):
            yield {"kind": kind, **small, **dict(zip(choices, chosen, strict=True))}


VARIANTS = list(variants())


@pytest.fixture(params=VARIANTS, ids=["-".join(v for v in model.values() if isinstance(v, str)) for model in VARIANTS])
def spec(request: pytest.FixtureRequest) -> Spec:
    """A run of one variant, with every regulariser on."""
    model = request.param
    if "adversarial" in plugins.find("ganformer.models", model["kind"]).Config.model_fields:
        model = {**model, "adversarial": {"path_length_weight": 2.0, "path_length_interval": 2, "r1_interval": 2}}
    return Spec(image=IMAGE, mirror=False, model=model, training={"batch": 4}, seed=0)  # type: ignore[arg-type]


def stepped(learner: Learner, steps: range) -> Learner:
    for step in steps:
        torch.manual_seed(step)
        scalars = learner.step(reals(step), step)
        assert all(value.shape == () and value.isfinite() for value in scalars.values())
    return learner


def reals(step: int) -> list[Tensor]:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
    return list(images.split(2))


def test_continues_where_it_stopped(spec: Spec) -> None:
    whole = stepped(build(spec), range(5))
    first = stepped(build(spec), range(3))
    second = build(spec.model_copy(update={"seed": 1}))
    second.load(copy.deepcopy(first.save()))
    assert same(second.save(), first.save())
    assert same(stepped(second, range(3, 5)).save(), whole.save())


def test_samples_follow_their_generator_and_leave_no_trace(spec: Spec) -> None:
    learner = stepped(build(spec), range(1))
    before = copy.deepcopy(learner.save())
    torch.manual_seed(0)
    draw = torch.rand(())
    torch.manual_seed(0)
    images = [learner.sample(3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(()), draw)
    assert same(learner.save(), before)
    assert images[0].shape == (3, 3, 16, 16)
    assert images[0].dtype == torch.float32
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_training_moves_what_is_sampled(spec: Spec) -> None:
    learner = build(spec)
    before = learner.sample(2, torch.Generator().manual_seed(0))
    stepped(learner, range(1))
    assert not torch.equal(learner.sample(2, torch.Generator().manual_seed(0)), before)


def test_parameters_are_counted_by_part(spec: Spec) -> None:
    learner = build(spec)
    sampler = sum(p.numel() for p in learner.sampler.parameters())
    trained = sum(p.numel() for p in learner.network.parameters() if p.requires_grad)
    assert sum(learner.parameters().values()) == trained
    assert all(count > 0 for count in learner.parameters().values())
    assert 0 < sampler <= trained
