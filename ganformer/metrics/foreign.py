"""Statistics of features that other programs have computed; nothing in their files is executed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganformer.errors import CheckpointError, DataError
from ganformer.interop import unpickler
from ganformer.metrics.statistics import Array, Observed, Observer
from ganformer.records import npz

PYTORCH_FID = "pytorch-fid"
STYLEGAN2_ADA = "StyleGAN2-ADA"
EXTRACTORS: Mapping[str, Sequence[Mapping[str, str]]] = {
    PYTORCH_FID: [{"kind": "inception-2015", "resize": "pytorch-fid", "features": "pool"}],
    STYLEGAN2_ADA: [{"kind": "inception-2015", "resize": "tensorflow", "features": "pool"}, {"kind": "vgg16"}],
}
"""Settings with which our extractors agree with each program, by the layout of its statistics."""
ROUNDING = 1e-5  # of a covariance, as a part of its largest value: what float32 may leave
SUMS = ("num_items", "raw_mean", "raw_cov")


def read_npz(path: Path) -> Observed:
    """Read mean and covariance from an npz with `mu` [D] and `sigma` [D, D], as pytorch-fid and most others write them.

    The file does not state the number of images: `count` is 0. Raises DataError if the file is something else,
    damaged, or if these are no mean and covariance.
    """
    try:
        names = npz.names(path)
        if not {"mu", "sigma"} <= names:
            held = f"the arrays {', '.join(sorted(names))}" if names else "no arrays"
            raise DataError(
                f"{path}: holds {held}, but statistics are mu and sigma, or what `ganformer step reference` "
                "writes; name one of these, or the images themselves as a folder, zip, tar or pack"
            )
        found = npz.read_npz(path, ["mu", "sigma"])
    except npz.UnreadableError as error:
        raise DataError(f"{path}: is not a whole npz of numbers ({error}); copy or make it again") from error
    return Observed(str(path), 0, gaussian(path, found["mu"], found["sigma"], ("mu", "sigma")))


def read_pickle(path: Path) -> Observed:
    """Read a file of StyleGAN2-ADA's `FeatureStats.save`: sums of features and of their products, or all features.

    The covariance divides by N − 1, like all of ours; StyleGAN2-ADA divides the same sums by N. Raises DataError if the
    file is something else or damaged, or if it asks for anything to be executed.
    """
    try:
        state = unpickler.load(path)
    except CheckpointError as error:
        raise DataError(f"{error}\nStatistics of StyleGAN2-ADA were expected in this file") from error
    if not isinstance(state, dict) or not set(SUMS) <= set(state):
        raise DataError(
            f"{path}: is a pickle, but not of statistics as StyleGAN2-ADA keeps them, a dict with {', '.join(SUMS)}; "
            "name such a file, an npz of mu and sigma, or the images themselves"
        )
    count = state["num_items"]
    if type(count) is not int or count < 2:
        raise DataError(f"{path}: num_items is {count!r}, but a covariance needs at least 2 images; make it again")
    if state.get("capture_all"):
        return _of_features(path, count, state.get("all_features"))
    if state.get("capture_mean_cov") is False:
        raise DataError(f"{path}: holds neither features nor their mean and covariance; make it again with either")
    return Observed(str(path), count, _of_sums(path, count, state))


def sees_alike(layout: str, extractor: Mapping[str, Any]) -> bool:
    """Return whether an extractor of these settings agrees with the program that writes this layout."""
    return any(settings.items() <= extractor.items() for settings in EXTRACTORS[layout])


def gaussian(path: Path, mean: Array, covariance: Array, names: tuple[str, str]) -> Mapping[str, Array]:
    """Return `mean` [D] and `covariance` [D, D] in float64, for an `Observed`; `names`: their names in the file `path`.

    Raises DataError if one is not finite or of another shape, or if the second is no covariance.
    """
    for name, array, dimensions in zip(names, (mean, covariance), (1, 2), strict=True):
        if array.dtype.kind not in "fiu" or array.ndim != dimensions or not array.size:
            raise DataError(
                f"{path}: {name} is {array.dtype} of shape {list(array.shape)}, not real numbers in {dimensions} "
                f"dimension{'s' * (dimensions > 1)}; make the file again"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds NaN or infinity; make the file again, and look at its images")
    if covariance.shape != (len(mean), len(mean)):
        raise DataError(
            f"{path}: {names[1]} is of shape {list(covariance.shape)}, but {names[0]} is of {len(mean)} features; "
            "they are not of one set: make the file again"
        )
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    rounding = ROUNDING * abs(covariance).max()
    wrong = "is not symmetric" if abs(covariance - covariance.T).max() > rounding else ""
    wrong = wrong or ("has negative variances" if covariance.diagonal().min() < -rounding else "")
    if wrong:
        raise DataError(f"{path}: {names[1]} {wrong}, so it is no covariance; make the file again")
    return {"mean": mean, "covariance": covariance}


def _of_sums(path: Path, count: int, state: Mapping[str, Any]) -> Mapping[str, Array]:
    total, products = (_array(path, name, state[name]) for name in SUMS[1:])
    if total.ndim != 1 or products.shape != (len(total),) * 2:
        raise DataError(
            f"{path}: raw_mean and raw_cov are of shapes {list(total.shape)} and {list(products.shape)}, not [D] and "
            "[D, D]; make the file again"
        )
    mean = total / count
    return gaussian(path, mean, (products - count * np.outer(mean, mean)) / (count - 1), SUMS[1:])


def _of_features(path: Path, count: int, batches: Any) -> Observed:
    observer = Observer(str(path), {"mean", "covariance", "features"})
    width = 0
    for batch in batches if isinstance(batches, list) else [batches]:
        features = _array(path, "all_features", batch)
        width = width or features.shape[-1]
        if features.shape != (len(features), width) or not features.size:
            raise DataError(f"{path}: all_features are not batches of [n, D] numbers; make the file again")
        observer.update(features, np.empty((len(features), 0)))
    if observer.count != count:
        raise DataError(f"{path}: holds features of {observer.count} images, not of {count} (num_items); make it again")
    return observer.observed()


def _array(path: Path, name: str, value: Any) -> Array:
    if not isinstance(value, unpickler.Held) or not value.tensor.dtype.is_floating_point or not value.tensor.ndim:
        raise DataError(f"{path}: {name} is not an array of floats; make the file again")
    array: Array = value.tensor.numpy()
    return array
