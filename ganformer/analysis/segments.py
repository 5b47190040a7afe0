"""Overlap of attention maps of components with segments of images.

The paper looks at generated images with a segmentor, and correlates "attention heads" of the GANformer with semantic
segments by intersection over union (its supplement). It leaves open which layers, which components and which images
are meant, and its code has none of it. Here, a parser (`readers`) says of which object each pixel is.

- Region of a component in a layer: the positions that attend to it more than to any other component, in the mean over
  the heads; of several as strong ones the first. Maps are enlarged to the size of the image, each pixel taking the
  value of the position that it is in. Bars and margins around the picture do not count.
- Classes: the background, and the values by which the parser distinguishes objects (`Reader.paired`): each shape and
  each colour of built-in scenes, the classes of photographs. The segment of a class in an image are the pixels of all
  objects that are of it. An image shows a class where that is at least one pixel.
- `iou_<class>`: intersection over union of the region and the segment, the mean over the images that show the class, of
  the layer and the component for which that is highest. They are the same in all images, since a component that stands
  for a class would be. A class that fewer than two images show is left out.
- `iou_object`: of each object the intersection over union with the component for which it is highest, the mean over all
  objects with at least one pixel, of the layer for which that is highest: which component takes which object may differ
  from image to image, but the layer may not.
- `…_std`: standard deviation over `RESAMPLES` bootstrap samples of the images that show the class (of objects: that
  show any), drawn with seed 0; layer and component are chosen anew in each.
- Chance: the same, choices included, where regions of each image are laid over the segments of another one, so that
  nothing is left but what is alike in all images. The mean over up to `SHIFTS` ways to pair them: image i with the
  segments of image i + 1, i + 2 and so on.

All are from 0 to 1. Objects are as the parser sees them: its errors lower every number.
"""

# N images, L layers, K components, I objects of an image, R resamples

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ganformer import devices
from ganformer.analysis import readers
from ganformer.analysis.attention_maps import attended, require_maps
from ganformer.data.images import central
from ganformer.errors import DataError
from ganformer.metrics.evaluate import computing
from ganformer.metrics.sets import Generated
from ganformer.progress import Progress
from ganformer.records.metrics import plain_values
from ganformer.training import checkpoint
from ganformer.training.samples import in_colours, quantise

Array = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Record = Sequence[Mapping[str, Any]]  # the objects of an image, as in `scenes.jsonl`

BACKGROUND, OBJECT = "background", "object"
MIN_CLASS_IMAGES = 2  # images that show a class
SHIFTS = 5
RESAMPLES = 200
SEED = 0


def measure_run(images: int, run: Path, parser: Path, out: Path, *, threads: int, gpus: int) -> None:
    """Compare attention of components of a GANformer with segments that a parser sees in its images: values `iou_…`.

    In so many images, of seeds from 0 on, with constant noise. Writes a file like `metrics.json`; by the names of the
    values, `chance` holds the level of chance, `best` the layer (from 0, from coarse to fine), its size and the
    component that were chosen, `shown` in how many images there is what was looked for. `run`: its run.json; `parser`:
    the parser.json of one that was made for these images. Raises ConfigError if the model has no attention maps,
    DataError if the parser does not fit, images are not finite, and what `compare` does.
    """
    started = time.monotonic()
    learner, record = checkpoint.restore(run)
    require_maps(record, run)
    made = Generated(learner, record, run, None, range(images))
    reader = _reader(parser, made)
    origin = readers.origin(reader, record, {"images": images})
    if origin.is_measured(out):
        return
    device = devices.acquire(gpus)
    with computing(threads):
        found = compare(classes(reader), *_segmented(made, reader, device))
    origin.measured(
        plain_values(found.values),
        seconds=time.monotonic() - started,
        hardware=devices.describe(device, threads),
        chance=found.chance,
        best=found.best,
        shown=found.shown,
    ).write(out)


def classes(reader: readers.Reader) -> Mapping[str, tuple[str, ...]]:
    """Return the values that are classes, by their attributes."""
    return {name: reader.attributes[name] for name in reader.paired}


def _reader(parser: Path, images: Generated) -> readers.Reader:
    reader = readers.load(parser)
    if not images.can_show(reader.picture):
        raise DataError(
            f"{images.title}: holds images of {images.picture[1]}×{images.picture[0]} pixels, but {parser} reads "
            f"{reader.picture[1]}×{reader.picture[0]}; make a parser for these images"
        )
    return reader


def _segmented(
    images: Generated, reader: readers.Reader, device: torch.device
) -> tuple[list[Integers], tuple[int, int], list[Record], NDArray[np.uint8]]:
    """Return components that positions attend to, shape of the images, objects in their middle, masks."""
    layers, records, masks = [], list[Record](), []
    with Progress(f"attention segments {images.record.run}", len(images)) as progress:
        for batch, maps in attended(images.learner, images.record, images.seeds, device):
            if not batch.isfinite().all():
                raise DataError(
                    f"{images.title}: generated images hold NaN or infinity, so the training diverged; train again"
                )
            found, seen = reader.segment(in_colours(central(quantise(batch), *reader.picture)).cpu().numpy())
            records += found
            masks.append(seen)
            layers.append([layer.float().mean(dim=1).argmax(dim=1).to(torch.int16).cpu().numpy() for layer in maps])
            progress.update(len(batch))
    joined: list[Integers] = [np.concatenate(parts) for parts in zip(*layers, strict=True)]
    return joined, (images.made.height, images.made.width), records, np.concatenate(masks)


# ------------------------------------------------------------------------------------------ the comparison


class Compared(NamedTuple):
    """Result by the names of the values: see `measure_run`."""

    values: dict[str, float]
    chance: dict[str, float]
    best: dict[str, dict[str, int]]
    shown: dict[str, int]


def compare(
    classes: Mapping[str, Sequence[str]],
    layers: Sequence[Integers],
    shape: tuple[int, int],
    records: Sequence[Record],
    masks: NDArray[np.uint8],
) -> Compared:
    """Compare regions of components with segments, as the head of this file says.

    classes: the values that are classes, by the attributes of objects; layers: of each the component [N, h, w] that a
    position attends to most, over the whole of images of `shape`; records: the objects of each image; masks [N, H, W]
    of the middle of each image: 0: of no object, i: of the i-th one. Raises DataError for fewer than two images, and
    where no image shows an object.
    """
    if len(masks) < MIN_CLASS_IMAGES:
        raise DataError(
            f"attention segments: {len(masks)} images are too few; take at least {MIN_CLASS_IMAGES}, since the level "
            "of chance needs segments of another image"
        )
    if not masks.any():
        raise DataError(
            f"attention segments: the parser sees no object in any of {len(masks)} images, so that there is nothing to "
            "attend to; train the model for longer, or take a parser that was trained for these images"
        )
    regions = Regions(layers, shape, masks.shape[1:])
    scenes = [Segments.of(classes, record, mask) for record, mask in zip(records, masks, strict=True)]
    found = _fits(regions, scenes, 0)
    others = [_fits(regions, scenes, shift) for shift in range(1, min(SHIFTS, len(masks) - 1) + 1)]
    random = np.random.default_rng(SEED)
    compared = Compared({}, {}, {}, {})
    for kind in (BACKGROUND, *itertools.chain.from_iterable(classes.values()), OBJECT):
        name = f"iou_{kind}"
        if name in found:
            compared.values.update({name: found[name].value, f"{name}_std": found[name].deviation(random)})
            compared.chance[name] = float(np.mean([other[name].value for other in others]))
            compared.best[name] = _chosen(found[name], layers)
            compared.shown[name] = len(found[name].sums)
    return compared


def _chosen(fit: "Fit", layers: Sequence[Integers]) -> dict[str, int]:
    layer, *component = map(int, np.unravel_index(fit.means().argmax(), fit.sums.shape[1:]))
    rows, columns = layers[layer].shape[1:]
    place = {"layer": layer, "rows": rows, "columns": columns}
    return {**place, "component": component[0]} if component else place


class Fit(NamedTuple):
    """Overlaps in n images for all choices: sums [n, L, K], of objects [n, L], each over so many things [n]."""

    sums: Array
    things: Array

    def means(self) -> Array:
        """Return the mean overlap for each choice."""
        means: Array = self.sums.sum(axis=0) / self.things.sum()
        return means

    @property
    def value(self) -> float:
        """The mean overlap for the best choice."""
        return float(self.means().max())

    def deviation(self, random: np.random.Generator) -> float:
        """Return the standard deviation of `value` over bootstrap samples of the images."""
        count = len(self.things)
        times = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        means = times @ self.sums.reshape(count, -1) / (times @ self.things)[:, None]  # R choices
        return float(means.max(axis=1).std())


class Segments(NamedTuple):
    """Content of an image."""

    mask: NDArray[np.uint8]
    """[H, W]: 0: of no object, i: of the i-th one."""
    members: dict[str, Array]
    """Membership of the background and of each object, [1 + I], in every class that occurs: 1 or 0."""
    things: Array
    """The same of each object that is there [n, 1 + I]."""

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[str]], record: Record, mask: NDArray[np.uint8]) -> "Segments":
        """Return the segments of the objects of a record that have pixels."""
        pixels = np.bincount(mask.ravel(), minlength=1 + len(record))
        kinds = {BACKGROUND: [1.0, *(0.0 for _ in record)]}
        for attribute, values in classes.items():
            kinds |= {value: [0.0, *(float(thing[attribute] == value) for thing in record)] for value in values}
        members = {name: np.array(kind) for name, kind in kinds.items()}
        shown = {name: member for name, member in members.items() if (member @ pixels) > 0}
        return cls(mask, shown, np.eye(len(pixels))[1:][pixels[1:] > 0])


def _fits(regions: "Regions", scenes: Sequence[Segments], shift: int) -> dict[str, Fit]:
    """Return the fit of regions of each image to segments of the image `shift` further on, by the names of values."""
    found: dict[str, list[tuple[Array, int]]] = {}
    for i in range(len(scenes)):
        scene = scenes[(i + shift) % len(scenes)]
        counts = regions.counts(i, scene)
        for name, member in scene.members.items():
            found.setdefault(f"iou_{name}", []).append((overlaps(counts, member), 1))
        if len(scene.things):
            highest = [overlaps(counts, thing).max(axis=1) for thing in scene.things]
            found.setdefault(f"iou_{OBJECT}", []).append((np.sum(highest, axis=0), len(highest)))
    return {
        name: Fit(*map(np.stack, zip(*each, strict=True)))
        for name, each in found.items()
        if len(each) >= MIN_CLASS_IMAGES
    }


def overlaps(counts: Array, member: Array) -> Array:
    """Return the intersection over union [L, K] of all regions with a segment of at least one pixel.

    counts [L, K, 1 + I]: pixels of a region that are of the background and of each object; member [1 + I]: 1 for those
    that the segment is made of.
    """
    common = counts @ member
    overlaps: Array = common / (counts.sum(axis=2) + common.sum(axis=1, keepdims=True) - common)
    return overlaps


class Regions:
    """Component that every pixel in the middle [H, W] of images of some shape attends to most, in every layer."""

    def __init__(self, layers: Sequence[Integers], shape: tuple[int, int], picture: tuple[int, ...]) -> None:
        self.layers = layers
        self.components = 1 + max(int(layer.max()) for layer in layers)
        margins = [(whole - part) // 2 for whole, part in zip(shape, picture, strict=True)]
        pixels = [margin + np.arange(part) for margin, part in zip(margins, picture, strict=True)]
        self.places = [
            np.ix_(*(one * cells // whole for one, cells, whole in zip(pixels, layer.shape[1:], shape, strict=True)))
            for layer in layers
        ]

    def counts(self, image: int, scene: Segments) -> Array:
        """Return pixels [L, K, 1 + I] that regions of an image have in common with the background and each object."""
        kinds = scene.things.shape[1]
        counted = [
            np.bincount(
                (layer[image][places].astype(np.int64) * kinds + scene.mask).ravel(), minlength=self.components * kinds
            )
            for layer, places in zip(self.layers, self.places, strict=True)
        ]
        return np.stack(counted).reshape(-1, self.components, kinds).astype(np.float64)
