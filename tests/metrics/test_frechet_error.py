"""The error of a Fréchet distance, beside how far distances of other images really lie apart."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics import order
from ganformer.metrics.measures import frechet, frechet_error
from ganformer.metrics.statistics import Observed


@pytest.mark.parametrize(("dims", "shift"), [(2, 0.5), (8, 0.0), (16, 0.2)])
def test_error_is_about_the_deviation_over_other_images(observe, dims, shift):
    real = Observed("reals", 0, {"mean": np.zeros(dims), "covariance": np.eye(dims)})
    fakes = [observe(np.random.default_rng(seed).normal(shift, 1.1, (300, dims))) for seed in range(60)]
    true = np.std([frechet.compute(real, fake)["fd"] for fake in fakes], ddof=1)
    errors = [frechet_error.compute(real, fake)["fd_std"] for fake in fakes]
    assert 0.7 * true < np.sqrt(np.mean(np.square(errors))) < 1.8 * true


def test_leaves_out_each_tenth_of_the_images(observe):
    random = np.random.default_rng(0)
    real, features = observe(random.normal(size=(50, 3))), random.normal(0.5, 2, (43, 3))
    without = [np.concatenate(parts) for parts in _without([features[part] for part in order.parts(features, 10)])]
    distances = [frechet.compute(real, observe(rest))["fd"] for rest in without]
    expected = np.sqrt(9 / 10 * np.sum((distances - np.mean(distances)) ** 2))
    assert frechet_error.compute(real, observe(features))["fd_std"] == pytest.approx(expected, rel=1e-6)


def test_too_few_images_are_refused(observe):
    few = observe(np.random.default_rng(0).normal(size=(19, 2)))
    message = r"^images: 19 images are too few for the error of the Fréchet distance, from 10 groups of them; take at "
    with pytest.raises(DataError, match=f"{message}least 20$"):
        frechet_error.compute(few, few)


def _without(parts):
    return [[part for j, part in enumerate(parts) if j != i] for i in range(len(parts))]
