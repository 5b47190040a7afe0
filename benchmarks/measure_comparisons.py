"""The comparisons of `metrics.py`: measures on drawn features, the plain ways they are held against, and tables."""

import json
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from comparisons import print_table
from measure import Result, Side, in_turn

from ganformer.metrics import neighbours, order
from ganformer.metrics.measures import frechet, kid, precision_recall
from ganformer.metrics.statistics import Array, Observed, Statistics

MANY = 50_000  # images of the published numbers
ROOT = "scipy.linalg.sqrtm"
Values = dict[str, float]
Measure = Callable[[Observed, Observed], Values]


class Bench:
    """All comparisons. Each side leaves its values in a file in `folder`, as it runs in another process."""

    def __init__(self, folder: Path, images: int, features: int, repeats: int, cores: int) -> None:
        self.folder, self.images, self.features = folder, images, features
        self.repeats, self.cores = repeats, cores
        print(f"{features} features an image, {repeats} repeats")

    def print_all(self) -> None:
        """Print a table for each comparison."""
        for table in (self.regular, self.singular, self.manifolds, self.kernels):
            print()
            table()

    def regular(self) -> None:
        """Fréchet distance of more images than features."""
        ways = {"ganformer": frechet.compute, ROOT: by_root, "numpy.linalg.eigvals": by_eigenvalues}
        self._distances(3 * self.features, ways, ROOT, "covariances of full rank")

    def singular(self) -> None:
        """Fréchet distance of fewer images than features, which their singular values give without covariances."""
        exact = "numpy.linalg.svd of features"
        ways = {
            "ganformer": frechet.compute,
            ROOT: by_root,
            "numpy.linalg.eigvals": by_eigenvalues,
            exact: by_singular_values,
        }
        self._distances(self.features // 2, ways, exact, "singular covariances")

    def _distances(self, images: int, ways: Mapping[str, Measure], true: str, what: str) -> None:
        sets = [_statistics(_features(images, self.features, seed)) for seed in (0, 1)]
        results, values = self._measure(ways, sets)
        distances = {name: found["fd"] for name, found in values.items()}
        rows = [
            _row(name, result)
            | {"× sqrtm": _ratio(results, name, ROOT), "value": f"{distances[name]:.6f}"}
            | {"off": "–" if name == true else f"{abs(distances[name] / distances[true] - 1):.0e}"}
            for name, result in results.items()
        ]
        print_table(f"Fréchet distance, {what} ({images} images), {self.cores} cores", rows)
        print(f"\nOff: relative difference from {true}.")

    def manifolds(self) -> None:
        """Precision and recall of some images and of twice as many."""
        rows = []
        for images in (self.images, 2 * self.images):
            ours, whole = (f"{name}, {images} images" for name in ("ganformer, in tiles", "whole matrices"))
            sets = self._sets(images)
            results, values = self._measure({ours: precision_recall.compute, whole: by_whole_matrices}, sets)
            for name, result in results.items():
                found = {key: f"{values[name][key]:.4f}" for key in ("precision", "recall")}
                many = {f"min of {MANY:,}": f"{result.seconds * (MANY / images) ** 2 / 60:.1f}"}
                rows.append(_row(name, result) | {"× whole": _ratio(results, name, whole)} | many | found)
        print_table(f"Precision and recall, as many real images as generated, {self.cores} cores", rows)
        print(
            f"\nThe time of {MANY:,} is extrapolated by the square of their number. "
            f"With more than {2 * neighbours.TILE:,} images, tiles need no more memory for more."
        )

    def kernels(self) -> None:
        """KID."""
        ways: dict[str, Measure] = {"ganformer": kid.compute, "plain": by_powers}
        results, values = self._measure(ways, self._sets(self.images))
        rows = [
            _row(name, result) | {"× plain": _ratio(results, name, "plain"), "value": f"{values[name]['kid']:.6f}"}
            for name, result in results.items()
        ]
        print_table(f"KID of {self.images} images, {kid.SUBSETS} subsets, {self.cores} cores", rows)

    def _sets(self, images: int) -> list[Observed]:
        return [
            Observed("images", images, {"features": _features(images, self.features, seed).astype(np.float32)})
            for seed in (0, 1)
        ]

    def _measure(
        self, ways: Mapping[str, Measure], sets: list[Observed]
    ) -> tuple[dict[str, Result], dict[str, Values]]:
        """Return time and memory of each way, and the values it found."""
        files = {name: self.folder / f"{name}.json" for name in ways}

        def side(name: str) -> Callable[[], int]:
            torch.set_num_threads(self.cores)
            return lambda: files[name].write_text(json.dumps(ways[name](*sets)))

        sides: dict[str, Side] = {name: partial(side, name) for name in ways}
        results = in_turn(sides, self.repeats, cores=self.cores)
        return results, {name: json.loads(file.read_text()) for name, file in files.items()}


# ------------------------------------------------------------------------------------------------ the plain ways


def by_root(real: Observed, fake: Observed) -> Values:
    """Return the Fréchet distance as its formula reads, and as pytorch-fid has it."""
    a, b = real.arrays, fake.arrays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular covariances
        root = scipy.linalg.sqrtm(a["covariance"] @ b["covariance"])
    return _distance(real, fake, root.trace().real)


def by_eigenvalues(real: Observed, fake: Observed) -> Values:
    """Return the Fréchet distance by the eigenvalues of the product, as torch-fidelity has it."""
    values = np.linalg.eigvals(real.arrays["covariance"] @ fake.arrays["covariance"])
    return _distance(real, fake, np.sqrt(values.astype(complex)).sum().real)


def by_singular_values(real: Observed, fake: Observed) -> Values:
    """Return the Fréchet distance without covariances: the trace is the sum of singular values of the sets' product."""
    x, y = (
        (observed.arrays["features"] - observed.arrays["mean"]) / (observed.count - 1) ** 0.5
        for observed in (real, fake)
    )
    return _distance(real, fake, np.linalg.svd(x @ y.T, compute_uv=False).sum())


def _distance(real: Observed, fake: Observed, trace: float) -> Values:
    a, b = real.arrays, fake.arrays
    shift = ((a["mean"] - b["mean"]) ** 2).sum()
    return {"fd": float(shift + a["covariance"].trace() + b["covariance"].trace() - 2 * trace)}


def by_whole_matrices(real: Observed, fake: Observed) -> Values:
    """Return precision and recall with all distances at once, as torch-fidelity has them, in float64."""
    x, y = (torch.from_numpy(observed.arrays["features"]).double() for observed in (real, fake))
    real_radii, fake_radii = (
        torch.cdist(points, points).kthvalue(precision_recall.NEIGHBOURS + 1).values for points in (x, y)
    )
    distances = torch.cdist(x, y)
    precise, recalled = (distances <= real_radii[:, None]).any(dim=0), (distances <= fake_radii).any(dim=1)
    return {"precision": precise.double().mean().item(), "recall": recalled.double().mean().item()}


def by_powers(real: Observed, fake: Observed) -> Values:
    """Return KID with kernels as their formula reads, of the same subsets."""
    size, random = min(kid.SIZE, real.count // 2, fake.count // 2), np.random.RandomState(kid.SEED)
    sets = [observed.arrays["features"] for observed in (fake, real)]
    generated, reals = (features[order.by_value(features)] for features in sets)
    distances = []
    for _ in range(kid.SUBSETS):
        x = generated[random.choice(fake.count, size, replace=False)].astype(np.float64)
        y = reals[random.choice(real.count, size, replace=False)].astype(np.float64)
        xx, yy, xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
        distances.append(within / (size * (size - 1)) - 2 * xy.mean())
    return {"kid": float(np.mean(distances))}


# ------------------------------------------------------------------------------------------- features and tables


def _features(images: int, features: int, seed: int) -> Array:
    """Return not below 0 and most of them small.

    With a hundred directions in common, as an Inception network gives them.
    """
    random = np.random.default_rng(seed)
    own = random.exponential(0.3, (images, features)) * np.geomspace(1, 0.01, features)
    directions = np.random.default_rng(2).exponential(0.02, (100, features))
    return own + random.exponential(1 + 0.1 * seed, (images, 100)) @ directions


def _statistics(features: Array) -> Observed:
    statistics = Statistics("images")
    statistics.update(features)
    arrays = {"features": features, "mean": statistics.mean, "covariance": statistics.covariance}
    return Observed("images", len(features), arrays)


def _row(name: str, result: Result) -> dict[str, str]:
    return {"": name, "seconds": f"{result.seconds:.2f}", "memory MB": f"{result.memory:.0f}"}


def _ratio(results: Mapping[str, Result], name: str, other: str) -> str:
    """Return how many times as fast as the other one."""
    return f"{results[other].seconds / results[name].seconds:.2f}"
