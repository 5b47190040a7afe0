"""What a measure asks of the images it is given."""

from ganformer.errors import DataError
from ganformer.metrics.statistics import Observed


def require_images(observed: Observed, least: int, what: str) -> None:
    """DataError for fewer than `least` images; `what` names the measure and says why it needs them."""
    if observed.count < least:
        raise DataError(f"{observed.title}: {observed.count} images are too few for {what}; take at least {least}")


def require_same_features(real: Observed, fake: Observed) -> None:
    """DataError where one set was seen with more features an image than the other."""
    reals, fakes = _features(real), _features(fake)
    if reals != fakes:
        raise DataError(
            f"{fake.title}: {fakes} features an image, but {real.title} has {reals}; "
            "measure both with the same extractor and the same settings"
        )


def _features(observed: Observed) -> int:
    arrays = observed.arrays
    return int((arrays["mean"] if "mean" in arrays else arrays["features"]).shape[-1])
