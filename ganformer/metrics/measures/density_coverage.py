"""Density and coverage (Naeem et al. 2020): how many real images are near a generated one, and how many have one."""

from ganformer.metrics import neighbours
from ganformer.metrics.checks import require_images, require_same_features
from ganformer.metrics.statistics import Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

NEIGHBOURS = 5  # k: near a real image is what is nearer than its k-th neighbour among the real ones


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """`density`, at least 0 and about 1 where both are alike, `coverage`, from 0 to 1; `density_std`, `coverage_std`.

    As in the authors' code, an image exactly as far as the k-th neighbour is not near. The errors say how far values
    would move if the same model made other images, the real ones staying: that of density is the standard error of a
    mean, that of coverage a jackknife (`Near.covered`), on Gaussians of 2 to 256 dimensions 1.1 to 1.6 times the true
    one. DataError for fewer than k + 1 real images or 2 generated ones.
    """
    what = f"density and coverage, which look at {NEIGHBOURS} neighbours of each"
    require_images(real, NEIGHBOURS + 1, what)
    require_images(fake, 2, "density and coverage and their errors")
    require_same_features(real, fake)
    reals, fakes = real.arrays["features"], fake.arrays["features"]
    radii = neighbours.radii(reals, NEIGHBOURS)
    near = neighbours.Near(len(reals), len(fakes))
    for rows, columns, distances in neighbours.tiles(reals, fakes):
        near.update(rows, columns, distances < radii[rows, None])
    density, density_std = neighbours.mean(near.of_fake / NEIGHBOURS)
    coverage, coverage_std = near.covered()
    return {"density": density, "density_std": density_std, "coverage": coverage, "coverage_std": coverage_std}
