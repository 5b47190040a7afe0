"""The kernel distance: by hand, by its definition, without bias, and over which subsets."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics.measures import kid


def normal(seed, images, dims=4, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (images, dims))


def test_two_points_of_each():
    # Within: k(0, 1) = 1 and k(2, 3) = 7³; across: 1, 1, 3³ and 4³.
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    assert kid.kernel_distance(x, y) == pytest.approx(1 + 7**3 - 2 * (1 + 1 + 3**3 + 4**3) / 4)


def test_products_are_divided_by_the_features():
    x, y = np.array([[0.0] * 4, [1.0] * 4]), np.array([[2.0] * 4, [3.0] * 4])
    assert kid.kernel_distance(x, y) == pytest.approx(1 + 7**3 - 2 * (1 + 1 + 3**3 + 4**3) / 4)


def test_follows_its_definition():
    x, y = normal(0, 9), normal(1, 9, shift=0.5)
    within = [(a[i] @ a[j] / 4 + 1) ** 3 for a in (x, y) for i in range(9) for j in range(9) if i != j]
    across = [(a @ b / 4 + 1) ** 3 for a in x for b in y]
    assert kid.kernel_distance(x, y) == pytest.approx(sum(within) / 72 - 2 * np.mean(across))


def test_has_no_bias():
    values = [kid.kernel_distance(normal(2 * i, 10), normal(2 * i + 1, 10)) for i in range(2000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 2000**0.5
    assert min(values) < 0 < max(values)


def test_is_mean_and_deviation_over_subsets(observe, monkeypatch):
    seen = []
    monkeypatch.setattr(kid, "kernel_distance", lambda x, y: seen.append((x, y)) or float(len(seen)))
    real, fake = normal(0, 2500, dims=1), normal(1, 2100, dims=1)
    found = kid.compute(observe(real), observe(fake))
    assert found == pytest.approx({"kid": 50.5, "kid_std": np.std(np.arange(100))})
    for x, y in seen:
        assert (len(np.unique(x)), len(np.unique(y))) == (1000, 1000)
        assert np.isin(x, fake).all()
        assert np.isin(y, real).all()
    assert len({x.sum() for x, _ in seen}) == 100


@pytest.mark.parametrize(("counts", "size"), [((1999, 5000), 999), ((50, 21), 10), ((4, 4), 2)])
def test_subsets_of_few_images_are_half_of_the_smaller_set(observe, monkeypatch, counts, size):
    seen = set()
    monkeypatch.setattr(kid, "kernel_distance", lambda x, y: seen.add((len(x), len(y))) or 0.0)
    kid.compute(*(observe(normal(0, count, dims=1)) for count in counts))
    assert seen == {(size, size)}


def test_same_images_give_the_same_value_and_worse_ones_a_larger_one(observe):
    real = observe(normal(0, 100))
    first, again, worse = (kid.compute(real, observe(normal(1, 100, shift=shift))) for shift in (0.5, 0.5, 1))
    assert first == again
    assert 0 < first["kid"] < worse["kid"]
    assert first["kid_std"] > 0


@pytest.mark.parametrize("counts", [(3, 4), (4, 3)])
def test_too_few_images_are_refused(observe, counts):
    real, fake = (observe(normal(0, count)) for count in counts)
    with pytest.raises(
        DataError,
        match=r"^images: 3 images are too few for KID, whose subsets of half the images hold at least 2; "
        r"take at least 4$",
    ):
        kid.compute(real, fake)
