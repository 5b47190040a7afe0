"""Portions add up to the whole, and what is not a number is refused."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics.statistics import Observer, Rows, Statistics, joined

FEATURES = np.random.default_rng(0).normal(1000, 0.5, (37, 5)).astype(np.float32)  # far from 0: rounding would show


def statistics(*batches):
    found = Statistics("images")
    for batch in batches:
        found.update(batch)
    return found


def assert_same(a, b):
    assert a.count == b.count
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-13)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("cuts", [(), (1,), (5, 6, 20), tuple(range(1, 37))])
def test_portions_give_what_numpy_gives_for_all_at_once(cuts):
    found = statistics(*np.split(FEATURES, cuts))
    assert found.count == 37
    assert found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.mean, FEATURES.astype(np.float64).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(
        found.covariance, np.cov(FEATURES.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12
    )


def test_divides_by_one_less_than_the_images():
    assert statistics(np.array([[0.0], [2.0]])).covariance == [[2.0]]


def test_merging_adds_the_images_of_the_other():
    merged = statistics(FEATURES[:10])
    merged.merge(statistics(FEATURES[10:]))
    assert_same(merged, statistics(FEATURES))


def test_merging_into_nothing_and_with_nothing_changes_nothing():
    merged = Statistics("images")
    merged.merge(statistics(FEATURES))
    merged.merge(Statistics("images"))
    assert_same(merged, statistics(FEATURES))


def test_what_is_added_after_merging_leaves_the_other_as_it_was():
    other = statistics(FEATURES[:10])
    merged = Statistics("images")
    merged.merge(other)
    merged.update(FEATURES[10:])
    assert_same(merged, statistics(FEATURES))
    assert_same(other, statistics(FEATURES[:10]))


def test_one_image_has_no_covariance():
    with pytest.raises(DataError, match=r"^images: a covariance needs at least 2 images, there are 1$"):
        _ = statistics(FEATURES[:1]).covariance


def test_keeps_only_what_is_asked_for():
    observer = Observer("images", {"logits"})
    for batch in (FEATURES[:30], FEATURES[30:]):
        observer.update(batch, 2 * batch)
    observed = observer.observed()
    assert observed.count == 37
    assert observed.arrays.keys() == {"logits"}
    np.testing.assert_array_equal(observed.arrays["logits"], 2 * FEATURES)
    assert observer.statistics.count == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["features", "logits"])
def test_what_is_not_finite_is_refused_by_its_place(name, value):
    values = {"features": FEATURES.copy(), "logits": FEATURES.copy()}
    values[name][3, 2] = value
    observer = Observer("run.json at step 7", {"mean"})
    observer.update(FEATURES, FEATURES)
    with pytest.raises(
        DataError, match=rf"^run\.json at step 7: the {name} of image 40 are not finite; look at this image$"
    ):
        observer.update(**values)


def test_what_is_known_of_all_and_of_some_tells_of_the_rest():
    whole = statistics(FEATURES)
    known = Statistics.of("images", 37, whole.mean, whole.covariance)
    assert_same(known, whole)
    assert_same(known.without(statistics(FEATURES[30:])), statistics(FEATURES[:30]))


def test_observers_that_had_portions_in_turn_are_joined_in_the_order_of_the_images():
    batches = [FEATURES[start : start + 5] for start in range(0, 37, 5)]
    parts = [Observer("images", {"mean", "covariance", "features", "logits"}) for _ in range(3)]
    for number, batch in enumerate(batches):
        parts[number % 3].update(batch, batch[:, :2])
    found = joined(parts).observed()
    assert found.count == 37
    np.testing.assert_array_equal(found.arrays["features"], FEATURES)
    np.testing.assert_array_equal(found.arrays["logits"], FEATURES[:, :2])
    np.testing.assert_allclose(found.arrays["covariance"], statistics(FEATURES).covariance, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("columns", [5, 0])  # spatial features come with logits without columns
def test_rows_that_come_in_portions_are_kept_in_their_order(columns):
    rows = Rows()
    cuts = (3, 4, 20, 33)
    for batch in np.split(FEATURES[:, :columns], cuts):
        rows.add(batch)
    assert [len(batch) for batch in rows.batches()] == [3, 1, 16, 13, 4]
    np.testing.assert_array_equal(np.concatenate(list(rows.batches())), FEATURES[:, :columns])
    np.testing.assert_array_equal(rows.all(), FEATURES[:, :columns])
    assert rows.all().dtype == np.float32


def test_what_is_kept_is_a_copy():
    rows, batch = Rows(), FEATURES[:3].copy()
    rows.add(batch)
    batch[:] = 0
    np.testing.assert_array_equal(rows.all(), FEATURES[:3])
