"""Images come to a network's size exactly as in the code that published numbers come from."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.metrics import resizing
from tests.metrics.other_implementations import rival

SIZES = [(8, 8), (32, 32), (40, 24), (128, 96), (299, 299), (400, 310), (640, 200)]
PICTURES = [
    "food_thumbs/images/*.jpg",
    "nlvr/*.png",
    "clevr_samples/*.png",
    "coco_ccby/images/*.jpg",
    "odd_images/7x13.png",
]


def pillow(images, size=299):
    """Return every channel of images [n, C, H, W], as float, resized by Pillow and clipped."""
    resized = [
        [
            np.asarray(Image.fromarray(c.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
            for c in image
        ]
        for image in images
    ]
    return np.array(resized).clip(0, 255)


def noise(*shape):
    return np.random.RandomState(1).randint(0, 256, shape, np.uint8)


@pytest.fixture(params=PICTURES)
def picture(request, shared):
    """Provide one real image [1, 3, H, W]."""
    path = min((shared / "data").glob(request.param))
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).transpose(2, 0, 1)[None].copy()


# ---------------------------------------------------------------------------------------------------- clean-fid's


@pytest.mark.parametrize("size", SIZES)
def test_clean_is_pillows_bicubic_of_each_channel(size):
    images = noise(2, 3, *size)
    found = resizing.clean(torch.from_numpy(images), 299)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, pillow(images), rtol=0, atol=1e-4)


def test_clean_is_pillows_on_real_images(picture):
    np.testing.assert_allclose(resizing.clean(torch.from_numpy(picture), 299), pillow(picture), rtol=0, atol=1e-4)


def test_clean_is_clean_fids_on_real_images(picture):
    resizer = rival("cleanfid.resize", "clean-fid").build_resizer("clean")
    expected = resizer(picture[0].transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_allclose(resizing.clean(torch.from_numpy(picture), 299)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("resize", [resizing.clean, resizing.tensorflow])
@pytest.mark.parametrize("value", [0, 117, 255])
@pytest.mark.parametrize("size", [(8, 8), (299, 299), (500, 310)])
def test_one_colour_stays_one_colour(resize, value, size):
    images = torch.full((1, 3, *size), value, dtype=torch.uint8)
    torch.testing.assert_close(resize(images, 299), torch.full((1, 3, 299, 299), float(value)))


@pytest.mark.parametrize("resize", [resizing.clean, resizing.tensorflow])
def test_images_of_the_right_size_keep_their_pixels(resize):
    images = torch.from_numpy(noise(1, 3, 224, 224))
    assert torch.equal(resize(images, 224), images.float())


def test_clean_keeps_centres_of_pixels_in_place():
    # Away from the edges a ramp stays a ramp: pixel i of 64 lies at (i + 1/2) × 32/64 − 1/2.
    ramp = (7 * torch.arange(32)).to(torch.uint8).expand(1, 1, 32, 32)
    expected = 7 * ((torch.arange(64) + 0.5) / 2 - 0.5)
    torch.testing.assert_close(resizing.clean(ramp, 64)[0, 0, 20, 6:-6], expected[6:-6], rtol=0, atol=1e-4)


def test_clean_smooths_before_it_leaves_out_pixels():
    stripes = (255 * (torch.arange(1024) % 2)).to(torch.uint8).expand(1, 1, 1024, 1024)
    assert (resizing.clean(stripes, 64) - 127.5).abs().max() < 3
    assert set(resizing.tensorflow(stripes, 64).unique().tolist()) == {0}


def test_clean_clips_what_the_filter_overshoots():
    step = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    step[..., 8:] = 255
    found = resizing.clean(step, 64)
    assert (found.min(), found.max()) == (0, 255)
    wide = torch.nn.functional.interpolate(step.double(), (64, 64), mode="bicubic", antialias=True)
    assert wide.min() < -1
    assert wide.max() > 256


# ---------------------------------------------------------------------------------------------------- pytorch-fid's


def half_pixels(images, size=299):
    """Return images [n, C, H, W] of values in [0.

    1] resized by lines between the centres of pixels, first rows, then columns.

    Pixel i of the result lies at (i + 1/2) × in/out − 1/2; beyond the centres of the outermost pixels are their values.
    """
    x = images / 255.0
    for axis in (2, 3):
        length = x.shape[axis]
        place = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = np.floor(place).astype(int)
        high = (low + 1).clip(max=length - 1)
        part = (place - low).reshape((-1, 1) if axis == 2 else (-1,))
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


@pytest.mark.parametrize("size", SIZES)
def test_pytorch_fids_keeps_centres_of_pixels_in_place(size):
    images = noise(2, 3, *size)
    found = resizing.pytorch_fid(torch.from_numpy(images), 299)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, half_pixels(images), rtol=0, atol=1e-4)


def test_pytorch_fids_is_neither_of_the_others_on_real_images(picture):
    image = torch.from_numpy(picture)
    found = resizing.pytorch_fid(image, 299)
    np.testing.assert_allclose(found, half_pixels(picture), rtol=0, atol=1e-4)
    for other in (resizing.tensorflow, resizing.clean):
        assert (255 * found - other(image, 299)).abs().max() > 3


# ---------------------------------------------------------------------------------------------------- TensorFlow 1's


@pytest.mark.parametrize("size", [8, 32, 299, 512])
def test_tensorflows_pixel_lies_at_its_index_times_the_ratio(size):
    ramp = torch.arange(size, dtype=torch.float32)
    expected = (torch.arange(299) * size / 299).clamp(max=size - 1)
    rows = resizing.tensorflow(ramp[None, None, :, None].expand(1, 1, size, 4), 299)
    columns = resizing.tensorflow(ramp[None, None, None, :].expand(1, 1, 4, size), 299)
    torch.testing.assert_close(rows[0, 0], expected[:, None].expand(299, 299))
    torch.testing.assert_close(columns[0, 0], expected[None, :].expand(299, 299))


@pytest.mark.parametrize("size", [224, 299])
def test_tensorflows_is_torch_fidelitys_on_real_images(picture, size):
    rival("torch_fidelity", "torch-fidelity")
    other = importlib.import_module("torch_fidelity.interpolate_compat_tensorflow")
    images = torch.from_numpy(picture)
    expected = other.interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(size, size), align_corners=False)
    torch.testing.assert_close(resizing.tensorflow(images, size), expected, rtol=0, atol=1e-4)
