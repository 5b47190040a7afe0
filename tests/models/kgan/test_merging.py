"""Composition of components, computed by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from ganformer.models.kgan.merging import (
    MERGING_LADDERS,
    ComponentStem,
    Merge,
    MergingLadder,
    highest,
    leaves,
    make_weights,
    softmax,
)
from ganformer.nn.layers import ModulatedConvolution, ModulatedToRGB, NoNoise
from ganformer.nn.resampling import Upsample
from ganformer.nn.synthesis import LADDERS, NO_STATE, LayerLatents, LayerSpec, Resolution, SynthesisLayer, ToRGB

K, D = 3, 4
SIZES = [Resolution(3, 4, 5), Resolution(6, 8, 4), Resolution(12, 16, 2)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Scores of three components at two pixels of one image.
SCORES = torch.tensor([[[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]])


def test_softmax_by_hand() -> None:
    total = math.exp(1) + math.exp(2) + 1
    assert softmax(SCORES)[0, :, 0].tolist() == pytest.approx([math.exp(1) / total, math.exp(2) / total, 1 / total])


def test_highest_by_hand() -> None:
    assert highest(SCORES).tolist() == [[[0, 0], [1, 0], [0, 1]]]


def test_leaves_by_hand() -> None:
    second, third = sigmoid(2 - 1), sigmoid(0 - 2)
    expected = [(1 - second) * (1 - third), second * (1 - third), third]
    assert leaves(SCORES)[0, :, 0].tolist() == pytest.approx(expected)
    second, third = sigmoid(-1 - 0), sigmoid(3 - 0)
    expected = [(1 - second) * (1 - third), second * (1 - third), third]
    assert leaves(SCORES)[0, :, 1].tolist() == pytest.approx(expected)


def test_leaves_of_an_image_do_not_depend_on_other_images_or_pixels() -> None:
    scores = torch.randn(4, 5, 1, 3, 3) * 5
    torch.testing.assert_close(leaves(scores)[1:2], leaves(scores[1:2]))
    torch.testing.assert_close(leaves(scores)[..., :1], leaves(scores[..., :1]))


@pytest.mark.parametrize("share", [softmax, highest, leaves])
def test_weights_have_sum_1_and_scores_learn(share: object) -> None:
    scores = torch.randn(2, 5, 1, 3, 3, requires_grad=True)
    weights = share(scores)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 1, 3, 3))
    (gradient,) = torch.autograd.grad((weights * torch.randn_like(weights)).sum(), scores)
    assert (gradient != 0).all()


def test_scores_are_linear_in_the_features_of_a_pixel() -> None:
    weights = make_weights("softmax", 5)
    x = torch.randn(2, K, 5, 2, 2)
    expected = (torch.einsum("bkchw,c->bkhw", x, weights.scores.weight[0, :, 0, 0]) / math.sqrt(5)).softmax(dim=1)
    torch.testing.assert_close(weights(x)[:, :, 0], expected)


def test_a_sum_weighs_all_alike_and_has_nothing_to_learn() -> None:
    weights = make_weights("sum", 5)
    assert list(weights.parameters()) == []
    assert weights(torch.randn(2, K, 5, 2, 2)).equal(torch.ones(2, K, 1, 2, 2))


class GivenWeights(nn.Module):
    """Two components at 1 × 2 pixels: the first is all of the first pixel and a quarter of the second one."""

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tensor([1.0, 0.25]).view(1, 1, 1, 2)
        return torch.stack([first, 1 - first], dim=1).expand(len(x), -1, -1, -1, -1)


def test_merges_features_images_and_latents_by_hand() -> None:
    x = torch.arange(8.0).view(4, 1, 1, 2)  # images 0 and 1, components 0 and 1 of each
    styles = torch.tensor([[8.0], [16.0], [0.0], [80.0]])
    merged, images, latents = Merge(2, GivenWeights())(x, -x, [LayerLatents(styles)])
    assert merged.flatten().tolist() == [0, 0.25 * 1 + 0.75 * 3, 4, 0.25 * 5 + 0.75 * 7]
    assert images.equal(-merged)
    mean = (1 + 0.25) / 2
    assert latents[0].style.flatten().tolist() == [mean * 8 + (1 - mean) * 16, (1 - mean) * 80]


# ------------------------------------------------------------------------------------------------- ladders


def make_layer(spec: LayerSpec) -> SynthesisLayer:
    return SynthesisLayer(spec, ModulatedConvolution(spec.inputs, spec.output.channels, D, spec.operation), NoNoise())


def make_to_rgb(size: Resolution) -> ToRGB:
    return ToRGB(ModulatedToRGB(size.channels, 3, D))


def ladder(architecture: str, kind: str, merged_at: int) -> MergingLadder:
    torch.manual_seed(0)
    stem = ComponentStem(K, SIZES[0], make_layer)
    merge = Merge(K, make_weights(kind, SIZES[merged_at].channels))
    return MERGING_LADDERS[architecture](stem, SIZES, make_layer, make_to_rgb, merge, merged_at)


def latents(network: MergingLadder, batch: int) -> list[LayerLatents]:
    return [LayerLatents(torch.randn(batch * K, D)) for _ in range(network.layers)]


def test_stem_gives_every_component_its_own_constant() -> None:
    stem = ComponentStem(K, SIZES[0], lambda place: lambda x, style, state: (x, state))
    x, _ = stem([LayerLatents(torch.randn(2 * K, D))], NO_STATE)
    assert x.equal(torch.cat([stem.constants, stem.constants]))


@pytest.mark.parametrize("architecture", MERGING_LADDERS)
@pytest.mark.parametrize("merged_at", [0, 1, 2])
@pytest.mark.parametrize("kind", ["softmax", "sum", "max", "leaves"])
def test_every_merge_anywhere_in_every_ladder(architecture: str, merged_at: int, kind: str) -> None:
    network = ladder(architecture, kind, merged_at)
    widths: list[tuple[int, ...]] = []
    network.merge.weights.register_forward_hook(lambda _, given, __: widths.append(tuple(given[0].shape)))
    images = network(latents(network, 2))
    assert images.shape == (2, 3, 12, 16)
    size = SIZES[merged_at]
    assert widths == [(2, K, size.channels, size.height, size.width)]
    images.square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("architecture", MERGING_LADDERS)
def test_merged_at_the_end_it_composes_the_images_of_the_components(architecture: str) -> None:
    network = ladder(architecture, "softmax", 2)
    weights: list[Tensor] = []
    network.merge.weights.register_forward_hook(lambda *call: weights.append(call[-1]))
    given = latents(network, 2)
    composed = network(given)
    single = LADDERS[architecture].forward(network, given).unflatten(0, (2, K))  # as if nothing were merged
    torch.testing.assert_close(composed, (single * weights[0]).sum(dim=1), rtol=1e-4, atol=1e-5)


def test_skipping_colours_are_merged_like_features() -> None:
    network = ladder("skip", "leaves", 1)
    weights: list[Tensor] = []
    network.merge.weights.register_forward_hook(lambda *call: weights.append(call[-1]))
    given = latents(network, 2)
    images = network(given)
    x, state = network.stem(given, NO_STATE)
    colours = network.coarse_colours[0](x, given[1:])
    x, state = network.blocks[0](x, given[1:], state)
    colours = Upsample()(colours) + network.coarse_colours[1](x, given[3:])
    x, colours = ((each.unflatten(0, (2, K)) * weights[0]).sum(dim=1) for each in (x, colours))
    means = weights[0].mean(dim=(2, 3, 4))
    styles = [LayerLatents(torch.einsum("bkd,bk->bd", layer.style.unflatten(0, (2, K)), means)) for layer in given]
    x, state = network.blocks[1](x, styles[3:], state)
    expected = Upsample()(colours) + network.colours(x, styles[5:])
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", MERGING_LADDERS)
@pytest.mark.parametrize("kind", ["softmax", "sum", "max"])
def test_order_of_components_is_only_a_name(architecture: str, kind: str) -> None:
    network = ladder(architecture, kind, 1)
    given = latents(network, 2)
    before = network(given)
    order = torch.tensor([2, 0, 1])
    network.stem.constants.data = network.stem.constants.data[order]
    permuted = [LayerLatents(layer.style.unflatten(0, (2, K))[:, order].flatten(0, 1)) for layer in given]
    torch.testing.assert_close(network(permuted), before, rtol=1e-4, atol=1e-4)
    assert not network(given).allclose(before, rtol=1e-2)
