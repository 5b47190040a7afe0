"""Functions of the scores: softmax over the components, dropout, gates."""

import pytest
import torch

from ganformer.models.ganformer.parts import (
    NORMALISATIONS,
    AttentionDropout,
    AttentionSize,
    ComponentSoftmax,
    Gates,
    ImageGate,
    Pixels,
    PresentSoftmax,
    normalise_over_pixels,
    present,
)


def test_dropout_thins_out_weights_and_components() -> None:
    torch.manual_seed(0)
    dropout = AttentionDropout(0.5)
    weights = dropout(torch.full((50, 2, 8, 100), 1 / 8))
    kept = weights.count_nonzero() / weights.numel()
    assert kept == pytest.approx(0.75**2, abs=0.02)
    assert weights[weights > 0].unique().numel() == 1
    torch.testing.assert_close(weights.max(), torch.tensor(1 / 8 / 0.75**2))
    gone = (weights == 0).all(dim=3).float().mean()
    assert gone == pytest.approx(0.25, abs=0.04)
    assert dropout.eval()(torch.ones(1, 2, 8, 4)).equal(torch.ones(1, 2, 8, 4))


@pytest.mark.parametrize(("kind", "dim"), [("layer", 2), ("instance", 1)])
def test_features_are_normalised_over_channels_or_over_pixels(kind: str, dim: int) -> None:
    normalisation = NORMALISATIONS[kind]()
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    scaled = normalisation.scale(x).square().mean(dim=dim)
    torch.testing.assert_close(scaled, torch.ones_like(scaled), rtol=0, atol=1e-6)
    torch.testing.assert_close(normalisation.centre(x).mean(dim=dim), torch.zeros_like(scaled), rtol=0, atol=1e-12)
    small = normalisation.scale(torch.full((1, 3, 4), 1e-4, dtype=torch.float64))  # 1e-8 is added to 1e-8
    torch.testing.assert_close(small, torch.full_like(small, 0.5**0.5))
    none = NORMALISATIONS["none"]()
    assert none.scale(x).equal(x)
    assert none.centre(x).equal(x)


def test_weights_of_a_component_that_nothing_attends_to_stay_small() -> None:
    weights = normalise_over_pixels(torch.full((1, 1, 2, 4), 2.5e-9, dtype=torch.float64))  # 1e-8 is added to 1e-8
    torch.testing.assert_close(weights, torch.full_like(weights, 0.125))


def test_dropout_may_thin_out_pixels_instead() -> None:
    torch.manual_seed(0)
    weights = AttentionDropout(0.5, over=2)(torch.ones(10, 1, 50, 40))
    assert (weights == 0).all(dim=2).float().mean() == pytest.approx(0.25, abs=0.04)
    assert not (weights == 0).all(dim=3).any()


def test_softmax_is_over_the_components_of_each_head() -> None:
    scores = torch.randn(2, 2 * 3, 5)
    expected = torch.stack([scores[:, :3].softmax(dim=1), scores[:, 3:].softmax(dim=1)], dim=1)
    torch.testing.assert_close(ComponentSoftmax(2)(scores, torch.zeros(2, 3, 4)), expected)


def test_softmax_may_leave_out_components_without_values() -> None:
    scores, latents = torch.randn(2, 2 * 3, 5), torch.randn(2, 3, 4)
    softmax = PresentSoftmax(2)
    assert softmax(scores, latents).equal(ComponentSoftmax(2)(scores, latents))
    latents[1, 1] = 0
    latents[:, 2, 0] = 0  # one value is nothing
    assert present(latents).tolist() == [[True] * 3, [True, False, True]]
    weights = softmax(scores, latents)
    assert weights[0].equal(ComponentSoftmax(2)(scores, latents)[0])
    assert not weights[1, :, 1].any()
    expected = scores[1].view(2, 3, 5)[:, [0, 2]].softmax(dim=1)
    torch.testing.assert_close(weights[1][:, [0, 2]], expected)
    assert softmax(scores, torch.zeros(2, 3, 4)).unique().tolist() == pytest.approx([1 / 3])


def test_an_image_gate_begins_half_open_and_a_little_more() -> None:
    gate = ImageGate(AttentionSize(channels=4, latent=2, components=3, heads=2))
    torch.nn.init.zeros_(gate.content.weight)
    torch.nn.init.zeros_(gate.place.weight)
    weights = torch.rand(1, 2, 3, 5)
    pixels = Pixels(torch.randn(1, 5, 4), torch.randn(5, 2))
    gated = Gates({"image": gate})(weights, pixels, torch.randn(1, 3, 2), torch.randn(3, 2))
    torch.testing.assert_close(gated, weights * torch.tensor(1.0).sigmoid())


def test_without_gates_weights_stay() -> None:
    weights = torch.rand(1, 2, 3, 5)
    assert Gates()(weights, Pixels(torch.empty(0), torch.empty(0)), torch.empty(0), torch.empty(0)) is weights
