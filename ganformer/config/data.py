"""Settings of data sets: shape of images, sources, cropping and storing."""

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from ganformer.config.base import Name, Plugged, Strict, known


class ImageSpec(Strict):
    """Shape of images: `height` rows, `width` columns, `channels`; and their labels."""

    height: PositiveInt
    width: PositiveInt
    channels: Literal[1, 3, 4] = 3
    """1: grey, 3: colour, 4: colour and opacity."""
    classes: NonNegativeInt = 0
    """Number of classes; every image has the label of one. 0: there are no labels."""
    rows: PositiveInt | None = None
    """Rows in the middle that are the picture, between black bars or margins for random crops. None: all."""
    columns: PositiveInt | None = None
    """Columns in the middle that are the picture, between margins for random crops. None: all."""

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns in the middle that are measured and shown."""
        return self.rows or self.height, self.columns or self.width

    def with_channels(self, channels: int) -> "ImageSpec":
        """Return this shape with so many channels."""
        return ImageSpec.model_validate({**self.model_dump(), "channels": channels})

    @property
    def canvas(self) -> "ImageSpec":
        """Shape that models are trained on where images of this shape are stored.

        Margins are left to the random crops. A ladder grows from 4 columns and whole rows, so that heights are
        multiples of a quarter of the width; a picture that is lower stands between black bars.
        """
        height, width = (self.height, self.width) if self.columns is None else self.picture
        step = max(1, width // 4)
        filled = -(-height // step) * step
        rows = self.picture[0] if self.picture[0] != filled else None
        return ImageSpec(height=filled, width=width, channels=self.channels, classes=self.classes, rows=rows)


class Source(Strict):
    """Origin of images. Every file in `ganformer/data/sources` has its own `Config(Source)`."""

    crop_ratio: ClassVar[float] = 1.0
    """Height over width that a data set's images are cropped to where it does not say."""
    r1_gamma: ClassVar[float | None] = None
    """Weight of the gradient penalty on these images in the paper, where they are in it."""
    channels: ClassVar[Literal[1, 3, 4] | None] = None
    """Channels of the images, where that is known of all that such a source can give."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders it reads; the graph packs again when they change."""
        return ()


class Dataset(Strict):
    """One data set: its source, and how its images are cropped, resized and stored."""

    source: SerializeAsAny[Annotated[Source, Plugged("ganformer.data.sources")]]
    resolution: PositiveInt = 256
    """Width of the packed images in pixels; a power of two from 8 to 1024."""
    ratio: Annotated[float, Field(ge=1 / 16, le=4)] | None = None
    """Height over width, from 1/16 to 4. The centre of this shape is cropped from every image. None: the source's
    where it is a published data set, else 1."""
    letterbox: bool = False
    """Store squares with the picture between black bars, as GANformer's code did; measures leave the bars out."""
    crop_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Margin stored around images, as a fraction of their height and width: every training image is a random
    window then, measures take the one in the middle."""
    format: Name = "npy"
    """Pack format: a file name in `ganformer/data/formats`."""
    shard_images: PositiveInt = 10_000
    """Images in one shard of the pack."""
    shards: PositiveInt | None = None
    """Number of shards, of nearly equal size; None: as many as `shard_images` makes."""
    skip_images: NonNegativeInt = 0
    """Leave out so many images at the start of the source: with `max_images` of that number in another data set, both
    have the same source and no image in common, which is how images are held out."""
    max_images: PositiveInt | None = None
    """Take at most this many images of the source, in its order, from the first one that is not left out."""
    on_error: Literal["fail", "skip"] = "fail"
    """Handling of unreadable images: `fail` lists all of them and stops, `skip` leaves them out."""
    classes: NonNegativeInt = 0
    """Number of classes that the source has labels of; models are conditioned on them. 0: labels are not used."""
    channels: Literal[1, 3, 4] | None = None
    """Channels of the packed images, 1: grey, 3: colour, 4: colour and opacity. None: 4 where every picture has an
    opacity channel and some are not opaque, 1 where every picture is grey, else 3."""
    mirror: bool = False
    """Flip every training image left to right with probability 1/2."""

    @field_validator("resolution")
    @classmethod
    def _is_power_of_two(cls, value: int) -> int:
        if not 8 <= value <= 1024 or value & (value - 1):
            nearest = min(1024, max(8, 2 ** round(math.log2(value))))
            raise ValueError(f"{value} is not a power of two from 8 to 1024; {nearest} is the nearest")
        return value

    @field_validator("format")
    @classmethod
    def _is_known_format(cls, value: str) -> str:
        return known(value, "ganformer.data.formats")

    @model_validator(mode="after")
    def _has_room_for_bars(self) -> Self:
        if self.letterbox and (self.crop > 1 or self.crop_margin):
            what = f"ratio {self.crop:g} is more than 1" if self.crop > 1 else f"crop_margin is {self.crop_margin:g}"
            raise ValueError(f"letterbox puts bars above and below a whole picture, but {what}")
        return self

    @property
    def packing(self) -> "Dataset":
        """These settings without what only training reads, so that a change of that packs nothing again."""
        return self.model_copy(update={"mirror": False})

    @property
    def crop(self) -> float:
        """Height over width of the crop of every image."""
        return self.source.crop_ratio if self.ratio is None else self.ratio

    @property
    def known_channels(self) -> Literal[1, 3, 4] | None:
        """Channels of the packed images; None if they are found when the images are packed."""
        return self.channels or self.source.channels

    @property
    def image(self) -> ImageSpec:
        """Shape of the packed images, and the number of their classes; of 3 channels where that is not known yet."""
        rows, columns = max(1, round(self.resolution * self.crop)), self.resolution
        around: dict[str, int | None]
        if self.letterbox:
            around = {"height": columns, "width": columns, "rows": rows if rows < columns else None}
        elif self.crop_margin:
            height, width = (round(side * (1 + self.crop_margin)) for side in (rows, columns))
            around = {"height": height, "width": width, "rows": rows, "columns": columns}
        else:
            around = {"height": rows, "width": columns}
        return ImageSpec(**around, channels=self.known_channels or 3, classes=self.classes)  # type: ignore[arg-type]
