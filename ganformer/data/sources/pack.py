"""The images of a pack of ours, for making another pack of them: in another format, shape or order of shards."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ganformer.config import ImageSpec, Source
from ganformer.data.dataset import Images
from ganformer.data.images import Pixels, central, read_array
from ganformer.data.source import ImageSource, Sample
from ganformer.records import manifest


class Config(Source):
    """The images of a pack, with their labels if it has any, but without the facts about scenes."""

    kind: Literal["pack"] = "pack"
    path: Path
    """The pack: its folder or its manifest; a relative path starts at the working directory."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The manifest, which names every file of the pack by its sum."""
        return (manifest.folder_of(self.path) / manifest.NAME,)


class Pack(ImageSource[int]):
    """A key is the number of an image in the pack, and its name too.

    Images of the right shape keep their pixels. Of others black bars are left out, and they are cropped and resized.
    """

    def __init__(self, images: Images, image: ImageSpec) -> None:
        self.images, self.image = images, image

    @property
    def classes(self) -> int:
        """Number of classes of the pack."""
        return self.images.image.classes

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the pack's classes."""
        return self.images.manifest.class_names

    @property
    def channels(self) -> Literal[1, 3, 4]:
        """Channels of the pack's images."""
        return self.images.image.channels

    def __len__(self) -> int:
        return len(self.images)

    def keys(self) -> Iterator[int]:
        return iter(range(len(self)))

    def load(self, keys: Sequence[int]) -> Iterator[Sample]:
        indices = np.array(keys, np.int64)
        labels = self.images.labels(indices).argmax(axis=1).tolist() if self.classes else [None] * len(indices)
        for key, label in zip(keys, labels, strict=True):
            # One by one, as they may be many times as large as the images made of them.
            (pixels,) = self.images.read(np.array([key]))
            yield Sample(f"{key:08d}", self._prepared(pixels), label=label)

    def _prepared(self, pixels: Pixels) -> Pixels:
        """Return one image [C, H, W] of the pack in the shape that is asked for, [H, W, C']."""
        stored = self.images.image
        if stored.model_copy(update={"classes": self.image.classes}) == self.image:
            return pixels.transpose(1, 2, 0)
        # Bars are no part of the picture; margins for random crops are.
        rows = stored.height if stored.columns else stored.picture[0]
        return read_array(central(pixels, rows, stored.width).transpose(1, 2, 0), self.image).pixels


def open_source(config: Config, image: ImageSpec) -> Pack:
    """Return the images; DataError if there is no complete pack."""
    return Pack(Images(config.path), image)
