"""What the adversarial learner asks of every generator: latents → w of each layer → images."""

from abc import ABC, abstractmethod

from torch import Tensor, nn, zeros

AVERAGE_BETA = 0.995  # of the running average of w, per call of `track` (StyleGAN2)


class Generator(nn.Module, ABC):
    """A generator in two halves, so that a learner can mix and regularise what lies between them.

    `latent_shape` is the shape of the latent z of one image. `map` gives one w to each of L layers; its last dimension
    has size `w_size`, and one running average over everything else serves all layers (and all components).
    """

    latent_shape: tuple[int, ...]
    w_average: Tensor

    def __init__(self, latent_shape: tuple[int, ...], w_size: int) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        self.register_buffer("w_average", zeros(w_size))

    @abstractmethod
    def map(self, z: Tensor) -> Tensor:
        """z [B, *latent_shape], standard normal → w [B, L, …, w_size]; the L layers may be views of one memory."""

    @abstractmethod
    def synthesise(self, w: Tensor) -> Tensor:
        """w [B, L, …, w_size] → images [B, C, H, W], nominally in [-1, 1], not clipped."""

    def forward(self, z: Tensor) -> Tensor:
        """z [B, *latent_shape] → images [B, C, H, W]."""
        images: Tensor = self.synthesise(self.map(z))
        return images

    def track(self, w: Tensor) -> None:
        """Moves the running average towards the mean of this batch of w; in training, once a step."""
        mean = w.detach().flatten(end_dim=-2).mean(dim=0)
        self.w_average.lerp_(mean, 1 - AVERAGE_BETA)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """w moved towards its running average; psi 1 leaves it as it is, 0 gives the average (StyleGAN, section B)."""
        return self.w_average.lerp(w, psi)
