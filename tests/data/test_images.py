"""How pictures become pixels: hand-made examples of every conversion, and real files that are odd or damaged."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from ganformer.config import ImageSpec
from ganformer.data import images
from ganformer.data.images import UnreadableImageError, crop_box, prepare, read_image

SQUARE = ImageSpec(height=8, width=8)

# Names and outcomes from the README of the folder; all others are to be read.
UNREADABLE = {
    "truncated_jpeg.jpg": "truncated",
    "truncated_image.png": "truncated",
    "broken_data_stream.png": "unrecognized data stream",
    "broken.png": "not an image of a known format",
    "unknown_compression_method.png": "not an image of a known format",
    "png_decompression_dos.png": "Decompressed data too large",
    "decompression_bomb.gif": "exceeds limit",
    "bmp_b_reallybig.bmp": "exceeds limit",
    "bmp_b_shortfile.bmp": "truncated",
}


def plain(mode, colour, **info):
    image = Image.new(mode, (8, 8), colour)
    image.info.update(info)
    return image


def colour_of(image):
    """The one colour of what a one-coloured picture becomes."""
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
        (plain("RGB", (10, 20, 30)), (10, 20, 30)),
        (plain("L", 77), (77, 77, 77)),
        (plain("1", 1), (255, 255, 255)),
        (plain("CMYK", (255, 0, 0, 0)), (0, 255, 255)),
        (plain("I;16", 0x8000), (128, 128, 128)),
        (plain("I;16", 256), (1, 1, 1)),
        (plain("I", 65535), (255, 255, 255)),
        (plain("F", 0.5), (128, 128, 128)),
        (plain("F", 3.0), (255, 255, 255)),
        (plain("RGBA", (0, 0, 0, 0)), (255, 255, 255)),
        (plain("RGBA", (255, 0, 0, 51)), (255, 204, 204)),
        (plain("LA", (0, 0)), (255, 255, 255)),
        (plain("L", 9, transparency=9), (255, 255, 255)),
        (plain("L", 9, transparency=8), (9, 9, 9)),
        (plain("I;16", 512, transparency=512), (255, 255, 255)),
        (plain("I;16", 512, transparency=513), (2, 2, 2)),
        (plain("RGB", (1, 2, 3), transparency=(1, 2, 3)), (255, 255, 255)),
    ],
)
def test_colour_is_converted(image, colour):
    assert colour_of(image) == colour


@pytest.mark.parametrize(("lab", "colour"), [((255, 128, 128), (255, 255, 255)), ((0, 128, 128), (0, 0, 0))])
def test_lab_is_converted(lab, colour):
    assert colour_of(plain("LAB", lab)) == pytest.approx(colour, abs=2)


def test_palette_with_transparency():
    image = plain("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert colour_of(image) == (200, 100, 50)
    image.info["transparency"] = bytes([255, 0])
    assert colour_of(image) == (255, 255, 255)


def test_floats_beyond_black_and_white_are_stretched():
    image = Image.fromarray(np.linspace(-3, 3, 64, dtype=np.float32).reshape(8, 8))
    pixels = prepare(image, SQUARE)
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize(
    ("image", "message"),
    [(plain("I", 70_000), "70000 are no 16-bit greys"), (plain("F", float("nan")), "not finite")],
)
def test_values_without_a_meaning_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        prepare(image, SQUARE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright(orientation):
    stored = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    upright = {  # how the camera says the stored rows and columns are to be shown
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(file, "png", exif=exif)
    assert (read_image(file, SQUARE) == upright).all()


def test_colour_profile_is_applied():
    image = plain("RGB", (100, 150, 200), icc_profile=linear_profile())
    shown = colour_of(image)
    linear = np.array([100, 150, 200]) / 255
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(np.array(shown) - expected).max() < 3
    image = plain("RGBA", (100, 150, 200, 255), icc_profile=linear_profile())
    assert colour_of(image) == shown


def test_standard_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert colour_of(plain("RGB", (100, 150, 200), icc_profile=profile)) == (100, 150, 200)


@pytest.mark.parametrize("profile", [b"rubbish", b""])
def test_damaged_profile_is_left_aside(profile):
    assert colour_of(plain("RGB", (100, 150, 200), icc_profile=profile)) == (100, 150, 200)


def test_profile_of_another_kind_of_picture_is_left_aside():
    assert colour_of(plain("L", 100, icc_profile=linear_profile())) == (100, 100, 100)


def linear_profile():
    """The standard profile with its three curves replaced by straight lines."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # 128 bytes of header, the number of tags, then name, place and size of each.
    for entry in range(struct.unpack_from(">I", profile, 128)[0]):
        tag, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            profile[start : start + size] = (b"curv" + bytes(8)).ljust(size, b"\0")
        if tag == b"desc":
            profile[start : start + size] = bytes(profile[start : start + size]).replace(
                b"\0s\0R\0G\0B", b"\0l\0i\0n\0e"
            )
    return bytes(profile)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.gif", SQUARE) == [255, 0, 0]).all()


def test_suspected_bomb_is_an_error(tmp_path, monkeypatch):
    Image.new("RGB", (12, 12)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImageError, match="could be decompression bomb"):
        read_image(tmp_path / "a.png", SQUARE)


def test_missing_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "absent.png", SQUARE)


def test_running_out_of_memory_is_not_the_pictures_fault(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    def exhausted(image, shape):
        raise MemoryError

    monkeypatch.setattr(images, "prepare", exhausted)
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png", SQUARE)


def test_odd_pictures(shared):
    """Every one becomes pixels or is refused, as its README foretells."""
    refused = {}
    for path in sorted((shared / "data/odd_images").iterdir()):
        try:
            pixels = read_image(path, ImageSpec(height=24, width=32))
        except UnreadableImageError as error:
            refused[path.name] = str(error)
        else:
            assert pixels.shape == (24, 32, 3), path.name
            assert pixels.dtype == np.uint8
            assert np.ptp(pixels) > 0 or path.name == "jfif_unit_cm.jpg", path.name
    assert refused.keys() == UNREADABLE.keys()
    assert all(reason in refused[name] for name, reason in UNREADABLE.items()), refused


@pytest.mark.parametrize("name", ["hopper_orientation_3.jpg", "hopper_orientation_6.jpg", "hopper_orientation_6.webp"])
def test_turned_pictures_look_like_the_upright_one(shared, name):
    folder, shape = shared / "data/odd_images", ImageSpec(height=32, width=32)
    upright = read_image(folder / "hopper.jpg", shape).astype(int)
    assert np.abs(read_image(folder / name, shape) - upright).mean() < 6


@pytest.mark.parametrize("name", ["hopper.Lab.tif", "hopper.webp"])
def test_other_encodings_look_like_the_plain_one(shared, name):
    folder, shape = shared / "data/odd_images", ImageSpec(height=32, width=32)
    plain_one = read_image(folder / "hopper.jpg", shape).astype(int)
    assert np.abs(read_image(folder / name, shape) - plain_one).mean() < 12


def noise_of(shape, dtype=np.uint8, high=256):
    return np.random.default_rng(4).integers(0, high, shape).astype(dtype)


def test_array_of_bytes_keeps_its_values():
    values = noise_of((8, 8, 3))
    assert (images.read_array(values, SQUARE) == values).all()
    assert (images.read_array(values[:, :, :1], SQUARE) == values[:, :, :1]).all()
    assert (images.read_array(values[:, :, 0], SQUARE) == values[:, :, :1]).all()
    opaque = np.dstack([values, np.full((8, 8), 255, np.uint8)])
    assert (images.read_array(opaque, SQUARE) == values).all()


@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (0, 255)])
def test_array_of_floats_is_scaled_by_its_limits(limits):
    values = noise_of((8, 8, 3))
    floats = (values / 255 * (limits[1] - limits[0]) + limits[0]).astype(np.float32)
    assert (images.read_array(floats, SQUARE, limits) == values).all()


def test_array_of_16_bits_is_scaled():
    values = noise_of((8, 8, 3))
    assert (images.read_array(values.astype(np.uint16) * 257, SQUARE) == values).all()


@pytest.mark.parametrize(
    ("values", "limits", "message"),
    [
        (np.zeros((8, 8, 8), np.uint8), None, r"shape \[8, 8, 8\] is no image of 1, 3 or 4 channels"),
        (np.zeros((0, 8, 3), np.uint8), None, "is no image"),
        (np.zeros((8, 8, 3), np.float32), None, "float32 values are neither .* state the limits"),
        (np.zeros((8, 8, 3), np.int64), (0, 1), "int64 values are neither uint8 nor uint16"),
        (np.full((8, 8), 1.5), (0, 1), "values from 1.5 to 1.5 are not within the limits 0 to 1"),
        (np.full((8, 8), np.nan), (0, 1), "nan"),
    ],
)
def test_array_that_is_no_image(values, limits, message):
    with pytest.raises(UnreadableImageError, match=message):
        images.read_array(values, SQUARE, limits)
