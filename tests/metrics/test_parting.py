"""Parts of images depend on the images, not on the order of their files."""

import numpy as np
import pytest

from ganformer.metrics import order
from ganformer.metrics.measures import frechet, frechet_error, frechet_infinity, inception_score, kid


def by_class(dims=6):
    """Return three kinds of 40 images each, kind after kind, float32 [120, dims]."""
    random = np.random.default_rng(0)
    return random.normal(np.repeat([0, 4, 9], 40)[:, None], 1, (120, dims)).astype(np.float32)


def test_rows_are_sorted_alike_whatever_their_order(monkeypatch):
    rows = np.concatenate([by_class(), by_class()[:9]])  # some are there twice
    shuffled = np.random.default_rng(1).permutation(rows)
    expected = rows[order.by_value(rows)]
    assert (shuffled[order.by_value(shuffled)] == expected).all()
    monkeypatch.setattr(order, "ROWS", 7)
    assert (shuffled[order.by_value(shuffled)] == expected).all()


def test_parts_are_those_of_the_original_code_on_a_permutation():
    parts = order.parts(by_class()[:47], 10)
    assert [len(part) for part in parts] == [4, 5, 5, 4, 5, 5, 4, 5, 5, 5]
    assert sorted(np.concatenate(parts)) == list(range(47))


def test_every_part_has_images_of_every_class():
    for part in order.parts(by_class(), 4):
        assert set(part // 40) == {0, 1, 2}


@pytest.mark.parametrize("measure", [frechet_error, frechet_infinity, inception_score, kid])
def test_measures_of_sorted_and_of_shuffled_images_are_equal(measure, observe):
    random = np.random.default_rng(2)
    rows, reals = by_class(), random.normal(4, 3, (90, 6)).astype(np.float32)
    found = measure.compute(observe(reals), observe(rows, rows))
    for _ in range(2):
        mixed = random.permutation(rows)
        again = measure.compute(observe(random.permutation(reals)), observe(mixed, mixed))
        assert again == pytest.approx(found, rel=1e-6, abs=1e-6)


def test_error_of_sorted_classes_is_not_that_of_leaving_classes_out(observe):
    random = np.random.default_rng(3)
    kinds = np.repeat(random.normal(0, 5, (10, 4)), 20, axis=0)
    real, fake = (kinds + random.normal(0, 0.5, kinds.shape) for _ in range(2))
    without = [np.delete(fake, slice(i, i + 20), axis=0) for i in range(0, 200, 20)]
    consecutive = 3 * np.std([frechet.compute(observe(real), observe(rest))["fd"] for rest in without])
    assert frechet_error.compute(observe(real), observe(fake))["fd_std"] < consecutive / 4
