"""PNGs of all kinds, written chunk by chunk: their pixels follow from the numbers by what the chunks say."""

import io
import itertools
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ganformer.data import decoding
from tests.data.decoding.picture_writers import (
    SRGB_CURVE,
    chunk,
    decoded,
    exif,
    left_out,
    levels_of,
    numbers,
    png,
    profile,
    reason,
    shown,
)

GREY, RGB, PALETTE, GREY_OPACITY, RGB_OPACITY = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_OPACITY: 2, RGB_OPACITY: 4}
KINDS = [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16)]
KINDS += [(GREY_OPACITY, 8), (GREY_OPACITY, 16), (RGB_OPACITY, 8), (RGB_OPACITY, 16)]
SIZES = [(1, 1), (3, 2), (13, 21)]


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_levels(colour, bits, size, is_interlaced):
    values = numbers(*size, CHANNELS[colour], bits=bits)
    content = png(values, bits, colour, is_interlaced=is_interlaced)
    assert (decoded(content) == levels_of(values, 2**bits - 1)).all()


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparency", ["none", "one", "some", "opaque"])
def test_palette(bits, transparency, is_interlaced):
    values, palette = numbers(13, 21, 1, bits=bits), numbers(2**bits, 3, seed=1)
    chunks = [(b"PLTE", bytes(palette.ravel().tolist()))]
    opacity = {"one": [255, 0], "some": [7, 200], "opaque": [255, 255], "none": []}[transparency]
    if opacity:
        chunks.append((b"tRNS", bytes(opacity)))
    found = decoded(png(values, bits, PALETTE, chunks, is_interlaced=is_interlaced))
    assert (found[:, :, :3] == palette[values[:, :, 0]]).all()
    assert found.shape[2] == (4 if transparency in ("one", "some") else 3)
    if found.shape[2] == 4:
        whole = np.array([*opacity, *[255] * 256])
        assert (found[:, :, 3] == whole[values[:, :, 0]]).all()


@pytest.mark.parametrize("opacity", [[], [9, 255]])
def test_palette_of_greys_gives_greys(opacity):
    values, palette = numbers(5, 6, 1, bits=4), np.repeat(numbers(16, 1), 3, axis=1)
    chunks = [(b"PLTE", bytes(palette.ravel().tolist())), *([(b"tRNS", bytes(opacity))] if opacity else [])]
    found = decoded(png(values, 4, PALETTE, chunks))
    assert found.shape == (5, 6, 2 if opacity else 1)
    assert (found[:, :, 0] == palette[values[:, :, 0], 0]).all()


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour", "bits"), [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16)]
)
def test_key(colour, bits, is_interlaced):
    """The key is one of the greys or colours that are there, in the depth of the file; others near it are opaque."""
    values = numbers(13, 21, CHANNELS[colour], bits=bits)
    key = values[4, 4]
    values[5] = key
    values[6] = key ^ 1  # one step off, by the lowest bit
    content = png(values, bits, colour, [(b"tRNS", struct.pack(f">{len(key)}H", *key))], is_interlaced=is_interlaced)
    found = decoded(content)
    assert (found[:, :, :-1] == levels_of(values, 2**bits - 1)).all()
    assert (found[:, :, -1] == np.where((values == key).all(axis=2), 0, 255)).all()


def test_keys_of_the_report():
    for bits, key, level in ((8, 119, 119), (4, 7, 119), (2, 1, 85)):
        content = png(np.full((8, 8, 1), key), bits, GREY, [(b"tRNS", struct.pack(">H", key))])
        assert (decoded(content) == [level, 0]).all()
    for value, opacity in ((0x1234, 0), (0x3400, 255)):
        content = png(np.full((8, 8, 3), value), 16, RGB, [(b"tRNS", struct.pack(">3H", *[0x1234] * 3))])
        assert (decoded(content)[:, :, 3] == opacity).all()


def test_only_the_bits_of_a_key_count_that_there_are():
    content = png(np.full((2, 2, 1), 3), 4, GREY, [(b"tRNS", struct.pack(">H", 0xFFF3))])
    assert (decoded(content) == [51, 0]).all()


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0\0\0"])
def test_key_of_another_length_is_none(content):
    assert decoded(png(numbers(2, 2, 1, bits=16), 16, GREY, [(b"tRNS", content)])).shape == (2, 2, 1)


# Colour spaces, by the order of precedence in section 4.3

LINEAR = struct.pack(">I", 100_000)
SRGB_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


def iccp(curve, space=b"RGB "):
    return b"iCCP", b"sRGB\0\0" + zlib.compress(profile(curve, space, name="sRGB of a kind"))


def cicp(primaries, transfer, matrix=0, is_full=1):
    return b"cICP", bytes([primaries, transfer, matrix, is_full])


@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[1] >= 8])
@pytest.mark.parametrize("way", ["gamma", "profile", "code points"])
def test_linear_light(colour, bits, way):
    values = numbers(9, 11, CHANNELS[colour], bits=bits)
    has_colours = colour in (RGB, RGB_OPACITY)
    ways = {"gamma": (b"gAMA", LINEAR), "profile": iccp(1.0, b"RGB " if has_colours else b"GRAY")}
    chunks = [ways.get(way, cicp(1, 8))]
    channels = 3 if has_colours else 1
    found, exact = decoded(png(values, bits, colour, chunks)), shown(values[:, :, :channels] / (2**bits - 1))
    bound = 0.51 if way != "profile" else 0.55 if bits == 16 else 1.01  # a profile's primaries are rounded
    assert np.abs(found[:, :, :channels] - exact).max() < bound
    assert (found[:, :, channels:] == levels_of(values[:, :, channels:], 2**bits - 1)).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("way", ["gamma", "profile"])
def test_grey_with_a_key_in_linear_light(bits, way):
    value = 100 if bits == 8 else 25700
    chunks = [(b"gAMA", LINEAR) if way == "gamma" else iccp(1.0, b"GRAY"), (b"tRNS", struct.pack(">H", 3))]
    assert (decoded(png(np.full((2, 2, 1), value), bits, GREY, chunks)) == [168, 255]).all()


@pytest.mark.parametrize("way", [(b"gAMA", LINEAR), iccp(1.0)])
def test_palette_in_linear_light(way):
    chunks = [way, (b"PLTE", bytes([100, 0, 100, 255, 100, 0])), (b"tRNS", b"\x09")]
    found = decoded(png(np.array([[[0], [1]]]), 1, PALETTE, chunks))
    assert np.abs(found[0] - [[168.0, 0, 168, 9], [255, 168, 0, 255]]).max() <= 1


def test_palette_of_greys_in_linear_light():
    """Profiles of palettes are of colours, whatever is in the palette."""
    for way in ((b"gAMA", LINEAR), iccp(1.0)):
        chunks = [way, (b"PLTE", bytes([100] * 3 + [0] * 3)), (b"tRNS", b"\x09")]
        found = decoded(png(np.array([[[0], [1]]]), 1, PALETTE, chunks))
        assert np.abs(found[0] - [[168.0, 9], [0, 255]]).max() <= 1


def test_dark_colours_of_16_bits():
    for value in (255, 511, 1023):
        exact = shown(value / 65535)
        found = decoded(png(np.full((8, 8, 3), value), 16, RGB, [iccp(1.0)]))
        assert np.abs(found - exact).max() <= 0.51


@pytest.mark.parametrize("gamma", [45455, 45454, 45000, 45900])
@pytest.mark.parametrize("chromaticities", [None, SRGB_CHROMATICITIES])
def test_usual_gamma_changes_nothing(gamma, chromaticities):
    values = numbers(9, 11, 3)
    chunks = [(b"gAMA", struct.pack(">I", gamma))]
    chunks += [(b"cHRM", chromaticities)] if chromaticities else []
    assert (decoded(png(values, 8, RGB, chunks)) == values).all()


@pytest.mark.parametrize("gamma", [55556, 100_000, 30_000])
def test_gamma(gamma):
    values = numbers(9, 11, 3)
    exact = shown((values / 255) ** (100_000 / gamma))
    assert np.abs(decoded(png(values, 8, RGB, [(b"gAMA", struct.pack(">I", gamma))])) - exact).max() < 0.51


def to_xyz(primaries, white=(0.3127, 0.3290)):
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(primaries[::2], primaries[1::2], strict=True)]).T
    x, y = white
    return columns @ np.diag(np.linalg.inv(columns) @ [x / y, 1, (1 - x - y) / y])


def in_srgb(light, primaries):
    """Return light of other primaries of the same white in sRGB."""
    matrix = np.linalg.inv(to_xyz((0.64, 0.33, 0.30, 0.60, 0.15, 0.06))) @ to_xyz(primaries)
    return shown(light @ matrix.T)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("primaries", [P3, BT2020])
def test_chromaticities_with_gamma(primaries, bits):
    values = numbers(9, 11, 3, bits=bits)
    points = struct.pack(">8I", *(round(100_000 * value) for value in (0.3127, 0.3290, *primaries)))
    found = decoded(png(values, bits, RGB, [(b"gAMA", LINEAR), (b"cHRM", points)]))
    assert np.abs(found - in_srgb(values / (2**bits - 1), primaries)).max() < 0.51
    alone = decoded(png(values, bits, RGB, [(b"cHRM", points)]))
    assert (alone == levels_of(values, 2**bits - 1)).all()


def test_white_stays_white_under_another_light():
    points = struct.pack(">8I", 34570, 35850, 64000, 33000, 30000, 60000, 15000, 6000)
    chunks = [(b"gAMA", LINEAR), (b"cHRM", points)]
    assert (decoded(png(np.full((2, 2, 3), 255), 8, RGB, chunks)) == 255).all()
    assert np.ptp(decoded(png(np.full((2, 2, 3), 100), 8, RGB, chunks))) <= 1


def from_srgb(levels):
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def from_camera(levels):
    return np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("points", "primaries", "to_light"),
    [
        ((12, 13), P3, from_srgb),
        ((9, 13), BT2020, from_srgb),
        ((9, 8), BT2020, lambda levels: levels),
        ((1, 1), None, from_camera),
        ((9, 14), BT2020, from_camera),
        ((1, 4), None, lambda levels: levels**2.2),
        ((1, 5), None, lambda levels: levels**2.8),
    ],
)
def test_code_points(points, primaries, to_light, bits):
    values = numbers(9, 11, 3, bits=bits)
    light = to_light(values / (2**bits - 1))
    exact = shown(light) if primaries is None else in_srgb(light, primaries)
    assert np.abs(decoded(png(values, bits, RGB, [cicp(*points)])) - exact).max() < 0.75


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("points", "words"),
    [
        ((9, 16), "PQ"),
        ((9, 18), "HLG"),
        ((1, 9), "number 9 of H.273"),
        ((99, 13), "primaries are number 99"),
        ((1, 13, 1), "a matrix"),
        ((1, 13, 0, 0), "a narrow range"),
    ],
)
def test_code_points_that_are_not_read(points, words, bits):
    assert words in reason(png(numbers(2, 2, 3, bits=bits), bits, RGB, [cicp(*points)]))


@pytest.mark.parametrize("bits", [8, 16])
def test_precedence(bits):
    """Each chunk says another thing about 100; the first in the order of precedence counts."""
    value = 100 * (2 ** (bits - 8) + (bits == 16))
    order = [
        (cicp(1, 5), shown((100 / 255) ** 2.8)),
        (iccp(1.0), 168),
        ((b"sRGB", b"\0"), 100),
        ((b"gAMA", LINEAR), 168),
    ]
    for count in range(1, 5):
        for some in itertools.combinations(order, count):
            chunks = [one for one, _ in some]
            found = decoded(png(np.full((2, 2, 3), value), bits, RGB, chunks))
            assert np.abs(found - some[0][1]).max() <= 0.75, chunks
    unspecified = [cicp(2, 2), (b"gAMA", LINEAR)]
    assert (decoded(png(np.full((2, 2, 3), value), bits, RGB, unspecified)) == 168).all()


def test_gamma_and_chromaticities_that_are_none():
    assert (decoded(png(np.full((2, 2, 3), 100), 8, RGB, [(b"gAMA", bytes(4))])) == 100).all()
    chunks = [(b"gAMA", LINEAR), (b"cHRM", bytes(32))]
    assert (decoded(png(np.full((2, 2, 3), 100), 8, RGB, chunks)) == 168).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_profile_that_changes_nothing(bits):
    values = numbers(9, 11, 3, bits=bits)
    assert (decoded(png(values, bits, RGB, [iccp(SRGB_CURVE)])) == levels_of(values, 2**bits - 1)).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_behind", [False, True])
def test_orientation(orientation, is_behind, bits):
    values = numbers(3, 5, 3, bits=bits)
    stored = levels_of(values, 2**bits - 1)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    turned = [(b"eXIf", exif(orientation))]
    content = png(values, bits, RGB, **({"after": turned} if is_behind else {"chunks": turned}))
    assert (decoded(content) == upright).all()


@pytest.mark.parametrize("is_first", [False, True])
def test_animation(is_first):
    """The picture that viewers without animations show, which may be none of the frames."""
    values = numbers(3, 5, 3)
    control = (b"fcTL", struct.pack(">5IHHBB", 0, 5, 3, 0, 0, 1, 10, 0, 0))
    second = [(b"fcTL", struct.pack(">5IHHBB", 1, 5, 3, 0, 0, 1, 10, 0, 0))]
    second.append((b"fdAT", struct.pack(">I", 2) + zlib.compress(bytes(3 * 16))))
    frames = (b"acTL", struct.pack(">II", 2 if is_first else 1, 0))
    content = png(values, 8, RGB, [frames, *([control] if is_first else [])], second)
    assert (decoded(content) == values).all()
    assert left_out(content) == {"further frames of animations": 1}


def test_limits_of_12_bits_in_16():
    values = numbers(9, 11, 2, bits=12)
    found = decoded(png(values, 16, GREY_OPACITY), limits=(0, 4095))
    assert (found[:, :, :1] == levels_of(values[:, :, :1], 4095)).all()
    assert (found[:, :, 1:] == levels_of(values[:, :, 1:], 65535)).all()
    assert "not within the limits" in reason(png(numbers(2, 2, 1, bits=16), 16), limits=(0, 4095))
    linear = decoded(png(values[:, :, :1], 16, GREY, [(b"gAMA", LINEAR)]), limits=(0, 4095))
    assert np.abs(linear - shown(values[:, :, :1] / 4095)).max() < 0.6


def test_limits_are_not_for_8_bits():
    assert (decoded(png(np.full((2, 2, 1), 100)), limits=(0, 4095)) == 100).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_damaged(bits):
    good = png(numbers(20, 30, 3, bits=bits), bits, RGB)
    for cut in range(1, len(good) - 12, 37):
        assert reason(good[:cut])
    place = good.index(b"IDAT")
    for damaged in (16, 20, place + 40, place + 4):
        assert reason(good[:damaged] + bytes([good[damaged] ^ 1]) + good[damaged + 1 :])


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (13, 21), (1, 3), (5, 1)])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_too_few_rows(colour, bits, size, is_interlaced):
    """Black pictures are read, and those of which the last row is missing are refused."""
    content = png(np.zeros((*size, CHANNELS[colour]), np.int64), bits, colour, is_interlaced=is_interlaced)
    assert decoded(content).shape == (*size, CHANNELS[colour])
    place = content.index(b"IDAT")
    rows = zlib.decompress(content[place + 4 :])
    short = chunk(b"IDAT", zlib.compress(rows[:-2])) + chunk(b"IEND", b"")
    assert reason(content[: place - 4] + short)


@pytest.mark.parametrize(("colour", "bits"), [(1, 8), (RGB, 4), (PALETTE, 16), (GREY, 3), (7, 8)])
def test_depths_that_there_are_not(colour, bits):
    content = png(numbers(2, 2, 1), 8)
    header = struct.pack(">IIBBBBB", 2, 2, bits, colour, 0, 0, 0)
    assert f"no {bits} bits" in reason(content[:8] + chunk(b"IHDR", header) + content[33:])


def test_suspected_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for bits in (8, 16):
        content = png(numbers(11, 10, 1, bits=bits), bits)
        assert "could be decompression bomb" in reason(content)
        with pytest.raises(decoding.UnreadableImageError, match="could be decompression bomb"):
            decoding.size(io.BytesIO(content))


def test_texts_that_unpack_to_too_much():
    text = b"a\0\0" + zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
    for bits in (8, 16):
        assert "too large" in reason(png(numbers(2, 2, 1, bits=bits), bits, chunks=[(b"zTXt", text)]))


def test_chunks_that_say_nothing_here():
    chunks = [(b"sBIT", b"\5"), (b"bKGD", b"\0\3"), (b"pHYs", bytes(9)), (b"tEXt", b"a\0b"), (b"quIt", b"x" * 99)]
    values = numbers(5, 6, 1)
    assert (decoded(png(values, chunks=chunks)) == values).all()


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (imagecodecs.PngError("a chunk is too short"), ": a chunk is too short"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "no text"), ""),
    ],
)
def test_what_libpng_says_of_damage_is_told_where_it_can_be_read(monkeypatch, error, end):
    def fail(content):
        raise error

    content = imagecodecs.png_encode(np.zeros((4, 5, 3), np.uint16))
    monkeypatch.setattr(imagecodecs, "png_decode", fail)
    assert reason(content) == f"is a damaged or truncated PNG{end}"
