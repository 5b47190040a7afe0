"""Oxford flowers: photos of 102 classes (Nilsback & Zisserman 2008, Automated flower classification)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, open_images
from ganformer.data.fetching.download import Remote
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

ROOT = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
ARCHIVE, LABELS = "102flowers.tgz", "imagelabels.mat"


EDITIONS = {
    "original": Edition(
        counts=(8_189,),
        files=(
            Remote(
                ARCHIVE,
                (f"{ROOT}/{ARCHIVE}",),
                size=344_862_509,
                md5="52808999861908f626f3c1f4e79d11fa",
                sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            ),
            Remote(
                LABELS,
                (f"{ROOT}/{LABELS}",),
                size=502,
                md5="e0620be6f572b9609742df49c70aed4d",
                sha256="4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            ),
        ),
    )
}
"""Checksums: torchvision (md5), TensorFlow Datasets (sha256)."""


class Config(Catalogued):
    """8,189 flowers of 102 classes, of all splits."""

    kind: Literal["flowers"] = "flowers"

    title = "Oxford flowers (102 categories)"
    home = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    licence = (
        "Licence: its publishers name none (https://www.robots.ox.ac.uk/~vgg/data/flowers/102/), and ask that their "
        "paper is cited. The photos come from the web; do not take it for granted that you may use them commercially."
    )
    editions = EDITIONS
    classes = 102

    edition: Literal["original"] = "original"
    """All images; the splits are left aside."""

    @property
    def container(self) -> Source:
        """The archive as it is, or the folder it was unpacked in."""
        return self.archive_or_folder(ARCHIVE, "jpg")

    @property
    def labels(self) -> Path:
        """The file of labels, beside the images."""
        return (self.place.parent if self.place.is_file() else self.place) / LABELS


_NUMBER = re.compile(r"(?:.*/)?image_(\d{5})\.jpg")


class Flowers(Published):
    """Images of a container, with their labels."""

    def __init__(self, images: ImageSource[Any], labels: NDArray[np.int64]) -> None:
        super().__init__(images, Config.classes)
        self.labels = labels

    def load(self, keys: Sequence[Any]) -> Iterator[Sample | Rejection]:
        for image in super().load(keys):
            yield image if isinstance(image, Rejection) else replace(image, label=self._label(image.name))

    def _label(self, name: str) -> int | None:
        match = _NUMBER.fullmatch(name)
        number = int(match[1]) if match else 0
        return int(self.labels[number - 1]) if 0 < number <= len(self.labels) else None


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images, with labels if the pack has classes; DataError if images or labels are missing."""
    images = open_images(config, image)
    return Flowers(images.images, _labels(config.labels)) if image.classes else images


def _labels(path: Path) -> NDArray[np.int64]:
    """Return number of the class of each image, from 0."""
    if not path.is_file():
        raise DataError(f"{path}: the labels of the flowers are missing; download {ROOT}/{LABELS} and put it there")
    try:
        labels = np.asarray(scipy.io.loadmat(path)["labels"], np.int64).ravel() - 1
    except (MatReadError, ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        raise DataError(f"{path}: holds no labels ({error}); download {ROOT}/{LABELS} again") from error
    if not len(labels) or not 0 <= labels.min() <= labels.max() < Config.classes:
        raise DataError(f"{path}: not all labels are from 1 to {Config.classes}; download {ROOT}/{LABELS} again")
    return labels
