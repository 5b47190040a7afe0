"""Settings of the Inception network of 2015."""

from pathlib import Path
from typing import Literal

from ganformer.config import Extractor

PYTORCH_FID = "pt_inception-2015-12-05-6726825d.pth"


# Metrics of spatial features: only Fréchet distances of them are known.
SPATIAL = frozenset({"frechet", "frechet-error", "frechet-infinity", "spatial-frechet"})


Features = Literal["pool", "spatial"]


class Config(Extractor):
    """The Inception network of 2015; distances of its features are called FID and compare with published ones."""

    kind: Literal["inception-2015"] = "inception-2015"
    weights: Path = Path("results/weights") / PYTORCH_FID
    """File of the weights, pytorch-fid's or NVIDIA's `inception-2015-12-05.pt`; fetched from the web where it is
    missing (96 MB)."""
    resize: Literal["tensorflow", "clean", "pytorch-fid"] = "tensorflow"
    """Resizing of images to 299×299: as in the original FID, antialiased as in clean-fid (Parmar et al. 2022), or as in
    pytorch-fid, with whose statistics nothing else compares."""
    features: Features = "pool"
    """Averages over the image, as in FID, or features of its places, as in sFID (Nash et al. 2021), for which only
    Fréchet distances are known, without class logits."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file of weights."""
        return (self.weights,)

    @property
    def metrics(self) -> frozenset[str] | None:
        """Metrics that its features are for; of spatial features, the Fréchet distances."""
        return SPATIAL if self.features == "spatial" else None
