"""Settings of VGG16 trained on ImageNet."""

from pathlib import Path
from typing import Literal

from ganformer.config import Extractor

TORCHVISION = "vgg16-397923af.pth"


class Config(Extractor):
    """VGG16 trained on ImageNet, whose features published precision and recall are measured with."""

    kind: Literal["vgg16"] = "vgg16"
    weights: Path = Path("results/weights") / TORCHVISION
    """File of the weights, torchvision's or NVIDIA's `vgg16.pt`; fetched from the web where it is missing (553 MB)."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file of weights."""
        return (self.weights,)
