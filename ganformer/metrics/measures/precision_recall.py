"""Improved precision and recall (Kynkäänniemi et al. 2019): the part of either set within the other's manifold."""

from ganformer.metrics import neighbours
from ganformer.metrics.checks import Sized, refuse, require_same_features, too_few
from ganformer.metrics.statistics import Observed

REAL = frozenset({"features"})
FAKE = frozenset({"features"})

NEIGHBOURS = 3  # k: the manifold is a ball around each image that reaches to its k-th neighbour


def lacking(real: Sized, fake: Sized) -> str:
    """Return why these images cannot be measured; empty if they can."""
    what = f"precision and recall, which look at {NEIGHBOURS} neighbours of each"
    return too_few(real, NEIGHBOURS + 1, what) or too_few(fake, NEIGHBOURS + 1, what)


def recipe(real: Sized, fake: Sized) -> dict[str, int]:
    """Return the settings that the values depend on."""
    return {"neighbours": NEIGHBOURS}


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `precision` and `recall`, from 0 to 1, and `precision_std` and `recall_std`.

    Precision is the part of generated images in the balls of real ones, recall the other way round. The errors say how
    far the values would move if the same model made other images, the real ones staying: of precision exactly,
    √(p (1 − p) / M) but for M − 1; of recall by a jackknife (`Near.covered`) whose balls keep their sizes, on
    Gaussians of 2 to 256 dimensions 0.8 to 1.3 times the true one. DataError for fewer than k + 1 images.
    """
    refuse(lacking(real, fake))
    require_same_features(real, fake)
    real_radii, fake_radii = neighbours.radii(real, NEIGHBOURS), neighbours.radii(fake, NEIGHBOURS)
    precise, recalled = (neighbours.Near(real, fake) for _ in range(2))
    for tile in neighbours.tiles(real, fake):
        precise.update(tile, tile.within(real_radii[tile.rows, None]))
        recalled.update(tile, tile.within(fake_radii[tile.columns]))
    precision, precision_std = neighbours.mean(precise.of_fake > 0)
    recall, recall_std = recalled.covered()
    return {"precision": precision, "precision_std": precision_std, "recall": recall, "recall_std": recall_std}
