"""Loss terms of the adversarial game, one function per equation; scores are logits, [B]."""

# B batch, C channels, H×W pixels, L layers, K components, D features of w

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fakes: Tensor) -> Tensor:
    """Non-saturating logistic loss −log σ(D(G(z))), from the scores of fakes (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fakes).mean()


def discriminator_loss(reals: Tensor, fakes: Tensor) -> Tensor:
    """Logistic loss −log σ(D(x)) − log(1 − σ(D(G(z)))), from both scores (Goodfellow et al. 2014, equation 1)."""
    return F.softplus(-reals).mean() + F.softplus(fakes).mean()


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """½ E‖∇ₓ D(x)‖² over images x [B, C, H, W] that `scores` were computed from (Mescheder et al. 2018, equation 9)."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def path_lengths(images: Tensor, w: Tensor) -> Tensor:
    """‖Jᵀy‖ of each image [B], y unit noise: how far an image moves with its w (StyleGAN2, equation 4).

    `images` [B, C, H, W] computed from w [B, L, …, D]. The square is summed over features and averaged over layers and
    components, so that a path is as long whatever their number.
    """
    height, width = images.shape[-2:]
    noise = torch.randn_like(images) / (height * width) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    return gradient.square().sum(dim=-1).flatten(start_dim=1).mean(dim=1).sqrt()
