"""Interfaces of generator and discriminator: latents → w of each layer → images, and images → logits."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

AVERAGE_BETA = 0.995  # decay of the running average of w, per training step (StyleGAN2)


class Generator(nn.Module, ABC):
    """Generator in two halves, so that a learner can mix and regularise the latents w between them.

    `latent_shape` is the shape of the latent z of one image. `map` gives one w to each of L layers; its last dimension
    has size `w_size`, and one running average over everything else serves all layers, components and classes. Labels
    are [B, classes], one-hot; without classes they have no columns.
    """

    path_spaces: ClassVar[tuple[Literal["z", "w"], ...]] = ("z", "w")
    """Spaces in which paths between two latents consist of latents of training (for path lengths)."""
    latent_shape: tuple[int, ...]
    w_average: Tensor

    def __init__(self, latent_shape: tuple[int, ...], w_size: int) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        self.register_buffer("w_average", torch.zeros(w_size))

    @abstractmethod
    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return w [B, L, …, w_size] of z [B, *latent_shape], standard normal; the L layers may share memory."""

    @abstractmethod
    def synthesise(self, w: Tensor) -> Tensor:
        """Return images [B, C, H, W] of w [B, L, …, w_size], nominally in [-1, 1], not clipped."""

    def scales(self, w: Tensor) -> tuple[Tensor, ...]:
        """Return images of w at every scale that the discriminator sees; the last is the result of `synthesise`."""
        return (self.synthesise(w),)

    def additions(self, w: Tensor) -> Mapping[str, Tensor]:
        """Return images [B, C, h, w] by title that the image is made of, coarse to fine; none if it is made at once.

        These are the results of RGB outputs, or, where the discriminator sees several scales, images of each.
        """
        scales = self.scales(w)
        return {_size(image): image for image in scales} if len(scales) > 1 else {}

    def latents(self, count: int) -> Tensor:
        """Draw z [count, *latent_shape] for training, from torch's default generator of the device."""
        return torch.randn(count, *self.latent_shape, device=self.w_average.device)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return images [B, C, H, W] of z [B, *latent_shape]."""
        images: Tensor = self.synthesise(self.map(z, labels))
        return images

    def track(self, w: Tensor, step: int) -> None:
        """Move the running average towards the mean of this batch of w; called once a training step.

        `step`: number of finished steps. The average is corrected for having begun at zero (as Adam's moments are,
        Kingma & Ba 2015, section 3), so that it is a mean of w from the first step on, and needs no counter of its own.
        """
        mean = w.detach().flatten(end_dim=-2).mean(dim=0)
        self.w_average.lerp_(mean, (1 - AVERAGE_BETA) / (1 - AVERAGE_BETA ** (step + 1)))

    def truncate(self, w: Tensor, psi: float | Tensor, mean: Tensor | None = None) -> Tensor:
        """Move w towards `mean` [w_size] or [B, w_size]; None: its running average (StyleGAN, section B).

        psi 1 leaves w as it is, 0 gives the mean.
        """
        if mean is None:
            mean = self.w_average
        if mean.ndim > 1:
            mean = mean.unflatten(0, (w.shape[0], *[1] * (w.ndim - 2)))
        return mean.lerp(w, psi)


def _size(image: Tensor) -> str:
    height, width = image.shape[2:]
    return f"{width}×{height}"


class Discriminator(nn.Module, ABC):
    """Discriminator: images → logits, high for images that look real."""

    @abstractmethod
    def forward(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return logits [B] of images at every scale it sees, each [B, C, H, W], the finest last, and of labels."""

    def layers_by_resolution(self) -> Sequence[Sequence[nn.Module]]:
        """Return the layers of each resolution but the last, which ends in logits, from the image's on.

        There are none if its layers are not of single resolutions.
        """
        return ()

    def scales(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return real images [B, C, H, W] at every scale that it sees, the finest last."""
        return (images,)
