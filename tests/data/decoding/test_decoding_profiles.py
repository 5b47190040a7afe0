"""ICC profiles of curves that are known: what they convert to follows from the curve."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from ganformer.data.decoding import decode, profiles
from tests.data.decoding.picture_writers import SRGB_CURVE, parametric, profile, shown

NAMES = ["linear light", "sRGB-elle-V2-g10.icc", "sRGB IEC61966-2.1"]


def sampled(function, count=1024):
    """Return a curve as a table."""
    values = np.rint(function(np.linspace(0, 1, count)) * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", count) + values.tobytes()


CURVES = {  # the element of the profile, and light by level
    "identity": (b"curv" + bytes(8), lambda levels: levels),
    "linear": (1.0, lambda levels: levels),
    "gamma 1.8": (1.8, lambda levels: levels ** (461 / 256)),
    "gamma 2.2": (2.2, lambda levels: levels ** (563 / 256)),
    "parametric": (parametric(1.5), lambda levels: levels**1.5),
    "parametric with a straight part": (
        parametric(3, 1 / 1.16, 0.16 / 1.16, 2700 / 24389, 0.08),  # that of L*
        lambda levels: np.where(levels > 0.08, ((levels + 0.16) / 1.16) ** 3, levels * 2700 / 24389),
    ),
    "table": (sampled(lambda levels: levels**1.7), lambda levels: levels**1.7),
}


def pictures():
    """Yield modes of 8 bits with samples, the profile's space, and the place of their opacity."""
    random = np.random.default_rng(0)
    for mode, channels in (("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)):
        values = random.integers(0, 256, (16, 16, channels), np.uint8)
        yield pytest.param(mode, values, b"GRAY" if channels < 3 else b"RGB ", id=mode)


def saved(values, mode, icc, format_="png"):
    file = io.BytesIO()
    image = Image.fromarray(values[:, :, 0] if mode == "L" else values)
    image.save(file, format_, icc_profile=icc, **({"lossless": True, "exact": True} if format_ == "webp" else {}))
    return file


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("mode", "values", "space"), list(pictures()))
def test_curve(mode, values, space, curve, name, version):
    element, to_light = CURVES[curve]
    icc = profile(element, space, name, version)
    found = decode(saved(values, mode, icc)).image
    assert found.mode == mode
    channels = 1 if mode[0] == "L" else 3
    levels = np.asarray(found).reshape(16, 16, -1)
    assert np.abs(levels[:, :, :channels] - shown(to_light(values[:, :, :channels] / 255))).max() < 1.05
    assert (levels[:, :, channels:] == values[:, :, channels:]).all()


@pytest.mark.parametrize("format_", ["png", "webp", "tiff", "jpeg"])
def test_other_formats(format_):
    icc = profile(1.0)
    found = decode(saved(np.full((8, 8, 3), 100, np.uint8), "RGB", icc, format_)).image
    assert np.abs(np.asarray(found) - 168.0).max() <= 1


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize(("mode", "values", "space"), list(pictures()))
def test_profile_of_srgb_changes_nothing_whatever_its_name(mode, values, space, version):
    icc = profile(SRGB_CURVE, space, "not called so", version)
    assert (np.asarray(decode(saved(values, mode, icc)).image).reshape(values.shape) == values).all()


def test_profile_that_changes_white_alone():
    def to_light(levels):
        srgb = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        return np.where(levels == 1, 0.8, srgb)

    values = np.full((8, 8, 3), 255, np.uint8)
    found = np.asarray(decode(saved(values, "RGB", profile(sampled(to_light, count=256)))).image)
    assert np.abs(found - shown(0.8)).max() < 1.05


def test_profile_of_pillow_changes_nothing():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert (np.asarray(decode(saved(values, "RGB", icc)).image) == values).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "icc", [b"rubbish", b"x" * 200, profile(1.0)[:200], profile(1.0)[:128] + bytes(400), profile(1.0, b"CMYK")]
)
def test_damaged_profile_is_left_aside(icc, mode):
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3 if mode == "RGB" else 1), np.uint8)
    assert (np.asarray(decode(saved(values, mode, icc)).image).reshape(values.shape) == values).all()


@pytest.mark.parametrize(("mode", "space"), [("L", b"RGB "), ("LA", b"RGB "), ("RGB", b"GRAY"), ("RGBA", b"GRAY")])
def test_profile_of_another_kind_of_picture_is_left_aside(mode, space):
    values = np.random.default_rng(0).integers(0, 256, (8, 8, {"L": 1, "LA": 2}.get(mode, len(mode))), np.uint8)
    icc = profile(1.0, space)
    assert (np.asarray(decode(saved(values, mode, icc)).image).reshape(values.shape) == values).all()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 500))
def test_profile_of_any_bytes(some, place):
    icc = bytearray(profile(1.0))
    icc[place : place + len(some)] = some
    assert decode(saved(np.full((2, 2, 3), 100, np.uint8), "RGB", bytes(icc))).image.mode == "RGB"


def test_table_of_inks():
    """A profile of inks that is a table: two steps of each ink, with the L* of what black lets through."""
    icc = inks()
    image = Image.new("CMYK", (4, 4), (0, 0, 0, 255))
    assert np.asarray(profiles.convert(image, icc)).max() <= 1
    assert np.asarray(profiles.convert(Image.new("CMYK", (4, 4)), icc)).min() >= 254
    deep = profiles.convert_deep(np.full((4, 4, 4), [0, 0, 0, 65535], np.uint16), icc)
    assert deep.shape == (4, 4, 3)
    assert deep.max() < 300
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 0, 0, 128)).save(file, "jpeg", icc_profile=icc)
    assert np.abs(np.asarray(decode(file).image) - 118.0).max() <= 3  # L* of about 50
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 0, 0, 128)).save(file, "tiff", icc_profile=icc)
    assert np.abs(np.asarray(decode(file).image) - 118.0).max() <= 3


def inks():
    """Return a profile of CMYK of which only black counts: an A2B0 of type mft1 (ICC.1:2022, section 10.11)."""
    grid = b"".join(bytes([255 * (not number & 1), 128, 128]) for number in range(16))
    line = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + line * 4 + grid + line * 3
    icc = bytearray(profile(1.0, b"CMYK"))
    icc[12:16], icc[20:24] = b"prtr", b"Lab "
    icc += bytes(-len(icc) % 4)
    place = 132
    for number in range(struct.unpack_from(">I", icc, 128)[0]):
        if icc[place + 12 * number : place + 12 * number + 4] == b"rTRC":
            struct.pack_into(">4sII", icc, place + 12 * number, b"A2B0", len(icc), len(table))
    icc += table + bytes(-len(table) % 4)
    icc[:4] = struct.pack(">I", len(icc))
    return bytes(icc)


def test_conversions_are_made_once(monkeypatch):
    made = []
    build = ImageCms.buildTransform

    def counted(*arguments, **options):
        made.append(arguments)
        return build(*arguments, **options)

    monkeypatch.setattr(ImageCms, "buildTransform", counted)
    for mode, space in (("RGB", b"RGB "), ("L", b"GRAY")):
        made.clear()
        icc = profile(1.23, space)
        values = np.full((4, 4, 3 if mode == "RGB" else 1), 100, np.uint8)
        for _ in range(5):
            decode(saved(values, mode, bytes(icc)))
        assert len(made) == 1
