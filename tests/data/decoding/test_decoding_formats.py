"""JPEG, WebP, GIF, AVIF, BMP and the formats of netpbm."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, features

from ganformer.data import decoding
from ganformer.data.decoding import pillow
from tests.data.decoding.picture_writers import decoded, left_out, numbers, packed, page_of, png, profile, reason, tiff

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")


def saved(image, format_, **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def waves(channels):
    """Return smooth, so that lossy formats keep it."""
    rows, columns = np.mgrid[:64, :96]
    waves_ = [np.sin(rows / (15 + place)) + np.cos(columns / (17 + place)) for place in range(channels)]
    return np.rint(127.5 + 63 * np.stack(waves_, axis=-1)).astype(np.uint8)


# JPEG


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"keep_rgb": True}])
def test_jpeg(options):
    for channels in (1, 3):
        values = waves(channels)
        image = Image.fromarray(values[:, :, 0] if channels == 1 else values)
        found = decoded(saved(image, "jpeg", quality=100, **options))
        assert found.shape == values.shape
        assert np.abs(found.astype(int) - values).max() <= 6


def without_marker(jpeg, marker):
    """Return the file without the segments of a marker."""
    place, kept = 2, jpeg[:2]
    while jpeg[place + 1] != 0xDA:
        length = 2 + struct.unpack_from(">H", jpeg, place + 2)[0]
        if jpeg[place + 1] != marker:
            kept += jpeg[place : place + length]
        place += length
    return kept + jpeg[place:]


@pytest.mark.parametrize("has_marker", [True, False])
def test_jpeg_of_inks(has_marker):
    """Stored is 255 less each ink, with Adobe's marker and without."""
    inks = waves(4)
    jpeg = saved(Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes()), "jpeg", quality=100)
    assert b"Adobe" in jpeg
    content = jpeg if has_marker else without_marker(jpeg, 0xEE)
    assert (b"Adobe" in content) == has_marker
    through = 1 - inks / 255
    assert np.abs(decoded(content) - 255 * through[:, :, :3] * through[:, :, 3:]).max() <= 6


def test_jpeg_of_inks_as_luminance():
    inks = waves(4)
    content = imagecodecs.jpeg8_encode(255 - inks, level=100, colorspace="CMYK", outcolorspace="YCCK")
    assert content[content.index(b"Adobe") + 11] == 2  # YCCK
    through = 1 - inks / 255
    assert np.abs(decoded(content) - 255 * through[:, :, :3] * through[:, :, 3:]).max() <= 8


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [
        (0xC1, 12, "is a 12-bit JPEG"),
        (0xC2, 12, "is a 12-bit JPEG"),
        (0xC0, 16, "is a 16-bit JPEG"),
        (0xC3, 12, "is a 12-bit lossless JPEG"),
        (0xC5, 8, "is a hierarchical JPEG"),
        (0xCD, 8, "is a hierarchical JPEG"),
        (0xCB, 8, "is a lossless JPEG"),
    ],
)
def test_jpeg_of_other_kinds_is_refused_by_name(marker, bits, words):
    jpeg = saved(Image.new("RGB", (8, 8)), "jpeg")
    place = jpeg.index(b"\xff\xc0")
    content = jpeg[: place + 1] + bytes([marker]) + jpeg[place + 2 : place + 4] + bytes([bits]) + jpeg[place + 5 :]
    assert words in reason(content)
    assert "which is not read" in reason(content)


def test_jpeg_of_12_bits():
    content = imagecodecs.jpeg8_encode(waves(1)[:, :, 0].astype(np.uint16) * 16, level=100, bitspersample=12)
    assert "is a 12-bit JPEG, which is not read" in reason(content)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["jpeg", "webp", "tiff", "png"])
def test_orientation(format_, orientation):
    values = np.zeros((24, 40, 3), np.uint8)
    values[:12, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(saved(Image.fromarray(values), format_, exif=exif)) > 127
    assert found.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    half = [found[: found.shape[0] // 2], found[found.shape[0] // 2 :]]
    white = [[part[:, : part.shape[1] // 2].all(), part[:, part.shape[1] // 2 :].all()] for part in half]
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    assert white[corner[0]][corner[1]]
    assert sum(map(sum, white)) == 1


def test_several_pictures_of_a_jpeg():
    pictures = [Image.new("RGB", (16, 8), colour) for colour in ("red", "green", "blue")]
    content = saved(pictures[0], "mpo", save_all=True, append_images=pictures[1:])
    assert decoded(content)[0, 0, 0] > 250
    assert left_out(content) == {"further pictures of JPEGs (MPO)": 2}
    assert decoding.count(io.BytesIO(content)) == 1


@pytest.mark.parametrize("format_", ["jpeg", "webp", "gif", "bmp", "png"])
def test_truncated(format_):
    content = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), format_)
    for share in (0.1, 0.5, 0.9):
        assert reason(content[: int(share * len(content))])


# Animations


@pytest.mark.parametrize("format_", ["gif", "webp", "png", pytest.param("avif", marks=needs_avif)])
def test_first_frame_of_an_animation(format_):
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "lime", "blue", "white")]
    content = saved(frames[0], format_, save_all=True, append_images=frames[1:])
    found = decoded(content)
    assert found[0, 0, 0] > 250
    assert found[0, 0, 1] < 5
    assert left_out(content) == {"further frames of animations": 3}


# WebP, AVIF, GIF


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp(mode):
    values = numbers(13, 21, len(mode)).astype(np.uint8)
    assert (decoded(saved(Image.fromarray(values), "webp", lossless=True, exact=True)) == values).all()


@needs_avif
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_avif(mode):
    values = waves(len(mode))
    found = decoded(saved(Image.fromarray(values), "avif", quality=100))
    assert found.shape == values.shape
    assert np.abs(found.astype(int) - values).max() <= 4


@needs_avif
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_avif_of_grey(mode):
    values = waves(len(mode))
    image = Image.fromarray(values[:, :, 0] if mode == "L" else values)
    found = decoded(saved(image, "avif", quality=100, subsampling="4:0:0"))
    assert found.shape == values.shape
    assert np.abs(found.astype(int) - values).max() <= 4


@needs_avif
def test_avif_of_other_curves():
    content = saved(Image.new("RGB", (16, 16), (100, 100, 100)), "avif", quality=100)
    place = content.index(b"colrnclx") + 8
    plain = decoded(content)
    for primaries, transfer, level in ((1, 13, 100), (2, 2, 100), (1, 8, 168)):
        changed = content[:place] + struct.pack(">HH", primaries, transfer) + content[place + 4 :]
        assert np.abs(decoded(changed) - float(level)).max() <= 2
    assert np.abs(plain - 100.0).max() <= 2
    assert "PQ" in reason(content[:place] + struct.pack(">HH", 9, 16) + content[place + 4 :])


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_of_turned_avif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(saved(Image.fromarray(waves(3)), "avif", exif=exif))
    assert found.shape[:2] == ((64, 96) if orientation < 5 else (96, 64))


def test_format_that_pillow_was_built_without(monkeypatch):
    monkeypatch.setattr(pillow.features, "check", lambda name: False)
    content = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"
    assert reason(content) == "is AVIF, which this installation of Pillow does not read"


def gif(palette, pixels, *, key=None, size=(4, 2)):
    """Return a GIF of 4 colours.

    Its pixels each after a code to clear, so that nothing is compressed (GIF89a, appendix F).
    """
    codes, bits = [code for pixel in pixels for code in (4, pixel)] + [5], 3
    number = sum(code << (bits * place) for place, code in enumerate(codes))
    data = number.to_bytes((bits * len(codes) + 7) // 8, "little")
    control = b"" if key is None else b"!\xf9\x04\x01\0\0" + bytes([key]) + b"\0"
    screen = struct.pack("<HHBBB", *size, 0x91, 0, 0) + bytes(palette)
    image = b"," + struct.pack("<4HB", 0, 0, *size, 0) + b"\x02" + bytes([len(data)]) + data + b"\0;"
    return b"GIF89a" + screen + control + image


def test_gif():
    palette = [[9, 8, 7], [200, 100, 0], [0, 0, 255], [255, 255, 255]]
    pixels = [0, 1, 2, 3, 3, 2, 1, 0]
    flat = [value for colour in palette for value in colour]
    found = decoded(gif(flat, pixels))
    assert found.reshape(-1, 3).tolist() == [palette[pixel] for pixel in pixels]
    keyed = decoded(gif(flat, pixels, key=2)).reshape(-1, 4)
    assert keyed[:, 3].tolist() == [255 * (pixel != 2) for pixel in pixels]
    assert keyed[[0, 1, 3], :3].tolist() == [palette[pixel] for pixel in (0, 1, 3)]


@pytest.mark.parametrize("greys", [[0, 85, 170, 255], [5, 90, 20, 7], [0, 1, 2, 3]])
def test_gif_of_greys(greys):
    pixels = [0, 1, 2, 3, 3, 2, 1, 0]
    flat = [value for grey in greys for value in [grey] * 3]
    assert decoded(gif(flat, pixels)).reshape(-1, 1)[:, 0].tolist() == [greys[pixel] for pixel in pixels]
    keyed = decoded(gif(flat, pixels, key=2)).reshape(-1, 2)
    assert keyed[:, 1].tolist() == [255 * (pixel != 2) for pixel in pixels]


# BMP


def bmp(size, rows, bits, *, header=40, compression=0, masks=(), palette=b""):
    """Return a BMP of rows of bytes.

    `size`: width, and height, negative from the top; `masks` of colours and opacity.
    """
    about = struct.pack("<IiiHHIIiiII", header, *size, 1, bits, compression, 0, 0, 0, len(palette) // 4, 0)
    inside = struct.pack(f"<{len(masks)}I", *masks)
    about += inside.ljust(header - 40, b"\0") if header > 40 else inside
    pixels = b"".join(row + bytes(-len(row) % 4) for row in rows)
    start = 14 + len(about) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + about + palette + pixels


FULL = (0xFF0000, 0xFF00, 0xFF)


@pytest.mark.parametrize(
    ("bits", "options", "pixel", "colour"),
    [
        (24, {}, bytes([30, 20, 10]), [10, 20, 30]),
        (32, {}, bytes([30, 20, 10, 0]), [10, 20, 30]),  # what is there is no opacity
        (32, {}, bytes([30, 20, 10, 77]), [10, 20, 30]),
        (32, {"compression": 3, "masks": FULL}, bytes([30, 20, 10, 77]), [10, 20, 30]),
        (32, {"compression": 3, "masks": (*FULL, 0), "header": 108}, bytes([30, 20, 10, 77]), [10, 20, 30]),
        (
            32,
            {"compression": 3, "masks": (*FULL, 0xFF000000), "header": 108},
            bytes([30, 20, 10, 77]),
            [10, 20, 30, 77],
        ),
        (
            32,
            {"compression": 3, "masks": (*FULL, 0xFF000000), "header": 124},
            bytes([30, 20, 10, 77]),
            [10, 20, 30, 77],
        ),
        (16, {}, struct.pack("<H", 31 << 10 | 16 << 5), [255, 132, 0]),
        (16, {"compression": 3, "masks": (0xF800, 0x7E0, 0x1F)}, struct.pack("<H", 31 << 11 | 32 << 5), [255, 130, 0]),
        (8, {"palette": bytes([30, 20, 10, 0, 1, 2, 3, 0])}, b"\0", [10, 20, 30]),
        (8, {"palette": bytes([30, 30, 30, 0, 7, 7, 7, 0])}, b"\1", [7]),
    ],
)
def test_bmp(bits, options, pixel, colour):
    found = decoded(bmp((5, 3), [pixel * 5] * 3, bits, **options))
    assert found.shape == (3, 5, len(colour))
    assert np.abs(found - np.array(colour, float)).max() <= (1 if bits == 16 else 0)


def test_bmp_from_the_top_and_of_one_bit():
    rows = [bytes([0b10100000]), bytes([0b01000000])]
    palette = bytes([0, 0, 0, 0, 255, 255, 255, 0])
    assert (decoded(bmp((3, 2), rows, 1, palette=palette))[:, :, 0] == [[0, 255, 0], [255, 0, 255]]).all()
    assert (decoded(bmp((3, -2), rows, 1, palette=palette))[:, :, 0] == [[255, 0, 255], [0, 255, 0]]).all()


def test_bmp_with_a_profile():
    content = bmp((5, 3), [bytes([100] * 15)] * 3, 24, header=124)
    icc = profile(1.0)
    header = bytearray(content[14:138])
    header[56:60], header[112:120] = b"DEBM", struct.pack("<II", len(content) - 14, len(icc))
    assert (decoded(content) == 100).all()
    assert np.abs(decoded(content[:14] + bytes(header) + content[138:] + icc) - 168.0).max() <= 1


# netpbm


@pytest.mark.parametrize("top", [1, 2, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_netpbm(channels, is_text, top):
    values = np.random.default_rng(0).integers(0, top + 1, (7, 5, channels))
    head = f"P{(2 if is_text else 5) + (channels == 3)}\n# made here\n5 # wide\n7\n{top}\n".encode()
    body = packed(values.reshape(7, -1), 8 if top < 256 else 16)
    if is_text:
        body = "\n".join(" ".join(map(str, row.ravel())) for row in values).encode() + b"\n# the end"
    assert np.abs(decoded(head + body) - values * 255 / top).max() <= 0.5


@pytest.mark.parametrize("is_text", [False, True])
def test_bitmap(is_text):
    values = np.random.default_rng(0).integers(0, 2, (5, 13))
    body = "\n".join("".join(map(str, row)) for row in values).encode() if is_text else packed(values, 1)
    found = decoded((b"P1 13 5\n" if is_text else b"P4 13 5\n") + body)
    assert (found[:, :, 0] == 255 - 255 * values).all()


def test_netpbm_with_limits():
    content = b"P5 2 1 65535\n" + struct.pack(">2H", 0, 4095)
    assert decoded(content, limits=(0, 4095)).ravel().tolist() == [0, 255]
    assert decoded(b"P5 2 1 255\n\0\x64", limits=(0, 4095)).ravel().tolist() == [0, 100]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"P5 2 2 255\n\0\0\0", "is truncated: 3 bytes"),
        (b"P2 2 2 255\n1 2 3", "is truncated: 3 numbers"),
        (b"P2 2 2 255\n1 2 3 x", "words in place of numbers"),
        (b"P2 2 2 7\n1 2 3 8", "holds numbers from 1 to 8"),
        (b"P5 2 2 7\n\1\2\3\x08", "holds numbers from 1 to 8"),
        (b"P5 2 2 65536\n", "greatest value is 65536"),
        (b"P5 2 2 0\n", "greatest value is 0"),
        (b"P5 0 2 255\n", "0×2 pixels"),
        (b"P5 2", "header is truncated"),
        (b"P5 99999999 99999999 255\n", "could be decompression bomb"),
    ],
)
def test_netpbm_that_is_damaged(content, words):
    assert words in reason(content)


# Damaged files of all formats

KINDS = ["png", "png of 16 bits", "jpeg", "gif", "webp", "bmp", "ppm", "tiff", "tiff of libtiff"]


def sound(kind):
    """Return a small file of a kind."""
    image = Image.fromarray(numbers(12, 16, 3).astype(np.uint8))
    if kind == "png of 16 bits":
        return png(numbers(12, 16, 3, bits=16), 16, 2, [(b"gAMA", struct.pack(">I", 100_000))])
    if kind == "tiff":
        return tiff(page_of(numbers(12, 16, 4, bits=16), 16, 2, t338=2, tile=(16, 16)))
    if kind == "tiff of libtiff":
        return saved(image, "tiff", compression="tiff_lzw")
    return saved(image, kind)


@pytest.mark.parametrize("kind", [*KINDS, "grey gif", "animated gif", "animated webp", "mpo"])
def test_picture_outlives_its_file(kind, tmp_path):
    """A decoded picture needs the file no more."""
    frames = [Image.fromarray(numbers(12, 16, 1, seed=seed)[:, :, 0].astype(np.uint8)) for seed in range(2)]
    (tmp_path / "a").write_bytes(
        sound(kind)
        if kind in KINDS
        else saved(frames[0], kind.split()[-1], save_all=kind != "grey gif", append_images=frames[1:])
    )
    with (tmp_path / "a").open("rb") as file:
        image = decoding.decode(file).image
    assert image.resize((8, 8)).size == (8, 8)
    assert np.asarray(image).any()


@pytest.mark.parametrize("kind", KINDS)
def test_any_damage_is_refused_or_overlooked(kind):
    """Some bytes changed or the end cut off: a picture of the size that is told, or a reason."""
    content, random = sound(kind), np.random.default_rng(0)
    for number in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, min(len(content), 200) if number % 2 else len(content), 3):
            damaged[place] = random.integers(256)
        damaged = bytes(damaged[: random.integers(len(damaged))] if number % 5 == 0 else damaged)
        try:
            image = decoding.decode(io.BytesIO(damaged)).image
        except decoding.UnreadableImageError as error:
            assert str(error)
        else:
            assert decoding.size(io.BytesIO(damaged)) == image.size
