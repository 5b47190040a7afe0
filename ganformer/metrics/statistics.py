"""Statistics that measures compare: mean and covariance of features, the features themselves, class logits."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganformer.errors import DataError

# N images, D features, K classes
Array = NDArray[np.floating]
CPU = torch.device("cpu")

T = TypeVar("T")


class Statistics:
    """Mean and covariance of features that arrive in batches, in float64; their number does not matter for memory.

    The covariance divides by N − 1, as `numpy.cov` and with it the published implementations of FID do (the PyTorch
    code of GANformer divides by N). Batches are merged as in Chan, Golub and LeVeque 1979. `title` names the images in
    messages. The largest array, [D, D], is kept on `device`, where the products of features are computed.
    """

    def __init__(self, title: str, device: torch.device = CPU) -> None:
        self.title, self.device = title, device
        self.count = 0
        self.mean: Array = np.zeros(())
        self._scatter = torch.zeros(())

    @classmethod
    def of(cls, title: str, count: int, mean: Array, covariance: Array, device: torch.device = CPU) -> Self:
        """Return statistics of `count` images with known mean [D] and covariance [D, D]."""
        statistics = cls(title, device)
        statistics.count, statistics.mean = count, mean
        statistics._scatter = torch.from_numpy(covariance * (count - 1)).to(device)
        return statistics

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can use, which may not have this device."""
        return {**vars(self), "device": CPU, "_scatter": self._scatter.cpu()}

    def update(self, features: Array) -> None:
        """Add the features [n, D] of n more images."""
        features = features.astype(np.float64)
        count, added, mean = self.count, len(features), features.mean(axis=0)
        if not count:
            self.mean = np.zeros_like(mean)
            self._scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=self.device)
        # The distance of both means is one more row, so that the scatter, the largest array here, is written once.
        difference = mean - self.mean
        stacked = np.vstack([features - mean, difference * (count * added / (count + added)) ** 0.5])
        rows = torch.from_numpy(stacked).to(self.device)
        with torch.inference_mode():  # outside, a tensor that was made inside could not be changed
            self._scatter.addmm_(rows.T, rows)
        self.mean = self.mean + difference * (added / (count + added))
        self.count = count + added

    def merge(self, other: "Statistics") -> None:
        """Add the images that `other` has seen."""
        if not other.count:
            return
        count = self.count + other.count
        difference = other.mean - self.mean
        self._scatter = self._scatter.to(self.device) + other._scatter.to(self.device)  # new: `update` changes it
        if self.count:
            self._scatter += self._outer(difference, difference * (self.count * other.count / count))
        self.mean = self.mean + difference * (other.count / count)
        self.count = count

    def without(self, other: "Statistics") -> "Statistics":
        """Return the statistics without the images of `other`, a subset."""
        rest = Statistics(self.title, self.device)
        rest.count = self.count - other.count
        rest.mean = self.mean + (self.mean - other.mean) * (other.count / rest.count)
        difference = other.mean - rest.mean
        rest._scatter = self._scatter - other._scatter.to(self.device)
        rest._scatter -= self._outer(difference, difference * (rest.count * other.count / self.count))
        return rest

    def _outer(self, a: Array, b: Array) -> Tensor:
        return torch.from_numpy(a).to(self.device)[:, None] * torch.from_numpy(b).to(self.device)

    @property
    def covariance(self) -> Array:
        """[D, D]; DataError for fewer than two images."""
        if self.count < 2:
            raise DataError(f"{self.title}: a covariance needs at least 2 images, there are {self.count}")
        covariance: Array = (self._scatter / (self.count - 1)).cpu().numpy()
        return covariance


@dataclass(frozen=True)
class Observed:
    """Observations of one set of `count` images.

    `arrays` holds what measures need of `mean` [D], `covariance` [D, D], `features` [N, D] and `logits` [N, K];
    `title` names the set in messages; measures compute on `device`, whose memory the arrays need not fit in.
    """

    title: str
    count: int
    arrays: Mapping[str, Array]
    device: torch.device = CPU
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def features(self) -> int:
        """Number D of features an image; 0 if nothing is known of them."""
        known = next((self.arrays[name] for name in ("mean", "features") if name in self.arrays), np.empty(0))
        return int(known.shape[-1])

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return a result of `make` that depends on these images alone, computed when it is first asked for."""
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made


class Rows:
    """Rows [N, D] that arrive in batches, in one array that grows where it lies.

    A list of batches would be in memory twice while it is joined, and most of it would stay with the process.
    """

    def __init__(self) -> None:
        self.array: Array = np.empty((0, 0), np.float32)
        self.ends = [0]

    def add(self, batch: Array) -> None:
        """Copy n more rows [n, D]."""
        start, end = self.ends[-1], self.ends[-1] + len(batch)
        if not start:
            self.array = np.empty((0, batch.shape[1]), batch.dtype)
        if end > len(self.array):
            self._resize(max(end, len(self.array) * 9 // 8))
        self.array[start:end] = batch
        self.ends.append(end)

    def batches(self) -> Iterator[Array]:
        """Return the batches as they arrived."""
        return (self.array[start:end] for start, end in itertools.pairwise(self.ends))

    def all(self) -> Array:
        """Return all rows; nothing may be added afterwards."""
        self._resize(self.ends[-1])
        return self.array

    def _resize(self, count: int) -> None:
        # In place, which for large arrays moves no memory; nobody has a view of the array that is still needed.
        self.array.resize((count, self.array.shape[1]), refcheck=False)


class Observer:
    """Collects an `Observed` from batches of images; only the arrays in `keep` take memory."""

    def __init__(self, title: str, keep: Set[str], device: torch.device = CPU) -> None:
        self.title, self.keep, self.device = title, keep, device
        self.count = 0
        self.statistics = Statistics(title, device)
        self.rows = {name: Rows() for name in ("features", "logits") if name in keep}

    def update(self, features: Array, logits: Array) -> None:
        """Add n more images: features [n, D], logits [n, K]. DataError if one is not finite."""
        values = {"features": features, "logits": logits}
        for name, array in values.items():
            if not np.isfinite(array).all():
                bad = self.count + int(np.argmin(np.isfinite(array).all(axis=1)))
                raise DataError(f"{self.title}: the {name} of image {bad} are not finite; look at this image")
        for name, rows in self.rows.items():
            rows.add(values[name])
        if self.keep & {"mean", "covariance"}:
            self.statistics.update(features)
        self.count += len(features)

    def observed(self) -> Observed:
        """Return the collected observations; DataError if there are too few images for the arrays to be kept."""
        arrays = {name: rows.all() for name, rows in self.rows.items()}
        if self.keep & {"mean", "covariance"}:
            arrays |= {"mean": self.statistics.mean, "covariance": self.statistics.covariance}
        return Observed(self.title, self.count, arrays, self.device)


def joined(parts: Sequence[Observer]) -> Observer:
    """Return one observer of all images, where each of several had every so many-th batch of them, in turn."""
    if len(parts) == 1:
        return parts[0]
    whole = Observer(parts[0].title, parts[0].keep, parts[0].device)
    for part in parts:
        whole.count += part.count
        whole.statistics.merge(part.statistics)
    for name, rows in whole.rows.items():
        for turn in itertools.zip_longest(*(part.rows[name].batches() for part in parts)):
            for batch in turn:
                if batch is not None:
                    rows.add(batch)
    return whole
