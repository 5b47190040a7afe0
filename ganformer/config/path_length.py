"""Settings of path lengths."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from ganformer.config import Strict
from ganformer.perceptual.settings import AnyNetwork

PAIRS, EPSILON, OUTLIERS = 50_000, 1e-4, 1.0  # published path lengths

Space = Literal["z", "w"]


Sampling = Literal["full", "end"]


class PathLength(Strict):
    """Settings of path lengths; the defaults are StyleGAN2's, without the crop of faces."""

    network: AnyNetwork
    """Perceptual distance of two images; published numbers use LPIPS, `vgg16`."""
    images: PositiveInt = PAIRS
    """Number of pairs of images."""
    epsilon: PositiveFloat = EPSILON
    """Distance of the two images of a pair, as a part of the path."""
    crop: bool = False
    """Compare only the face in FFHQ's images, as numbers called `ppl`; numbers of whole images are `ppl2`."""
    outliers: Annotated[float, Field(ge=0, lt=50)] = OUTLIERS
    """Percent of the pairs left out at either end, the ones that differ least and most."""
    spaces: Annotated[tuple[Space, ...], Field(min_length=1)] = ("z", "w")
    """Spaces of the paths: the latents z, or w behind the mapping network."""
    sampling: Annotated[tuple[Sampling, ...], Field(min_length=1)] = ("full", "end")
    """Places of the pairs on their paths: anywhere, or at the beginning."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights that the network is read from."""
        return self.network.inputs
