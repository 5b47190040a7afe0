"""TIFFs of all kinds, written number by number: their pixels follow from the numbers by what the tags say."""

import io
import itertools
import lzma
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ganformer.data import decoding
from tests.data.decoding.picture_writers import (
    decoded,
    left_out,
    levels_of,
    numbers,
    page_of,
    profile,
    reason,
    shown,
    tiff,
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9

SHAPES = {"strip": {}, "strips": {"rows": 5}, "tiles": {"tile": (16, 32)}}
ORDERS = ("little", "big")
BITS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16)


def one(values, bits, photometric, order="little", is_big=False, **options):
    return tiff(page_of(values, bits, photometric, order=order, **options), order=order, is_big=is_big)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey(photometric, bits, shape, order):
    values = numbers(13, 21, 1, bits=bits)
    expected = levels_of(values, 2**bits - 1)
    found = decoded(one(values, bits, photometric, order, **SHAPES[shape]))
    assert (found == (expected if photometric == BLACK_IS_ZERO else 255 - expected)).all()


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 14, 16])
def test_colours(bits, shape, planar, order, is_big):
    values = numbers(13, 21, 3, bits=bits)
    content = one(values, bits, RGB, order, is_big, planar=planar, **SHAPES[shape])
    assert (decoded(content) == levels_of(values, 2**bits - 1)).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize(
    ("photometric", "bits"),
    [*itertools.product([WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INKS], [8, 12, 16]), (CIELAB, 8), (CIELAB, 16)],
)
def test_opacity(bits, planar, photometric, order):
    """Opacity behind a sample that means nothing, which is left out and named."""
    channels = {RGB: 3, INKS: 4, CIELAB: 3}.get(photometric, 1)
    values = numbers(7, 9, channels + 2, bits=bits)
    content = one(values, bits, photometric, order, planar=planar, t338=(3, [0, 2]))
    found, plain = decoded(content), decoded(one(values[:, :, :channels], bits, photometric, order))
    assert (found[:, :, -1] == levels_of(values[:, :, -1], 2**bits - 1)).all()
    assert (found[:, :, :-1] == plain).all()
    assert left_out(content) == {"samples of no stated meaning": 1}


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(("photometric", "channels"), [(BLACK_IS_ZERO, 1), (RGB, 3)])
def test_premultiplied_opacity(photometric, channels, bits):
    top = 2**bits - 1
    colours, opacity = numbers(40, 40, channels, bits=bits), numbers(40, 40, 1, bits=bits, seed=1)
    multiplied = np.rint(colours * (opacity / top)).astype(np.int64)
    found = decoded(one(np.dstack([multiplied, opacity]), bits, photometric, t338=1))
    assert (found[:, :, -1:] == levels_of(opacity, top)).all()
    exact = multiplied / np.maximum(opacity, 1) * 255
    error = np.abs(found[:, :, :-1] - np.clip(exact, 0, 255))
    assert error.max() <= 0.5001 + 0.5 * 255 / top


def test_premultiplied_opacity_of_the_report():
    assert decoded(one(np.full((2, 2, 2), [50, 128]), 8, BLACK_IS_ZERO, t338=1))[0, 0].tolist() == [100, 128]
    assert decoded(one(np.full((2, 2, 4), [50, 50, 50, 128]), 8, RGB, t338=1))[0, 0].tolist() == [100] * 3 + [128]


def test_colours_in_planes_of_16_bits():
    values = np.broadcast_to(np.array([0x1000, 0x8000, 0xF000]), (8, 8, 3))
    for order in ORDERS:
        assert (decoded(one(values, 16, RGB, order, planar=2)) == [16, 128, 239]).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_palette(bits, order):
    count = 2**bits
    palette = numbers(count, 3, bits=16, seed=bits)
    values = numbers(13, 21, 1, bits=bits)
    content = one(values, bits, PALETTE, order, t320=(3, palette.T.ravel().tolist()))
    assert (decoded(content) == levels_of(palette, 65535)[values[:, :, 0]]).all()


def test_palette_of_greys_gives_greys():
    palette = np.repeat(numbers(16, 1, bits=16), 3, axis=1)
    values = numbers(5, 6, 1, bits=4)
    found = decoded(one(values, 4, PALETTE, t320=(3, palette.T.ravel().tolist())))
    assert (found == levels_of(palette[:, :1], 65535)[values[:, :, 0]]).all()


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_palette_of_bytes_is_one_of_8_bits(factor):
    palette = numbers(16, 3, bits=8)
    values = numbers(5, 6, 1, bits=4)
    found = decoded(one(values, 4, PALETTE, t320=(3, (factor * palette).T.ravel().tolist())))
    assert (found == palette[values[:, :, 0]]).all()


def test_palette_that_does_not_fit():
    assert "no palette" in reason(one(numbers(5, 6, 1, bits=4), 4, PALETTE))
    assert "palette of 4" in reason(one(numbers(5, 6, 1), 8, PALETTE, t320=(3, [900] * 12)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_inks(bits, planar, order):
    values = numbers(13, 21, 4, bits=bits)
    through = 1 - values / (2**bits - 1)
    found = decoded(one(values, bits, INKS, order, planar=planar, t332=1))
    assert np.abs(found - 255 * through[:, :, :3] * through[:, :, 3:]).max() <= 0.51


def test_other_inks_are_refused():
    assert "InkSet 2" in reason(one(numbers(5, 6, 4), 8, INKS, t332=2))
    assert "colours need 4" in reason(one(numbers(5, 6, 3), 8, INKS))


def rgb_of(ycbcr, red=0.299, green=0.587, blue=0.114):
    y, cb, cr = (ycbcr[:, :, place].astype(float) for place in range(3))
    r, b = y + (cr - 128) * (2 - 2 * red), y + (cb - 128) * (2 - 2 * blue)
    return np.clip(np.stack([r, (y - red * r - blue * b) / green, b], axis=-1), 0, 255)


@pytest.mark.parametrize("planar", [1, 2])
def test_ycbcr(planar):
    values = numbers(13, 21, 3)
    found = decoded(one(values, 8, YCBCR, planar=planar, t530=(3, [1, 1])))
    assert np.abs(found - rgb_of(values)).max() <= 0.51


def test_ycbcr_of_other_coefficients_and_range():
    values = numbers(13, 21, 3)
    content = one(values, 8, YCBCR, t530=(3, [1, 1]), t529=(5, [(2126, 10000), (7152, 10000), (722, 10000)]))
    assert np.abs(decoded(content) - rgb_of(values, 0.2126, 0.7152, 0.0722)).max() <= 0.51
    video = (5, [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)])
    content = one(np.array([[[16, 128, 128], [235, 128, 128]]]), 8, YCBCR, t530=(3, [1, 1]), t532=video)
    assert decoded(content).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("compress", [None, (8, zlib.compress), (5, imagecodecs.lzw_encode)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("across", "down"), [(2, 2), (2, 1), (4, 1), (1, 2), (4, 4), (4, 2)])
def test_ycbcr_of_fewer_chrominance_samples(across, down, shape, compress):
    height, width = 24, 36
    values = numbers(height, width, 3)
    values[:, :, 1:] = values[::down, ::across, 1:].repeat(down, 0).repeat(across, 1)[:height, :width]
    page = page_of(values, 8, YCBCR, **(SHAPES[shape] | ({"rows": 8} if shape == "strips" else {})))
    page[530] = (3, [across, down])
    page["pieces"] = list(units(values, page, down, across))
    if compress:
        page[259] = (3, [compress[0]])
        page["pieces"] = [compress[1](piece) for piece in page["pieces"]]
    assert np.abs(decoded(tiff(page)) - rgb_of(values)).max() <= 0.51


def units(values, page, down, across):
    """Strip or tiles of units: the luminance of `down` × `across` pixels, then both chrominances."""
    height, width = values.shape[:2]
    rows, columns = (page[323][1][0], page[322][1][0]) if 322 in page else (page[278][1][0], width)
    padded = np.pad(values, ((0, -height % rows), (0, -width % columns), (0, 0)), mode="edge")
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            piece = padded[top : top + rows, left : left + columns]
            content = bytearray()
            for row in range(0, rows, down):
                for column in range(0, columns, across):
                    unit = piece[row : row + down, column : column + across]
                    content += bytes(unit[:, :, 0].ravel().tolist()) + bytes(unit[0, 0, 1:].tolist())
            yield bytes(content)


def lab_shown(lab):
    """Return CIE L*a*b* of D50 in sRGB, by the matrix of ICC's sRGB profiles (D50 to linear light)."""
    roots = (lab[..., 0] + 16) / 116 + np.stack([lab[..., 1] / 500, 0 * lab[..., 0], -lab[..., 2] / 200])
    share = np.where(roots > 24 / 116, roots**3, (roots - 16 / 116) * 108 / 841)
    xyz = np.moveaxis(share, 0, -1) * [0.9642, 1, 0.8249]
    to_xyz = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    return shown(xyz @ np.linalg.inv(to_xyz).T)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [CIELAB, ICCLAB])
def test_lab(photometric, bits, order):
    lab = np.stack([numbers(20, 20, bits=7, seed=place) * (1 if place == 0 else 0.3) for place in range(3)], axis=-1)
    lab[:, :, 0] = lab[:, :, 0] * 100 / 127
    unit = 2 ** (bits - 8)
    if photometric == CIELAB:
        stored = np.rint(lab * [(2**bits - 1) / 100, unit, unit]).astype(np.int64) % 2**bits
    else:
        stored = np.rint(lab * [255 * unit / 100, unit, unit]).astype(np.int64)
        stored[:, :, 1:] += 128 * unit
    found = decoded(one(stored, bits, photometric, order))
    exact = lab_shown(lab)
    assert np.abs(found - exact).mean() < (1 if bits == 8 else 0.35)
    assert np.abs(found - exact).max() < (9 if bits == 8 else 1.6)


def test_lab_of_white_and_black():
    assert decoded(one(np.array([[[255, 0, 0], [0, 0, 0]]]), 8, CIELAB)).tolist() == [[[255] * 3, [0] * 3]]
    assert decoded(one(np.array([[[255, 128, 128], [0, 128, 128]]]), 8, ICCLAB)).tolist() == [[[255] * 3, [0] * 3]]
    # a* is a signed number: −56 is green, 72 is red
    assert decoded(one(np.array([[[128, 200, 0]]]), 8, CIELAB))[0, 0].argmax() == 1
    assert decoded(one(np.array([[[128, 72, 0]]]), 8, CIELAB))[0, 0].argmax() == 0


ORIENTED = {  # how the stored rows and columns are to be seen
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("bits", "channels"), [(1, 1), (8, 1), (16, 1), (8, 3), (16, 3)])
def test_orientation(orientation, bits, channels):
    values = numbers(5, 9, channels, bits=bits)
    content = one(values, bits, BLACK_IS_ZERO if channels == 1 else RGB, t274=orientation)
    assert (decoded(content) == ORIENTED[orientation](levels_of(values, 2**bits - 1))).all()


BYTES = {
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32946: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: lzma.compress,
    50000: imagecodecs.zstd_encode,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [1, 8, 12, 16])
@pytest.mark.parametrize("number", BYTES)
def test_compressed_bytes(number, bits, shape):
    for photometric, channels in ((BLACK_IS_ZERO, 1), (RGB, 3)):
        values = numbers(13, 21, channels, bits=bits)
        content = one(values, bits, photometric, compress=(number, BYTES[number]), **SHAPES[shape])
        assert (decoded(content) == levels_of(values, 2**bits - 1)).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bits", [8, 16])
def test_predictor(bits, planar, order):
    values = numbers(13, 21, 3, bits=bits)
    differences = values.copy()
    differences[:, 1:] = (values[:, 1:] - values[:, :-1]) % 2**bits
    content = one(differences, bits, RGB, order, planar=planar, compress=(8, zlib.compress), t317=2)
    assert (decoded(content) == levels_of(values, 2**bits - 1)).all()


def test_predictor_without_compression_is_refused():
    assert "predictor 2" in reason(one(numbers(13, 21, 3), 8, RGB, t317=2))


def test_bits_in_the_other_order():
    values = numbers(13, 21, 1, bits=1)
    page = page_of(values, 1, BLACK_IS_ZERO, t266=2)
    page["pieces"] = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in piece) for piece in page["pieces"]]
    assert (decoded(tiff(page)) == 255 * values).all()


@pytest.mark.parametrize(
    ("compression", "dtype", "channels"),
    [
        ("webp", np.uint8, 3),
        ("webp", np.uint8, 4),
        ("png", np.uint8, 3),
        ("png", np.uint16, 3),
        ("png", np.uint16, 1),
        ("jpeg2000", np.uint8, 3),
        ("jpeg2000", np.uint16, 3),
        ("jpegxl", np.uint8, 3),
        ("jpegxl", np.uint16, 1),
        ("jpegxr", np.uint8, 3),
        ("jpegxr", np.uint16, 1),
        ("lerc", np.uint8, 1),
        ("lerc", np.uint16, 3),
        ("zstd", np.uint16, 4),
        ("lzma", np.uint8, 4),
    ],
)
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_pieces_that_are_pictures(compression, dtype, channels, tile):
    bits = 8 * np.dtype(dtype).itemsize
    values = numbers(16, 32, channels, bits=bits).astype(dtype)
    options = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    options |= {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    file = io.BytesIO()
    photometric = "minisblack" if channels == 1 else "rgb"
    image = values[:, :, 0] if channels == 1 else values
    tifffile.imwrite(file, image, photometric=photometric, compression=compression, tile=tile, **options)
    assert (decoded(file.getvalue()) == levels_of(values, 2**bits - 1)).all()


@pytest.mark.parametrize("compression", ["group3", "group4"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_fax(compression, photometric):
    values = np.random.default_rng(0).integers(0, 2, (40, 64)).repeat(3, axis=1).astype(bool)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "tiff", compression=compression, tiffinfo={262: photometric})
    assert (decoded(file.getvalue())[:, :, 0] == 255 * values).all()


def smooth(height, width, channels):
    """Return waves, which JPEG keeps."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (15 + place)) + np.cos(columns / (17 + place)) for place in range(channels)]
    return np.rint(127.5 + 63 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("tile", [None, (32, 48)])
@pytest.mark.parametrize(
    ("photometric", "channels", "subsampling"),
    [
        ("minisblack", 1, None),
        ("miniswhite", 1, None),
        ("rgb", 3, None),
        ("rgb", 3, (1, 1)),
        ("rgb", 3, (2, 1)),
        ("ycbcr", 3, (2, 2)),
        ("ycbcr", 3, (1, 1)),
        ("separated", 4, None),
    ],
)
def test_jpeg_in_tiff(photometric, channels, subsampling, tile):
    values = smooth(64, 96, channels)
    file = io.BytesIO()
    colours = values[:, :, 0] if channels == 1 else values
    tifffile.imwrite(
        file,
        colours,
        photometric=photometric,
        compression="jpeg",
        compressionargs={"level": 100},
        subsampling=subsampling,
        tile=tile,
    )
    expected = 255.0 - values if photometric == "miniswhite" else values.astype(float)
    if photometric == "separated":
        expected = (255 - expected[:, :, :3]) * (255 - expected[:, :, 3:]) / 255
    if photometric == "ycbcr":
        expected = rgb_of(values)
    assert np.abs(decoded(file.getvalue()) - expected).max() < 7


def test_jpeg_in_planes():
    values = smooth(32, 48, 3)
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        values.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        compression="jpeg",
        compressionargs={"level": 100},
    )
    assert np.abs(decoded(file.getvalue()).astype(int) - values).max() < 4


@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        (np.int8, (-128, 127)),
        (np.int16, (-1000, 1000)),
        (np.int32, (0, 10**6)),
        (np.uint32, (0, 2**32 - 1)),
        (np.uint64, (0, 2**40)),
        (np.float16, (0, 1)),
        (np.float32, (-1, 1)),
        (np.float64, (0, 255)),
    ],
)
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_numbers_that_need_limits(dtype, limits, planar, order):
    low, high = limits
    exact = numbers(5, 6, 3, bits=8) / 255 * (high - low) + low
    values = (exact if np.dtype(dtype).kind == "f" else np.rint(exact)).astype(dtype)
    format_ = {"f": 3, "i": 2, "u": 1}[values.dtype.kind]
    bits = 8 * values.dtype.itemsize
    content = one(values, bits, RGB, order, planar=planar, t339=(3, [format_] * 3))
    expected = np.rint((values.astype(np.float64) - low) / (high - low) * 255)
    assert (decoded(content, limits=limits) == expected).all()
    assert reason(content) == (
        f"holds {np.dtype(dtype)} numbers, which have no agreed range; state the values of black and white in limits, "
        "e.g. limits: [0, 1]"
    )


def test_opacity_of_floats():
    values = np.linspace(0, 1, 5 * 6 * 4, dtype=np.float32).reshape(5, 6, 4)
    tags = {"t338": 2, "t339": (3, [3] * 4)}
    assert (decoded(one(values, 32, RGB, **tags), limits=(0, 1)) == np.rint(values * 255)).all()
    assert "not within the limits 0 to 1" in reason(one(2 * values, 32, RGB, **tags), limits=(0, 2))
    assert "multiplied" in reason(one(values, 32, RGB, **tags | {"t338": 1}), limits=(0, 1))
    signed = np.zeros((2, 2, 2), np.int16)
    assert "signed" in reason(one(signed, 16, BLACK_IS_ZERO, t338=2, t339=(3, [2, 2])), limits=(0, 1))


def test_floats_with_predictor():
    values = np.linspace(0, 1, 5 * 6 * 3, dtype=np.float32).reshape(5, 6, 3)
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", compression="zlib", predictor=3)
    assert (decoded(file.getvalue(), limits=(0, 1)) == np.rint(values * 255)).all()


def test_limits_of_12_bits_in_16():
    values = numbers(5, 6, 3, bits=12)
    assert (decoded(one(values, 16, RGB), limits=(0, 4095)) == levels_of(values, 4095)).all()
    assert "not within the limits 0 to 4000" in reason(one(values, 16, RGB), limits=(0, 4000))
    inverted = decoded(one(values[:, :, :1], 16, WHITE_IS_ZERO), limits=(0, 4095))
    assert (inverted == 255 - levels_of(values[:, :, :1], 4095)).all()


def test_limits_are_not_for_8_bits():
    values = numbers(5, 6, 3)
    assert (decoded(one(values, 8, RGB), limits=(0, 4095)) == values).all()


def test_floats_without_photometric_interpretation():
    page = page_of(np.linspace(-3, 3, 30, dtype=np.float32).reshape(5, 6, 1), 32, BLACK_IS_ZERO, t339=3)
    del page[262]
    found = decoded(tiff(page), limits=(-3, 3))
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"t339": 4}, "undefined"),
        ({"t339": 5}, "complex integer"),
        ({"t258": (3, [5, 6, 5])}, "different types"),
        ({"t262": 4}, "4 (MASK)"),
        ({"t262": 32803}, "CFA"),
        ({"t262": 34892}, "LINEAR_RAW"),
        ({"t262": 32844}, "LOGL"),
        ({"t262": 32845}, "LOGLUV"),
        ({"t262": 10}, "ITULAB"),
        ({"t262": 77}, "77 (unknown)"),
        ({"t259": 34676}, "SGILOG"),
        ({"t259": 6}, "OJPEG"),
        ({"t259": 4711}, "4711"),
        ({"t32997": 3}, "volume"),
        ({"t50706": (1, [1, 4, 0, 0])}, "DNG"),
        ({"t317": 9}, "predictor 9"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tags, words):
    assert words in reason(one(numbers(5, 6, 3), 8, RGB, **tags))


@pytest.mark.parametrize(("photometric", "channels"), [(INKS, 4), (YCBCR, 3), (CIELAB, 3), (PALETTE, 1)])
def test_floats_of_what_has_no_limits(photometric, channels):
    content = one(np.zeros((5, 6, channels), np.float32), 32, photometric, t339=(3, [3] * channels), t530=(3, [1, 1]))
    assert "limits" not in reason(content)


def test_missing_photometric_interpretation():
    page = page_of(numbers(5, 6, 3), 8, RGB)
    del page[262]
    assert "PhotometricInterpretation" in reason(tiff(page))


def test_24_bits_are_refused():
    page = page_of(numbers(5, 6, 1, bits=8), 8, BLACK_IS_ZERO)
    page[258] = (3, [24])
    assert "24 bits" in reason(tiff(page), limits=(0, 1))


def pages(*levels, **tags):
    return [page_of(np.full((4, 6, 3), level), 8, RGB, **tags) for level in levels]


def test_several_pictures():
    content = tiff(*pages(10, 20, 30))
    assert decoding.count(io.BytesIO(content)) == 3
    assert [decoded(content, page=number)[0, 0, 0] for number in range(3)] == [10, 20, 30]
    assert "holds 3 pictures" in reason(content)
    assert "no number 3" in reason(content, page=3)
    with pytest.raises(decoding.UnreadableImageError, match="holds 3 pictures"):
        decoding.size(io.BytesIO(content))


def test_every_picture_of_camera_raw_is_refused():
    """The first directory says so of all, or a later one of itself."""
    raw, plain = pages(10, t50706=(1, [1, 4, 0, 0])), pages(20)
    assert "DNG" in reason(tiff(*raw, *plain), page=1)
    content = tiff(*plain, *raw)
    assert "DNG" in reason(content, page=1)
    assert (decoded(content, page=0) == 20).all()


@pytest.mark.parametrize("tags", [{"t254": (4, [1])}, {"t255": 2}])
def test_smaller_versions_are_no_pictures(tags):
    small = page_of(np.full((2, 3, 3), 99), 8, RGB, **tags)
    content = tiff(small, *pages(10), small)
    assert decoding.count(io.BytesIO(content)) == 1
    assert (decoded(content) == 10).all()
    assert left_out(content) == {"reduced-resolution pages": 2}


def test_masks_are_no_pictures():
    mask = page_of(numbers(4, 6, 1, bits=1), 1, 4, t254=(4, [4]))
    content = tiff(*pages(10), mask, mask)
    assert decoding.count(io.BytesIO(content)) == 1
    assert left_out(content) == {"transparency masks": 2}
    assert "masks only" in reason(tiff(mask))


def test_pages_below_others():
    small = page_of(np.full((2, 3, 3), 99), 8, RGB, t254=(4, [1]))
    other = page_of(np.full((2, 3, 3), 99), 8, RGB)
    [picture] = pages(10)
    content = tiff(picture | {"below": [small, small, other]})
    assert decoding.count(io.BytesIO(content)) == 1
    assert left_out(content) == {"reduced-resolution pages": 2, "pages below others": 1}


def test_picture_below_its_thumbnail():
    [thumbnail], [picture] = pages(10, t254=(4, [1])), pages(20)
    content = tiff(thumbnail | {"below": [picture]})
    assert (decoded(content) == 20).all()
    assert left_out(content) == {"reduced-resolution pages": 1}


def test_lone_picture_that_is_called_a_smaller_version():
    assert (decoded(tiff(*pages(10, t254=(4, [1])))) == 10).all()


def test_pages_of_other_kinds():
    content = tiff(*pages(10), page_of(numbers(4, 6, 1, bits=16), 16, WHITE_IS_ZERO, t274=6))
    assert decoded(content, page=1).shape == (6, 4, 1)


def test_pages_of_a_long_stack():
    content = tiff(*pages(*range(200)))
    assert decoding.count(io.BytesIO(content)) == 200
    assert (decoded(content, page=150) == 150).all()


def test_stack_of_imagej_in_one_directory():
    text = (2, b"ImageJ=1.11a\nimages=3\nslices=3\n\0")
    assert "holds 3 pictures of ImageJ" in reason(one(numbers(4, 6, 1), 8, BLACK_IS_ZERO, t270=text))


@pytest.mark.parametrize("curve", [1.0, 1.8])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_opacity", [False, True])
def test_profile(channels, bits, has_opacity, curve):
    values = numbers(9, 11, channels, bits=bits)
    icc = (7, profile(curve, b"GRAY" if channels == 1 else b"RGB "))
    samples = np.dstack([values, numbers(9, 11, 1, bits=bits, seed=3)]) if has_opacity else values
    tags = {"t338": 2} if has_opacity else {}
    content = one(samples, bits, BLACK_IS_ZERO if channels == 1 else RGB, t34675=icc, **tags)
    power = round(256 * curve) / 256
    exact = shown((values / (2**bits - 1)) ** power)
    assert np.abs(decoded(content)[:, :, :channels] - exact).max() < 0.95


def test_profile_of_white_is_zero_and_of_a_palette():
    icc = (7, profile(1.0, b"GRAY"))
    assert (decoded(one(np.full((2, 2, 1), 155), 8, WHITE_IS_ZERO, t34675=icc)) == 168).all()
    assert (decoded(one(np.full((2, 2, 1), 65535 - 25700), 16, WHITE_IS_ZERO, t34675=icc)) == 168).all()
    palette = (3, [25700] * 4 + [0] * 8)
    icc = (7, profile(1.0))
    found = decoded(one(numbers(3, 3, 1, bits=2), 2, PALETTE, t320=palette, t34675=icc))
    assert np.abs(found - [168.0, 0, 0]).max() <= 1


@pytest.mark.parametrize("cut", [1, 30, 300])
def test_truncated(cut):
    page = page_of(numbers(13, 21, 3), 8, RGB)
    content = tiff(page)
    front = content[: len(content) - cut]
    assert reason(front)


@pytest.mark.parametrize("number", [1, *BYTES])
def test_missing_pixels(number):
    """Pieces that are behind the end, are nowhere, or hold less than they should."""
    compress = (number, BYTES.get(number, bytes))
    for rows in (5, 13):
        page = page_of(numbers(13, 21, 3), 8, RGB, rows=rows, compress=compress)
        short = page | {"pieces": [*page["pieces"][:-1], page["pieces"][-1][: len(page["pieces"][-1]) // 2]]}
        assert reason(tiff(short))
        empty = page | {"pieces": [*page["pieces"][:-1], b""]}
        assert "pixels are missing" in reason(tiff(empty))
        if rows == 5:
            assert "2 of 3 pieces" in reason(tiff(page | {"pieces": page["pieces"][:-1]}))


def test_pixels_end_at_the_end_of_the_file_at_the_latest():
    page = page_of(numbers(13, 21, 3), 8, RGB)
    (piece,), content = page["pieces"], bytearray(tiff(page))
    place = content.index(struct.pack("<HHI", 273, 4, 1)) + 8  # of the number of its first byte
    last = len(content) - len(piece)
    content[place : place + 4] = struct.pack("<I", last)
    assert decoded(bytes(content)).shape == (13, 21, 3)
    for behind in (last + 1, len(content), 10**9):
        content[place : place + 4] = struct.pack("<I", behind)
        assert "pixels are missing" in reason(bytes(content))


def test_truncated_jpeg_in_tiff():
    file = io.BytesIO()
    tifffile.imwrite(file, smooth(64, 96, 3), photometric="rgb", compression="jpeg")
    file.seek(0)
    with tifffile.TiffFile(file) as written:
        [page] = written.pages
        file.seek(page.dataoffsets[0])
        jpeg = file.read(page.databytecounts[0])
    whole = page_of(np.zeros((64, 96, 3), np.int64), 8, RGB) | {259: (3, [7]), "pieces": [jpeg]}
    assert decoded(tiff(whole)).shape == (64, 96, 3)
    assert reason(tiff(whole | {"pieces": [jpeg[: len(jpeg) // 2]]}))


def test_suspected_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = one(numbers(11, 10, 1), 8, BLACK_IS_ZERO)
    assert "could be decompression bomb" in reason(content)
    with pytest.raises(decoding.UnreadableImageError, match="could be decompression bomb"):
        decoding.size(io.BytesIO(content))


def test_directories_in_a_circle():
    content = bytearray(tiff(*pages(10, 20)))
    content[-4:] = content[4:8]
    with pytest.raises(decoding.UnreadableImageError, match="circle"):
        decoding.count(io.BytesIO(bytes(content)))


def test_damaged_directories():
    for content in (
        b"II*\0",
        b"II*\0\0\0\0\0",
        b"II*\0\xff\xff\xff\x7f",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"II+\0" + bytes(12),
    ):
        assert reason(content)
        with pytest.raises(decoding.UnreadableImageError):
            decoding.count(io.BytesIO(content))


LIBTIFF = {
    "1": ["raw", "tiff_lzw", "packbits", "group3", "group4", "tiff_ccitt"],
    "L": ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"],
    "LA": ["raw", "tiff_lzw"],
    "P": ["raw", "tiff_lzw"],
    "RGB": ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"],
    "RGBA": ["raw", "tiff_lzw", "tiff_adobe_deflate"],
    "CMYK": ["raw", "tiff_lzw"],
    "I;16": ["raw", "tiff_lzw", "tiff_adobe_deflate"],
}


@pytest.mark.parametrize(("mode", "compression"), [(mode, one_) for mode, some in LIBTIFF.items() for one_ in some])
def test_files_of_libtiff(mode, compression):
    channels = {"I;16": 1, "P": 1, "1": 1}.get(mode, len(mode))
    values = numbers(37, 53, channels, bits={"I;16": 16, "1": 1}.get(mode, 8))
    stored = values.astype({"I;16": "<u2", "1": bool}.get(mode, np.uint8))
    image = Image.fromarray(stored[:, :, 0]) if mode in ("1", "I;16") else None
    image = image or Image.frombytes(mode, (53, 37), stored.tobytes())
    expected = levels_of(values, {"I;16": 65535, "1": 1}.get(mode, 255))
    if mode == "P":
        palette = numbers(256, 3, seed=4)
        image.putpalette(palette.ravel().tolist())
        expected = palette[values[:, :, 0]]
    if mode == "CMYK":
        expected = np.rint((255 - values[:, :, :3]) * (255 - values[:, :, 3:]) / 255)
    file = io.BytesIO()
    image.save(file, "tiff", compression=compression)
    assert np.abs(decoded(file.getvalue()) - expected).max() <= (mode == "CMYK")


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr", "CMYK"])
def test_jpeg_in_files_of_libtiff(mode):
    values = smooth(64, 96, {"L": 1, "CMYK": 4}.get(mode, 3))
    file = io.BytesIO()
    Image.frombytes(mode, (96, 64), values.tobytes()).save(file, "tiff", compression="jpeg", quality=100)
    expected = values.astype(float)
    if mode == "YCbCr":
        expected = rgb_of(values)
    if mode == "CMYK":
        expected = (255 - expected[:, :, :3]) * (255 - expected[:, :, 3:]) / 255
    assert np.abs(decoded(file.getvalue()) - expected).max() < 7


def test_of_smaller_versions_only_the_largest_is_the_picture():
    """A program marked every page as a smaller version, as Pillow does where it is asked to mark the first."""
    pages = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (64, 64), "blue"), Image.new("RGB", (64, 64), "green")]
    for kept, count in ((pages[:2], 1), (pages, 2)):
        file = io.BytesIO()
        kept[0].save(file, "tiff", save_all=True, append_images=kept[1:], tiffinfo={254: 1})
        assert decoding.count(file) == count
        decoded = decoding.decode(file, page=0)
        assert (decoded.image.size, decoded.image.getpixel((0, 0))) == ((64, 64), (0, 0, 255))
        assert decoded.left_out == {"reduced-resolution pages": 1}
