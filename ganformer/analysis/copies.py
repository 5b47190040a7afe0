"""Search for copies of training images: samples of a model, and the training images nearest to them.

Images are near by a small Euclidean distance between features of the evaluation's extractor. Every image of the pack is
a training image, and where the run was trained on mirrored ones, its mirror image is another one. Of images that are
stored with a margin for random crops, the picture in the middle is meant.

How small a distance is suspicious, only images can tell that were not trained on. With a pack of such held-out images,
M samples and H held-out images are compared by their distances to the nearest of all training images. That is the test
of Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative models", section 3:
for a model that draws from the distribution of the images, both are independent draws of one distribution, whatever the
training images are and however many there are of each.

- `nearer`: share of samples that are nearer to a training image than the median held-out image is; 0.5 is expected
- `much_nearer`: share of samples that are nearer than all held-out images but the nearest hundredth of them; 0.01 is
  expected. It shows a model that repeats seldom, which the mean of all samples hides
- `copying`: probability that a sample is nearer to a training image than a held-out image is, ties half; 0.5 is
  expected
- `copying_z`: the same as the paper's Z, the statistic of Mann and Whitney: below 0 if samples are nearer, hardly by
  chance below −3
- `nearer_std`, `much_nearer_std`, `copying_std`: standard deviations over 200 bootstrap samples of both, drawn with
  seed 0

All of these depend on what samples look like, too: noisy ones are far from all images, so that a model may repeat and
not be found; bland ones are nearer to all images than real ones are (with half the contrast Z is −8 where nothing is
repeated). Therefore samples are also compared with equally many images of both kinds, n = min(N, H) of N training
images, evenly spread over their packs. Mirror images of held-out ones count if mirror images of training images do.

- `preference`: share of samples whose nearest image among both is a training image, ties half. 0.5 is expected of
  samples of any quality that owe nothing to single training images
- `preference_std`: its standard deviation where chance decides which n of the 2n images were trained on, exactly: where
  c samples are next to an image or its mirror image, the number of samples next to training images has the variance
  n / (4n − 2) Σ (c − mean)²
- `fd_training`, `fd_held_out`: Fréchet distances of the samples from both, too large by chance by about as much, and
  `fd_training_std`, `fd_held_out_std`: their deviation over other samples
"""

# M samples, N training images, H held-out images, D features

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from ganformer import artifacts, devices
from ganformer.analysis import stored_images as stored
from ganformer.config import Evaluation
from ganformer.data.dataset import Images
from ganformer.data.images import Pixels, central
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.evaluate import computing, load_network
from ganformer.metrics.measures import frechet, frechet_error
from ganformer.metrics.names import label
from ganformer.metrics.nearest import Nearest, nearest
from ganformer.metrics.sets import ALL, Generated, ImageSet, Network, Picture, Share, in_pixels, observe
from ganformer.metrics.statistics import Array, Observed, Statistics
from ganformer.records.metrics import ComparedSet, Value
from ganformer.records.npz import Copies
from ganformer.records.run import Run
from ganformer.training import checkpoint
from ganformer.training.samples import BATCH, batches, in_colours

BLOCK = 16_384  # images whose features are held at a time, while the nearest ones are looked for
RESAMPLES = 200
SEED = 0

Integers = NDArray[np.int64]


def find_copies(
    evaluation: Evaluation,
    run: Path,
    data: Path,
    held_out: Path | None,
    pairs: int,
    out: Path,
    *,
    threads: int,
    gpus: int,
) -> None:
    """Find the training image nearest to each of the images of a run that `evaluation` names; write an npz file.

    `run`: its run.json; `data`: manifest.json of the pack that it was trained on; `held_out`: manifest.json of a pack
    of images of the same shape that it was not trained on. The file holds

    - `nearest_samples`, `nearest_training` uint8 [pairs, H, W, C]: the samples that are nearest to a training image, in
      this order, and these training images, mirrored where the mirror image is the near one
    - `first_samples`, `first_training`: the same of the first samples, which nobody picked
    - `nearest_numbers` [pairs]: which samples are the nearest ones; `training_numbers` [M]: the number of the training
      image nearest to each sample, with N added for a mirror image
    - `samples_to_training` [M], float64: distance of each sample to it
    - with `held_out` also `held_out_to_training` [n], and among equally many images of both kinds
      `samples_to_as_many_training` [M] and `samples_to_held_out` [M]

    and as JSON in `provenance` the content of a `metrics.json`: values by their keys, their `expected` values without
    memorisation, recipe. Raises ConfigError if `pairs` is more than the number of samples, DataError if run and
    packs do not fit together, held-out images were trained on, or images are too few or not finite.
    """
    if pairs > evaluation.images:
        raise ConfigError(
            f"pairs {pairs}: only {evaluation.images} images are generated to look for copies; set images to at least "
            f"{pairs}, or pairs to at most {evaluation.images}"
        )
    learner, record = checkpoint.restore(run)
    generated = Generated(learner, record, run, None, evaluation.seeds)
    training = Images(data)
    record.check_pack(
        run,
        training.folder,
        training.manifest,
        "copies are looked for among training images: name the pack of the run",
    )
    others = None if held_out is None else _held_out(held_out, training, is_mirrored=record.is_mirrored)
    origin = _origin(evaluation, record, training, others, pairs)
    kept = Copies.find(out)
    if kept is not None and artifacts.is_kept(out, kept.content(), origin):
        return
    title, device = f"memorisation {record.run}", devices.acquire(gpus)
    with computing(threads):
        viewer = Viewer(load_network(evaluation.extractor, device), training.image.picture, device, title)
        found = search(viewer, generated, training, others, is_mirrored=record.is_mirrored)
        suspicious = np.argsort(found.nearest.distances, kind="stable")[:pairs]
        arrays: dict[str, NDArray[Any]] = {}
        for name, numbers in (("nearest", suspicious), ("first", np.arange(pairs))):
            arrays[f"{name}_samples"] = _samples(generated, numbers, viewer).transpose(0, 2, 3, 1)
            arrays[f"{name}_training"] = read(training, found.nearest.indices[numbers]).transpose(0, 2, 3, 1)
    arrays |= {"nearest_numbers": suspicious, "training_numbers": found.nearest.indices}
    arrays |= {"samples_to_training": found.nearest.distances, **found.compared}
    _facts(evaluation, origin, found).write(out, arrays)


def _samples(generated: Generated, numbers: Integers, viewer: "Viewer") -> Pixels:
    """Return some of the generated images, uint8 [n, C, H, W]."""
    count = -(-len(generated) // BATCH)
    images = []
    for number in numbers.tolist():  # made again with those beside them, on which the noise that layers add depends
        (batch,) = generated.batches(viewer.picture, viewer.device, Share(number // BATCH, count))
        images.append(batch[number % BATCH].cpu().numpy())
    return np.stack(images)


def _facts(evaluation: Evaluation, origin: Mapping[str, Any], found: "Found") -> Copies:
    """Return the file's record: `origin`, and the values found."""
    extractor = evaluation.extractor.model_dump(mode="json")
    return Copies(
        **{key: value for key, value in origin.items() if key != "recipe"},
        values={
            key: Value(name=label(key, extractor, evaluation.images), value=value)
            for key, value in found.values.items()
        },
        expected=found.expected,
        recipe={**origin["recipe"], "compared": len(found.compared.get("held_out_to_training", ()))},
        code=artifacts.code_version(),
    )


def _origin(evaluation: Evaluation, record: Run, training: Images, others: Images | None, count: int) -> dict[str, Any]:
    """Return the part of the file's record that is known before copies are looked for."""
    return {
        **stored.provenance(record),
        "run": record.run.content(),
        "step": record.end.step,
        "recipe": {
            "extractor": evaluation.extractor.model_dump(mode="json"),
            "pairs": count,
            "images": evaluation.images,
            "seed": evaluation.seed,
            "training_images": len(training),
            "held_out_images": 0 if others is None else len(others),
            "mirrored": record.is_mirrored,
            "image": record.spec["image"],
            "picture": list(training.image.picture),
            "truncation": None,
        },
        "training_data_sha256": training.digest,
        "held_out_data_sha256": None if others is None else others.digest,
    }


def _held_out(pack: Path, training: Images, *, is_mirrored: bool) -> Images:
    """Return held-out images; DataError if they are of another shape than training images, or some are among them."""
    others = Images(pack)
    if others.image.picture != training.image.picture:
        raise DataError(
            f"{others.folder}: holds images of {in_pixels(others.image.picture)}, but the training images in "
            f"{training.folder} are of {in_pixels(training.image.picture)}; pack the held-out images in that shape"
        )
    folder, known = training.folder, set(_digests(training, all_places(training, is_mirrored=is_mirrored)))
    shared = sum(digest in known for digest in _digests(others, all_places(others, is_mirrored=False)))
    if shared:
        mirrored = " or their mirror images" if is_mirrored else ""
        raise DataError(
            f"{others.folder}: {shared} of {len(others)} images are byte for byte images of {folder}{mirrored}, "
            "which were trained on; leave them out, or name a pack of images that were held out"
        )
    return others


def _digests(images: Images, places: Integers) -> Iterator[bytes]:
    for some in batches(places.tolist()):
        for pixels in read(images, np.array(some)):
            yield hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


# -------------------------------------------------------------------------------------------- the search


class Part(ImageSet):
    """Images of a pack by their places, as `read` has them."""

    def __init__(self, images: Images, places: Integers) -> None:
        self.images, self.places = images, places
        self.title, self.picture = str(images.folder), images.image.picture
        self.about = ComparedSet(kind="pack", path=self.title, images=len(self), data_sha256=images.digest)

    def __len__(self) -> int:
        return len(self.places)

    def batches(self, picture: Picture, device: torch.device, share: Share = ALL) -> Iterator[Tensor]:
        for places in share.of(batches(self.places.tolist())):
            pixels = torch.from_numpy(read(self.images, np.array(places)))
            yield in_colours(central(pixels, *picture).to(device))


def read(images: Images, places: Integers) -> Pixels:
    """Return pictures of a pack of N images, uint8 [n, C, rows, columns]: places from N on are mirror images."""
    pixels = central(images.read(places % len(images)), *images.image.picture)
    return np.where((places >= len(images))[:, None, None, None], pixels[..., ::-1], pixels)


def all_places(images: Images, *, is_mirrored: bool) -> Integers:
    """Return the places of all images of a pack, then of their mirror images."""
    return _with_mirrored(images, np.arange(len(images)), is_mirrored=is_mirrored)


def _with_mirrored(images: Images, numbers: Integers, *, is_mirrored: bool) -> Integers:
    return np.concatenate([numbers, numbers + len(images)]) if is_mirrored else numbers


@dataclass(frozen=True)
class Viewer:
    """Network that looks at the middle of images; `title`: title of progress lines."""

    network: Network
    picture: Picture
    device: torch.device
    title: str

    def look(self, images: ImageSet) -> Observed:
        """Return features of the images."""
        return observe(images, self.network, {"features"}, self.picture, self.device, self.title)

    def spread(self, images: Images, count: int, *, is_mirrored: bool) -> "Seen":
        """Return features of `count` images, evenly spread over a pack, and behind them of their mirror images."""
        numbers = np.arange(count) * len(images) // count
        places = _with_mirrored(images, numbers, is_mirrored=is_mirrored)
        return Seen(places, self.look(Part(images, places)))

    def look_by_parts(self, images: Images, places: Integers) -> Iterator["Seen"]:
        """Yield features of images of a pack, at most `BLOCK` of them at a time."""
        for start in range(0, len(places), BLOCK):
            part = Part(images, places[start : start + BLOCK])
            yield Seen(part.places, self.look(part))


class Seen(NamedTuple):
    """Images of a pack, and their statistics."""

    places: Integers
    observed: Observed


class Found(NamedTuple):
    """Result of a search; see `find_copies`."""

    nearest: Nearest
    """Place of the nearest training image of each sample."""
    compared: Mapping[str, Array]
    """Distances to compare with; none without held-out images."""
    values: Mapping[str, float]
    expected: Mapping[str, float]


def search(viewer: Viewer, generated: ImageSet, training: Images, others: Images | None, *, is_mirrored: bool) -> Found:
    """Return the training image nearest to every sample, and how held-out ones compare."""
    samples = viewer.look(generated)
    if others is None:
        found = closest(samples, viewer.look_by_parts(training, all_places(training, is_mirrored=is_mirrored)))
        return Found(found, {}, {}, {})
    count = min(len(training), len(others))
    cut = viewer.spread(training, count, is_mirrored=is_mirrored)
    held_out = viewer.spread(others, count, is_mirrored=is_mirrored)
    rest = np.setdiff1d(all_places(training, is_mirrored=is_mirrored), cut.places)
    queries = np.concatenate([samples.arrays["features"], held_out.observed.arrays["features"][:count]])
    every = itertools.chain([cut], viewer.look_by_parts(training, rest))
    found = closest(Observed(samples.title, len(queries), {"features": queries}, samples.device), every)
    of_samples, of_held_out = (
        Nearest(found.indices[rows], found.distances[rows])
        for rows in (slice(samples.count), slice(samples.count, None))
    )
    near = Sides(*(nearest(side.observed, samples) for side in (cut, held_out)))
    values = {
        **copying(of_samples.distances, of_held_out.distances),
        **preference(near, count),
        **_distances("training", cut.observed, samples),
        **_distances("held_out", held_out.observed, samples),
    }
    compared = {
        "held_out_to_training": of_held_out.distances,
        "samples_to_as_many_training": near.training.distances,
        "samples_to_held_out": near.held_out.distances,
    }
    return Found(of_samples, compared, values, expected(count))


def closest(queries: Observed, seen: Iterable[Seen]) -> Nearest:
    """Return the place of the image nearest to each query, over all that were seen, at least one, and its distance."""
    each = (
        Nearest(places[one.indices], one.distances) for places, images in seen for one in [nearest(images, queries)]
    )
    return functools.reduce(Nearest.or_nearer, each)


# ---------------------------------------------------------------------------------------- the comparison


class Sides(NamedTuple):
    """Nearest of n training images, and of n held-out ones, for each sample; numbers from n on: mirror images."""

    training: Nearest
    held_out: Nearest


def expected(held_out: int) -> dict[str, float]:
    """Return the values of a model that draws from the distribution of the images, for so many held-out ones."""
    # As likely as any other place among H held-out images, sorted, is each of the H + 1 gaps between them.
    return {
        "nearer": 0.5,
        "much_nearer": _hundredth(held_out) / (held_out + 1),
        "copying": 0.5,
        "copying_z": 0.0,
        "preference": 0.5,
    }


def copying(samples: Array, held_out: Array) -> dict[str, float]:
    """Return values of distances to the nearest training image, of samples [M] and held-out images [H]; M, H ≥ 1."""
    values = _shares(samples, held_out)
    random = np.random.default_rng(SEED)
    again = [
        _shares(random.choice(samples, len(samples)), random.choice(held_out, len(held_out))) for _ in range(RESAMPLES)
    ]
    spreads = {f"{key}_std": float(np.std([one[key] for one in again])) for key in values}
    return {**values, **spreads, "copying_z": _mann_whitney(samples, held_out)}


def _shares(samples: Array, held_out: Array) -> dict[str, float]:
    ordered = np.sort(held_out)
    further = (
        len(held_out) - (np.searchsorted(ordered, samples, "left") + np.searchsorted(ordered, samples, "right")) / 2
    )
    return {
        "nearer": float(np.mean(samples < np.median(ordered))),
        "much_nearer": float(np.mean(samples < ordered[_hundredth(len(ordered)) - 1])),
        "copying": float(further.mean() / len(held_out)),
    }


def _hundredth(count: int) -> int:
    return -(-count // 100)


def _mann_whitney(samples: Array, held_out: Array) -> float:
    """Return the pairs in which the sample is further, less the expectation, in standard deviations; ties corrected.

    0 where all distances are the same. scipy's `mannwhitneyu` returns a p-value, which is 0 below −38 or so.
    """
    m, h = len(samples), len(held_out)
    ranks = stats.rankdata(np.concatenate([samples, held_out]))
    further = ranks[:m].sum() - m * (m + 1) / 2
    variance = m * h * (m + h + 1) / 12 * stats.tiecorrect(ranks)
    return float((further - m * h / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def preference(near: Sides, count: int) -> dict[str, float]:
    """Return `preference` and `preference_std` among `count` images of each kind."""
    training, held_out = near
    ours = np.where(training.distances == held_out.distances, 0.5, training.distances < held_out.distances)
    winners = np.where(ours > 0, training.indices % count, count + held_out.indices % count)
    samples = np.bincount(winners, minlength=2 * count)
    variance = count / (4 * count - 2) * np.square(samples - samples.mean()).sum()
    return {"preference": float(ours.mean()), "preference_std": float(np.sqrt(variance) / len(ours))}


def _distances(name: str, real: Observed, samples: Observed) -> dict[str, float]:
    """Return the Fréchet distance from images, and its deviation, by the name of these."""
    sides = [_gaussian(observed) for observed in (real, samples)]
    values = {**frechet.compute(*sides), **frechet_error.compute(*sides)}
    return {f"fd_{name}": values["fd"], f"fd_{name}_std": values["fd_std"]}


def _gaussian(observed: Observed) -> Observed:
    statistics = Statistics(observed.title, observed.device)
    statistics.update(observed.arrays["features"])
    arrays = {**observed.arrays, "mean": statistics.mean, "covariance": statistics.covariance}
    return Observed(observed.title, observed.count, arrays, observed.device)
