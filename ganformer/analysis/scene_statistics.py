"""How far generated scenes are from real ones in what they are made of (the paper, section 4.4 and table 2).

The paper says that an object detector reads 1,000 generated scenes of CLEVR, and that "Chi-Square statistics" of their
properties are computed. It does not say against what, in which bins or how normalised, and its code has none of it.
Here:

- Real and generated images are read by the same parser, so that its errors are on both sides.
- Of each property, the histogram over all generated scenes, p, is compared with that of the real ones, q, both in
  percent, by Pearson's statistic Σ (p − q)² / q: 0 for equal histograms, without an upper bound otherwise. In
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
- `co_occurrence`: pairs of objects in a scene, by the shapes and colours of both: 300 bins (of all four attributes of
  both there would be more bins, 4,656, than 1,000 scenes can fill)
- `shape`, `size`, `material`, `colour`: one attribute of an object
- `class`: all four of them together, 96 bins
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganformer import artifacts, devices
from ganformer.analysis.scene_parser import Parser, described
from ganformer.config import Evaluation
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.data.sources import scenes
from ganformer.errors import DataError
from ganformer.learning import checkpoint
from ganformer.metrics.evaluate import computing
from ganformer.metrics.sets import Generated

# N scenes, K bins

Record = Sequence[Mapping[str, Any]]  # the objects of a scene, as in `scenes.jsonl`
Histogram = NDArray[np.floating[Any]]

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "shape": scenes.SHAPES,
    "size": tuple(scenes.SIZES),
    "material": scenes.MATERIALS,
    "colour": tuple(scenes.COLOURS),
}
AREAS = 10
RARE = 0.01
RESAMPLES = 200
SEED = 0


def measure_run(
    evaluation: Evaluation, run: Path, pack: Path, parser: Path, out: Path, *, threads: int, gpus: int
) -> None:
    """Reads the images of a run that `evaluation` names, and as many real ones, evenly spread over a pack, or all.

    Writes a file like `metrics.json`: of each property the distance `chi2_…` and its standard deviation; `real` holds
    the distances of one half of the real images from the other, below which nothing can be expected. `run`: its
    run.json; `parser`: the parser.json of one that was trained for these images. Raises what `compare` does.
    """
    started = time.monotonic()
    learner, record = checkpoint.restore(run)
    images, reader, device = Images(pack), Parser.load(parser), devices.acquire(gpus)
    count = min(evaluation.images, len(images))
    with computing(threads):
        generated = reader.read(Generated(learner, record, run, None, evaluation), device)
        real = reader.parse(central(images.spread(count), *images.image.picture))
    values = {f"chi2_{name}": value for name, value in compare(generated, real).items()}
    floor = {f"chi2_{name}": value for name, value in compare(real[::2], real[1::2]).items()}
    recipe = {"images": len(generated), "seed": evaluation.seed, "real_images": count}
    content = described(reader, record, values, recipe, started, devices.describe(device, threads))
    artifacts.write_json(out, {**content, "real": floor, "reference": {"manifest_sha256": images.digest}})


def compare(generated: Sequence[Record], real: Sequence[Record]) -> dict[str, float]:
    """The distance of each property by its name, and its standard deviation as `…_std`.

    The latter is over 200 bootstrap samples of the generated scenes, drawn with seed 0. A property that no generated
    scene has, of objects where there are none, of pairs where there are no two, is left out. Raises DataError for fewer
    than two scenes on either side, and for real scenes without pairs of objects.
    """
    for side, records in (("generated", generated), ("real", real)):
        if len(records) < 2:
            raise DataError(f"scene statistics: {len(records)} {side} scenes are too few; take at least 2")
    if max(map(len, real)) < 2:
        raise DataError("scene statistics: no real scene has two objects; take real scenes of several objects")
    values = {}
    for name, count in _properties(real).items():
        counts, expected = count(generated), count(real).sum(axis=0)
        if counts.any():
            values[name] = float(chi_square(counts.sum(axis=0), expected))
            values[f"{name}_std"] = float(chi_square(_resampled(counts), expected).std())
    return values


def chi_square(counts: Histogram, expected: Histogram) -> Histogram:
    """Σ (p − q)² / q of histograms [..., K], each made to sum to 100, with half a count more in `expected` [K]."""
    p = 100 * counts / counts.sum(axis=-1, keepdims=True).clip(min=1)
    q = 100 * (expected + 0.5) / (expected + 0.5).sum()
    distance: Histogram = ((p - q) ** 2 / q).sum(axis=-1)
    return distance


def _resampled(counts: Histogram) -> Histogram:
    """Histograms [RESAMPLES, K] of as many scenes, drawn with replacement from those of `counts` [N, K]."""
    count = len(counts)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn.astype(np.float64) @ counts


# ------------------------------------------------------------------------------------------ properties

Count = Callable[[Sequence[Record]], Histogram]  # scenes → how often each value occurs in each of them [N, K]


def _properties(real: Sequence[Record]) -> dict[str, Count]:
    """How each property is counted; bins of numbers follow the real scenes."""
    return {
        "object_area": _areas(real),
        "object_number": _numbers(real),
        "co_occurrence": _pairs,
        **{name: partial(_kinds, [name]) for name in ATTRIBUTES},
        "class": partial(_kinds, list(ATTRIBUTES)),
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


def _kinds(attributes: Sequence[str], records: Sequence[Record]) -> Histogram:
    size = int(np.prod([len(ATTRIBUTES[name]) for name in attributes]))
    return _histograms([[_kind(thing, attributes) for thing in record] for record in records], size)


def _pairs(records: Sequence[Record]) -> Histogram:
    kinds = len(ATTRIBUTES["shape"]) * len(ATTRIBUTES["colour"])
    bins = []
    for record in records:
        ordered = sorted(_kind(thing, ["shape", "colour"]) for thing in record)
        # Of the pairs (a, b) with a ≤ b, those with a smaller b come first.
        bins.append([b * (b + 1) // 2 + a for a, b in itertools.combinations(ordered, 2)])
    return _histograms(bins, kinds * (kinds + 1) // 2)


def _kind(thing: Mapping[str, Any], attributes: Sequence[str]) -> int:
    """Number of the combination of these attributes that an object has."""
    number = 0
    for name in attributes:
        number = number * len(ATTRIBUTES[name]) + ATTRIBUTES[name].index(thing[name])
    return number


def _histograms(bins: Sequence[Any] | NDArray[Any], size: int) -> Histogram:
    """How often each bin occurs in each scene [N, size]."""
    counted = [np.bincount(np.asarray(values, np.int64), minlength=size) for values in bins]
    return np.stack(counted).astype(np.float64)
