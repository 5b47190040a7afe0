"""CIFAR-10: small photos of ten classes (Krizhevsky 2009, Learning multiple layers of features from tiny images)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, check_count, check_downloaded
from ganformer.data.fetching.download import Remote
from ganformer.data.images import read_array
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.data.sources import folder
from ganformer.errors import DataError

FOLDER = "cifar-10-batches-bin"
BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
RECORD = 1 + 3 * 32 * 32  # number of the class, then red, green and blue, each row by row
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

EDITIONS = {
    "original": Edition(
        counts=(50_000,),
        files=(
            Remote(
                "cifar-10-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                size=170_052_171,
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        is_unpacked=True,
    )
}
"""Checksums: its page (md5), TensorFlow Datasets (sha256)."""


class Config(Catalogued):
    """The 50,000 training images, 32×32 pixels of ten classes, from the binary version."""

    kind: Literal["cifar10"] = "cifar10"

    title = "CIFAR-10"
    home = "https://www.cs.toronto.edu/~kriz/cifar.html"
    licence = (
        "Licence: its publishers name none (https://www.cs.toronto.edu/~kriz/cifar.html), and ask that their report is "
        "cited. The photos come from the web; do not take it for granted that you may use them commercially."
    )
    editions = EDITIONS
    classes = len(CLASSES)

    edition: Literal["original"] = "original"
    """The training images."""

    @property
    def container(self) -> folder.Config:
        """The folder of the batches."""
        inner = self.place / FOLDER
        return folder.Config(kind="folder", path=inner if inner.is_dir() else self.place)


class Batches(ImageSource[int]):
    """A key is the number of an image, through all batches."""

    def __init__(self, folder: Path, image: ImageSpec) -> None:
        self.folder, self.image = folder, image

    def __reduce__(self) -> tuple[type["Batches"], tuple[Path, ImageSpec]]:
        return Batches, (self.folder, self.image)

    @cached_property
    def records(self) -> tuple[NDArray[np.uint8], ...]:
        """Bytes [images, 1 + 3072] of each batch, mapped. Raises DataError if a file is missing or cut off."""
        return tuple(_records(self.folder / name) for name in BATCHES)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Number of images up to the end of each batch."""
        return np.cumsum([len(records) for records in self.records])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def keys(self) -> Iterator[int]:
        return iter(range(len(self)))

    def load(self, keys: Sequence[int]) -> Iterator[Sample | Rejection]:
        for key in keys:
            batch = int(np.searchsorted(self.ends, key, side="right"))
            records = self.records[batch]
            number = key - int(self.ends[batch]) + len(records)
            label, pixels = int(records[number, 0]), records[number, 1:].reshape(3, 32, 32)
            name = f"{BATCHES[batch]}[{number}]"
            if label < len(CLASSES):
                yield Sample.of(name, read_array(pixels.transpose(1, 2, 0), self.image), label)
            else:
                yield Rejection(name, f"its label {label} is none of the {len(CLASSES)} classes")


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if batches are missing or cut off."""
    check_downloaded(config)
    place = config.container.path
    missing = [name for name in BATCHES if not (place / name).is_file()]
    if missing:
        raise DataError(
            f"{place}: {', '.join(missing)} missing; unpack cifar-10-binary.tar.gz of {config.home} there, or correct "
            "the source's path"
        )
    batches = Batches(place, image)
    check_count(config, batches)
    return Published(batches, config.classes, CLASSES)


def _records(path: Path) -> NDArray[np.uint8]:
    size = path.stat().st_size
    if not size or size % RECORD:
        raise DataError(f"{path}: {size:,} bytes are no whole number of images, {RECORD:,} each; unpack it again")
    return np.memmap(path, np.uint8, "r").reshape(-1, RECORD)
