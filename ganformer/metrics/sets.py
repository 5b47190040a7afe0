"""Sets of images that measures compare: in files, in packs, made by a run, or known by their statistics only."""

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganformer.config import Dataset, Evaluation, ImageSpec, Source, parse
from ganformer.data import decoding
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.data.packing.detect import recognise
from ganformer.data.source import ImageFiles, ImageSource, Rejection, Sample, open_source
from ganformer.data.sources import pack
from ganformer.errors import DataError, listed
from ganformer.metrics import foreign
from ganformer.metrics.reference import Reference
from ganformer.metrics.statistics import Observed, Observer, joined
from ganformer.progress import Progress
from ganformer.records import npz
from ganformer.records.metrics import ComparedSet
from ganformer.records.run import RUN_FILE, Run
from ganformer.records.training import is_unfinished
from ganformer.training import distribution
from ganformer.training.learner import Learner
from ganformer.training.runs import open_run
from ganformer.training.samples import BATCH, aligned, batches, draw_labels, in_colours, make, quantise

T = TypeVar("T")

# Images [n, 3, H, W] uint8 -> features [n, D] and class logits [n, K], float32.
Network = Callable[[Tensor], tuple[Tensor, Tensor]]
Picture = tuple[int, int]  # rows and columns

MAX_LISTED_SHAPES = 3  # shapes named in a message
ANY_SHAPE = ImageSpec(height=32, width=32)  # of images whose own shape is to be found out

STATISTICS = frozenset({"mu", "sigma", "about"})
"""Names of arrays by which a file of statistics is recognised, of other programs and of this one."""
ARRAYS = frozenset({"mean", "covariance", "features", "logits"})
"""Statistics that can be computed of images at hand."""


class Share(NamedTuple):
    """Batches of images that one of several processes computes: numbers `rank`, `rank + ranks` and so on."""

    rank: int
    ranks: int

    def of(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches of this process."""
        return itertools.islice(batches, self.rank, None, self.ranks)


ALL = Share(0, 1)


class ImageSet(ABC):
    """Images of one shape in a fixed order.

    `title` names them in messages, `about` in records; `picture` is the shape of their measured part.
    """

    title: str
    picture: Picture
    about: ComparedSet
    arrays: frozenset[str] = ARRAYS
    batch_size: int = BATCH
    """Maximum number of images in a batch."""

    @abstractmethod
    def __len__(self) -> int:
        """Return number of images."""

    @abstractmethod
    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        """Yield the visible part of all images of a share, as colours: uint8 [n, 3, *picture] on the device.

        The i-th batch holds the same n images, whichever process computes it.
        """

    def can_show(self, picture: Picture) -> bool:
        """Return whether the middle of the images can be measured in this shape."""
        return picture == self.picture


@dataclass(frozen=True)
class Known:
    """Known statistics of images that are not at hand; `extractor`: settings of their network, None if unknown."""

    title: str
    about: ComparedSet
    observed: Observed
    extractor: Mapping[str, Any] | None = None

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the known arrays."""
        return frozenset(self.observed.arrays)

    @property
    def features(self) -> int | None:
        """Number D of features of an image; None if nothing is known of features."""
        return self.observed.features or None


class Look(NamedTuple):
    """Network and the arrays to keep of its results."""

    network: Network
    keep: Set[str]


def observe(
    images: ImageSet, network: Network, keep: Set[str], picture: Picture, device: torch.device, label: str
) -> Observed:
    """Run the network over all images and return the arrays in `keep`. `label`: title of the progress line."""
    return observe_with({"": Look(network, keep)}, images, picture, device, label)[""]


def observe_with(
    looks: Mapping[str, Look], images: ImageSet, picture: Picture, device: torch.device, label: str
) -> dict[str, Observed]:
    """Run several networks over all images, which are made or read once.

    If several processes work together, each computes its share; the first one returns the whole, the others nothing.
    """
    share = Share(distribution.rank(), distribution.ranks())
    observers = look_at(looks, images, picture, device, label, share)
    gathered = {name: distribution.gather(observer) for name, observer in observers.items()}
    return {name: joined(parts).observed() for name, parts in gathered.items() if parts}


def look_at(
    looks: Mapping[str, Look],
    images: ImageSet,
    picture: Picture,
    device: torch.device,
    label: str,
    share: Share = ALL,
) -> dict[str, Observer]:
    """Run several networks over a share of the images."""
    observers = {name: Observer(images.title, look.keep, device) for name, look in looks.items()}
    with Progress(label, len(images), is_silent=share.rank > 0) as progress:
        for batch in images.batches(picture, device, share):
            # Sums of floats depend on how many images are seen together: of few, they would be others.
            missing = images.batch_size - len(batch) if len(images) > images.batch_size else 0
            whole = torch.cat([batch, batch[-1:].expand(missing, -1, -1, -1)]) if missing else batch
            for name, look in looks.items():
                features, logits = (seen[: len(batch)] for seen in look.network(whole))
                observers[name].update(features.cpu().numpy(), logits.cpu().numpy())
            progress.update(min(len(batch) * share.ranks, len(images) - progress.done))
    return observers


# --------------------------------------------------------------------------------------------- sets by their paths


def open_set(side: str, evaluation: Evaluation, step: int | None = None, option: str = "the set") -> ImageSet | Known:
    """Return the set that a path names: images in any form that is packed, a pack, a run, or a file of statistics.

    `side` may also be settings of a source as JSON, as `pack --source` takes them. Of a run come the images that
    `evaluation` says, at the snapshot `step` (None: the last). Labels are never read. Raises DataError or ConfigError
    if there is none, or where it is no such set; `option` is where the set was named.
    """
    path = Path(side)
    if path.name == RUN_FILE or (path / RUN_FILE).is_file() or is_unfinished(path):
        run, learner, record = open_run(path, step)
        return Generated(learner, record, run, step, evaluation.seeds)
    if path.suffix == ".pkl" and path.is_file():
        return _computed_elsewhere(path, foreign.read_pickle(path), foreign.STYLEGAN2_ADA)
    # Where statistics are beside images, these may be a few of them.
    if path.suffix == ".npz" and path.is_file() and (not (names := _names(path)) or names & STATISTICS):
        return _statistics(path, evaluation)
    return open_images(str(side), option)


def open_images(side: str, option: str) -> ImageSet:
    """Return the images that a path or settings of a source name, as they are. Raises as `open_set` does."""
    settings = recognise(side, option)
    source = parse(Dataset, {"source": settings}, "source").source
    if isinstance(source, pack.Config):
        return Packed(Images(source.path))
    try:
        return FromSource(side, source)
    except DataError as error:
        if side.lstrip().startswith("{") or not _names_a_setting(str(error), source):
            raise
        given = json.dumps(settings, ensure_ascii=False).removesuffix("}")
        raise DataError(f"{error}. Settings are given with the set as JSON: {option} '{given}, …}}'") from error


def _names_a_setting(message: str, source: Source) -> bool:
    """Return whether a message asks for a setting of the source."""
    names = set(type(source).model_fields) - {"kind", "path"}
    return any(re.search(rf"\b{name}\b", message) for name in names)


def _statistics(path: Path, evaluation: Evaluation) -> Known:
    if "about" not in _names(path):  # which is in ours
        return _computed_elsewhere(path, foreign.read_npz(path), foreign.PYTORCH_FID)
    known = Reference.read(path)
    known.check(path, evaluation.extractor.model_dump(mode="json"), known.mirrored, known.data_sha256, frozenset())
    arrays = known.observed.arrays
    if "mean" in arrays and "covariance" in arrays:
        foreign.gaussian(path, arrays["mean"], arrays["covariance"], ("mean", "covariance"))
    about = _about("reference", path, known.observed.count, data_sha256=known.data_sha256, mirrored=known.mirrored)
    return Known(str(path), about, Observed(str(path), known.observed.count, arrays), known.extractor)


def _names(path: Path) -> frozenset[str]:
    """Return names of the arrays in an npz; of one that cannot be read, none."""
    try:
        return npz.names(path)
    except npz.UnreadableError:
        return frozenset()


def _computed_elsewhere(path: Path, observed: Observed, layout: str) -> Known:
    return Known(str(path), _about("statistics", path, observed.count or None, layout=layout), observed)


def _about(kind: str, path: Path | str, images: int | None, **more: Any) -> ComparedSet:
    return ComparedSet(kind=kind, path=str(path), images=images, **more)


# ------------------------------------------------------------------------------------------------- packs, runs


class Packed(ImageSet):
    """The images of a pack, without bars and margins; `mirrored`: and the mirror image of each."""

    def __init__(self, images: Images, *, mirrored: bool = False) -> None:
        self.images, self.mirrored, self.batch_size = images, mirrored, BATCH * (1 + mirrored)
        self.title, self.picture = str(images.folder), images.image.picture
        self.about = _about("pack", images.folder, len(self), data_sha256=images.digest)

    def __len__(self) -> int:
        return len(self.images) * (2 if self.mirrored else 1)

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        for numbers in share.of(batches(range(len(self.images)))):
            pixels = torch.from_numpy(central(self.images.read(np.array(numbers)), *picture)).to(device)
            pixels = in_colours(pixels)
            yield torch.cat([pixels, pixels.flip(-1)]) if self.mirrored else pixels


class Generated(ImageSet):
    """Images of a run at a snapshot (None: the last), one for each of `seeds`, of the classes of its data set."""

    def __init__(self, learner: Learner, record: Run, run: Path, step: int | None, seeds: range) -> None:
        snapshot = record.snapshot(step, run)
        self.learner, self.record, self.seeds = learner, record, seeds
        self.title = f"{run} at step {snapshot.step}"
        self.made = record.image
        self.picture = self.made.picture
        self.about = _about(
            "run",
            run,
            len(self),
            run=record.run,
            image=record.spec["image"],
            step=snapshot.step,
            weights_sha256=snapshot.sha256,
            seeds=(self.seeds[0], self.seeds[-1]),
            truncation=None,
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def can_show(self, picture: Picture) -> bool:
        """Return whether the shape fits; imported runs do not know where their bars are, so they fit their square."""
        is_imported = self.record.data.data_sha256 is None
        canvas = ImageSpec(height=picture[0], width=picture[1]).canvas
        return picture == self.picture or (is_imported and self.record.makes(canvas))

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        """Yield the images as colours; DataError if one is not finite."""
        self.learner.network.to(device)
        labels = partial(draw_labels, self.record.data.label_counts)
        return generated(self.learner, self.made, labels, self.seeds, picture, self.title, share)


def generated(
    learner: Learner,
    image: ImageSpec,
    labels: Callable[[Sequence[int]], Tensor],
    seeds: range,
    picture: Picture,
    title: str,
    share: Share = ALL,
) -> Iterator[Tensor]:
    """Yield images of a learner in batches, as `ImageSet.batches` does; `labels` gives those of seeds."""
    for part in share.of(aligned(seeds, BATCH)):
        images = make(learner, image, labels, part)
        if not images.isfinite().all():
            raise DataError(
                f"{title}: generated images hold NaN or infinity, so the training diverged; "
                "a smaller learning rate or a larger r1_gamma often helps"
            )
        yield in_colours(central(quantise(images), *picture))


# ------------------------------------------------------------------------------------------------------- files


class FromSource(ImageSet):
    """All images of a source as they are. DataError if one cannot be read or has another shape than the others."""

    def __init__(self, side: str, config: Source) -> None:
        unknown = open_source(config, ANY_SHAPE)
        rows, columns = _common_shape(side, unknown) if isinstance(unknown, ImageFiles) else _first_shape(side, unknown)
        # Of this shape they are all, so that nothing is cropped or resized; `batches` makes sure of it.
        self.source = open_source(config, ImageSpec(height=rows, width=columns))
        self.title, self.picture = side, (rows, columns)
        self.about = _about(config.kind, side, len(self.source), left_out=dict(self.source.left_out))

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        keys = self.source.keys()
        for batch in share.of(iter(lambda: list(itertools.islice(keys, BATCH)), [])):
            pixels = []
            for image in self.source.load(batch):
                if isinstance(image, Rejection):
                    raise _unreadable(self.title, image.name, image.reason)
                if image.size != self.picture:
                    raise _other_shape(self.title, image, self.picture)
                pixels.append(image.pixels.transpose(2, 0, 1))
            yield torch.from_numpy(np.ascontiguousarray(pixels)).to(device)


def _first_shape(side: str, source: ImageSource[Any]) -> Picture:
    """Return the shape of the first image, which all must have."""
    (image,) = source.load(list(itertools.islice(source.keys(), 1)))
    if isinstance(image, Rejection):
        raise _unreadable(side, image.name, image.reason)
    if image.size is None:
        raise DataError(f"{side}: makes images of any shape; pack them in the shape of the other set first")
    return image.size


def _other_shape(side: str, image: Sample, picture: Picture) -> DataError:
    of = "no shape of its own" if image.size is None else in_pixels(image.size)
    return DataError(
        f"{side}: {image.name} is of {of}, but others are of {in_pixels(picture)}; a measure does not crop or resize: "
        "give all one shape, with `ganformer data pack` for example"
    )


def _common_shape(side: str, source: ImageFiles[Any]) -> Picture:
    """Return the one shape of all images, by their headers, which is soon done."""
    shapes: Counter[Picture] = Counter()
    first: dict[Picture, str] = {}
    with Progress(f"look at {side}", len(source)) as progress:
        for key in source.keys():  # noqa: SIM118 - not a mapping
            try:
                shape = _shape(source, key)
            except Exception as error:  # decoders raise nearly everything on damaged files
                (image,) = source.load([key])  # it says in words why
                reason = image.reason if isinstance(image, Rejection) else str(error)
                raise _unreadable(side, image.name, reason) from error
            shapes[shape] += 1
            first.setdefault(shape, key.name)
            progress.update(1)
    if len(shapes) > 1:
        kinds = [f"{count} of {in_pixels(shape)} as {first[shape]}" for shape, count in shapes.most_common()]
        raise DataError(
            f"{side}: the images are not of one shape: {listed(kinds, MAX_LISTED_SHAPES)}; a measure does not crop or "
            "resize: give all one shape, with `ganformer data pack` for example"
        )
    return next(iter(shapes))


def _unreadable(side: str, name: str, reason: str) -> DataError:
    return DataError(
        f"{side}: {name}: {reason}; numbers without it would be of another set: make it again, or take it out"
    )


def common_picture(real: ImageSet | Known, fake: ImageSet | Known) -> Picture | None:
    """Return the shape in which both sets are measured; None if neither is at hand. DataError if there is none."""
    sets = [images for images in (real, fake) if isinstance(images, ImageSet)]
    for picture in [images.picture for images in sets]:
        if all(images.can_show(picture) for images in sets):
            return picture
    if sets:
        raise DataError(
            f"{real.title} has images of {in_pixels(sets[0].picture)}, but {fake.title} of "
            f"{in_pixels(sets[1].picture)}; a measure does not resize: make one set again in the shape of the other"
        )
    return None


def in_pixels(shape: Picture) -> str:
    """Return the shape of a picture in words."""
    return f"{shape[1]}×{shape[0]} pixels"


def _shape(source: ImageFiles[Any], key: Any) -> Picture:
    """Return rows and columns of an image of a source as it is displayed; any error if its file is damaged."""
    with source.content(key) as file:
        width, height = decoding.size(file, key.page)
    return height, width
