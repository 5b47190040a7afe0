"""The nearest real image is found whatever the tiles, and a sample that repeats one is at distance 0."""

import numpy as np
import pytest

from ganformer.errors import DataError
from ganformer.metrics import neighbours
from ganformer.metrics.nearest import Nearest, nearest
from ganformer.metrics.statistics import Observed


def known(features, title="images"):
    return Observed(title, len(features), {"features": np.asarray(features, np.float32)})


def test_points_on_a_plane():
    reals = known([[0, 0], [4, 0], [0, 10]])
    found = nearest(reals, known([[0, 3], [3, 0], [0, 10], [3, 14]]))
    assert found.indices.tolist() == [0, 1, 2, 2]
    assert found.distances.tolist() == [3, 1, 0, 5]


@pytest.mark.parametrize("tile", [1, 2, 1000])
def test_of_several_as_near_it_is_the_first(monkeypatch, tile):
    monkeypatch.setattr(neighbours, "TILE", tile)
    reals = known([[9, 9], [1, 0], [0, 1], [1, 0], [-1, 0]])
    assert nearest(reals, known([[0, 0], [1, 0]])).indices.tolist() == [1, 1]


def test_of_two_as_near_the_first_stays():
    one, other = Nearest(np.array([3, 4, 5]), np.array([1.0, 2.0, 3.0])), Nearest(np.array([0, 1, 2]), np.ones(3))
    found = one.or_nearer(other)
    assert (found.indices.tolist(), found.distances.tolist()) == ([3, 1, 2], [1, 1, 1])


@pytest.mark.parametrize("tile", [1, 7, 1000])
def test_tiles_do_not_matter(monkeypatch, tile):
    monkeypatch.setattr(neighbours, "TILE", tile)
    random = np.random.default_rng(0)
    reals, samples = random.normal(size=(60, 5)), random.normal(size=(23, 5))
    distances = np.linalg.norm(samples[:, None] - reals[None], axis=2)
    found = nearest(known(reals), known(samples))
    np.testing.assert_array_equal(found.indices, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-6)


def test_a_repeated_training_image_is_found(seen, shapes, draw_shapes):
    samples = draw_shapes(12, seed=5)
    samples[7] = shapes[33]
    found = nearest(seen(shapes[:60]), seen(samples))
    assert found.indices[7] == 33
    assert found.distances[7] < 1e-3 * np.delete(found.distances, 7).min()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"^reals: 0 images are too few for the nearest real image"):
        nearest(known(np.zeros((0, 5)), "reals"), known(np.zeros((3, 5))))
    with pytest.raises(
        DataError, match=r"^samples: 6 features an image, but reals has 5; measure both with the same extractor"
    ):
        nearest(known(np.zeros((4, 5)), "reals"), known(np.zeros((3, 6)), "samples"))
