"""Augmentation of what the discriminator sees: exactness, derivatives, scales, and the adapted probability."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganformer import config
from ganformer.errors import ConfigError
from ganformer.training import augmentation, distribution
from ganformer.training.augmentation import Augmentation

GROUPS = ("blitting", "geometry", "colour", "filter", "noise", "cutout")
SHAPES = [(3, 16, 16), (3, 24, 32), (3, 32, 16), (1, 16, 16), (1, 8, 16), (4, 8, 8)]
REFUSED = {"GridSampler2DBackward0", "ReflectionPad2DBackward0", "AdaptiveAvgPool2DBackward0", "CumsumBackward0"}


def ada(*groups: str, probability: float = 1.0, **settings: Any) -> Augmentation:
    made = augmentation.make(config.Ada(kind="ada", transforms=groups or GROUPS, **settings))
    made.probability.fill_(probability)
    return made


def diffaugment(*policy: str) -> Augmentation:
    settings = {"policy": policy} if policy else {}
    return augmentation.make(config.DiffAugment(kind="diffaugment", **settings))


def noise(count: int, *shape: int) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def smooth(count: int, channels: int, height: int, width: int) -> Tensor:
    """Return images in which nothing happens within fewer than 16 pixels."""
    return F.interpolate(
        noise(count, channels, height // 16, width // 16), (height, width), mode="bicubic", align_corners=True
    )


def pyramid(images: Tensor, scales: int = 3) -> list[Tensor]:
    return [F.avg_pool2d(images, 2**i) if i else images for i in reversed(range(scales))]


def drawn(made: Augmentation, images: Tensor, *coarser: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    torch.manual_seed(seed)
    return made([*coarser, images])


# --------------------------------------------------------------------------------------------- the contract


def test_without_augmentation_images_stay_as_they_are() -> None:
    made = augmentation.make(config.NoAugmentation(kind="none"))
    images = pyramid(noise(2, 3, 8, 8))
    before = torch.get_rng_state()
    assert all(one is other for one, other in zip(made(images), images, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    made.adapt(torch.ones(4), step=3, batch=4)
    assert made.scalars() == {}
    assert made.state_dict() == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_with_probability_0_images_stay_exactly_as_they_are(shape: tuple[int, int, int]) -> None:
    images = pyramid(noise(3, *shape))
    assert all(map(torch.equal, ada(probability=0.0)(images), images))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group", GROUPS[1:])
def test_with_probability_1_every_image_changes(group: str, shape: tuple[int, int, int]) -> None:
    images = noise(8, *shape)
    (changed,) = drawn(ada(group), images)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_diffaugment_changes_every_image(shape: tuple[int, int, int]) -> None:
    images = noise(8, *shape)
    (changed,) = drawn(diffaugment(), images)
    assert changed.shape == images.shape
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 1e-3).all()
    assert diffaugment().state_dict() == {}
    assert diffaugment().scalars() == {}


@pytest.mark.parametrize("group", ["colour", "noise"])
def test_as_many_images_change_as_the_probability_says(group: str) -> None:
    images = noise(20_000, 3, 1, 1)
    (changed,) = drawn(ada(group, probability=0.1), images)
    share = (changed != images).any(dim=1).float().mean().item()
    # Of the five changes of colours, the luma flip leaves half of its images as they are.
    expected = {"noise": 0.1, "colour": 1 - 0.9**4 * 0.95}[group]
    assert share == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("made", [ada(), diffaugment()], ids=["ada", "diffaugment"])
def test_is_a_function_of_the_seed(made: Augmentation) -> None:
    images = noise(4, 3, 16, 16)
    assert torch.equal(*drawn(made, images), *drawn(made, images))
    assert not torch.equal(*drawn(made, images), *drawn(made, images, seed=1))
    assert (drawn(made, images.clone())[0][0] != drawn(made, images[[0, 0, 0, 0]])[0][1]).any()  # one draw an image


@pytest.mark.slow
@pytest.mark.parametrize("made", [ada(), diffaugment()], ids=["ada", "diffaugment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_has_first_and_second_derivatives(made: Augmentation, channels: int) -> None:
    images = noise(1, channels, 2, 4).double().requires_grad_()
    coarser = noise(1, channels, 1, 2).double().requires_grad_()

    def bent(coarser: Tensor, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(image.square() for image in drawn(made, images, coarser))

    assert gradcheck(bent, (coarser, images))
    assert gradgradcheck(bent, (coarser, images))


@pytest.mark.parametrize(
    ("made", "tolerance"),
    [
        (ada("blitting"), 0.02),
        (ada("geometry"), 0.02),
        (ada("colour"), 1e-5),
        (ada("filter"), 0.03),
        (ada("noise"), 1e-6),
        (ada("cutout"), 0.02),
        (diffaugment("colour"), 1e-5),
        (diffaugment("translation"), 0.02),
        (diffaugment("cutout"), 0.02),
    ],
)
def test_all_scales_of_an_image_change_alike(made: Augmentation, tolerance: float) -> None:
    images = pyramid(smooth(16, 3, 64, 32))
    changed = drawn(made, images[-1], *images[:-1])
    for one, other in zip(changed, pyramid(changed[-1]), strict=True):
        error = (one - other).square().mean(dim=(1, 2, 3)).sqrt()
        assert error.max() < tolerance, error
    assert ((changed[0] - images[0]).abs().amax(dim=(1, 2, 3)) > tolerance).any()


@pytest.mark.parametrize("made", [ada(), diffaugment()], ids=["ada", "diffaugment"])
def test_no_value_is_waited_for(made: Augmentation) -> None:
    """Tensors without values let through only what never reads one."""
    made = copy.deepcopy(made).to("meta")
    images = torch.empty(2, 3, 16, 8, device="meta", requires_grad=True)
    changed = made([images[:, :, ::2, ::2], images])
    (gradient,) = torch.autograd.grad(changed[1].square().sum(), images, create_graph=True)
    gradient.sum().backward()
    for step in range(4):
        made.adapt(torch.empty(2, device="meta"), step, batch=2)


@pytest.mark.parametrize("made", [ada(), diffaugment()], ids=["ada", "diffaugment"])
def test_gradients_need_nothing_that_deterministic_training_refuses_on_gpus(made: Augmentation) -> None:
    images = noise(2, 3, 8, 8).requires_grad_()
    (changed,) = made([images])
    (gradient,) = torch.autograd.grad(changed.square().sum(), images, create_graph=True)
    nodes, waiting = set(), [changed.grad_fn, gradient.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting.extend(parent for parent, _ in node.next_functions)
    names = {node.name() for node in nodes}
    assert names
    assert not names & REFUSED


# ----------------------------------------------------------------------------------------- the probability


def probability_after(made: Augmentation, scores: Tensor, steps: int, batch: int = 100) -> float:
    for step in range(steps):
        made.adapt(scores, step, batch)
    return made.probability.item()


def test_the_probability_rises_where_real_images_are_known_too_well() -> None:
    made = ada(probability=0.0, kimg=2, interval=2)
    known = torch.cat([torch.full((85,), 3.0), torch.full((15,), -50.0)])  # mean sign 0.7; the mean does not count
    assert probability_after(made, known, steps=1) == 0.0
    assert probability_after(made, known, steps=4) == pytest.approx(0.2)


def test_the_probability_falls_where_they_are_not() -> None:
    made = ada(probability=0.5, kimg=2, interval=2)
    unknown = torch.cat([torch.full((70,), 300.0), torch.full((30,), -0.1)])  # mean sign 0.4
    assert probability_after(made, unknown, steps=4) == pytest.approx(0.3)


def test_the_target_is_a_setting() -> None:
    mixed = torch.cat([torch.full((7,), 1.0), torch.full((3,), -1.0)])
    assert probability_after(ada(probability=0.5, target=0.3), mixed, steps=4) > 0.5
    assert probability_after(ada(probability=0.5, target=0.5), mixed, steps=4) < 0.5


def test_the_probability_crosses_its_range_in_the_images_set_and_stays_in_it() -> None:
    made = ada(probability=0.0, kimg=4, interval=4)
    rising = [probability_after(made, torch.ones(8), steps=4) for _ in range(12)]
    assert rising == pytest.approx([0.1 * (i + 1) for i in range(10)] + [1.0, 1.0])
    assert [probability_after(made, -torch.ones(8), steps=4) for _ in range(11)][-1] == 0.0


def test_only_steps_since_the_last_adaptation_count() -> None:
    made = ada(probability=0.5, kimg=1, interval=2)
    probability_after(made, torch.ones(1000), steps=2, batch=50)
    assert made.probability.item() == pytest.approx(0.6)
    made.adapt(torch.tensor([-1.0, -1.0, -1.0, -1.0]), 2, batch=50)
    assert made.probability.item() == pytest.approx(0.6)
    made.adapt(torch.tensor([1.0]), 3, batch=50)
    assert made.probability.item() == pytest.approx(0.5)


def test_the_probability_is_logged_as_it_was() -> None:
    made = ada(probability=0.5, kimg=1, interval=1)
    logged = made.scalars()
    made.adapt(torch.ones(4), 0, batch=100)
    assert {name: value.item() for name, value in logged.items()} == {"augmentation_probability": 0.5}
    assert made.scalars()["augmentation_probability"].item() == pytest.approx(0.6)


def test_the_state_goes_on_where_it_was_saved() -> None:
    first, second = ada(probability=0.3, interval=3), ada(probability=0.0, interval=3)
    first.adapt(torch.tensor([1.0, 1.0, -1.0]), 0, batch=3)
    assert set(first.state_dict()) == {"probability", "sign_sum", "score_count"}
    assert {tensor.dtype for tensor in first.state_dict().values()} == {torch.float32}
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for made in (first, second):
        made.adapt(torch.tensor([0.5, -2.0]), 1, batch=3)
        made.adapt(torch.tensor([0.5, 2.0]), 2, batch=3)
    assert first.state_dict() == second.state_dict()
    assert first.probability != 0.3
    images = noise(4, 3, 8, 8)
    assert torch.equal(*drawn(first, images), *drawn(second, images))


def test_ranks_adapt_to_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, this rank would go up; another one saw as many scores, all negative."""

    def average(tensors: Sequence[Tensor]) -> None:
        (signs,) = tensors
        signs.copy_((signs - 1.0) / 2)

    monkeypatch.setattr(distribution, "average", average)
    made = ada(probability=0.5, target=0.25, kimg=1, interval=1)
    made.adapt(torch.ones(4), 0, batch=100)
    assert made.probability.item() == pytest.approx(0.4)


# ------------------------------------------------------------------------------------------------ settings


def test_the_default_is_none_and_ada_has_the_papers_settings() -> None:
    assert config.AdversarialSettings().augmentation == config.NoAugmentation(kind="none")
    settings = config.parse(config.AdversarialSettings, {"augmentation": {"kind": "ada"}}, "here").augmentation
    assert isinstance(settings, config.Ada)
    assert (settings.target, settings.kimg, settings.interval) == (0.6, 500, 4)
    assert settings.transforms == ("blitting", "geometry", "colour")
    assert augmentation.make(settings).probability == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "adda"}, "augmentation: kind 'adda' is unknown; did you mean 'ada'?"),
        ({"kind": "ada", "kmg": 1}, "augmentation.kmg: unknown key; did you mean 'kimg'?"),
        ({"kind": "ada", "transforms": ["color"]}, "augmentation.transforms.0: 'color' is not 'blitting', 'geometry',"),
        ({"kind": "ada", "transforms": []}, "augmentation.transforms: Tuple should have at least 1 item"),
        ({"kind": "diffaugment", "policy": ["cutut"]}, "augmentation.policy.0: 'cutut' is not 'colour', 'transl"),
        ({"kind": "none", "target": 0.6}, "augmentation.target: unknown key"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(config.AdversarialSettings, {"augmentation": settings}, "here")
    assert message in str(caught.value)
