"""Cityscapes: streets of 50 cities (Cordts et al. 2016, The Cityscapes dataset)."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, check_count, check_downloaded, open_images
from ganformer.data.fetching.download import Remote
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.data.sources import archive, folder, tfrecords
from ganformer.errors import DataError

TRAINVALTEST, TRAINEXTRA = "leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip"
INSIDE = "leftImg8bit"  # the folder that both archives hold


class Split(NamedTuple):
    """Number of images of a split, the archive it comes in, and its cities as folders are called."""

    images: int
    archive: str
    cities: str


SPLITS = {
    "train": Split(
        2_975,
        TRAINVALTEST,
        "aachen bochum bremen cologne darmstadt dusseldorf erfurt hamburg hanover jena krefeld monchengladbach "
        "strasbourg stuttgart tubingen ulm weimar zurich",
    ),
    "val": Split(500, TRAINVALTEST, "frankfurt lindau munster"),
    "test": Split(1_525, TRAINVALTEST, "berlin bielefeld bonn leverkusen mainz munich"),
    "train_extra": Split(
        19_998,
        TRAINEXTRA,
        "augsburg bad-honnef bamberg bayreuth dortmund dresden duisburg erlangen freiburg heidelberg heilbronn "
        "karlsruhe konigswinter konstanz mannheim muhlheim-ruhr nuremberg oberhausen saarbrucken schweinfurt troisdorf "
        "wuppertal wurzburg",
    ),
}

EDITIONS = {
    "tfrecords": Edition(
        counts=(24_998, 25_000),
        files=(
            Remote(
                "cityscapes.zip",
                ("gdrive:1t9Qhxm0iHFd3k-xTYEbKosSx_DkyoLLJ",),
                about=2_000_000_000,
                md5="953d231046275120dc1f73a5aebc9087",
            ),
        ),
        is_unpacked=True,
        remark="These are copies made by GANformer's author, 256×256 pixels with black bars above and below a picture "
        "of 1:2. The licence of Cityscapes binds you all the same, so register with it first.",
    ),
    "original": Edition(
        counts=(sum(split.images for split in SPLITS.values()),),
        by_hand=f"Register at https://www.cityscapes-dataset.com, and download {TRAINVALTEST} and {TRAINEXTRA} into "
        "one folder; unpack both there or leave them as they are.",
    ),
}
"""The checksum is from dorarad/gansformer; of the TFRecords its README counts 24,998, its code 25,000."""

# Frames of sequences have the same names below `leftImg8bit_sequence`; so the folder above the split counts.
_IMAGE = re.compile(rf"(?:(?:.*/)?{INSIDE}/)?({'|'.join(SPLITS)})/([^/]+)/[^/]+_leftImg8bit\.png")


class Config(Catalogued):
    """Images of the left camera, of all splits: the author's TFRecords, or the originals, which need a login."""

    kind: Literal["cityscapes"] = "cityscapes"

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
    """`tfrecords`: as GANformer's author published them; `original`: a folder with `leftImg8bit`, or with the two
    archives that hold it, which you have."""

    @property
    def container(self) -> Source:
        """TFRecords, or the folder, of which not all images are meant."""
        if self.edition == "original":
            return folder.Config(kind="folder", path=self.place)
        return tfrecords.Config(kind="tfrecords", path=self.place)

    def missing(self, images: ImageSource[Any]) -> Sequence[str]:
        """Split and cities of which there are too few images."""
        if not isinstance(images, Streets | Archives):
            return ()
        found = Counter(match.groups() for name in images.names() if (match := _IMAGE.fullmatch(name)))
        return list(_missing(found))


def _missing(found: Mapping[tuple[str | Any, ...], int]) -> Iterator[str]:
    """Return the missing parts, given the number of images of each split and city."""
    for name, split in SPLITS.items():
        there = {city: count for (of, city), count in found.items() if of == name}
        if (count := split.images - sum(there.values())) > 0:
            absent = [city for city in split.cities.split() if city not in there]
            those = f", all of {', '.join(absent)} among them" if there and absent else ""
            yield f"{count:,} of the {split.images:,} images of {name}, which come in {split.archive}{those}"


class Streets(folder.Folder):
    """The images of the left camera in `leftImg8bit`, wherever that lies; all else there is left out."""

    def is_meant(self, path: str) -> bool:
        """Return whether its name is one of the data set."""
        return _IMAGE.fullmatch(path) is not None

    def names(self) -> Iterator[str]:
        """Return paths of the images, in no order."""
        return (path for path, _ in self.paths(ordered=False))


class Archives(ImageSource[tuple[int, archive.Key]]):
    """The images in the archives as they are, one after another; a key is the number of the archive and its key."""

    def __init__(self, archives: Sequence[archive.Archive]) -> None:
        self.archives = archives

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of members of the archives that are no pictures, by kind."""
        return sum((Counter(archive.left_out) for archive in self.archives), Counter())

    def __len__(self) -> int:
        return sum(map(len, self.archives))

    def keys(self) -> Iterator[tuple[int, archive.Key]]:
        return ((number, key) for number, images in enumerate(self.archives) for key in images.keys())  # noqa: SIM118

    def load(self, keys: Sequence[tuple[int, archive.Key]]) -> Iterator[Sample | Rejection]:
        for number, those in itertools.groupby(keys, key=lambda key: key[0]):
            yield from self.archives[number].load([key for _, key in those])

    def names(self) -> Iterator[str]:
        """Return paths of the images below `leftImg8bit`."""
        return (key.name for _, key in self.keys())


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    if config.edition == "tfrecords":
        return open_images(config, image)
    check_downloaded(config)
    if not config.place.is_dir():
        raise DataError(f"{config.place}: there is no such folder; {config.facts.by_hand}")
    images = _originals(config.place, image.model_copy(update={"classes": 0}))
    if images is None:
        raise DataError(
            f"{config.place}: no images leftImg8bit/SPLIT/CITY/*_leftImg8bit.png below this folder, SPLIT being one of "
            f"{', '.join(SPLITS)}, and neither of the archives. {config.facts.by_hand}"
        )
    check_count(config, images)
    return Published(images, config.classes)


def _originals(place: Path, image: ImageSpec) -> Streets | Archives | None:
    """Return the unpacked images, else those in the archives; None if there are neither."""
    streets = Streets(folder.Config(kind="folder", path=place), image)
    if len(streets):
        return streets
    paths = [place / name for name in (TRAINVALTEST, TRAINEXTRA) if (place / name).is_file()]
    configs = [archive.Config(kind="archive", path=path, folder=INSIDE) for path in paths]
    return Archives([archive.open_source(config, image) for config in configs]) if configs else None
