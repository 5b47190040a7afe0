"""Pictures become pixels of a shape: cropped, resized, seen on white; and real files that are odd or damaged."""

import io

import numpy as np
import pytest
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data import decoding, images
from ganformer.data.images import Traits, UnreadableImageError, crop_box, prepare, read_image

SQUARE = ImageSpec(height=8, width=8)

# Names and outcomes from the README of the real pictures; all others are to be read.
UNREADABLE = {
    "truncated_jpeg.jpg": "truncated",
    "truncated_image.png": "truncated",
    "broken_data_stream.png": "unrecognized data stream",
    "broken.png": "is a damaged PNG",
    "unknown_compression_method.png": "begins like PNG, but is truncated, damaged or of a kind not read",
    "10ct_32bit_128.tiff": "float32 numbers, which have no agreed range; state the values of black and white in limits",
    "png_decompression_dos.png": "Decompressed data too large",
    "decompression_bomb.gif": "exceeds limit",
    "bmp_b_reallybig.bmp": "exceeds limit",
    "bmp_b_shortfile.bmp": "truncated",
}


def colour_of(image):
    """Return the one colour of what a one-coloured picture becomes."""
    pixels = prepare(image, SQUARE)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[0, 0]).all()
    return tuple(pixels[0, 0].tolist())


@pytest.mark.parametrize(
    ("size", "ratio", "box"),
    [
        ((8, 8), 1, (0, 0, 8, 8)),
        ((10, 8), 1, (1, 0, 9, 8)),
        ((11, 8), 1, (1, 0, 9, 8)),  # odd margin: half a pixel left of the centre
        ((8, 13), 1, (0, 2, 8, 10)),
        ((480, 320), 0.75, (26, 0, 453, 320)),  # 426.67 wide
        ((384, 256), 188 / 256, (17, 0, 366, 256)),  # 348.6 wide
        ((256, 341), 188 / 256, (0, 76, 256, 264)),
        ((400, 100), 0.25, (0, 0, 400, 100)),
        ((256, 10), 4, (126, 0, 129, 10)),  # 2.5 wide, halves go up
        ((1, 1), 0.5, (0, 0, 1, 1)),
        ((1, 50), 0.25, (0, 24, 1, 25)),  # at least one row
        ((50, 1), 4, (24, 0, 25, 1)),
    ],
)
def test_crop_box(size, ratio, box):
    assert crop_box(*size, ratio) == box


def test_picture_of_the_right_shape_keeps_its_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert (prepare(Image.fromarray(noise), SQUARE) == noise).all()


@pytest.mark.parametrize(
    ("size", "ratio", "content"),
    [
        ((341, 256), 188 / 256, (341, 251)),  # the sizes that the official code crops to
        ((384, 256), 188 / 256, (349, 256)),
        ((256, 341), 188 / 256, (256, 188)),
        ((480, 320), 0.75, (427, 320)),
        ((700, 500), 0.5, (700, 350)),
    ],
)
def test_letterbox_is_that_of_the_official_code(size, ratio, content):
    """Cropped, padded to a square, resized to a power of two, averaged by 2×2 in floats down to 256."""
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), np.uint8)
    left, top = (size[0] - content[0]) // 2, (size[1] - content[1]) // 2
    square = np.zeros((max(content), max(content), 3), np.uint8)
    above, beside = (max(content) - content[1]) // 2, (max(content) - content[0]) // 2
    square[above : above + content[1], beside : beside + content[0]] = noise[top:, left:][: content[1], : content[0]]
    power = 512 if max(content) > 362 else 256
    expected = np.asarray(Image.fromarray(square).resize((power, power), Image.Resampling.LANCZOS)).astype(np.float32)
    while len(expected) > 256:
        expected = (expected[::2, ::2] + expected[::2, 1::2] + expected[1::2, ::2] + expected[1::2, 1::2]) / 4
    assert (images.letterbox(Image.fromarray(noise), ratio, 256) == np.rint(expected)).all()


def test_shape_with_bars_is_letterboxed():
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8))
    boxed = prepare(noise, ImageSpec(height=16, width=16, rows=12))
    assert (boxed == images.letterbox(noise, 0.75, 16)).all()
    assert not boxed[0].any()
    assert not boxed[-1].any()


def test_margin_is_around_the_picture():
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (8, 16, 3), np.uint8))
    assert (prepare(noise, ImageSpec(height=8, width=16, rows=6, columns=12)) == np.asarray(noise)).all()


@pytest.mark.parametrize(("rows", "columns", "top", "left"), [(4, 6, 0, 0), (2, 6, 1, 0), (3, 3, 0, 1), (1, 1, 1, 2)])
def test_central_part(rows, columns, top, left):
    whole = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6)
    part = images.central(whole, rows, columns)
    assert part.shape == (2, rows, columns)
    assert (part == whole[:, top : top + rows, left : left + columns]).all()


def test_centre_is_cropped_and_nothing_bleeds_in_from_outside():
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (8, 0, 24, 16))
    assert colour_of(image) == (0, 0, 255)


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(prepare(Image.fromarray(stripes), SQUARE)[:, 1:-1] - 127.5).max() <= 4


def test_resizing_is_by_lanczos():
    values = np.random.default_rng(2).integers(0, 256, 64)
    image = Image.fromarray(np.broadcast_to(values[None, :, None], (64, 64, 3)).astype(np.uint8))
    distance = (np.arange(64) + 0.5) / 8 - (np.arange(8)[:, None] + 0.5)  # in pixels of the result
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    expected = (weights / weights.sum(axis=1, keepdims=True)) @ values
    assert np.abs(prepare(image, SQUARE)[4, :, 0] - expected).max() < 1


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("RGB", (8, 8), (10, 20, 30)), (10, 20, 30)),
        (Image.new("L", (8, 8), 77), (77, 77, 77)),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 51)), (255, 204, 204)),
        (Image.new("LA", (8, 8), (0, 0)), (255, 255, 255)),
        (Image.new("LA", (8, 8), (9, 255)), (9, 9, 9)),
    ],
)
def test_transparent_parts_are_seen_on_white(image, colour):
    assert colour_of(image) == colour


def test_grey_is_weighted_as_in_bt_601():
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    pixels = prepare(image, ImageSpec(height=8, width=8, channels=1))
    assert pixels.shape == (8, 8, 1)
    assert (pixels == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()
    transparent = Image.new("LA", (8, 8), (9, 0))
    assert (prepare(transparent, ImageSpec(height=8, width=8, channels=1)) == 255).all()


def test_opacity_is_kept_where_it_is_asked_for():
    shape = ImageSpec(height=8, width=8, channels=4)
    assert (prepare(Image.new("RGBA", (8, 8), (1, 2, 3, 4)), shape) == [1, 2, 3, 4]).all()
    assert (prepare(Image.new("LA", (8, 8), (9, 4)), shape) == [9, 9, 9, 4]).all()
    assert (prepare(Image.new("L", (8, 8), 9), shape) == [9, 9, 9, 255]).all()


def stored(image, format_="png", **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file


@pytest.mark.parametrize(
    ("image", "traits"),
    [
        (Image.new("L", (8, 8), 9), Traits.GREY),
        (Image.new("RGB", (8, 8)), Traits(0)),
        (Image.new("RGBA", (8, 8), (1, 2, 3, 255)), Traits.OPACITY),
        (Image.new("LA", (8, 8), (1, 254)), Traits.GREY | Traits.OPACITY | Traits.TRANSPARENT),
    ],
)
def test_traits(image, traits):
    assert read_image(stored(image), SQUARE).traits == traits


def test_what_is_left_out_is_told():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    picture = read_image(stored(frames[0], "gif", save_all=True, append_images=frames[1:]), SQUARE)
    assert (picture.pixels == [255, 0, 0]).all()
    assert picture.left_out == {"further frames of animations": 2}


def test_limits_and_page_are_passed_on():
    values = [np.full((8, 8), level, np.float32) for level in (0, 0.5, 1)]
    pages = [Image.fromarray(value) for value in values]
    file = stored(pages[0], "tiff", save_all=True, append_images=pages[1:])
    assert [read_image(file, SQUARE, (0, 1), page).pixels[0, 0, 0] for page in range(3)] == [0, 128, 255]


def test_file_that_is_no_picture():
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):
        read_image(io.BytesIO(b"hello"), SQUARE)


def opened(path, shape):
    with path.open("rb") as file:
        return read_image(file, shape).pixels


def test_odd_pictures(shared):
    """Every one becomes pixels or is refused."""
    refused = {}
    for path in sorted((shared / "data/odd_images").iterdir()):
        try:
            pixels = opened(path, ImageSpec(height=24, width=32))
        except UnreadableImageError as error:
            refused[path.name] = str(error)
        else:
            assert pixels.shape == (24, 32, 3), path.name
            assert pixels.dtype == np.uint8
            assert np.ptp(pixels) > 0 or path.name == "jfif_unit_cm.jpg", path.name
    assert refused.keys() == UNREADABLE.keys()
    assert all(reason in refused[name] for name, reason in UNREADABLE.items()), refused


@pytest.mark.parametrize("name", [f"hopper_orientation_{name}" for name in ("3.jpg", "6.jpg", "8.jpg", "6.webp")])
def test_turned_pictures_look_like_the_upright_one(shared, name):
    folder, shape = shared / "data/odd_images", ImageSpec(height=32, width=32)
    upright = opened(folder / "hopper.jpg", shape).astype(int)
    assert np.abs(opened(folder / name, shape) - upright).mean() < 6


@pytest.mark.parametrize("name", ["hopper.Lab.tif", "hopper.webp"])
def test_other_encodings_look_like_the_plain_one(shared, name):
    folder, shape = shared / "data/odd_images", ImageSpec(height=32, width=32)
    plain_one = opened(folder / "hopper.jpg", shape).astype(int)
    assert np.abs(opened(folder / name, shape) - plain_one).mean() < 12


def test_sizes_of_odd_pictures(shared):
    """The size that is told from the header is that of the picture."""
    for path in sorted((shared / "data/odd_images").iterdir()):
        if path.name not in UNREADABLE:
            with path.open("rb") as file:
                assert decoding.size(file) == decoding.decode(file).image.size, path.name


def test_floats_of_a_real_file(shared):
    with (shared / "data/odd_images/10ct_32bit_128.tiff").open("rb") as file:
        pixels = read_image(file, ImageSpec(height=128, width=128), (-3.2, 3.2)).pixels
    assert np.ptp(pixels) > 200


def read_array(values, shape, limits=None):
    return images.read_array(values, shape, limits).pixels


def noise_of(shape, dtype=np.uint8, high=256):
    return np.random.default_rng(4).integers(0, high, shape).astype(dtype)


def test_array_of_bytes_keeps_its_values():
    values = noise_of((8, 8, 3))
    assert (read_array(values, SQUARE) == values).all()
    assert (read_array(values[:, :, :1], SQUARE) == values[:, :, :1]).all()
    assert (read_array(values[:, :, 0], SQUARE) == values[:, :, :1]).all()
    opaque = np.dstack([values, np.full((8, 8), 255, np.uint8)])
    assert (read_array(opaque, SQUARE) == values).all()


@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (0, 255)])
def test_array_of_floats_is_scaled_by_its_limits(limits):
    values = noise_of((8, 8, 3))
    floats = (values / 255 * (limits[1] - limits[0]) + limits[0]).astype(np.float32)
    assert (read_array(floats, SQUARE, limits) == values).all()


def test_array_of_16_bits_is_scaled():
    values = noise_of((8, 8, 3))
    assert (read_array(values.astype(np.uint16) * 257, SQUARE) == values).all()


@pytest.mark.parametrize(
    ("values", "limits", "message"),
    [
        (np.zeros((8, 8, 8), np.uint8), None, r"shape \[8, 8, 8\] is no image of 1, 3 or 4 channels"),
        (np.zeros((0, 8, 3), np.uint8), None, "is no image"),
        (np.zeros((8, 8, 3), np.float32), None, "float32 numbers, .* state the values of black and white in limits"),
        (np.zeros((8, 8, 3), np.int64), None, "int64 numbers, .* state the values of black and white in limits"),
        (np.full((8, 8), 1.5), (0, 1), "numbers from 1.5 to 1.5, which are not within the limits 0 to 1"),
        (np.full((8, 8), np.nan), (0, 1), "not finite"),
    ],
)
def test_array_that_is_no_image(values, limits, message):
    with pytest.raises(UnreadableImageError, match=message):
        read_array(values, SQUARE, limits)
