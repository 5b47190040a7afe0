"""Codes by hand: which entry is chosen, what the losses are, where gradients go."""

import math

import pytest
import torch
from torch import Tensor

from ganformer.models.vqgan.quantisation import GumbelSoftmax, NearestEntry, usage


def nearest(revival: float = 0.0) -> NearestEntry:
    """Return two entries, (0, 0) and (4, 0)."""
    quantiser = NearestEntry(2, 2, commitment=0.25, revival=revival)
    with torch.no_grad():
        quantiser.codebook.copy_(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
    return quantiser


def latents() -> Tensor:
    """Return one image of two places: (1, 0) and (3, 2)."""
    return torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]], requires_grad=True)


def test_the_nearest_entry_is_chosen() -> None:
    quantised = nearest()(latents())
    assert quantised.codes.tolist() == [[[0, 1]]]
    assert quantised.values.tolist() == [[[[0, 4]], [[0, 0]]]]


def test_the_loss_is_that_of_the_codebook_and_a_quarter_of_commitment() -> None:
    assert nearest()(latents()).loss.item() == pytest.approx((1 + 1 + 4) / 4 * 1.25)


def test_gradients_pass_straight_through_and_draw_both_together() -> None:
    quantiser, points = nearest(), latents()
    quantised = quantiser(points)
    (quantised.values * torch.tensor([[[[5.0, 6.0]], [[7.0, 8.0]]]])).sum().backward()
    assert points.grad.tolist() == [[[[5, 6]], [[7, 8]]]]
    assert quantiser.codebook.grad is None or not quantiser.codebook.grad.any()
    points.grad = None
    quantiser(points).loss.backward()
    assert points.grad.tolist() == [[[[0.125, -0.125]], [[0, 0.25]]]]
    assert quantiser.codebook.grad.tolist() == [[-0.5, 0], [0.5, -1]]


def test_entries_begin_small_and_even() -> None:
    codebook = NearestEntry(50, 40, commitment=0.25, revival=0.0).codebook
    assert codebook.abs().max() <= 1 / 50
    assert codebook.std().item() == pytest.approx(1 / 50 / 3**0.5, rel=0.05)


def test_an_idle_entry_is_put_on_a_latent() -> None:
    quantiser, shares = nearest(revival=0.1), torch.tensor([0.96, 0.04])
    quantiser.revive(shares, latents().detach())
    assert quantiser.codebook[0].tolist() == [0, 0]
    assert quantiser.codebook[1].tolist() in ([1, 0], [3, 2])
    assert shares.tolist() == pytest.approx([0.96, 0.5])


def test_without_revival_nothing_moves() -> None:
    quantiser, shares = nearest(), torch.tensor([1.0, 0.0])
    quantiser.revive(shares, latents().detach())
    assert quantiser.codebook.tolist() == [[0, 0], [4, 0]]
    assert shares.tolist() == [1, 0]


def test_codes_are_looked_up() -> None:
    assert nearest().look_up(torch.tensor([[[1, 0, 1]]])).tolist() == [[[[4, 0, 4]], [[0, 0, 0]]]]


# -------------------------------------------------------------------------------------------------------- Gumbel


def gumbel(**options: float) -> GumbelSoftmax:
    torch.manual_seed(0)
    return GumbelSoftmax(3, 2, **{"temperature": 0.25, "divergence_weight": 0.5, **options})


def test_one_entry_is_drawn_in_training_and_the_likeliest_taken_in_evaluation() -> None:
    quantiser, points = gumbel(), torch.randn(64, 2, 4, 4)
    for quantised in (quantiser(points), quantiser.eval()(points)):
        torch.testing.assert_close(quantised.values, quantiser.look_up(quantised.codes))
    likeliest = quantiser.scores(points).argmax(dim=1)
    assert torch.equal(quantiser(points).codes, likeliest)
    drawn = quantiser.train()(points).codes
    assert 0.2 < (drawn == likeliest).float().mean() < 0.95


def test_entries_are_drawn_as_often_as_their_softmax_says() -> None:
    quantiser = gumbel()
    points = torch.tensor([0.5, -1.0])[None, :, None, None].expand(1, 2, 200, 200)
    expected = quantiser.scores(points)[0, :, 0, 0].softmax(dim=0)
    found = quantiser(points).codes.flatten().bincount(minlength=3) / 40_000
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_gradients_reach_latents_codebook_and_scores() -> None:
    quantiser, points = gumbel(), latents()
    quantiser(points).values.square().sum().backward()
    for gradient in (points.grad, quantiser.codebook.grad, quantiser.scores.weight.grad):
        assert gradient is not None
        assert gradient.any()


def test_the_divergence_is_that_from_an_even_choice() -> None:
    quantiser = gumbel()
    shares = quantiser.scores(latents()).softmax(dim=1)
    expected = 0.5 * (shares * (shares * 3).log()).sum(dim=1).mean()
    torch.testing.assert_close(quantiser(latents()).loss, expected)
    torch.nn.init.zeros_(quantiser.scores.weight)
    torch.nn.init.zeros_(quantiser.scores.bias)
    assert quantiser(latents()).loss.item() == pytest.approx(0, abs=1e-6)


def test_the_temperature_falls_along_a_cosine() -> None:
    quantiser = gumbel()
    found = []
    for progress in (0.0, 1 / 3, 0.5, 1.0):
        quantiser.anneal(progress)
        found.append(quantiser.temperature.item())
    assert found == pytest.approx([1.0, 0.25 + 0.75 * 0.75, 0.625, 0.25])


# --------------------------------------------------------------------------------------------------------- usage


def test_usage_counts_entries_and_weighs_them() -> None:
    found = usage(torch.tensor([2, 2, 0, 0]))
    assert {name: value.item() for name, value in found.items()} == {
        "codebook_usage": 0.5,
        "codebook_perplexity": pytest.approx(2.0),
    }
    uneven = usage(torch.tensor([3, 1]))["codebook_perplexity"].item()
    assert uneven == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
