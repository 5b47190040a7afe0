"""Manifest of a pack. `manifest.json` is written last: if it counts images, the pack is complete."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from ganformer import artifacts
from ganformer.config import ImageSpec, Strict
from ganformer.errors import DataError

NAME, LABELS = "manifest.json", "labels.npy"
VERSION = 2
SHOWN = 8  # kinds of what is no picture that a message names
REJECTED, SHEET, MEAN = "rejected.json", "contact-sheet.png", "mean.png"  # what else may lie beside it


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
    """Cropping and resizing of the images (`ganformer.data.images.prepare`)."""

    ratio: float
    """Height over width of the centred window."""
    filter: Literal["lanczos"] = "lanczos"
    letterbox: bool = False
    """True if images are squares with black bars, as `ganformer.data.images.letterbox` makes them."""
    margin: float = 0.0
    """Margin for random crops, as a fraction of the size that models see."""


class Manifest(Strict):
    """Contents of a pack, and where they came from. The same images and settings give the same bytes."""

    version: Literal[2] = 2
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
    left_out: Mapping[str, NonNegativeInt] = {}
    """Number of files, members, keys and so on of the source that are no pictures, by kind, as in {".txt": 4}."""
    label_counts: Sequence[NonNegativeInt] = ()
    """Number of images of each class, where there are labels: in `labels.npy`, one int32 an image."""
    class_names: Sequence[str] = ()
    """Name of each class, where the source has names."""
    duplicates: NonNegativeInt
    """Number of images whose pixels equal those of an earlier one."""
    content: str
    """sha256 of shape, pixels and labels in their order: the same for the same data, wherever they came from, and
    however they are stored. Trainings and measures tell data apart by it."""

    @model_validator(mode="after")
    def _counts_its_shards(self) -> Self:
        if self.count != (of_shards := sum(shard.count for shard in self.shards)):
            raise ValueError(f"count is {self.count}, but that of its shards {of_shards}")
        if self.class_names and len(self.class_names) != self.image.classes:
            raise ValueError(f"class_names are {len(self.class_names)}, but there are {self.image.classes} classes")
        return self

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the folder."""
        artifacts.write_json(folder / NAME, self.model_dump(mode="json"))


def other_files(left_out: Mapping[str, int]) -> str:
    """Say in words what is no picture: "13 others (6 .jfif, 4 .txt, …)"."""
    total = sum(left_out.values())
    shown = ", ".join(f"{count:,} {kind}" for kind, count in Counter(left_out).most_common(SHOWN))
    return f"{total:,} other{'s' * (total != 1)} ({shown}{', …' * (len(left_out) > SHOWN)})"


def files_of_pack(folder: Path) -> frozenset[str] | None:
    """Return the names of a pack's files in this folder, of any manifest version; None if there is no pack of ours."""
    if not (folder / NAME).is_file():  # the reader of a pipe would wait for ever
        return None
    try:
        found = json.loads((folder / NAME).read_bytes())
        listed = [entry["file"] for entry in (*found["shards"], *found["files"])]
        is_ours = {"version", "count", "crop", "rejected"} <= found.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return frozenset([NAME, REJECTED, SHEET, MEAN, *listed]) if is_ours else None


def read(pack: Path) -> tuple[Path, Manifest]:
    """Return folder and manifest of a pack, which is named by its folder or its manifest.

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
        raise DataError(
            f"{path}: is not a manifest of version {VERSION} ({where}); pack again (in the graph: snakemake --forcerun "
            "pack)"
        ) from error
    if not found.count:
        raise DataError(
            f"{path}: holds no images, as {len(found.rejected)} were not usable when they were packed (`rejected` "
            "names them with the reasons); fix or remove those, or set on_error: skip, and pack again"
        )
    return folder, found
