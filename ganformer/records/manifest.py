"""Manifest of a pack. `manifest.json` is written last: if it counts images, the pack is complete."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from ganformer.config import ImageSpec
from ganformer.errors import DataError
from ganformer.records.base import Claim, JsonRecord, Part

NAME, LABELS = "manifest.json", "labels.npy"
MAX_LISTED_KINDS = 8  # in messages
REJECTED, SHEET, MEAN = "rejected.json", "contact-sheet.png", "mean.png"  # files that may be beside the manifest
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)  # a pack with unknown properties could be misread


class File(Part):
    """One file of a pack, beside its manifest."""

    model_config = CLOSED

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    sha256: str


class Shard(File):
    """A file with `count` images."""

    count: PositiveInt


class Rejected(Part):
    """An image of the source that is not in the pack, with the reason."""

    model_config = CLOSED

    path: str
    reason: str


class Crop(Part):
    """Cropping and resizing of the images (`ganformer.data.images.prepare`)."""

    model_config = CLOSED

    ratio: float
    """Height over width of the centred window."""
    filter: Literal["lanczos"] = "lanczos"
    letterbox: bool = False
    """True if images are squares with black bars, as `ganformer.data.images.letterbox` makes them."""
    margin: float = 0.0
    """Margin for random crops, as a fraction of the size that models see."""


class Manifest(JsonRecord):
    """Contents and origin of a pack. The same images and settings give the same bytes."""

    model_config = CLOSED

    FORMAT: ClassVar[int] = 2
    FORMAT_KEY: ClassVar[str] = "version"
    KIND: ClassVar[str] = "manifest of a pack"
    REMEDY: ClassVar[str] = "pack again (in the graph: snakemake --forcerun pack)"

    count: NonNegativeInt
    """Number of images; 0 if packing failed because of the images in `rejected`."""
    image: ImageSpec
    format: str
    """A file name in `ganformer/data/formats`."""
    source: Mapping[str, Any]
    """Settings of the source."""
    crop: Crop
    shards: Sequence[Shard]
    """Files with the images, in order."""
    files: Sequence[File] = ()
    """Files with facts about the images, e.g. labels."""
    rejected: Sequence[Rejected] = ()
    left_out: Mapping[str, NonNegativeInt] = {}
    """Number of files, members, keys and so on of the source that are no images, by kind, as in {".txt": 4}."""
    label_counts: Sequence[NonNegativeInt] = ()
    """Number of images of each class; empty without labels, which are in `labels.npy`, one int32 an image."""
    class_names: Sequence[str] = ()
    """Name of each class; empty if the source has none."""
    duplicates: NonNegativeInt
    """Number of images whose pixels equal an earlier image's."""
    data_sha256: str = Field(alias="content")
    """sha256 of shape, pixels and labels in their order: the same for the same data, from any source and in any format.
    It identifies the data in the records of runs and measures; its key in the file is `content`."""

    @model_validator(mode="after")
    def _counts_its_shards(self) -> Self:
        if self.count != (of_shards := sum(shard.count for shard in self.shards)):
            raise ValueError(f"count is {self.count}, but its shards hold {of_shards} images")
        if self.class_names and len(self.class_names) != self.image.classes:
            raise ValueError(f"class_names are {len(self.class_names)}, but there are {self.image.classes} classes")
        return self

    def content(self) -> dict[str, Any]:
        """Return the content of the file, which has all fields."""
        return {self.FORMAT_KEY: self.FORMAT, **self.model_dump(mode="json", by_alias=True)}


class NamedFile(Part):
    """Name of a file of a pack of any version."""

    file: str


class ManifestClaim(Claim):
    """Fields of the manifests of all versions."""

    version: Any
    count: Any
    crop: Any
    rejected: Any
    shards: Sequence[NamedFile]
    files: Sequence[NamedFile]


def other_files(left_out: Mapping[str, int]) -> str:
    """Return number and kinds of the files that are no images: "13 others (6 .jfif, 4 .txt, …)"."""
    total = sum(left_out.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(left_out).most_common(MAX_LISTED_KINDS))
    return f"{total:,} other{'s' * (total != 1)} ({kinds}{', …' * (len(left_out) > MAX_LISTED_KINDS)})"


def folder_of(pack: Path) -> Path:
    """Return the folder of a pack that is named by its folder or its manifest."""
    return pack.parent if pack.name == NAME else pack


def files_of_pack(folder: Path) -> frozenset[str] | None:
    """Return the names of a pack's files in this folder, of any manifest version; None if there is no pack of ours."""
    if not (folder / NAME).is_file():  # the reader of a pipe would wait for ever
        return None
    claim = ManifestClaim.find(folder / NAME)
    if claim is None:
        return None
    return frozenset([NAME, REJECTED, SHEET, MEAN, *(entry.file for entry in (*claim.shards, *claim.files))])


def read(pack: Path) -> tuple[Path, Manifest]:
    """Return folder and manifest of a pack, which is named by its folder or its manifest.

    Raises DataError if there is no manifest, if it counts no images, or if this version does not read it.
    """
    folder = folder_of(pack)
    path = folder / NAME
    if not path.is_file():
        raise DataError(
            f"{path}: missing, so there is no complete pack here (it is written last); pack the data set (again)"
        )
    found = Manifest.read(path)
    if not found.count:
        raise DataError(
            f"{path}: holds no images, as {len(found.rejected)} were not usable when they were packed (`rejected` "
            "names them with the reasons); fix or remove those, or set on_error: skip, and pack again"
        )
    return folder, found
