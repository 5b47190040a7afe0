"""CelebA-HQ: 30,000 faces (Karras et al. 2018, Progressive growing of GANs)."""

from typing import Literal

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, open_images
from ganformer.data.fetching.download import Remote

ARCHIVE = "CelebAMask-HQ.zip"
EDITIONS = {
    "jpeg": Edition(
        counts=(30_000,),
        files=(Remote(ARCHIVE, ("gdrive:1badu11NqxGf6qM3PTTooQDJvQbejgbTv",)),),
        remark="These are the images of CelebA-HQ as JPEGs; FIDs on them need not be those on the originals. Neither "
        "size nor checksum of the archive is published.",
    ),
    "png": Edition(
        counts=(30_000,),
        by_hand="Make the images from CelebA and the published differences, as "
        "https://github.com/tkarras/progressive_growing_of_gans describes it, and save them as PNGs in one folder.",
    ),
}


class Config(Catalogued):
    """30,000 faces of 1024×1024 pixels: the JPEGs that CelebAMask-HQ distributes, or PNGs of your own."""

    kind: Literal["celeba-hq"] = "celeba-hq"

    title = "CelebA-HQ"
    home = "https://github.com/switchablenorms/CelebAMask-HQ"
    licence = (
        "Licence of CelebA and CelebAMask-HQ: https://github.com/switchablenorms/CelebAMask-HQ. It allows nothing but "
        "research and teaching that are not commercial, and forbids to pass on the images or works derived from them."
    )
    editions = EDITIONS

    edition: Literal["jpeg", "png"] = "jpeg"
    """`jpeg`: from CelebAMask-HQ, which can be fetched; `png`: a folder or an archive, which you have."""

    @property
    def container(self) -> Source:
        """The zip as it is, or the folder or archive."""
        if self.edition == "png":
            return self.archive_or_folder()
        return self.archive_or_folder(ARCHIVE, "CelebAMask-HQ/CelebA-HQ-img")


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    return open_images(config, image)
