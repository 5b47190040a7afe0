"""Settings of path lengths."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from ganformer.config import Strict
from ganformer.perceptual.settings import AnyNetwork

PAIRS, EPSILON, OUTLIERS = 50_000, 1e-4, 1.0  # of published path lengths

Space = Literal["z", "w"]


Sampling = Literal["full", "end"]


class PathLength(Strict):
    """Which path lengths are measured, and how; the defaults are StyleGAN2's, without the crop of faces."""

    network: AnyNetwork
    """What says how different two images look; published numbers are of LPIPS, `vgg16`."""
    images: PositiveInt = PAIRS
    """Number of pairs of images."""
    epsilon: PositiveFloat = EPSILON
    """How far two images of a pair are apart, as a part of the path."""
    crop: bool = False
    """Compare only where the face is in FFHQ's images, as numbers called `ppl` do; those of whole images are `ppl2`."""
    outliers: Annotated[float, Field(ge=0, lt=50)] = OUTLIERS
    """Percent of the pairs left out on either side, those that differ least and most."""
    spaces: Annotated[tuple[Space, ...], Field(min_length=1)] = ("z", "w")
    """Where paths lie: among the latents z, or behind the mapping network."""
    sampling: Annotated[tuple[Sampling, ...], Field(min_length=1)] = ("full", "end")
    """Where on its path a pair of images is: anywhere, or at the beginning."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights that the network is read from."""
        return self.network.inputs
