"""Density and coverage (Naeem et al. 2020): how many real images are near a generated one, and how many have one."""

from ganformer.metrics import neighbours
from ganformer.metrics.checks import Sized, refuse, require_same_features, too_few
from ganformer.metrics.statistics import Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

NEIGHBOURS = 5  # k: an image is near a real one if it is nearer than its k-th neighbour among the real ones


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can."""
    what = f"density and coverage, which look at {NEIGHBOURS} neighbours of each"
    return too_few(real, NEIGHBOURS + 1, what) or too_few(fake, 2, "density and coverage and their errors")


def recipe(real: Sized, fake: Sized) -> dict[str, int]:
    """Return the settings that the values depend on."""
    return {"neighbours": NEIGHBOURS}


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `density` ≥ 0, about 1 if both sets are alike, `coverage` in [0, 1], `density_std` and `coverage_std`.

    As in the authors' code, an image exactly as far as the k-th neighbour is not near. The errors estimate how far
    values would move if the same model made other images, with the same real images: of density the standard
    error of a mean, of coverage a jackknife (`Near.covered`), on Gaussians of 2 to 256 dimensions 1.1 to 1.6 times
    the true one. DataError for fewer than k + 1 real images or 2 generated ones.
    """
    refuse(lacking(real, fake))
    require_same_features(real, fake)
    radii = neighbours.radii(real, NEIGHBOURS)
    near = neighbours.Near(real, fake)
    for tile in neighbours.tiles(real, fake):
        near.update(tile, tile.within(radii[tile.rows, None], strictly=True))
    density, density_std = neighbours.mean(near.of_fake.double() / NEIGHBOURS)
    coverage, coverage_std = near.covered()
    return {"density": density, "density_std": density_std, "coverage": coverage, "coverage_std": coverage_std}
