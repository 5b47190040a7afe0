"""Requirements of measures on the images they are given."""

from dataclasses import dataclass
from typing import Protocol

from ganformer.errors import DataError
from ganformer.metrics.statistics import Observed


class Sized(Protocol):
    """A set of which the number of images is known, and of features an image; `title` names it in messages."""

    @property
    def title(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def features(self) -> int: ...


@dataclass(frozen=True)
class Size:
    """A set that has not been looked at yet."""

    title: str
    count: int
    features: int


def too_few(images: Sized, least: int, what: str) -> str:
    """Return a problem if there are fewer than `least` images; `what` names the measure and says why it needs them."""
    if images.count >= least:
        return ""
    return f"{images.title}: {images.count} images are too few for {what}; take at least {least}"


def refuse(problem: str) -> None:
    """Raise DataError if there is a problem."""
    if problem:
        raise DataError(problem)


def require_same_features(real: Observed, fake: Observed) -> None:
    """Raise DataError if one set was seen with more features an image than the other."""
    if real.features != fake.features:
        raise DataError(
            f"{fake.title}: {fake.features} features an image, but {real.title} has {real.features}; "
            "measure both with the same extractor and the same settings"
        )
