"""Numbers that can be worked out by hand, and independent implementations."""

import csv

import numpy as np
import pytest
import torch
from scipy import linalg

from ganformer import plugins
from ganformer.errors import DataError
from ganformer.metrics import neighbours, order
from ganformer.metrics.measures import frechet, inception_score, precision_recall
from ganformer.metrics.statistics import Observed

MEASURES = plugins.names("ganformer.metrics.measures")


def gaussian(mean=0.0, deviation=1.0, dims=4):
    return np.full(dims, float(mean)), np.eye(dims) * deviation**2


def covariance(seed, images=60, dims=12):
    random = np.random.default_rng(seed)
    return np.cov(random.normal(size=(images, dims)) @ random.normal(size=(dims, dims)), rowvar=False)


def rotation(dims):
    return np.linalg.qr(np.random.default_rng(9).normal(size=(dims, dims)))[0]


def with_square_root(mean, cov, other_mean, other_cov):
    """Return the textbook form, by a root of a general matrix."""
    root = linalg.sqrtm(cov @ other_cov).real
    return ((mean - other_mean) ** 2).sum() + np.trace(cov + other_cov - 2 * root)


def brute_force(real, fake):
    """Return precision and recall as their definition reads."""

    def covered(points, others):
        radii = [np.sort(np.linalg.norm(others - other, axis=1))[3] for other in others]
        inside = [
            any(np.linalg.norm(other - point) <= r for other, r in zip(others, radii, strict=True)) for point in points
        ]
        return np.mean(inside)

    return {"precision": covered(fake, real), "recall": covered(real, fake)}


def distances(a, b):
    return np.linalg.norm(a[:, None] - b, axis=2)


def of_features(features):
    return Observed("images", len(features), {"features": features})


def jackknife(values):
    """Return standard error from the values without each of the images."""
    return ((len(values) - 1) * np.var(values)) ** 0.5


# --------------------------------------------------------------------------------------------- Fréchet distance


@pytest.mark.parametrize("dims", [1, 4, 300])
def test_frechet_of_shifted_gaussians_is_the_square_of_the_shift(dims):
    assert frechet.frechet(*gaussian(0, dims=dims), *gaussian(1, dims=dims)) == pytest.approx(dims, rel=1e-9)


def test_frechet_of_widened_gaussians_is_the_square_of_the_difference():
    assert frechet.frechet(*gaussian(deviation=2, dims=3), *gaussian(deviation=5, dims=3)) == pytest.approx(27)


def test_frechet_of_a_gaussian_and_a_point():
    point = np.full(4, 3.0), np.zeros((4, 4))
    assert frechet.frechet(*gaussian(), *point) == pytest.approx(4 * 9 + 4)
    assert frechet.frechet(*point, *gaussian()) == pytest.approx(4 * 9 + 4)


def test_frechet_of_perpendicular_lines():
    zero = np.zeros(2)
    assert frechet.frechet(zero, np.diag([4.0, 0]), zero, np.diag([0, 9.0])) == pytest.approx(13)


def test_frechet_equals_the_textbook_form():
    means = np.random.default_rng(3).normal(size=(2, 12))
    expected = with_square_root(means[0], covariance(1), means[1], covariance(2))
    assert frechet.frechet(means[0], covariance(1), means[1], covariance(2)) == pytest.approx(expected, rel=1e-6)


def test_frechet_is_symmetric_and_does_not_see_rotations():
    a, b, r = covariance(1), covariance(2), rotation(12)
    zero, one = np.zeros(12), np.ones(12)
    distance = frechet.frechet(zero, a, one, b)
    assert frechet.frechet(one, b, zero, a) == pytest.approx(distance, rel=1e-9)
    assert frechet.frechet(zero, r @ a @ r.T, r @ one, r @ b @ r.T) == pytest.approx(distance, rel=1e-9)


def test_frechet_takes_fewer_images_than_features(observe):
    few, other = (np.random.default_rng(seed).normal(size=(8, 30)) for seed in (1, 2))
    assert frechet.compute(observe(few), observe(few))["fd"] == pytest.approx(0, abs=1e-6)
    # Both clouds are in 7 dimensions: the covariances' root has the singular values of the product of the clouds.
    centred = [(cloud - cloud.mean(axis=0)) / 7**0.5 for cloud in (few, other)]
    overlap = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    expected = ((few.mean(axis=0) - other.mean(axis=0)) ** 2).sum() + sum((c**2).sum() for c in centred) - 2 * overlap
    assert frechet.compute(observe(few), observe(other))["fd"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "spectrum",
    [lambda k: k**-2.0, lambda k: k**-4.0, lambda k: np.exp(-k / 5), lambda k: 1.0 * (k < 90)],
    ids=["k^-2", "k^-4", "exponential", "half of it null"],
)
def test_frechet_is_exact_where_variances_reach_down_to_nothing(spectrum):
    # Along common axes the deviations of each are compared: Σ (s − s')².
    k, r = np.arange(1.0, 201), rotation(200)
    variances, others = spectrum(k), 1.2 * spectrum(k) * (k > 5)
    c, d = (r * variances @ r.T, r * others @ r.T)
    expected = ((variances**0.5 - others**0.5) ** 2).sum()
    zero = np.zeros(200)
    assert frechet.frechet(zero, (c + c.T) / 2, zero, (d + d.T) / 2) == pytest.approx(expected, rel=1e-7)


def test_frechet_of_features_that_never_vary(observe):
    same, other = np.full((5, 3), 2.0), np.full((7, 3), 4.0)
    assert frechet.compute(observe(same), observe(other))["fd"] == 12


@pytest.fixture(scope="module")
def distance_of_2048():
    return frechet.frechet(*gaussian(0, dims=2048), *gaussian(1, dims=2048))


@pytest.mark.slow
def test_frechet_gives_the_published_value(shared, distance_of_2048):
    with (shared / "reference/published_results.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if "N(0,I) vs N(1,I), d=2048" in row["table"])
    assert distance_of_2048 == pytest.approx(float(row["value"]))


# ---------------------------------------------------------------------------------------------- inception score


@pytest.fixture
def scored(observe):
    def score(logits):
        features = np.zeros((len(logits), 1))
        return inception_score.compute(observe(features), observe(features, logits))

    return score


def test_inception_score_of_sure_and_varied_images_is_the_number_of_classes(scored):
    logits = np.tile(1000.0 * np.eye(5), (2000, 1))
    assert inception_score.inception_score(logits) == pytest.approx(5)
    assert scored(logits) == pytest.approx({"is": 5, "is_std": 0}, abs=0.02)  # classes are not as often in each part


@pytest.mark.parametrize("logits", [np.zeros((20, 5)), np.tile([0.0, 800, 0, 0, 0], (20, 1))])
def test_inception_score_of_images_of_one_kind_is_one(logits, scored):
    assert scored(logits) == pytest.approx({"is": 1, "is_std": 0})


def test_inception_score_of_two_unsure_images():
    # Classes have probabilities of 3/4 and 1/4 for each of the images, 1/2 over both.
    logits = np.log([[3.0, 1.0], [1.0, 3.0]])
    expected = np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert inception_score.inception_score(logits) == pytest.approx(expected)


def test_inception_score_is_mean_and_deviation_of_ten_parts(scored):
    logits = np.random.default_rng(0).normal(0, 3, (43, 4))
    each = [inception_score.inception_score(logits[part]) for part in order.parts(logits, 10)]
    assert scored(logits) == pytest.approx({"is": np.mean(each), "is_std": np.std(each)}, rel=1e-12)


def test_inception_score_of_sorted_classes_is_that_of_shuffled_ones(scored):
    """5,000 images of ten classes, as often and as sure, class after class as folders of classes have them."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(5000, 10)) + 8 * np.eye(10)[np.repeat(np.arange(10), 500)]
    consecutive = np.mean([inception_score.inception_score(part) for part in np.split(logits, 10)])
    assert consecutive == pytest.approx(1.008, abs=1e-3)
    found = scored(logits)
    assert found["is"] == pytest.approx(9.37, abs=0.02)
    assert scored(random.permutation(logits)) == pytest.approx(found, rel=1e-12)


def test_inception_score_refuses_fewer_images_than_parts(scored):
    with pytest.raises(
        DataError, match=r"^images: 9 images are too few .* the mean over 10 parts of them; take at least 10$"
    ):
        scored(np.zeros((9, 5)))


# ------------------------------------------------------------------------------------------ precision and recall


def test_precision_and_recall_of_points_on_a_line(observe):
    # Balls around 0 1 2 3 reach 3, 2, 2, 3 far; around 5 6 7 8 likewise: each side covers two of the other.
    line = np.arange(4.0)[:, None]
    found = precision_recall.compute(observe(line), observe(line + 5))
    # Two of four are precise. Both that are recalled are in the ball of the first: without it, recall is 0.
    errors = {"precision_std": (1 / 12) ** 0.5, "recall_std": jackknife([0, 0.5, 0.5, 0.5])}
    assert found == pytest.approx({"precision": 0.5, "recall": 0.5} | errors)


def test_precision_and_recall_see_fewer_modes(observe):
    line = np.concatenate([np.arange(4.0), np.arange(100.0, 104)])[:, None]
    found = precision_recall.compute(observe(line), observe(np.arange(4.0)[:, None] / 2))
    assert (found["precision"], found["recall"]) == (1, 0.5)


def test_radii_far_from_the_origin_are_exact():
    """In float32, |x|² + |y|² − 2xy of such points is nothing but rounding errors."""
    points = np.random.default_rng(0).normal(500, 1e-3, (30, 8)).astype(np.float32)
    exact = points.astype(np.float64)
    distances = np.sort(((exact[:, None] - exact[None]) ** 2).sum(axis=2), axis=1)
    for neighbours_of in (1, 3):
        found = neighbours.radii(of_features(points), neighbours_of).numpy()
        np.testing.assert_allclose(found, distances[:, neighbours_of], rtol=1e-9)


def test_inception_score_is_computed_in_float64():
    logits = np.random.default_rng(0).normal(0, 4, (200, 50)).astype(np.float32)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    divergences = (shares * np.log(shares / shares.mean(axis=0))).sum(axis=1)
    assert inception_score.inception_score(logits) == pytest.approx(np.exp(divergences.mean()), rel=1e-12)


def test_precision_and_recall_of_equal_sets_are_one(observe):
    points = np.random.default_rng(0).normal(500, 1e-3, (30, 8)).astype(np.float32)
    found = precision_recall.compute(observe(points), observe(points))
    assert (found["precision"], found["recall"], found["precision_std"]) == (1, 1, 0)


@pytest.mark.parametrize("tile", [7, 2048])
def test_copies_of_repeated_images_are_precise_and_recalled(monkeypatch, tile, observe):
    """If every image occurs more often than a ball has neighbours, balls are points, and copies are in them."""
    monkeypatch.setattr(neighbours, "TILE", tile)
    random = np.random.default_rng(0)
    points = np.repeat(random.normal(40, 1, (12, 64)).astype(np.float32), 5, axis=0)
    found = precision_recall.compute(observe(points), observe(random.permutation(points)))
    assert (found["precision"], found["recall"], found["precision_std"]) == (1, 1, 0)
    found = precision_recall.compute(observe(points), observe(random.permutation(points)[:31]))
    assert found["precision"] == 1
    other = precision_recall.compute(observe(points), observe(points * np.float32(1 + 1e-6)))
    assert (other["precision"], other["recall"]) == (0, 0)


@pytest.mark.parametrize("tile", [1, 2, 7, 50, 2048])
def test_precision_and_recall_follow_their_definition_in_tiles_of_any_size(monkeypatch, tile, observe):
    monkeypatch.setattr(neighbours, "TILE", tile)
    random = np.random.default_rng(1)
    real, fake = random.normal(size=(60, 3)), random.normal(0.7, 0.8, size=(50, 3))
    found = precision_recall.compute(observe(real), observe(fake))
    balls = np.sort(distances(fake, fake))[:, 3]
    inside = distances(real, fake) <= balls
    errors = {
        "precision_std": (found["precision"] * (1 - found["precision"]) / 49) ** 0.5,
        "recall_std": jackknife([np.delete(inside, i, axis=1).any(axis=1).mean() for i in range(50)]),
    }
    assert found == pytest.approx(brute_force(real, fake) | errors)
    assert 0 < found["recall"] < found["precision"] < 1


@pytest.mark.parametrize("counts", [(3, 4), (4, 3)])
def test_precision_and_recall_refuse_too_few_images(counts, observe):
    real, fake = (observe(np.arange(float(count))[:, None]) for count in counts)
    with pytest.raises(DataError, match=r"^images: 3 images are too few .* 3 neighbours of each; take at least 4$"):
        precision_recall.compute(real, fake)


def test_errors_of_precision_and_recall_are_about_what_other_images_give(observe):
    random = np.random.default_rng(2)
    real = observe(random.normal(size=(200, 8)))
    found = [precision_recall.compute(real, observe(random.normal(0.2, 0.9, (150, 8)))) for _ in range(40)]
    for key in ("precision", "recall"):
        spread = np.std([values[key] for values in found])
        assert 0.7 * spread < np.mean([values[f"{key}_std"] for values in found]) < 1.6 * spread


# --------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", MEASURES)
def test_measure_needs_no_more_than_it_says(name, observe):
    module = plugins.find("ganformer.metrics.measures", name)
    images = [torch.randn(40, 6, generator=torch.Generator().manual_seed(i)).numpy() for i in range(2)]
    whole = [observe(image, image) for image in images]
    kept = []
    for observed, needed in zip(whole, (module.REAL, module.FAKE), strict=True):
        kept.append(type(observed)("images", 40, {key: observed.arrays[key] for key in needed}))
    assert module.compute(*kept) == module.compute(*whole)
    assert all(isinstance(value, float) for value in module.compute(*whole).values())


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"inception-score"}))
def test_different_features_are_refused(name, observe):
    module = plugins.find("ganformer.metrics.measures", name)
    real, fake = (observe(np.random.default_rng(0).normal(size=(40, dims))) for dims in (6, 5))
    with pytest.raises(
        DataError,
        match=r"^images: 5 features an image, but images has 6; measure both with the same extractor and the same "
        r"settings$",
    ):
        module.compute(real, fake)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_neighbours_are_those_of_float64_where_float32_cannot_tell(scale):
    """Points on spheres around a few of them, at radii that differ by less than float32 has digits."""
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(60, 50))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reals = (scale * (3 + directions * (1 + 1e-9 * np.arange(60)[:, None]))).astype(np.float64)
    reals = np.concatenate([reals, np.full((1, 50), 3 * scale)])
    fakes = np.concatenate([reals[:20] + scale * 1e-10, reals[-1:]])
    distances = np.square(reals[:, None] - reals).sum(axis=2)
    pairs = np.indices((len(reals), len(fakes))).reshape(2, -1)
    between = neighbours.exact_distances(reals, fakes, *map(torch.from_numpy, pairs)).view(len(reals), -1).numpy()
    np.testing.assert_allclose(between, np.square(reals[:, None] - fakes).sum(axis=2), rtol=1e-9)
    for rank in (1, 3, 5):
        radii = neighbours.radii(of_features(reals), rank)
        np.testing.assert_allclose(radii, np.sort(distances, axis=1)[:, rank], rtol=1e-14)
        (tile,) = neighbours.tiles(of_features(reals), of_features(fakes))
        np.testing.assert_array_equal(tile.within(radii[:, None]), between <= radii[:, None].numpy())
    assert tile.distances.dtype == (torch.float32 if scale == 1 else torch.float64)
    errors = np.abs(tile.distances.double().numpy() - between)
    assert (errors <= (tile.rounding[0] + tile.rounding[1]).numpy()).all()


@pytest.mark.parametrize("far", [0, 11])
def test_a_far_point_in_any_tile_makes_the_neighbours_of_all_uncertain(far, monkeypatch):
    """The bound of a distance in float32 from a point 1,000 away is about 1, and all others are within 1.5."""
    monkeypatch.setattr(neighbours, "TILE", 4)
    points = np.insert(0.15 * np.arange(11, dtype=np.float32), far, 1000)[:, None]
    space = neighbours._Space(torch.float32, torch.device("cpu"), points)
    _, is_certain = neighbours._nearest(points, torch.arange(12), 1, space)
    assert not is_certain[torch.arange(12) != far].any()


@pytest.mark.parametrize(("crowd", "again"), [(15, [150, 15]), (100, [150, 150])])
@pytest.mark.parametrize("tile", [16, 2048])
def test_only_neighbours_that_float32_cannot_tell_are_looked_for_again(crowd, again, tile, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", tile)
    random = np.random.default_rng(0)
    points = random.normal(size=(150, 6)).astype(np.float32)
    points[40 : 40 + crowd] = 20 + random.normal(0, 1e-4, (crowd, 6))
    counted, nearest = [], neighbours._nearest
    monkeypatch.setattr(
        neighbours, "_nearest", lambda some, chosen, *more: counted.append(len(chosen)) or nearest(some, chosen, *more)
    )
    exact = np.sort(np.square(points[:, None].astype(np.float64) - points).sum(axis=2), axis=1)
    images = of_features(points)
    for rank in (1, 3, 5):
        np.testing.assert_allclose(neighbours.radii(images, rank), exact[:, rank], rtol=1e-12)
    assert counted == again


def test_rounding_of_tiles_is_bounded():
    generator = np.random.default_rng(0)
    reals, fakes = (generator.normal(mean, 1, (90, 700)).astype(np.float32) for mean in (100, 101))
    exact = np.square(reals[:, None].astype(np.float64) - fakes).sum(axis=2)
    (tile,) = neighbours.tiles(of_features(reals), of_features(fakes))
    errors, bound = np.abs(tile.distances.double().numpy() - exact), (tile.rounding[0] + tile.rounding[1]).numpy()
    assert (errors.max() > 0) & (errors < bound).all()
    assert (bound < 0.01 * exact).all()
