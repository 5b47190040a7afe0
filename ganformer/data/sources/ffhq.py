"""Flickr-Faces-HQ: 70,000 faces (Karras et al. 2019, A style-based generator architecture for GANs)."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, find_below, open_images
from ganformer.data.fetching.download import Remote
from ganformer.data.source import ImageSource
from ganformer.data.sources import folder, tfrecords

IMAGES = "images1024x1024"
ARCHIVE = f"{IMAGES}.zip"
RECORDS = "ffhq-r08.tfrecords1of1"
EDITIONS = {
    "tfrecords": Edition(
        counts=(70_000,),
        files=(
            Remote(
                RECORDS,
                (
                    f"http://downloads.cs.stanford.edu/nlp/data/dorarad/{RECORDS}",
                    "gdrive:1LxxgVBHWgyN8jzf8bQssgVOrTLE8Gv2v",
                ),
                size=13_766_900_000,
                md5="74de4f07dc7bfb07c0ad4471fdac5e67",
            ),
        ),
        remark="These are the images of the paper, 256×256 pixels: the same bytes as the ffhq-r08.tfrecords that its "
        "publishers made from the originals of 1024×1024.",
    ),
    "original": Edition(
        counts=(70_000,),
        files=(Remote(ARCHIVE, ("gdrive:1WvlAIvuochQn_L_f9p3OdFdTiSLlnnhv",), about=89_100_000_000),),
        remark="Neither the exact size nor a checksum of the archive is published. Images made from these by Lanczos "
        "are not those of the TFRecords, so FIDs on the two must not be compared.",
    ),
}
"""Size, checksum and the second mirror of the TFRecords: download_ffhq.py of NVlabs/ffhq-dataset; the checksum is also
that of dorarad/gansformer, whose mirror is the first one. The archive is one of the folder of zips that the README of
NVlabs/ffhq-dataset names."""


class Config(Catalogued):
    """70,000 faces: the author's TFRecords of 256×256 pixels, or the originals of 1024×1024."""

    kind: Literal["ffhq"] = "ffhq"

    title = "Flickr-Faces-HQ (FFHQ)"
    home = "https://github.com/NVlabs/ffhq-dataset"
    licence = (
        "Licence: Creative Commons BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/), the single "
        "photos under licences of their own, which the data set names. It forbids commercial use, and asks that its "
        "paper is cited, changes are stated, and derived works are passed on under the same licence."
    )
    editions = EDITIONS
    r1_gamma = 10  # README and preset of dorarad/gansformer

    edition: Literal["tfrecords", "original"] = "tfrecords"
    """`tfrecords`: as GANformer's author published them; `original`: the PNGs, in a zip or a folder."""

    @property
    def container(self) -> Source:
        """TFRecords, or the zip as it is, or the folder it was unpacked in."""
        if self.edition == "tfrecords":
            return tfrecords.Config(kind="tfrecords", path=self.place)
        images = find_below(self.place, IMAGES) if self.place.is_dir() else None
        return folder.Config(kind="folder", path=images) if images else self.archive_or_folder(ARCHIVE)

    def missing(self, images: ImageSource[Any]) -> Sequence[str]:
        """Return names of the files: 00000.png to 69999.png."""
        if self.edition == "tfrecords":
            return ()
        found = {PurePosixPath(key[0]).name for key in images.keys()}  # noqa: SIM118 - no mapping
        return [name for number in range(self.facts.counts[0]) if (name := f"{number:05d}.png") not in found]


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    return open_images(config, image)
