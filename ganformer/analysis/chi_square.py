"""Distances between properties of generated and real scenes (the paper, section 4.4 and table 2).

The paper says that an object detector reads 1,000 generated scenes of CLEVR, and that "Chi-Square statistics" of their
properties are computed. It does not say against what, in which bins or how normalised, and its code has none of it.
Here:

- Real and generated images are read by the same parser, so that its errors are on both sides.
- Of each property, the histogram over all generated scenes, p, is compared with the histogram of the real ones, q, both
  in percent, by Pearson's statistic Σ (p − q)² / q: 0 for equal histograms, without an upper bound otherwise. In
  expectation it does not grow with the number of scenes, but for few of them it has a floor, which real scenes against
  other real scenes show.
- Half a count is added to every bin of the real histogram, so that q is never 0.
- A smaller number is better.

Percent is the scale that the printed numbers can have. Were they made of counts, even a perfect model would get about
7 for colour, which has 8 bins and so 7 degrees of freedom: 1.0 is printed. Were they made of parts of 1, material with
its two even bins would get 1 at most: 2.9 is printed. Still they are no measure of ours: the bins are unknown, and the
largest ones stand beside the model that the text calls best, so that even their direction is open.

The properties and their bins:

- `object_area`: visible pixels of an object, ten bins with a tenth of the real objects each as far as ties allow
- `object_number`: objects in a scene, a bin for each number; from either end, bins are put together until the last one
  has `RARE` of the real scenes, and numbers beyond go there too
- `co_occurrence`: pairs of objects in a scene, in built-in scenes by the shapes and colours of both: 300 bins (of all
  four attributes of both there would be more bins, 4,656, than 1,000 scenes can fill); elsewhere by the classes of both
- `shape`, `size`, `material`, `colour`, in built-in scenes: one attribute of an object
- `class`: all properties of an object together: 96 bins in built-in scenes, elsewhere one for each class
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganformer import devices
from ganformer.analysis import readers
from ganformer.data.dataset import Images
from ganformer.data.images import central, in_colours
from ganformer.errors import DataError
from ganformer.metrics.evaluate import computing
from ganformer.metrics.sets import Generated
from ganformer.records.metrics import plain_values
from ganformer.training import checkpoint

# N scenes, K bins

Record = Sequence[Mapping[str, Any]]  # the objects of a scene: `visible_pixels`, and attributes by their names
Attributes = Mapping[str, tuple[str, ...]]  # the values that each attribute can have
Histogram = NDArray[np.floating[Any]]

AREAS = 10
RARE = 0.01
RESAMPLES = 200
SEED = 0


def measure_run(images: int, run: Path, data: Path, parser: Path, out: Path, *, threads: int, gpus: int) -> None:
    """Compare properties of `images` images of a run, of seeds from 0 on, with real ones.

    Real images are as many, evenly spread over the pack `data`, or all. Writes a file like `metrics.json`: of each
    property the distance `chi2_…` and its standard deviation; `real` holds the distances of one half of the real images
    from the other, below which nothing can be expected. `run`: its run.json; `parser`: the parser.json of one that was
    made for these images. Raises what `compare` does.
    """
    started = time.monotonic()
    learner, record = checkpoint.restore(run)
    reals, reader = Images(data), readers.load(parser)
    count = min(images, len(reals))
    origin = readers.origin(reader, record, {"images": images, "real_images": count}, reals.digest)
    if origin.is_measured(out):
        return
    device = devices.acquire(gpus)
    with computing(threads):
        generated = reader.read(Generated(learner, record, run, None, range(images)), device)
        real = reader.parse(in_colours(central(reals.spread(count), *reals.image.picture), axis=1))
    values, floor = (
        {f"chi2_{name}": value for name, value in compare(*sides, reader.attributes, reader.paired).items()}
        for sides in ((generated, real), (real[::2], real[1::2]))
    )
    seconds, hardware = time.monotonic() - started, devices.describe(device, threads)
    origin.measured(plain_values(values), seconds=seconds, hardware=hardware, real=floor).write(out)


def compare(
    generated: Sequence[Record], real: Sequence[Record], attributes: Attributes, paired: Sequence[str]
) -> dict[str, float]:
    """Return the distance of each property by its name, and its standard deviation as `…_std`.

    The latter is over 200 bootstrap samples of the generated scenes, drawn with seed 0. `attributes`: attributes of the
    objects; `paired`: the ones by which objects of pairs are told apart. A property that no scene of one side has, of
    objects if there are none, of pairs if there are no two, is left out. Raises DataError for fewer than two
    scenes on either side, and for real scenes without objects.
    """
    for side, records in (("generated", generated), ("real", real)):
        if len(records) < 2:
            raise DataError(f"scene statistics: {len(records)} {side} scenes are too few; take at least 2")
    if not any(real):
        raise DataError(
            f"scene statistics: no object was seen in {len(real)} real scenes; take a parser that knows these objects"
        )
    values = {}
    for name, count in _properties(real, attributes, paired).items():
        counts, expected = count(generated), count(real).sum(axis=0)
        if counts.any() and expected.any():
            values[name] = float(chi_square(counts.sum(axis=0), expected))
            values[f"{name}_std"] = float(chi_square(_resampled(counts), expected).std())
    return values


def chi_square(counts: Histogram, expected: Histogram) -> Histogram:
    """Return Σ (p − q)² / q of histograms [..., K], scaled to sum to 100, with half a count more in `expected` [K]."""
    p = 100 * counts / counts.sum(axis=-1, keepdims=True).clip(min=1)
    q = 100 * (expected + 0.5) / (expected + 0.5).sum()
    distance: Histogram = ((p - q) ** 2 / q).sum(axis=-1)
    return distance


def _resampled(counts: Histogram) -> Histogram:
    """Return histograms [RESAMPLES, K] of as many scenes, drawn with replacement from `counts` [N, K]."""
    count = len(counts)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn.astype(np.float64) @ counts


# ------------------------------------------------------------------------------------------ properties

Count = Callable[[Sequence[Record]], Histogram]  # scenes → how often each value occurs in each of them [N, K]


def _properties(real: Sequence[Record], attributes: Attributes, paired: Sequence[str]) -> dict[str, Count]:
    """Return the counters of each property; bins of numbers follow the real scenes."""
    return {
        "object_area": _areas(real),
        "object_number": _numbers(real),
        "co_occurrence": partial(_pairs, {name: attributes[name] for name in paired}),
        **{name: partial(_kinds, {name: values}) for name, values in attributes.items()},
        "class": partial(_kinds, attributes),
    }


def _areas(real: Sequence[Record]) -> Count:
    areas = [thing["visible_pixels"] for record in real for thing in record]
    edges = np.unique(np.quantile(areas, np.arange(1, AREAS) / AREAS, method="inverted_cdf"))

    def count(records: Sequence[Record]) -> Histogram:
        bins = [np.searchsorted(edges, [thing["visible_pixels"] for thing in record]) for record in records]
        return _histograms(bins, len(edges) + 1)

    return count


def _numbers(real: Sequence[Record]) -> Count:
    numbers = np.sort([len(record) for record in real])
    rare = max(1, int(np.ceil(RARE * len(numbers))))
    low, high = int(numbers[rare - 1]), int(numbers[-rare])

    def count(records: Sequence[Record]) -> Histogram:
        bins = np.clip([len(record) for record in records], low, high) - low
        return _histograms(bins[:, None], high - low + 1)

    return count


def _kinds(attributes: Attributes, records: Sequence[Record]) -> Histogram:
    return _histograms([[_kind(thing, attributes) for thing in record] for record in records], _number(attributes))


def _pairs(attributes: Attributes, records: Sequence[Record]) -> Histogram:
    kinds = _number(attributes)
    bins = []
    for record in records:
        ordered = sorted(_kind(thing, attributes) for thing in record)
        # Of the pairs (a, b) with a ≤ b, pairs with a smaller b come first.
        bins.append([b * (b + 1) // 2 + a for a, b in itertools.combinations(ordered, 2)])
    return _histograms(bins, kinds * (kinds + 1) // 2)


def _number(attributes: Attributes) -> int:
    """Return the number of combinations of values."""
    return math.prod(map(len, attributes.values()))


def _kind(thing: Mapping[str, Any], attributes: Attributes) -> int:
    """Return the combination of an object."""
    number = 0
    for name, values in attributes.items():
        number = number * len(values) + values.index(thing[name])
    return number


def _histograms(bins: Sequence[Any] | NDArray[Any], size: int) -> Histogram:
    """Return the occurrences of each bin in each scene [N, size]."""
    counted = [np.bincount(np.asarray(values, np.int64), minlength=size) for values in bins]
    return np.stack(counted).astype(np.float64)
