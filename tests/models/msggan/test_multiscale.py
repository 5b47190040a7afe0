"""MSG-GAN's parts by hand: what each computes, and that every scale counts."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.msggan.multiscale import (
    COMBINATIONS,
    DEVIATIONS,
    BatchDeviation,
    ConvolveRepeated,
    GrowingBlock,
    MultiScaleDiscriminator,
    MultiScaleGenerator,
    ShrinkingBlock,
    TransposedStem,
    normalise_pixels,
)
from ganformer.nn.discriminator import Logit, append_deviation
from ganformer.nn.mapping import LatentInput, NormaliseEach
from ganformer.nn.synthesis import Resolution
from ganformer.training import losses

LATENT = 6
SQUARE = (4, 4)
STEMS = [SQUARE, (1, 4), (5, 4), (16, 4)]
VARIANTS = list(product(COMBINATIONS, DEVIATIONS))
NONE = torch.zeros(4, 0)

M = TypeVar("M", bound=nn.Module)


def resolutions(stem: tuple[int, int] = SQUARE) -> list[Resolution]:
    """Return four resolutions, of 8, 8, 4 and 3 channels."""
    height, width = stem
    return [Resolution(height << i, width << i, channels) for i, channels in enumerate((8, 8, 4, 3))]


def generator(stem: tuple[int, int] = SQUARE) -> MultiScaleGenerator:
    torch.manual_seed(0)
    return stirred(MultiScaleGenerator(LATENT, LatentInput(NormaliseEach()), resolutions(stem), channels=2))


def discriminator(combine: str, deviation: str, stem: tuple[int, int] = SQUARE) -> MultiScaleDiscriminator:
    torch.manual_seed(1)
    parts = COMBINATIONS[combine], DEVIATIONS[deviation]
    return stirred(MultiScaleDiscriminator(resolutions(stem), 2, *parts, Logit(8)))


def stirred(network: M) -> M:
    """Return biases moved away from the zero they begin at."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def noise(scales: int = 4, batch: int = 4) -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randn(batch, 2, 4 << i, 4 << i, requires_grad=True) for i in range(scales)]


# --------------------------------------------------------------------------------------------- generator


def test_pixels_have_unit_mean_square_over_their_channels() -> None:
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(2, 2, 3, 5)
    rms = 12.5**0.5
    torch.testing.assert_close(normalise_pixels(x), x / rms)
    assert normalise_pixels(torch.zeros(1, 2, 1, 1)).equal(torch.zeros(1, 2, 1, 1))


def test_repeats_pixels_before_it_convolves() -> None:
    x, weight = torch.randn(2, 3, 4, 5), torch.randn(6, 3, 3, 3)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(ConvolveRepeated()(x, weight), F.conv2d(repeated, weight, padding=1))


@pytest.mark.parametrize("stem", STEMS)
def test_stem_is_a_transposed_convolution_and_a_convolution(stem: tuple[int, int]) -> None:
    part = stirred(TransposedStem(LATENT, Resolution(*stem, 3)))
    w = torch.randn(2, LATENT)
    kernel = part.projection.weight.unflatten(0, (3, *stem)).permute(3, 0, 1, 2) / LATENT**0.5
    x = F.leaky_relu(F.conv_transpose2d(w[:, :, None, None], kernel) + part.bias[:, None, None], 0.2) * 2**0.5
    torch.testing.assert_close(part(w), normalise_pixels(part.convolution(x)))


def test_block_normalises_behind_both_convolutions() -> None:
    block = stirred(GrowingBlock(3, 5))
    x = torch.randn(2, 3, 4, 4)
    y = block(x)
    assert y.shape == (2, 5, 8, 8)
    torch.testing.assert_close(y.square().mean(dim=1), torch.ones(2, 8, 8))
    torch.testing.assert_close(y, normalise_pixels(block.second(normalise_pixels(block.first(x)))))


@pytest.mark.parametrize("stem", STEMS)
def test_images_of_every_rung_the_finest_last(stem: tuple[int, int]) -> None:
    network = generator(stem)
    w = network.map(torch.randn(3, LATENT), torch.zeros(3, 0))
    assert w.shape == (3, 1, LATENT)
    scales = network.scales(w)
    assert [scale.shape for scale in scales] == [(3, 2, size.height, size.width) for size in resolutions(stem)]
    assert scales[-1].equal(network.synthesise(w))


def test_latents_lie_on_the_hypersphere() -> None:
    z = torch.randn(3, LATENT)
    w = generator().map(torch.cat([z, 7 * z]), torch.zeros(6, 0))
    torch.testing.assert_close(w.square().mean(dim=2), torch.ones(6, 1))
    torch.testing.assert_close(w[:3], w[3:])


def test_the_image_alone_asks_for_no_colours_of_coarser_scales() -> None:
    network = generator()
    network.synthesise(network.map(torch.randn(2, LATENT), torch.zeros(2, 0))).square().sum().backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    coarser = ("colours.0.", "colours.1.", "colours.2.")
    assert unused == {name for name, _ in network.named_parameters() if name.startswith(coarser)}


# ----------------------------------------------------------------------------------------- discriminator


def test_deviation_is_that_of_all_images_of_the_batch() -> None:
    x = torch.zeros(5, 2, 1, 1)
    x[:, 0, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    y = BatchDeviation()(x)
    assert y[:, :2].equal(x)
    even = ((2 + 1e-8) ** 0.5 + 1e-4) / 2  # two channels, one of them constant
    torch.testing.assert_close(y[:, 2], torch.full((5, 1, 1), even))
    assert not append_deviation(x)[0, 2].allclose(y[0, 2])  # that of StyleGAN2 compares at most four


def test_combinations_by_hand() -> None:
    images, x = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    parts = {name: stirred(part(3, 5)) for name, part in COMBINATIONS.items()}
    assert {name: (part.features, part.outputs) for name, part in parts.items()} == {
        "simple": (5, 8),
        "lin_cat": (3, 5),
        "cat_lin": (5, 5),
    }
    assert parts["simple"](images, x).equal(torch.cat([images, x], dim=1))

    projected = projection(parts["lin_cat"].projection, images)
    assert projected.shape[1] == 2
    torch.testing.assert_close(parts["lin_cat"](images, x[:, :3]), torch.cat([projected, x[:, :3]], dim=1))

    joined = projection(parts["cat_lin"].projection, torch.cat([images, x], dim=1))
    torch.testing.assert_close(parts["cat_lin"](images, x), joined)


def projection(part: nn.Module, x: Tensor) -> Tensor:
    """Apply a 1×1 convolution with He's gain, and a bias."""
    weight = part.convolution.weight[:, :, 0, 0] * (2 / x.shape[1]) ** 0.5
    return torch.einsum("oi,bihw->bohw", weight, x) + part.bias[:, None, None]


def test_block_takes_means_of_what_was_rectified() -> None:
    block = stirred(ShrinkingBlock(DEVIATIONS["last"](), 3, 4, 5))
    x = torch.randn(2, 3, 4, 6)
    y = block.second(block.first(x))
    torch.testing.assert_close(block(x), y.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5)))


@pytest.mark.parametrize("stem", STEMS)
def test_real_images_at_every_scale_are_exact_means(stem: tuple[int, int]) -> None:
    height, width = stem
    images = torch.randint(-8, 8, (2, 2, 8 * height, 8 * width)).float()
    scales = discriminator("simple", "every", stem).scales(images)
    assert len(scales) == 4
    assert scales[-1].equal(images)
    for scale, factor in zip(scales, (8, 4, 2, 1), strict=True):
        means = images.unflatten(3, (-1, factor)).unflatten(2, (-1, factor)).mean(dim=(3, 5))
        assert scale.equal(means)


@pytest.mark.parametrize(("combine", "deviation"), VARIANTS)
@pytest.mark.parametrize("stem", STEMS)
def test_one_logit_an_image(combine: str, deviation: str, stem: tuple[int, int]) -> None:
    network = discriminator(combine, deviation, stem)
    logits = network(network.scales(torch.randn(3, 2, 8 * stem[0], 32)), torch.zeros(3, 0))
    assert logits.shape == (3,)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("combine", "deviation"), VARIANTS)
def test_every_scale_matters_to_every_logit(combine: str, deviation: str) -> None:
    network, scales = discriminator(combine, deviation), noise()
    before = network(scales, NONE)
    for i, scale in enumerate(scales):
        after = network([*scales[:i], scale + 1, *scales[i + 1 :]], NONE)
        assert (after - before).abs().min() > 1e-4, i
    gradients = torch.autograd.grad(before[0], scales)
    assert [bool(gradient[0].any()) for gradient in gradients] == [True] * 4


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_blocks_that_see_the_deviation(deviation: str) -> None:
    network = discriminator("simple", deviation)
    seen = [block.first.convolution.weight.shape[1] for block in network.blocks]
    assert seen == [3 + (deviation == "every"), 4 + 2 + (deviation == "every"), 8 + 2 + (deviation == "every")]
    assert network.last.convolution.convolution.weight.shape[1] == 8 + 2 + 1
    features = network.blocks[0](network.from_colours(noise()[-1]))
    alone = network.blocks[0](network.from_colours(noise()[-1][:1]))
    assert features[:1].allclose(alone, atol=1e-5) == (deviation == "last")


@pytest.mark.parametrize(("combine", "deviation"), VARIANTS)
def test_what_the_scales_are_told_reaches_every_parameter(combine: str, deviation: str) -> None:
    networks = nn.ModuleList([generator(), discriminator(combine, deviation)])
    scales = networks[0].scales(networks[0].map(torch.randn(4, LATENT), NONE))
    F.softplus(-networks[1](scales, NONE)).sum().backward()
    assert [name for name, p in networks.named_parameters() if p.grad is None or not p.grad.any()] == []


Penalty = Callable[[Tensor, Sequence[Tensor]], Tensor]
PENALTIES: dict[str, Penalty] = {"r1": losses.r1_penalty, "wgan-gp": losses.gradient_penalty}


@pytest.mark.parametrize(("combine", "deviation"), VARIANTS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_over_all_scales_differentiate(combine: str, deviation: str, penalty: str) -> None:
    network, scales = discriminator(combine, deviation).double(), [scale.detach().double() for scale in noise()]
    scales = [scale.requires_grad_() for scale in scales]
    PENALTIES[penalty](network(scales, NONE), scales).backward()
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):  # biases move kinks, which changes the gradient almost nowhere
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    assert_slope(network, scales, PENALTIES[penalty])


def assert_slope(network: MultiScaleDiscriminator, scales: Sequence[Tensor], penalty: Penalty) -> None:
    """Compare the derivative along the first weight's own direction with finite differences."""
    weight = network.from_colours.convolution.weight
    assert weight.grad is not None
    slope, step, values = (weight.grad * weight).sum(), 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            weight.mul_(1 + sign * step)
        values.append(penalty(network(scales, NONE), scales).detach())
        with torch.no_grad():
            weight.div_(1 + sign * step)
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-4, atol=1e-9)


def test_all_scales_are_looked_at_by_the_penalty() -> None:
    network, scales = discriminator("simple", "every"), noise()
    slopes = torch.autograd.grad(network(scales, NONE).sum(), scales)
    expected = sum(slope.square().sum() for slope in slopes) / 4 / 2
    torch.testing.assert_close(losses.r1_penalty(network(scales, NONE), scales), expected)


def test_two_images_are_enough_for_the_penalty_and_one_is_finite() -> None:
    network = discriminator("lin_cat", "every")
    for batch in (2, 1):
        scales = noise(batch=batch)
        losses.r1_penalty(network(scales, NONE[:batch]), scales).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
