"""Density and coverage: by hand, by their definition, and how sure they are."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics import neighbours
from ganformer.metrics.measures import density_coverage


def near(real, fake):
    """Return whether each generated image is nearer to each real one than its fifth neighbour.

    As the definition reads.
    """
    reach = [np.sort(np.linalg.norm(real - point, axis=1))[5] for point in real]
    return np.array([[np.linalg.norm(a - b) < r for b in fake] for a, r in zip(real, reach, strict=True)])


def jackknife(values):
    """Return standard error from the values without each of the images."""
    return ((len(values) - 1) * np.var(values)) ** 0.5


def test_points_on_a_line(observe):
    # Around 0 … 5 the fifth neighbours are 5, 4, 3, 3, 4 and 5 away: 4½ is near all of them, 8 near 5 alone.
    found = density_coverage.compute(observe(np.arange(6.0)[:, None]), observe(np.array([[4.5], [8.0]])))
    inside = [[4.5 < 5, 3.5 < 4, 2.5 < 3, 1.5 < 3, 0.5 < 4, 0.5 < 5], [False] * 5 + [3 < 5]]
    counts = np.sum(inside, axis=1)
    assert list(counts) == [6, 1]
    assert found["density"] == pytest.approx(7 / 2 / 5)
    assert found["density_std"] == pytest.approx(np.std([6 / 5, 1 / 5], ddof=1) / 2**0.5)
    assert found["coverage"] == 1
    # Without the first only 5 is covered; without the second all still are.
    assert found["coverage_std"] == pytest.approx(jackknife([1 / 6, 1]))


def test_exactly_as_far_as_the_neighbour_is_not_near(observe):
    line = observe(np.arange(6.0)[:, None])
    assert density_coverage.compute(line, observe(np.array([[-5.0], [10.0]])))["coverage"] == 0
    assert density_coverage.compute(line, observe(np.array([[-4.9], [-4.9]])))["coverage"] == pytest.approx(1 / 6)


def test_equal_sets_have_a_density_of_one(observe):
    points = observe(np.random.default_rng(0).permutation(900)[:50, None].astype(float) ** 2)
    found = density_coverage.compute(points, points)
    assert found["density"] == pytest.approx(1)
    assert found["coverage"] == 1


def test_copies_in_another_order_have_the_density_and_coverage_of_equal_sets(observe):
    """Each ball ends at a copy of the fifth neighbour, which is exactly as far and so not in it."""
    random = np.random.default_rng(0)
    points = random.normal(30, 1, (400, 64)).astype(np.float32)
    found = density_coverage.compute(observe(points), observe(random.permutation(points)))
    assert (found["density"], found["coverage"]) == (1, 1)


def test_density_is_computed_in_double_precision(observe):
    # Two of three images are in one ball each: 2 / (3 · 5), which float32 has only to 7 digits.
    line = observe(np.arange(6.0)[:, None])
    found = density_coverage.compute(line, observe(np.array([[-4.9], [9.9], [99.0]])))
    assert found["density"] == pytest.approx(2 / 15, rel=1e-15)


@pytest.mark.parametrize("tile", [1, 7, 2048])
def test_follow_their_definition_in_tiles_of_any_size(monkeypatch, tile, observe):
    monkeypatch.setattr(neighbours, "TILE", tile)
    random = np.random.default_rng(1)
    real, fake = random.normal(size=(60, 3)), random.normal(0.9, 0.8, size=(50, 3))
    found = density_coverage.compute(observe(real), observe(fake))
    inside = near(real, fake)
    density = inside.sum(axis=0) / 5
    assert found == pytest.approx(
        {
            "density": density.mean(),
            "density_std": density.std(ddof=1) / 50**0.5,
            "coverage": inside.any(axis=1).mean(),
            "coverage_std": jackknife([np.delete(inside, i, axis=1).any(axis=1).mean() for i in range(50)]),
        }
    )
    assert 0 < found["coverage"] < 1


def test_density_rises_where_images_are_few_kinds_and_coverage_falls(observe):
    random = np.random.default_rng(2)
    real, fake = random.normal(size=(300, 8)), random.normal(size=(300, 8))
    alike, narrow = (density_coverage.compute(observe(real), observe(scale * fake)) for scale in (1, 0.5))
    assert alike["density"] == pytest.approx(1, abs=0.15)
    assert narrow["density"] > 1.5 * alike["density"]
    assert narrow["coverage"] < alike["coverage"]


def test_errors_are_about_what_other_images_give(observe):
    random = np.random.default_rng(3)
    real = observe(random.normal(size=(200, 8)))
    found = [density_coverage.compute(real, observe(random.normal(0.2, 0.9, (150, 8)))) for _ in range(40)]
    for key in ("density", "coverage"):
        spread = np.std([values[key] for values in found])
        assert 0.7 * spread < np.mean([values[f"{key}_std"] for values in found]) < 1.8 * spread


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((5, 9), "5 images are too few for density and coverage, which look at 5 neighbours of each; take at least 6"),
        ((6, 1), "1 images are too few for density and coverage and their errors; take at least 2"),
    ],
)
def test_too_few_images_are_refused(observe, counts, message):
    real, fake = (np.arange(float(count))[:, None] for count in counts)
    seen = [type(observe(real))("images", len(x), {"features": x}) for x in (real, fake)]
    with pytest.raises(DataError, match=f"^images: {message}$"):
        density_coverage.compute(*seen)
