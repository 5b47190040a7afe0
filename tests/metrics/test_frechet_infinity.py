"""The distance of infinitely many images, known where features are drawn from Gaussians."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics.measures import frechet, frechet_infinity
from ganformer.metrics.statistics import Observed


def known(mean, deviations):
    """Return real images without a sample: their mean and covariance."""
    return Observed("reals", 0, {"mean": np.asarray(mean), "covariance": np.diag(np.square(deviations))})


def test_line_over_the_reciprocal_ends_at_infinity():
    counts = np.array([10, 20, 50, 100])
    assert frechet_infinity.limit(counts, list(3 + 7 / counts)) == pytest.approx(3)


def test_most_of_the_bias_goes(observe):
    dims = 16
    real, deviations = known(np.zeros(dims), np.ones(dims)), np.full(dims, 0.9)
    true = dims * 0.1**2
    found = [
        frechet_infinity.compute(real, observe(np.random.default_rng(seed).normal(0, deviations, (600, dims))))
        for seed in range(6)
    ]
    infinity, bias = (np.mean([values[key] for values in found]) for key in ("fd_infinity", "fd_bias"))
    assert bias > 0.5 * true
    assert abs(infinity - true) < 0.2 * bias


def test_bias_is_that_of_the_distance_of_all_images(observe):
    random = np.random.default_rng(0)
    real, fake = observe(random.normal(size=(50, 4))), observe(random.normal(0.5, 2, (60, 4)))
    found = frechet_infinity.compute(real, fake)
    assert found["fd_infinity"] + found["fd_bias"] == pytest.approx(frechet.compute(real, fake)["fd"], rel=1e-9)
    assert frechet_infinity.compute(real, fake) == found


@pytest.mark.parametrize(
    ("images", "dims", "counts"),
    [
        (16, 4, [8, 8, 9, 9, 10, 10, 11, 12, 12, 13, 13, 14, 14, 15, 16]),
        (1000, 1, [100, 164, 228, 292, 357, 421, 485, 550, 614, 678, 742, 807, 871, 935, 1000]),
    ],
)
def test_numbers_of_images(observe, monkeypatch, images, dims, counts):
    seen = []
    monkeypatch.setattr(frechet_infinity, "_distance", lambda real, fake, chosen: seen.append(chosen) or 1.0)
    fake = observe(np.random.default_rng(0).normal(size=(images, dims)))
    assert frechet_infinity.compute(fake, fake) == pytest.approx({"fd_infinity": 1, "fd_bias": 0})
    assert [len(chosen) for chosen in seen] == counts
    assert all(len(np.unique(chosen)) == len(chosen) for chosen in seen)
    assert set(seen[-1]) == set(range(images))
    assert not set(seen[0]) <= set(seen[1])


def test_portions_of_any_size_give_the_same(observe, monkeypatch):
    random = np.random.default_rng(0)
    real, fake = observe(random.normal(size=(50, 4))), observe(random.normal(size=(60, 4)))
    whole = frechet_infinity.compute(real, fake)
    monkeypatch.setattr(frechet_infinity, "BATCH", 7)
    assert frechet_infinity.compute(real, fake) == pytest.approx(whole, rel=1e-9)


def test_too_few_images_are_refused(observe):
    few = observe(np.random.default_rng(0).normal(size=(15, 4)))
    with pytest.raises(
        DataError,
        match=r"^images: 15 images are too few for the distance of infinitely many, from a line "
        "through distances of 8, "
        r"twice the features, and of more; take at least 16$",
    ):
        frechet_infinity.compute(few, few)
