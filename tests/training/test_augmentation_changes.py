"""Every change by itself: against what a hand would do, and against the paper's probabilities and strengths."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.training.augmentations import colour, differentiable, frequency, geometry, sampling
from ganformer.training.augmentations.change import Draws, Frame
from ganformer.training.augmentations.corruption import Cutout, Noise, cut
from ganformer.training.augmentations.geometry import Geometry

MANY = 20_000
CPU = torch.device("cpu")
FRAME = Frame(32, 64)


def draws(count: int = MANY, probability: float = 1.0, seed: int = 0) -> Draws:
    torch.manual_seed(seed)
    return Draws(count, CPU, torch.tensor(probability))


class Highest(Draws):
    """Draws the upper end of every range, for one image that is always changed."""

    def __init__(self) -> None:
        super().__init__(1, CPU, torch.tensor(1.0))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.full((1, *shape), high)

    def whole(self, low: int, high: int) -> Tensor:
        return torch.full((1,), float(high))


def moved_by(*rows: tuple[float, float, float]) -> Geometry:
    """Return a geometry with one certain change: the matrix of the origin of a pixel, in pixels from the centre."""
    return Geometry([lambda draws, frame: torch.tensor([*rows, (0, 0, 1)]).expand(draws.count, 3, 3)])


def pixels(height: int, width: int) -> Tensor:
    return torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)


# ---------------------------------------------------------------------------------------------- what is drawn


def share(values: Tensor) -> float:
    return values.float().mean().item()


def test_a_change_is_made_with_its_probability() -> None:
    made = draws(probability=0.3).sometimes(torch.ones(MANY, 2), 0.0)
    assert torch.equal(made[:, 0], made[:, 1])  # to the whole of an image
    assert share(made) == pytest.approx(0.3, abs=0.01)


def test_flips() -> None:
    matrix = geometry.flip(draws(probability=0.4), FRAME)
    flipped = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    is_flipped = (matrix == flipped).all(dim=(1, 2))
    assert ((matrix == torch.eye(3)).all(dim=(1, 2)) | is_flipped).all()
    assert share(is_flipped) == pytest.approx(0.2, abs=0.01)


def test_quarter_turns() -> None:
    matrix = geometry.quarter_turns(draws(probability=0.4), FRAME)
    assert set(matrix.unique().tolist()) == {-1.0, 0.0, 1.0}
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(MANY))
    turns = (torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]) / (math.pi / 2)).round() % 4
    assert [share(turns == turn) for turn in range(4)] == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.01)


def test_whole_translations() -> None:
    across, down = geometry.whole_translation(draws(probability=0.5), FRAME)[:, :2, 2].unbind(dim=1)
    assert (across.abs().max(), down.abs().max()) == (8, 4)  # eighths of 64 and 32
    assert torch.equal(across, across.round())
    assert share((across != 0) | (down != 0)) == pytest.approx(0.5 * (1 - 1 / 16 / 8), abs=0.02)
    assert across.std().item() == pytest.approx(math.sqrt(0.5) * 8 / math.sqrt(3), rel=0.03)


def test_scalings() -> None:
    matrix = geometry.scaling(draws(probability=0.5), FRAME)
    factor = 1 / matrix[:, 0, 0]
    torch.testing.assert_close(matrix, torch.diag_embed(torch.stack([1 / factor, 1 / factor, factor**0], dim=1)))
    assert share(factor != 1) == pytest.approx(0.5, abs=0.01)
    assert factor[factor != 1].log2().std().item() == pytest.approx(0.2, rel=0.03)


def test_stretchings_keep_the_area() -> None:
    matrix = geometry.stretching(draws(probability=0.5), FRAME)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(MANY))
    factor = matrix[:, 1, 1]
    assert share(factor != 1) == pytest.approx(0.5, abs=0.01)
    assert factor[factor != 1].log2().std().item() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("probability", [0.0, 0.36, 1.0])
def test_two_rotations_have_the_probability_of_one_change(probability: float) -> None:
    drawn = draws(probability=probability)
    angles = [torch.atan2(m[:, 1, 0], m[:, 0, 0]) for m in (geometry.rotation(drawn, FRAME) for _ in range(2))]
    assert share((angles[0] != 0) | (angles[1] != 0)) == pytest.approx(probability, abs=0.01)
    assert share(angles[0] != 0) == pytest.approx(1 - math.sqrt(1 - probability), abs=0.01)
    if probability:
        assert angles[0][angles[0] != 0].std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.03)


def test_translations() -> None:
    across, down = geometry.translation(draws(probability=0.5), FRAME)[:, :2, 2].unbind(dim=1)
    assert share(across != 0) == pytest.approx(0.5, abs=0.01)
    assert across[across != 0].std().item() == pytest.approx(8, rel=0.03)
    assert down[down != 0].std().item() == pytest.approx(4, rel=0.03)


# --------------------------------------------------------------------------------------------------- sampling


def test_places_beyond_the_edge_are_mirrored_at_the_edge_pixels() -> None:
    places = torch.tensor([-3.0, -0.5, 0.0, 1.5, 2.0, 2.25, 4.0, 5.0, 6.0])
    assert sampling.fold(places, 3).tolist() == [1.0, 0.5, 0.0, 1.5, 2.0, 1.75, 0.0, 1.0, 2.0]
    assert sampling.fold(torch.tensor([-2.0, 0.0, 5.0]), 1).tolist() == [0.0, 0.0, 0.0]


def test_margins_are_those_of_torch_and_go_on_beyond_them() -> None:
    image = torch.randn(2, 3, 5, 4)
    assert torch.equal(sampling.reflected(image, 3), F.pad(image, (3, 3, 3, 3), mode="reflect"))
    line = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    assert sampling.reflected(line, 3)[0, 0].tolist() == [[2, 1, 2, 1, 2, 1, 2, 1]] * 7
    for size, margin in itertools.product(range(1, 6), range(12)):
        row = torch.randn(1, 1, size, 1)
        places = sampling.fold(torch.arange(-margin, size + margin), size)
        assert torch.equal(sampling.reflected(row, margin)[0, 0, :, margin], row[0, 0, places, 0])


def test_samples_are_those_of_torch() -> None:
    image = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    columns, rows = torch.rand(2, 2, 6, 7, dtype=torch.float64) * 8 - 2
    grid = torch.stack([(2 * columns + 1) / 4 - 1, (2 * rows + 1) / 5 - 1], dim=-1)
    expected = F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(sampling.sample(image, columns, rows), expected)


@pytest.mark.parametrize("are_whole", [False, True])
def test_samples_on_a_grid_are_those_of_its_crossings(are_whole: bool) -> None:
    image = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    columns, rows = (torch.rand(2, count, dtype=torch.float64) * 10 - 3 for count in (7, 6))
    if are_whole:
        columns, rows = columns.round(), rows.round()
    places = (axis.expand(2, 6, 7) for axis in (columns[:, None], rows[:, :, None]))
    found, expected = sampling.sample_grid(image, columns, rows), sampling.sample(image, *places)
    torch.testing.assert_close(found, expected, rtol=0, atol=0 if are_whole else 1e-14)


def test_picked_pixels_are_samples_at_whole_places() -> None:
    image = torch.randn(2, 3, 5, 4)
    columns, rows = torch.randint(0, 4, (2, 6, 7)).float(), torch.randint(0, 5, (2, 6, 7)).float()
    assert torch.equal(sampling.pick(image, columns, rows), sampling.sample(image, columns, rows))


# --------------------------------------------------------------------------------------------------- geometry


def test_a_flip_by_hand() -> None:
    image = pixels(2, 4)
    (flipped,) = moved_by((-1, 0, 0), (0, 1, 0))([image], draws(1))
    assert flipped[0, 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]


def test_a_translation_by_hand() -> None:
    image = pixels(1, 8)
    (moved,) = moved_by((1, 0, -3), (0, 1, 0))([image], draws(1))
    assert moved[0, 0].tolist() == [[3, 2, 1, 0, 1, 2, 3, 4]]
    (moved,) = Geometry([geometry.whole_translation])([pixels(8, 16)], Highest())
    assert moved[0, 0, :3, :4].tolist() == [[18, 17, 16, 17], [2, 1, 0, 1], [18, 17, 16, 17]]


@pytest.mark.parametrize("matrix", [((0, 1, 0), (-1, 0, 0)), ((0, -1, 0), (1, 0, 0))])
def test_a_quarter_turn_by_hand(matrix: tuple[tuple[float, float, float], ...]) -> None:
    turns = -1 if matrix[0][1] > 0 else 1
    square, wide = pixels(4, 4), pixels(2, 6)
    assert torch.equal(moved_by(*matrix)([square], draws(1))[0], torch.rot90(square, turns, (2, 3)))
    # Of a rectangle, what a square around it would show: mirrored rows above and below, columns 2 and 3 turned.
    around = sampling.reflected(wide, 2)[:, :, :, 2:-2]
    turned = torch.rot90(around, turns, (2, 3))[:, :, 2:4]
    assert torch.equal(moved_by(*matrix)([wide], draws(1))[0], turned)


def test_steps_are_made_one_after_another() -> None:
    def right(drawn: Draws, frame: Frame) -> Tensor:
        return torch.tensor([[1.0, 0, -1], [0, 1, 0], [0, 0, 1]]).expand(drawn.count, 3, 3)

    flip, line = geometry.flip, pixels(1, 4)
    drawn = Highest()
    drawn.sign = lambda: torch.tensor([-1.0])  # type: ignore[method-assign]
    assert Geometry([right, flip])([line], drawn)[0].flatten().tolist() == [2, 1, 0, 1]
    assert Geometry([flip, right])([line], drawn)[0].flatten().tolist() == [2, 3, 2, 1]


def test_the_wavelet_is_orthogonal_to_its_even_shifts() -> None:
    taps = torch.tensor(geometry.SYM6, dtype=torch.float64)
    for shift in range(0, geometry.TAPS, 2):
        product = (taps[shift:] * taps[: geometry.TAPS - shift]).sum().item()
        assert product == pytest.approx(float(shift == 0), abs=1e-10)
    assert taps.sum().item() == pytest.approx(math.sqrt(2))


def wave(height: int, width: int) -> Tensor:
    rows, columns = torch.arange(float(height))[:, None], torch.arange(float(width))
    return (torch.sin(rows / 4 + 1) * torch.cos(columns / 5)).double()[None, None]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], lambda image: image),
        ([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]], lambda image: image.flip(3)),
        ([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], lambda image: torch.rot90(image, -1, (2, 3))),
        ([[1.0, 0, 2], [0, 1, -1], [0, 0, 1]], lambda image: image.roll((1, -2), dims=(2, 3))),
    ],
)
def test_resampling_puts_things_where_copying_does(matrix: list[list[float]], expected) -> None:
    image = wave(32, 32)
    moved = Geometry(geometry.GENERAL)._resampled(image, torch.tensor([matrix]), Frame(32, 32))
    torch.testing.assert_close(moved[:, :, 6:-6, 6:-6], expected(image)[:, :, 6:-6, 6:-6], atol=3e-3, rtol=0)
    torch.testing.assert_close(moved[:, :, 3:-3, 3:-3], expected(image)[:, :, 3:-3, 3:-3], atol=0.04, rtol=0)


def test_half_a_pixel_is_half_a_pixel() -> None:
    rows, columns = torch.arange(32.0)[:, None], torch.arange(32.0)
    image = (rows + 3 * columns)[None, None]
    (moved,) = moved_by((1, 0, 0.5), (0, 1, -0.25))([image], draws(1))
    torch.testing.assert_close(moved[:, :, 8:-8, 8:-8], image[:, :, 8:-8, 8:-8] + 1.5 - 0.25, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("shift", "is_copied"), [(0.0, True), (5e-5, True), (3e-4, False)])
def test_places_within_a_ten_thousandth_of_a_pixel_are_the_pixel(shift: float, is_copied: bool) -> None:
    image = torch.randn(1, 1, 16, 16)
    for matrix in (((1, 0, shift), (0, 1, 0)), ((1, 0, 0), (0, 1, shift))):
        (moved,) = moved_by(*matrix)([image], draws(1))
        assert torch.equal(moved, image) is is_copied


def test_a_rotation_turns_in_pixels_also_a_rectangle() -> None:
    rows, columns = torch.arange(16.0)[:, None] - 7.5, torch.arange(32.0) - 15.5
    distance = rows.square() + columns.square()
    circle = torch.exp(-distance / 18)[None, None]
    (turned,) = Geometry([geometry.rotation])([circle.expand(8, -1, -1, -1)], draws(8))
    difference = (turned - circle)[:, 0, distance <= 49]  # beyond it other parts are mirrored into the picture
    assert difference.abs().max() < 0.01


def test_one_colour_stays_one_colour_under_every_geometry() -> None:
    images = torch.full((16, 3, 8, 16), 0.7)
    (changed,) = Geometry(geometry.BLITTING + geometry.GENERAL)([images], draws(16))
    torch.testing.assert_close(changed, images)


def test_enlarging_shows_no_frequency_that_shrinking_should_have_lost() -> None:
    """Columns that alternate are grey from far away: at half the size nothing of them may be left."""
    stripes = torch.tensor([1.0, -1.0]).repeat(16).expand(1, 1, 32, 32)
    (small,) = moved_by((2, 0, 0.1), (0, 2, 0.1))([stripes], draws(1))
    assert small[:, :, 10:-10, 10:-10].abs().max() < 0.02


# ----------------------------------------------------------------------------------------------------- colour


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_changes_with_the_papers_strengths(channels: int) -> None:
    """Black (0) and white (1) tell contrast and brightness apart."""
    images = torch.tensor([0.0, 1.0]).expand(MANY, channels, 1, 2)
    changed = colour.Colour()([images], draws(probability=0.5))[0][:, :, 0]
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=1e-5, rtol=1e-5)  # grey stays grey
    black, white = changed[:, 0].unbind(dim=1)
    contrast, brightness = (white - black).abs(), black / (white - black)
    assert share(white < black) == pytest.approx(0.25, abs=0.01)  # the luma flip
    is_moved, is_scaled = brightness != 0, (contrast - 1).abs() > 1e-4
    assert (share(is_moved), share(is_scaled)) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01))
    assert brightness[is_moved].std().item() == pytest.approx(0.2, rel=0.03)
    assert contrast[is_scaled].log2().std().item() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("change", [colour.Colour, differentiable.Colour])
def test_opacity_is_no_colour(change: type[colour.Colour | differentiable.Colour]) -> None:
    """A fourth channel stays as it is; the first three change as without it, and gradients reach all of them."""
    images = torch.rand(4, 4, 8, 8) * 2 - 1
    images.requires_grad_()
    torch.manual_seed(0)
    (changed,) = change()([images], draws(4))
    torch.manual_seed(0)
    (alone,) = change()([images[:, :3]], draws(4))
    torch.testing.assert_close(changed[:, :3], alone)
    assert torch.equal(changed[:, 3:], images[:, 3:])
    (gradient,) = torch.autograd.grad(changed.square().sum(), images)
    assert (gradient[:, 3] == 2 * images[:, 3]).all()


def test_colours_change_with_the_papers_strengths() -> None:
    """The distance of grey from red, which contrast does not see, tells hue and saturation."""
    images = torch.zeros(MANY, 3, 1, 2)
    images[:, 0, :, 1] = 1.0
    changed = colour.Colour()([images], draws())[0][:, :, 0]
    red = changed[:, :, 1] - changed[:, :, 0]
    grey = red.mean(dim=1).abs() * 3  # contrast
    first, second = torch.tensor([2.0, -1, -1]) / math.sqrt(6), torch.tensor([0.0, 1, -1]) / math.sqrt(2)
    size = torch.hypot(red @ first, red @ second) / math.sqrt(2 / 3)
    assert (size / grey).log2().std().item() == pytest.approx(1, rel=0.03)
    angle = torch.atan2(red @ second, red @ first)
    assert angle.std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.03)


def around(luma: float, hue: float, saturation: float, channels: int = 3) -> Tensor:
    return colour.around_grey(*(torch.tensor([value]) for value in (luma, hue, saturation)), channels)[0]


def test_luma_flip_by_hand() -> None:
    assert (around(-1, 0, 1) @ torch.tensor([0.5, 0.5, 0.5])).tolist() == pytest.approx([-0.5] * 3)
    # Mean 0.2 becomes −0.2, distances from it stay.
    assert (around(-1, 0, 1) @ torch.tensor([0.6, 0.0, 0.0])).tolist() == pytest.approx([0.2, -0.4, -0.4])


def test_hue_by_hand() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])
    assert (around(1, 2 * math.pi / 3, 1) @ red).tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert (around(1, -2 * math.pi / 3, 1) @ red).tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    assert (around(1, math.pi, 1) @ red).tolist() == pytest.approx([-1 / 3, 2 / 3, 2 / 3], abs=1e-6)


def test_saturation_by_hand() -> None:
    assert (around(1, 0, 0) @ torch.tensor([0.9, 0.0, 0.0])).tolist() == pytest.approx([0.3] * 3)
    assert (around(1, 0, 2) @ torch.tensor([0.9, 0.0, 0.0])).tolist() == pytest.approx([1.5, -0.3, -0.3])


def test_without_colours_there_is_nothing_to_saturate() -> None:
    assert around(-1, 0, 5, channels=1).tolist() == [[-1]]


def test_a_change_of_colours_is_its_matrix_and_offset() -> None:
    image, matrix, offset = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 3), torch.randn(2)
    expected = torch.einsum("bij,bjhw->bihw", matrix, image) + offset[:, None, None, None]
    torch.testing.assert_close(colour.recoloured(image, matrix, offset), expected)


# --------------------------------------------------------------------------------------------------- frequency


@pytest.mark.parametrize("octaves", [0, 1, 2, 3])
def test_bands_add_up_to_the_image(octaves: int) -> None:
    bands = frequency.bank(octaves)
    identity = torch.zeros(bands.shape[1])
    identity[bands.shape[1] // 2] = 1
    assert len(bands) == octaves + 1
    assert torch.equal(bands.sum(dim=0), identity)
    assert torch.equal(bands, bands.flip(1))


@pytest.mark.parametrize(("cycles", "band"), [(1 / 64, 0), (0.088, 1), (0.177, 2), (0.42, 3)])
def test_each_band_holds_its_octave(cycles: float, band: int) -> None:
    """`cycles` a pixel; 1/2 is the highest frequency there is."""
    bands = frequency.bank(3)
    places = torch.arange(bands.shape[1]) - bands.shape[1] // 2
    response = bands @ torch.cos(2 * math.pi * cycles * places)
    assert response.argmax() == band
    assert response[band] > 0.7


def test_gains_keep_the_expected_power() -> None:
    filter_ = frequency.BandFilter()
    factors = torch.tensor([[2.0, 1, 1, 1], [1, 1, 1, 0.5], [1, 1, 1, 1]])
    gains = filter_.gains(factors)
    assert (gains.square() @ filter_.power).tolist() == pytest.approx([1, 1, 1])
    torch.testing.assert_close(gains / gains[:, 1:2], factors)
    both = filter_.gains(torch.tensor([[2.0, 1, 3, 1]]))
    torch.testing.assert_close(
        both, filter_.gains(torch.tensor([[2.0, 1, 1, 1]])) * filter_.gains(torch.tensor([[1.0, 1, 3, 1]]))
    )


def test_the_lowest_band_has_ten_thirteenths_of_the_power() -> None:
    """The paper says so of natural images; a band of the part p of the power makes it 1 + 3 p if doubled alone."""
    gains = frequency.BandFilter().gains(torch.eye(4) + 1)
    expected = [math.sqrt(13 / 43), *[math.sqrt(13 / 16)] * 3]
    assert [row[(i + 1) % 4].item() for i, row in enumerate(gains)] == pytest.approx(expected)
    assert gains.diagonal().tolist() == pytest.approx([2 * value for value in expected])


def test_a_filter_is_convolution_along_both_axes() -> None:
    image, taps = torch.randn(2, 3, 6, 5, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    taps = torch.cat([taps, taps[:, :-1].flip(1)], dim=1)
    around_image = F.pad(image, (3, 3, 3, 3), mode="reflect")
    expected = torch.stack(
        [F.conv2d(x[:, None], torch.outer(t, t)[None, None])[:, 0] for x, t in zip(around_image, taps, strict=True)]
    )
    torch.testing.assert_close(frequency.convolved(image, taps), expected)


def test_bands_are_amplified_with_the_papers_strength() -> None:
    """The highest frequency is in the highest band alone, along both axes."""
    board = ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1).expand(4000, 1, 16, 16)
    (changed,) = frequency.BandFilter()([board], draws(4000))
    size = changed[:, 0, 8, 8].abs().sqrt()
    factors = (torch.randn(200_000, 4)).exp2()
    expected = frequency.BandFilter().gains(factors)[:, 3].log2()
    assert size.log2().mean().item() == pytest.approx(expected.mean().item(), abs=0.08)
    assert size.log2().std().item() == pytest.approx(expected.std().item(), rel=0.05)


# -------------------------------------------------------------------------------------------------- corruption


def test_noise_has_the_papers_strength() -> None:
    (changed,) = Noise()([torch.zeros(4000, 3, 4, 4)], draws(4000, probability=0.5))
    is_noisy = (changed != 0).any(dim=(1, 2, 3))
    assert share(is_noisy) == pytest.approx(0.5, abs=0.03)
    assert changed[is_noisy].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)  # E n² = 0.1²
    deviations = changed[is_noisy].flatten(1).std(dim=1)
    assert deviations.mean().item() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.05)


def test_cutout_takes_half_of_both_axes() -> None:
    (changed,) = Cutout()([torch.ones(4000, 2, 8, 16)], draws(4000, probability=0.5))
    gone = changed == 0
    assert torch.equal(changed, (~gone).float())
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert share(gone.any(dim=(1, 2, 3))) == pytest.approx(0.5, abs=0.03)
    heights, widths = gone[:, 0].any(dim=2).sum(dim=1), gone[:, 0].any(dim=1).sum(dim=1)
    assert (heights.max(), widths.max()) == (4, 8)
    assert torch.equal(gone[:, 0].sum(dim=(1, 2)), heights * widths)  # a rectangle
    # A uniform centre: the middle is hit half of the time along each axis, a corner a quarter.
    assert share(gone[:, 0, 4, 8]) == pytest.approx(0.5 / 4, abs=0.02)
    assert share(gone[:, 0, 0, 0]) == pytest.approx(0.5 / 16, abs=0.015)


def test_a_cut_by_hand() -> None:
    ends = (torch.tensor([1.0]), torch.tensor([3.0])), (torch.tensor([-2.0]), torch.tensor([1.0]))
    frame = Frame(2, 4)
    assert cut(torch.ones(1, 1, 2, 4), *ends, frame)[0, 0].tolist() == [[1, 0, 0, 1], [1, 1, 1, 1]]
    assert cut(torch.ones(1, 1, 1, 2), *ends, frame)[0, 0].tolist() == [[0.75, 0.75]]


# ------------------------------------------------------------------------------------------------- DiffAugment


def test_diffaugments_colours_by_hand() -> None:
    image = torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]]).T.view(1, 3, 1, 2)
    brighter = image + 0.5
    saturated = torch.tensor([[0.5, 0.7, 0.9], [0.5, 0.5, 0.5]]).T.view(1, 3, 1, 2)  # means 0.7 and 0.5
    torch.testing.assert_close(brighter.mean(dim=1).flatten(), torch.tensor([0.7, 0.5]))
    expected = 0.6 + 1.5 * (saturated - 0.6)
    torch.testing.assert_close(differentiable.Colour()([image], Highest())[0], expected)


def test_diffaugments_translation_by_hand() -> None:
    image = pixels(8, 16) + 1
    (moved,) = differentiable.Translation()([image], Highest())
    expected = torch.zeros_like(image)
    expected[:, :, 1:, 2:] = image[:, :, :-1, :-2]
    assert torch.equal(moved, expected)


def test_diffaugments_translation_reaches_an_eighth_both_ways() -> None:
    dot = torch.zeros(2000, 1, 16, 16)
    dot[:, :, 8, 8] = 1
    (moved,) = differentiable.Translation()([dot], draws(2000))
    hits = moved.mean(dim=0)[0]
    assert hits[6:11, 6:11].min() > 0.02  # 25 places alike
    assert hits.sum().item() == pytest.approx(hits[6:11, 6:11].sum().item()) == pytest.approx(1)


def test_diffaugments_cutout_by_hand() -> None:
    (changed,) = differentiable.Cutout()([torch.ones(1, 1, 4, 8)], Highest())
    expected = torch.ones(1, 1, 4, 8)
    expected[:, :, 3:, 6:] = 0  # centre on the last corner: a quarter of the rectangle is in the image
    assert torch.equal(changed, expected)
    (changed,) = differentiable.Cutout()([torch.ones(1, 1, 6, 4)], Highest())
    assert (changed == 0).flatten(2).sum().item() == 2 * 1  # three rows centred on the last one, of which two are left
