"""Loss terms against numbers that can be worked out by hand."""

import math

import pytest
import torch

from ganformer.learning import losses


def test_losses_of_an_undecided_discriminator_are_logarithms_of_two() -> None:
    zero = torch.zeros(3)
    assert losses.generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_losses_follow_the_scores() -> None:
    scores = torch.tensor([-20.0, 20.0])
    assert losses.generator_loss(scores).item() == pytest.approx(10)  # (20 + 0) / 2: only the rejected fake costs
    assert losses.discriminator_loss(reals=scores, fakes=scores).item() == pytest.approx(20)


def test_r1_of_a_quadratic_discriminator() -> None:
    """D(x) = Σ a x² has the gradient 2 a x, so R1 is ½ · mean Σ (2 a x)² and its gradient in a is mean Σ 4 a x²."""
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    weight = torch.tensor(0.7, requires_grad=True)
    scores = (weight * images.square()).sum(dim=(1, 2, 3))
    penalty = losses.r1_penalty(scores, images)
    squares = images.detach().square().sum(dim=(1, 2, 3)).mean().item()
    assert penalty.item() == pytest.approx(2 * 0.7**2 * squares, rel=1e-5)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(4 * 0.7 * squares, rel=1e-5)


@pytest.mark.parametrize("components", [(), (5,)])
def test_path_lengths_of_a_linear_generator(components: tuple[int, ...]) -> None:
    """Images that are c times a feature: each layer's and component's gradient is c Σ noise, whatever their number."""
    layers, features, size = 3, 2, 8
    w = torch.randn(4, layers, *components, features, requires_grad=True)
    each = w.flatten(start_dim=1).sum(dim=1)  # every layer, component and feature moves every pixel alike
    images = 0.5 * each[:, None, None, None].expand(4, 1, size, size)
    torch.manual_seed(1)
    lengths = losses.path_lengths(images, w)
    torch.manual_seed(1)
    noise = torch.randn(4, 1, size, size) / size  # √(H·W)
    expected = 0.5 * noise.sum(dim=(1, 2, 3)).abs() * features**0.5
    torch.testing.assert_close(lengths, expected)


def test_path_lengths_can_be_differentiated_again() -> None:
    w = torch.randn(2, 3, 4, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    images = (scale * w.square().sum(dim=(1, 2)))[:, None, None, None].expand(2, 1, 4, 4)
    losses.path_lengths(images, w).sum().backward()
    assert scale.grad is not None
    assert scale.grad.item() > 0
