"""LSUN bedrooms, the indoor scenes of the paper."""

from typing import Literal

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Published, open_images
from ganformer.data.sources import lmdb
from ganformer.data.sources.lsun import CATEGORIES, LICENCE

BEDROOM = CATEGORIES["bedroom"]
EDITIONS = {"original": BEDROOM.edition}


class Config(Catalogued):
    """3,033,042 bedrooms: what `lsun` has under `bedroom`, with the paper's crop and weight of R1."""

    kind: Literal["bedrooms"] = "bedrooms"

    title = "LSUN bedrooms"
    home = "https://www.yf.io/p/lsun"
    licence = LICENCE
    editions = EDITIONS
    crop_ratio = 188 / 256
    r1_gamma = 100  # README and preset of dorarad/gansformer

    edition: Literal["original"] = "original"
    """Edition as LSUN publishes it; there is no other one."""

    @property
    def container(self) -> Source:
        """The environment."""
        return lmdb.Config(kind="lmdb", path=BEDROOM.environment(self.place))


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    return open_images(config, image)
