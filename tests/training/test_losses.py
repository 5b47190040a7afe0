"""Loss terms against numbers that can be worked out by hand."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from ganformer.config import AdversarialSettings
from ganformer.training import losses


def test_losses_of_an_undecided_discriminator_are_logarithms_of_two() -> None:
    zero, loss = torch.zeros(3), losses.LOSSES["logistic"]
    assert loss.generator(zero, unused).item() == pytest.approx(math.log(2))
    assert loss.discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_losses_follow_the_scores() -> None:
    scores, loss = torch.tensor([-20.0, 20.0]), losses.LOSSES["logistic"]
    assert loss.generator(scores, unused).item() == pytest.approx(10)  # (20 + 0) / 2: only the rejected fake costs
    assert loss.discriminator(reals=scores, fakes=scores).item() == pytest.approx(20)


FAKES, REALS = torch.tensor([-2.0, 0.5]), torch.tensor([3.0, 0.0])  # means -0.75 and 1.5


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [
        ("hinge", 0.75, (0 + 1) / 2 + (0 + 1.5) / 2),
        ("wgan", 0.75, -0.75 - 1.5 + 0.001 * 4.5),
        ("lsgan", (9 + 0.25) / 4, (4 + 1) / 4 + (4 + 0.25) / 4),
        # Reals less -0.75: 3.75, 0.75; fakes less 1.5: -3.5, -1.
        ("relativistic-hinge", (4.5 + 2) / 2 + (4.75 + 1.75) / 2, (0 + 0.25) / 2 + 0.0),
    ],
)
def test_losses_by_hand(name: str, generator: float, discriminator: float) -> None:
    loss = losses.LOSSES[name]
    assert loss.generator(FAKES, lambda: REALS).item() == pytest.approx(generator)
    assert loss.discriminator(REALS, FAKES).item() == pytest.approx(discriminator)


def test_least_squares_of_probabilities_by_hand() -> None:
    """σ of 0, log 3 and −log 3 is 1/2, 3/4 and 1/4."""
    loss, three = losses.LOSSES["lsgan-sigmoid"], math.log(3)
    fakes, reals = torch.tensor([0.0, -three]), torch.tensor([three, 0.0])
    assert loss.generator(fakes, unused).item() == pytest.approx((1 / 4 + 9 / 16) / 4)
    assert loss.discriminator(reals, fakes).item() == pytest.approx((1 / 16 + 1 / 4) / 4 + (1 / 4 + 1 / 16) / 4)


def test_only_relativistic_generators_look_at_reals() -> None:
    for name, loss in losses.LOSSES.items():
        if name == "relativistic-hinge":
            with pytest.raises(AssertionError, match="not to be computed"):
                loss.generator(FAKES, unused)
        else:
            loss.generator(FAKES, unused)


def test_every_loss_can_be_chosen() -> None:
    assert get_args(AdversarialSettings.model_fields["loss"].annotation) == tuple(losses.LOSSES)


def unused() -> Tensor:
    raise AssertionError("not to be computed")


def test_penalties_of_linear_discriminators() -> None:
    """D(x) = Σ a x over two scales of n and m values has a gradient of length |a| √(n + m) everywhere."""
    scales = [torch.randn(5, 3, size, size, requires_grad=True) for size in (2, 4)]
    weight = torch.tensor(0.1, requires_grad=True)
    scores = sum((weight * scale).sum(dim=(1, 2, 3)) for scale in scales)
    squares = 0.01 * (12 + 48)
    assert losses.r1_penalty(scores, scales).item() == pytest.approx(squares / 2)
    penalty = losses.gradient_penalty(scores, scales)
    assert penalty.item() == pytest.approx((squares**0.5 - 1) ** 2)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * (squares**0.5 - 1) * 60**0.5)


def test_a_gradient_penalty_can_be_stepped_down_from_a_flat_discriminator() -> None:
    images = torch.randn(2, 1, 2, 2, requires_grad=True)
    weight = torch.zeros((), requires_grad=True)
    penalty = losses.gradient_penalty((weight * images).sum(dim=(1, 2, 3)), [images])
    penalty.backward()
    assert penalty.item() == pytest.approx((1 - 1e-6) ** 2, abs=2e-7)  # 1e-12 is added to the square of the slope
    assert weight.grad is not None
    assert weight.grad.isfinite()


def test_r1_of_a_quadratic_discriminator() -> None:
    """D(x) = Σ a x² has the gradient 2 a x, so R1 is ½ · mean Σ (2 a x)² and its gradient in a is mean Σ 4 a x²."""
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    weight = torch.tensor(0.7, requires_grad=True)
    scores = (weight * images.square()).sum(dim=(1, 2, 3))
    penalty = losses.r1_penalty(scores, [images])
    squares = images.detach().square().sum(dim=(1, 2, 3)).mean().item()
    assert penalty.item() == pytest.approx(2 * 0.7**2 * squares, rel=1e-5)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(4 * 0.7 * squares, rel=1e-5)


@pytest.mark.parametrize("components", [(), (5,)])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 16)])
def test_path_lengths_of_a_linear_generator(height: int, width: int, components: tuple[int, ...]) -> None:
    """Images that are c times a feature: each layer's and component's gradient is c Σ noise, whatever their number."""
    layers, features = 3, 2
    w = torch.randn(4, layers, *components, features, requires_grad=True)
    each = w.flatten(start_dim=1).sum(dim=1)  # every layer, component and feature moves every pixel alike
    images = 0.5 * each[:, None, None, None].expand(4, 1, height, width)
    torch.manual_seed(1)
    lengths = losses.path_lengths(images, w)
    torch.manual_seed(1)
    noise = torch.randn(4, 1, height, width) / (height * width) ** 0.5
    expected = 0.5 * noise.sum(dim=(1, 2, 3)).abs() * features**0.5
    torch.testing.assert_close(lengths, expected)


def test_path_lengths_can_be_differentiated_again() -> None:
    w = torch.randn(2, 3, 4, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    images = (scale * w.square().sum(dim=(1, 2)))[:, None, None, None].expand(2, 1, 4, 4)
    losses.path_lengths(images, w).sum().backward()
    assert scale.grad is not None
    assert scale.grad.item() > 0
