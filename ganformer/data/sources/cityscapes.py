"""Cityscapes: streets of 50 cities (Cordts et al. 2016, The Cityscapes dataset)."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from ganformer.config import ImageSpec, Source
from ganformer.data.catalogue import (
    Catalogued,
    Edition,
    Published,
    check_count,
    check_downloaded,
    open_images,
)
from ganformer.data.download import Remote
from ganformer.data.source import ImageSource
from ganformer.data.sources import folder, tfrecords
from ganformer.errors import DataError

TRAINVALTEST, TRAINEXTRA = "leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip"
SPLITS = {
    "train": (2_975, TRAINVALTEST),
    "val": (500, TRAINVALTEST),
    "test": (1_525, TRAINVALTEST),
    "train_extra": (19_998, TRAINEXTRA),
}
"""Number of images of each split, and the archive it comes in."""

EDITIONS = {
    "tfrecords": Edition(
        counts=(24_998, 25_000),
        files=(
            Remote(
                "cityscapes.zip",
                ("gdrive:1t9Qhxm0iHFd3k-xTYEbKosSx_DkyoLLJ",),
                md5="953d231046275120dc1f73a5aebc9087",
            ),
        ),
        is_unpacked=True,
        remark="These are copies made by GANformer's author, 256×256 pixels with black bars above and below a picture "
        "of 1:2. The licence of Cityscapes binds you all the same, so register with it first.",
    ),
    "original": Edition(
        counts=(sum(count for count, _ in SPLITS.values()),),
        by_hand=f"Register at https://www.cityscapes-dataset.com, download {TRAINVALTEST} and {TRAINEXTRA}, and unpack "
        "both into one folder.",
    ),
}
"""The checksum is that of dorarad/gansformer; of the TFRecords its README counts 24,998, its code 25,000."""

_IMAGE = re.compile(rf"(?:.*/)?({'|'.join(SPLITS)})/[^/]+/[^/]+_leftImg8bit\.png")


class Config(Catalogued):
    """Images of the left camera, of all splits: the author's TFRecords, or the originals, which need a login."""

    title = "Cityscapes"
    home = "https://www.cityscapes-dataset.com"
    licence = (
        "Licence: https://www.cityscapes-dataset.com/license/. It forbids commercial use and to pass the images on, "
        "changed or not, and asks that Cityscapes is named and its paper cited."
    )
    editions = EDITIONS
    crop_ratio = 0.5
    r1_gamma = 20  # README and preset of dorarad/gansformer

    edition: Literal["tfrecords", "original"] = "tfrecords"
    """`tfrecords`: as GANformer's author published them; `original`: a folder with `leftImg8bit`, which you have."""

    @property
    def container(self) -> Source:
        """TFRecords, or the folder, of which not all images are meant."""
        if self.edition == "original":
            return folder.Config(kind="folder", path=self.place)
        return tfrecords.Config(kind="tfrecords", path=self.place)

    def missing(self, images: ImageSource[Any]) -> Sequence[str]:
        """Splits of which there are too few images."""
        if not isinstance(images, Streets):
            return ()
        found = Counter(images.splits())
        return [
            f"{count - found[split]:,} of the {count:,} images of {split}, which come in {archive}"
            for split, (count, archive) in SPLITS.items()
            if found[split] < count
        ]


class Streets(folder.Folder):
    """The images of the left camera below a folder, wherever in it the splits lie; all else there is passed over."""

    def __reduce__(self) -> tuple[type["Streets"], tuple[folder.Config, ImageSpec]]:
        return Streets, (self.config, self.image)

    def paths(self, ordered: bool = True) -> Iterator[str]:
        return (path for path in super().paths(ordered) if _IMAGE.fullmatch(path))

    def splits(self) -> Iterator[str]:
        """The split of each image."""
        return (match[1] for path in self.paths(ordered=False) if (match := _IMAGE.fullmatch(path)))


def open_source(config: Config, image: ImageSpec) -> Published:
    """Raises DataError where the images are not there, or not all of what was downloaded."""
    if config.edition == "tfrecords":
        return open_images(config, image)
    check_downloaded(config)
    if not config.place.is_dir():
        raise DataError(f"{config.place}: there is no such folder; {config.facts.by_hand}")
    streets = Streets(folder.Config(kind="folder", path=config.place), image.model_copy(update={"classes": 0}))
    if not len(streets):
        raise DataError(
            f"{config.place}: no images leftImg8bit/SPLIT/CITY/*_leftImg8bit.png below this folder, SPLIT being one of "
            f"{', '.join(SPLITS)}. {config.facts.by_hand}"
        )
    check_count(config, streets)
    return Published(streets, config.classes)
