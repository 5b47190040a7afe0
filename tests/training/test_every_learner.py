"""Every kind of model there is keeps the contract of `Learner`, with and without labels, square or twice as wide."""

import copy
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from ganformer import plugins
from ganformer.config import ImageSpec, Spec
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner, Reals
from tests.training.tiny_runs import same
from tests.variants import PACKAGE, label, variants

pytestmark = pytest.mark.slow

IMAGES = {
    "square": ImageSpec(height=16, width=16),
    "grey-labelled": ImageSpec(height=16, width=16, channels=1, classes=3),
    "with-opacity": ImageSpec(height=16, width=16, channels=4),
    "2:1-labelled": ImageSpec(height=16, width=32, classes=3),
}
LABELLED = [name for name, image in IMAGES.items() if image.classes]


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest) -> ImageSpec:
    return IMAGES[request.param]


@pytest.fixture(scope="module", params=variants(), ids=label)
def spec(request: pytest.FixtureRequest, image: ImageSpec) -> Spec:
    """Return a run of one variant, with every regulariser on."""
    model = request.param
    if "adversarial" in plugins.find(PACKAGE, model["kind"]).Config.model_fields:
        model = {**model, "adversarial": {"path_length_weight": 2.0, "path_length_interval": 2, "r1_interval": 2}}
    run = Spec(image=image, mirror=False, model=model, training={"batch": 4}, seed=0)  # type: ignore[arg-type]
    assert list(run.model.problems(run.image, run.training)) == []
    return run


class Trained(NamedTuple):
    """A learner after five steps, which no test may change, and its state after three."""

    learner: Learner
    after_three: dict[str, object]


@pytest.fixture(scope="module")
def trained(spec: Spec) -> Trained:
    learner = stepped(build(spec), spec, range(3))
    after_three = copy.deepcopy(learner.save())
    return Trained(stepped(learner, spec, range(3, 5)), after_three)


def stepped(learner: Learner, spec: Spec, steps: range) -> Learner:
    for step in steps:
        torch.manual_seed(step)
        scalars = learner.step(reals(spec.image, step), step)
        assert all(value.shape == () and value.isfinite() for value in scalars.values())
    return learner


def reals(image: ImageSpec, step: int) -> list[Reals]:
    generator = torch.Generator().manual_seed(step)
    images = torch.rand(4, image.channels, image.height, image.width, generator=generator) * 2 - 1
    return [Reals(*microbatch) for microbatch in zip(images.split(2), labels(image, 4).split(2), strict=True)]


def labels(image: ImageSpec, count: int) -> Tensor:
    return torch.eye(image.classes)[torch.arange(count) % image.classes] if image.classes else torch.zeros(count, 0)


def test_continues_where_it_stopped(spec: Spec, trained: Trained) -> None:
    second = build(spec.model_copy(update={"seed": 1}))
    second.load(copy.deepcopy(trained.after_three))
    assert same(second.save(), trained.after_three)
    assert same(stepped(second, spec, range(3, 5)).save(), trained.learner.save())


def test_samples_follow_their_seeds_and_leave_no_trace(spec: Spec, trained: Trained) -> None:
    learner = trained.learner
    before = copy.deepcopy(learner.save())
    torch.manual_seed(0)
    draw = torch.rand(())
    torch.manual_seed(0)
    images = [learner.sample(labels(spec.image, 3), range(seed, seed + 3)) for seed in (0, 0, 7)]
    assert torch.equal(torch.rand(()), draw)
    assert same(learner.save(), before)
    assert images[0].shape == (3, spec.image.channels, spec.image.height, spec.image.width)
    assert images[0].dtype == torch.float32
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_truncation_changes_what_is_sampled(spec: Spec, trained: Trained) -> None:
    given = labels(spec.image, 8)
    whole, truncated = (trained.learner.sample(given, range(8), psi) for psi in (1.0, 0.3))
    assert truncated.isfinite().all()
    assert not torch.equal(whole, truncated)


@pytest.mark.parametrize("image", LABELLED, indirect=True)
def test_labels_change_what_is_sampled(spec: Spec) -> None:
    learner = build(spec)
    torch.manual_seed(0)
    for parameter in learner.sampler.parameters():  # all that begins alike, such as the codes of a codebook, apart
        parameter.add_(0.3 * torch.randn_like(parameter))
    given = labels(spec.image, 24)
    one, other = (learner.sample(each, range(24)) for each in (given, given.flip(0)))
    assert not torch.equal(one, other)


def test_training_moves_what_is_sampled(spec: Spec) -> None:
    learner = build(spec)
    given = labels(spec.image, 2)
    before = learner.sample(given, range(2))
    stepped(learner, spec, range(1))
    assert not torch.equal(learner.sample(given, range(2)), before)


def test_parameters_are_counted_by_part(spec: Spec) -> None:
    learner = build(spec)
    sampler = sum(p.numel() for p in learner.sampler.parameters())
    trained = sum(p.numel() for p in learner.network.parameters() if p.requires_grad)
    assert sum(learner.parameters().values()) == trained
    assert all(count > 0 for count in learner.parameters().values())
    assert 0 < sampler <= trained
