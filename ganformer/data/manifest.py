"""What a pack says about itself. `manifest.json` is written last: where it counts images, the pack is whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from ganformer import artifacts
from ganformer.config import ImageSpec, Strict
from ganformer.errors import DataError

NAME, LABELS = "manifest.json", "labels.npy"


class File(Strict):
    """One file of a pack, beside its manifest."""

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    sha256: str


class Shard(File):
    """A file with `count` images."""

    count: PositiveInt


class Rejected(Strict):
    """An image of the source that is not in the pack, and why."""

    path: str
    reason: str


class Crop(Strict):
    """How images were cropped and resized (`ganformer.data.images.prepare`)."""

    ratio: float
    """Height over width of the centred window."""
    filter: Literal["lanczos"] = "lanczos"
    letterbox: bool = False
    """Whether it stands between black bars in a square, as `ganformer.data.images.letterbox` makes it."""
    margin: float = 0.0
    """By what part images are larger than those that models see, for random crops."""


class Manifest(Strict):
    """Contents of a pack, and where they came from. The same images and settings give the same bytes."""

    version: Literal[1] = 1
    count: NonNegativeInt
    """Number of images; 0 where packing failed because of those in `rejected`."""
    image: ImageSpec
    format: str
    """A file name in `ganformer/data/formats`."""
    source: Mapping[str, Any]
    """Settings of the source."""
    crop: Crop
    shards: Sequence[Shard]
    """Files with the images, in order."""
    files: Sequence[File] = ()
    """Files with what is known about the images."""
    rejected: Sequence[Rejected] = ()
    label_counts: Sequence[NonNegativeInt] = ()
    """Number of images of each class, where there are labels: in `labels.npy`, one int32 an image."""
    duplicates: NonNegativeInt
    """Number of images whose pixels equal those of an earlier one."""

    @model_validator(mode="after")
    def _counts_its_shards(self) -> Self:
        if self.count != (of_shards := sum(shard.count for shard in self.shards)):
            raise ValueError(f"count is {self.count}, but that of its shards {of_shards}")
        return self

    def write(self, folder: Path) -> None:
        """Writes `manifest.json` into the folder."""
        artifacts.write_json(folder / NAME, self.model_dump(mode="json"))


def read(pack: Path) -> tuple[Path, Manifest]:
    """Folder and manifest of a pack, which is named by its folder or its manifest.

    Raises DataError where there is none, one of no images, or one that this version does not understand.
    """
    folder = pack.parent if pack.name == NAME else pack
    path = folder / NAME
    if not path.is_file():
        raise DataError(
            f"{path}: missing, so there is no complete pack here (it is written last); pack the data set (again)"
        )
    try:
        found = Manifest.model_validate(artifacts.read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ": ".join(filter(None, [".".join(map(str, problem["loc"])), problem["msg"]]))
        raise DataError(f"{path}: is not a manifest of version 1 ({where}); pack again") from error
    if not found.count:
        raise DataError(
            f"{path}: holds no images, as {len(found.rejected)} were not usable when they were packed (`rejected` "
            "names them with the reasons); mend or remove those, or set on_error: skip, and pack again"
        )
    return folder, found
