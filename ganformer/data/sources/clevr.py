"""CLEVR: rendered scenes of simple solids (Johnson et al. 2017, CLEVR: a diagnostic dataset)."""

from typing import Literal

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, open_images
from ganformer.data.fetching.download import Remote
from ganformer.data.sources import tfrecords

EDITIONS = {
    "tfrecords": Edition(
        counts=(100_015, 100_000),
        files=(
            Remote(
                "clevr.zip",
                ("gdrive:1lY4JE30yk26v0MWHNpXBOMzltufUcTXj",),
                about=6_000_000_000,
                md5="3040bb20a29cd2f0e1e9231aebddf2a1",
            ),
        ),
        is_unpacked=True,
        remark="These are the images of the paper: 256×256 pixels with black bars above and below a picture of 3:4. "
        "They are not CLEVR_v1.0; how they were made is not documented.",
    ),
    "original": Edition(
        counts=(100_000,),
        files=(
            Remote(
                "CLEVR_v1.0.zip",
                ("https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",),
                size=19_021_600_724,
                md5="b11922020e72d0cd9154779b2d3d07d2",
                sha256="5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
            ),
        ),
        remark="CLEVR_v1.0 has 100,000 images of 480×320 pixels (2:3). It is not the set of 100,015 images of 3:4 that "
        "the paper used, so FIDs on it differ from the published ones and must not be compared with them.",
    ),
}
"""Checksums: dorarad/gansformer (md5), TensorFlow Datasets (sha256). Of the TFRecords the README of the former counts
100,015, its code 100,000."""


class Config(Catalogued):
    """Scenes of simple solids: the paper's in the author's TFRecords, or CLEVR_v1.0, which are others."""

    kind: Literal["clevr"] = "clevr"

    title = "CLEVR"
    home = "https://cs.stanford.edu/people/jcjohns/clevr/"
    licence = (
        "Licence of CLEVR: Creative Commons BY 4.0 (https://creativecommons.org/licenses/by/4.0/). It forbids to pass "
        "it on without naming its authors, the licence and the changes."
    )
    editions = EDITIONS
    crop_ratio = 0.75
    r1_gamma = 40  # README and preset of dorarad/gansformer

    edition: Literal["tfrecords", "original"] = "tfrecords"
    """`tfrecords`: the images of the paper; `original`: CLEVR_v1.0, all three splits."""

    @property
    def container(self) -> Source:
        """TFRecords, or the zip as it is."""
        if self.edition == "original":
            return self.archive_or_folder("CLEVR_v1.0.zip", "CLEVR_v1.0/images")
        return tfrecords.Config(kind="tfrecords", path=self.place)


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    return open_images(config, image)
