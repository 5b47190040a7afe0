"""Pictures of noise, each with a number, by which a test tells which of them a source gave."""

import io

import numpy as np
from PIL import Image

from ganformer.config import ImageSpec
from ganformer.data.images import read_image
from ganformer.data.source import Sample

IMAGE = ImageSpec(height=8, width=8)


def encoded(number, kind="png"):
    """Return an encoded picture, 10 wide and 9 high."""
    noise = np.random.default_rng(number).integers(0, 256, (9, 10, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


NOISE = {number: read_image(io.BytesIO(encoded(number)), IMAGE).pixels for number in range(12)}


def loaded(source):
    """Return all samples and rejections of a source."""
    return list(source.load(list(source.keys())))


def shown(source):
    """Return number of the noise that each picture is and its label, by name."""
    return {sample.name: (which(sample), sample.label) for sample in loaded(source)}


def which(sample):
    """Return number of the noise that a picture is, where it is a PNG of exactly one."""
    assert isinstance(sample, Sample), sample
    (number,) = (number for number, pixels in NOISE.items() if (pixels == sample.pixels).all())
    return number
