"""Loss terms of adversarial training, one function per equation; scores are logits, [B]."""

# B batch, C channels, H×W pixels, L layers, K components, D features of w

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.ops import gradients

DRIFT = 0.001  # weight that keeps WGAN's scores of reals near zero (Progressive GAN, appendix A.1)


class Loss(ABC):
    """Losses of generator and discriminator."""

    @abstractmethod
    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        """Return the generator's loss from scores of fakes; `reals` computes scores of reals if a loss uses them."""

    @abstractmethod
    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        """Return the discriminator's loss from both scores."""


class Logistic(Loss):
    """Non-saturating: −log σ(D(G(z))); −log σ(D(x)) − log(1 − σ(D(G(z)))) (Goodfellow et al. 2014, section 3)."""

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return F.softplus(-fakes).mean()

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return F.softplus(-reals).mean() + F.softplus(fakes).mean()


class Hinge(Loss):
    """−D(G(z)); max(0, 1 − D(x)) + max(0, 1 + D(G(z))) (Miyato et al. 2018, spectral normalisation, equation 16)."""

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return -fakes.mean()

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return F.relu(1 - reals).mean() + F.relu(1 + fakes).mean()


class Wasserstein(Loss):
    """−D(G(z)); D(G(z)) − D(x) + 0.001 D(x)², the last so that scores do not drift (Progressive GAN, appendix A.1)."""

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return -fakes.mean()

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return fakes.mean() - reals.mean() + DRIFT * reals.square().mean()


class LeastSquares(Loss):
    """½(D(G(z)) − 1)²; ½(D(x) − 1)² + ½D(G(z))² (Mao et al. 2017, LSGAN, equation 9)."""

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return (fakes - 1).square().mean() / 2

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return ((reals - 1).square().mean() + fakes.square().mean()) / 2


class LeastSquaresOfProbabilities(LeastSquares):
    """LSGAN's loss of σ(D), as in the code of MSG-GAN (Karnewar & Wang 2020).

    That code squares the mean of a batch, here and in LSGAN; these are means of squares, as in the paper of LSGAN.
    """

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return super().generator(fakes.sigmoid(), reals)

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return super().discriminator(reals.sigmoid(), fakes.sigmoid())


class RelativisticHinge(Loss):
    """Hinge loss of logits above the mean logit of the other kind (Jolicoeur-Martineau 2018, section 4.2)."""

    def generator(self, fakes: Tensor, reals: Callable[[], Tensor]) -> Tensor:
        return self.discriminator(fakes, reals())

    def discriminator(self, reals: Tensor, fakes: Tensor) -> Tensor:
        return F.relu(1 - (reals - fakes.mean())).mean() + F.relu(1 + (fakes - reals.mean())).mean()


LOSSES: dict[str, Loss] = {
    "logistic": Logistic(),
    "hinge": Hinge(),
    "wgan": Wasserstein(),
    "lsgan": LeastSquares(),
    "lsgan-sigmoid": LeastSquaresOfProbabilities(),
    "relativistic-hinge": RelativisticHinge(),
}


def r1_penalty(scores: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Return ½ E‖∇ₓ D(x)‖², over x at all scales, each [B, C, H, W], that `scores` were computed from.

    Mescheder et al. 2018, equation 9.
    """
    return _squared_slopes(scores, images).mean() / 2


def gradient_penalty(scores: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Return E(‖∇ₓ D(x)‖ − 1)², x [B, C, H, W] at all scales between real and generated images (WGAN-GP, eq. 3)."""
    # The root has no derivative at zero.
    return ((_squared_slopes(scores, images) + 1e-12).sqrt() - 1).square().mean()


def _squared_slopes(scores: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Return ‖∇ₓ D(x)‖² of each image [B]."""
    with gradients.of_features_only():
        slopes = torch.autograd.grad(scores.sum(), list(images), create_graph=True)
    return torch.stack([slope.square().sum(dim=(1, 2, 3)) for slope in slopes]).sum(dim=0)


def path_lengths(images: Tensor, w: Tensor) -> Tensor:
    """Return ‖Jᵀy‖ of each image [B], y unit noise: the change of an image with its w (StyleGAN2, equation 4).

    `images` [B, C, H, W] computed from w [B, L, …, D]. The square is summed over features and averaged over layers and
    components, so that a path is as long whatever their number.
    """
    height, width = images.shape[-2:]
    noise = torch.randn_like(images) / (height * width) ** 0.5
    with gradients.of_features_only():
        (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    return gradient.square().sum(dim=-1).flatten(start_dim=1).mean(dim=1).sqrt()
