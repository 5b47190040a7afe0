"""Grey, coloured and transparent data sets: found from the pictures, or stated; packed, read and shown as such."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganformer import plugins
from ganformer.config import Dataset, ImageSpec
from ganformer.data import images as data_images
from ganformer.data.dataset import Images
from ganformer.data.images import Traits, prepare
from ganformer.data.packing.pack import pack
from ganformer.data.packing.prepare import PROBED_IMAGES, Seen
from ganformer.training.samples import in_colours

FORMATS = plugins.names("ganformer.data.formats")
MODES = {"grey": "L", "colour": "RGB", "opaque": "RGBA", "transparent": "RGBA", "grey-opaque": "LA", "grey-clear": "LA"}


def drawn(kind: str, seed: int) -> Image.Image:
    """Return 8×8 noise of one of `MODES`."""
    random = np.random.default_rng(seed)
    mode = MODES[kind]
    pixels = random.integers(0, 256, (8, 8, len(mode)), np.uint8)
    if mode in ("LA", "RGBA"):
        pixels[:, :, -1] = 255
        if kind in ("transparent", "grey-clear"):
            pixels[2:5, 2:5, -1] = 100
    return Image.fromarray(pixels.squeeze(-1) if mode == "L" else pixels)


@pytest.fixture
def folder(tmp_path):
    """Make a folder of pictures of these kinds, in order."""

    def make(kinds, name="pictures"):
        path = tmp_path / name
        path.mkdir()
        for number, kind in enumerate(kinds):
            drawn(kind, number).save(path / f"{number:03d}.png")
        return path

    return make


def packed(path, out, **changes):
    given = {"source": {"kind": "folder", "path": str(path)}, "resolution": 8, **changes}
    return pack(Dataset.model_validate(given), out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "channels"),
    [
        (["grey"] * 3, 1),
        (["grey", "grey-opaque"], 1),
        (["grey", "grey-clear"], 1),  # on white
        (["colour"] * 3, 3),
        (["grey", "colour"], 3),
        (["opaque"] * 3, 3),
        (["opaque", "opaque", "transparent"], 4),
        (["grey-clear", "opaque"], 4),
        (["transparent", "colour"], 3),
        (["grey"] * 20 + ["colour"], 3),
        (["transparent"] * 20 + ["colour"], 3),
        (["transparent"] * 20 + ["grey"] + ["transparent"] * 3, 3),
        (["opaque"] * 20 + ["transparent"], 4),
        (["grey-clear"] * 20 + ["grey"] * 20, 1),
        (["grey-clear"] * 20 + ["grey"] * 20 + ["colour"], 3),
    ],
)
def test_channels_are_found(folder, tmp_path, monkeypatch, kinds, channels):
    monkeypatch.setattr("ganformer.data.packing.prepare.MAX_BATCH", 8)
    source = {"kind": "folder", "path": str(folder(kinds))}
    workers = 2 if len(kinds) > 20 else 1
    written = pack(Dataset.model_validate({"source": source, "resolution": 8}), tmp_path / "out", workers)
    assert (written.image.channels, written.count) == (channels, len(kinds))
    pixels = Images(tmp_path / "out").read(np.arange(len(kinds)))
    shape = ImageSpec(height=8, width=8, channels=channels)
    expected = [prepare(drawn(kind, number), shape) for number, kind in enumerate(kinds)]
    assert (pixels == np.stack(expected).transpose(0, 3, 1, 2)).all()


def test_a_transparent_colour_is_no_channel(tmp_path):
    """Pictures with a colour key, or GIFs, are laid on white, as on a page; opacity can be asked for."""
    folder = tmp_path / "keyed"
    folder.mkdir()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "a.png", transparency=(1, 2, 3))
    Image.new("P", (8, 8), 0).save(folder / "b.gif", transparency=0)
    assert packed(folder, tmp_path / "3").image.channels == 3
    assert (Images(tmp_path / "3").read(np.arange(2)) == 255).all()
    assert packed(folder, tmp_path / "4", channels=4).image.channels == 4
    assert (Images(tmp_path / "4").read(np.arange(2))[:, 3] == 0).all()


@given(st.lists(st.sampled_from([*map(Traits, range(4)), Traits(6), Traits(7)]), min_size=1, max_size=40))
@settings(deadline=None)
def test_no_order_of_pictures_leads_in_a_circle(traits):
    """Looking again and again, as packing does, ends at what the whole set has."""
    whole = Seen()
    for one in traits:
        whole.add(one)
    assert whole.count == len(traits)
    channels, attempts = 3, 0
    while attempts < 6:
        attempts += 1
        seen, found = Seen(), None
        for one in traits:
            seen.add(one)
            enough = attempts == 1 and seen.count == PROBED_IMAGES
            if not seen.may_become(channels) or (enough and seen.channels != channels):
                found = seen.channels
                break
        if found is None and seen.channels != channels:
            found = seen.channels
        if found is None:
            break
        channels = found
    assert channels == whole.channels
    assert attempts < 6


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["grey", "colour", "transparent"])
def test_channels_can_be_stated(folder, tmp_path, layout, channels, kind):
    written = packed(folder([kind] * 3), tmp_path / "out", channels=channels, format=layout)
    assert written.image.channels == channels
    pixels = Images(tmp_path / "out").read(np.arange(3))
    shape = ImageSpec(height=8, width=8, channels=channels)
    assert (pixels == np.stack([prepare(drawn(kind, i), shape) for i in range(3)]).transpose(0, 3, 1, 2)).all()


def test_channels_by_hand():
    """Grey is BT.601's luma, opacity is kept, or what is not opaque shows white."""
    one = Image.new("RGBA", (8, 8), (200, 100, 50, 51))
    of = {c: prepare(one, ImageSpec(height=8, width=8, channels=c))[0, 0].tolist() for c in (1, 3, 4)}
    on_white = [round(0.2 * value + 0.8 * 255) for value in (200, 100, 50)]
    assert of[4] == [200, 100, 50, 51]
    assert of[3] == on_white
    assert of[1] == [round(sum(np.array([0.299, 0.587, 0.114]) * on_white))]


def test_opacity_weighs_colours_when_they_are_resized():
    """Colours under fully transparent parts do not bleed into what is seen."""
    stored = np.zeros((16, 16, 4), np.uint8)
    stored[:, :8] = (255, 0, 0, 255)
    stored[:, 8:] = (0, 255, 0, 0)
    pixels = prepare(Image.fromarray(stored), ImageSpec(height=4, width=4, channels=4))
    assert (pixels[..., 1] == 0).all()
    assert (pixels[pixels[..., 3] > 0][:, 0] > 250).all()


@pytest.mark.parametrize("channels", [1, 4])
def test_letterbox_has_black_opaque_bars(channels):
    spec = ImageSpec(height=16, width=16, rows=8, channels=channels)
    pixels = prepare(Image.new("RGBA", (32, 16), "white"), spec)
    assert pixels.shape == (16, 16, channels)
    assert pixels[0, 0].tolist() == ([0] if channels == 1 else [0, 0, 0, 255])
    assert pixels[8, 8].tolist() == [255] * channels


@pytest.mark.parametrize("channels", [1, 4])
def test_pack_of_a_pack_keeps_its_channels(folder, tmp_path, channels):
    packed(folder(["transparent"] * 3), tmp_path / "first", channels=channels)
    again = Dataset.model_validate({"source": {"kind": "pack", "path": str(tmp_path / "first")}, "resolution": 8})
    written = pack(again, tmp_path / "second")
    assert written.image.channels == channels
    assert written.data_sha256 == Images(tmp_path / "first").digest


def test_scenes_can_be_grey(tmp_path):
    given = {"source": {"kind": "scenes", "images": 3}, "resolution": 16}
    colour = pack(Dataset.model_validate(given), tmp_path / "colour")
    grey = pack(Dataset.model_validate({**given, "channels": 1}), tmp_path / "grey")
    assert (colour.image.channels, grey.image.channels) == (3, 1)
    pixels = Images(tmp_path / "colour").read(np.arange(3)).transpose(0, 2, 3, 1)
    luma = [np.asarray(Image.fromarray(image).convert("L")) for image in pixels]
    assert (Images(tmp_path / "grey").read(np.arange(3))[:, 0] == np.stack(luma)).all()


def test_opacity_on_white_has_the_same_bits_everywhere():
    """Pillow's, which files go through, numpy's of figures, torch's of measures: for all colours and opacities."""
    colour, opacity = map(np.ravel, np.meshgrid(np.arange(256), np.arange(256)))
    stored = np.stack([colour, colour, 255 - colour, opacity], axis=-1).astype(np.uint8).reshape(256, 256, 4)
    expected = prepare(Image.fromarray(stored), ImageSpec(height=256, width=256))
    assert (data_images.in_colours(stored, axis=-1) == expected).all()
    found = in_colours(torch.from_numpy(stored).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert (found.numpy() == expected).all()


def test_floats_of_other_channels_become_colours():
    grey, opaque = torch.full((1, 1, 1, 1), -0.5), torch.tensor([0.5, -1.0, 0.0, 1.0]).view(1, 4, 1, 1)
    assert in_colours(grey).flatten().tolist() == [-0.5] * 3
    assert in_colours(opaque).flatten().tolist() == [0.5, -1, 0]
    clear = torch.cat([opaque[:, :3], torch.full((1, 1, 1, 1), -1.0)], dim=1)
    assert in_colours(clear).flatten().tolist() == [1, 1, 1]


def test_a_stated_number_is_not_any():
    for channels, mirror in itertools.product((2, 0), (True,)):
        with pytest.raises(ValueError, match="channels"):
            Dataset.model_validate({"source": {"kind": "scenes"}, "channels": channels, "mirror": mirror})
