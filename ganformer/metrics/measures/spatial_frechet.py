"""sFID (Nash et al. 2021): the Fréchet distance of spatial features, for an evaluation that measures FID, too."""

from ganformer.metrics.measures import frechet
from ganformer.metrics.statistics import Observed

REAL, FAKE = frechet.REAL, frechet.FAKE
lacking = frechet.lacking


def compute(real: Observed, fake: Observed) -> dict[str, float]:
    """Return `sfd`, as `fd` of `frechet`; the extractor that `extractors` names for it has spatial features."""
    return {"sfd": frechet.compute(real, fake)["fd"]}
