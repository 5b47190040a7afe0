"""`generated.json`: call that generated images into a folder, and whether they are all there."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ganformer.records.base import JsonRecord
from ganformer.records.run import RunName

GENERATED_FILE = "generated.json"


class GeneratedCall(JsonRecord):
    """Settings that decide the images of a call."""

    KIND: ClassVar[str] = "record of generated images"
    REMEDY: ClassVar[str] = "generate them again"

    run: RunName
    weights_sha256: str
    first_seed: int
    count: int
    truncation: float
    truncation_mean: str
    label: int | None
    """Class of all images; None: drawn as in the data."""
    class_name: str | None
    noise: str
    """Noise of layers: "fresh", of each image's seed, or "constant"."""
    form: Sequence[str]
    """Forms of the images: "pictures", "grid", "npz"."""


class GeneratedImages(GeneratedCall):
    """Call, and whether it was finished."""

    is_complete: bool
    code: Mapping[str, Any]
