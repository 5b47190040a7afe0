"""Images as grids of codes: each place of a grid of latents becomes one entry of a learned codebook."""

# B batch, K entries of the codebook, D values of an entry, h×w codes

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantised(NamedTuple):
    """Latents and their codes."""

    latents: Tensor
    """[B, D, h, w]: latents."""
    values: Tensor
    """[B, D, h, w]: the chosen entries; gradients pass straight through to the latents."""
    codes: Tensor
    """[B, h, w] int64: numbers of the entries."""
    loss: Tensor
    """Loss of the quantiser, a scalar."""


class Quantiser(nn.Module, ABC):
    """Latents [B, D, h, w] → `Quantised`, by the `codebook` [K, D]."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.codebook = nn.Parameter(codebook)

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the entries [B, D, h, w] of codes [B, h, w]."""
        return F.embedding(codes, self.codebook).permute(0, 3, 1, 2)

    def anneal(self, progress: float) -> None:
        """Adapt to the finished part of the training, from 0 to 1; called before each step."""

    def revive(self, shares: Tensor, latents: Tensor) -> None:
        """Move unused entries after a training step, if the quantiser does so.

        `shares` [K]: recent shares of the choices; the share of a moved entry is set to an even one. `latents`
        [B, D, h, w]: of this batch.
        """

    @abstractmethod
    def forward(self, latents: Tensor) -> Quantised:
        """Choose an entry for every latent."""


class NearestEntry(Quantiser):
    """The nearest entry, with the gradient passed straight through (van den Oord et al. 2017, equation 3).

    The loss draws entries to their latents, and with weight `commitment` latents to their entries. (The official code
    of VQGAN has that weight at the other term.) An entry whose share of the choices is below `revival` times an even
    share is put where a latent is, drawn at random (Dhariwal et al. 2020, Jukebox, section 3.1).
    """

    def __init__(self, entries: int, size: int, commitment: float, revival: float) -> None:
        super().__init__(torch.empty(entries, size).uniform_(-1 / entries, 1 / entries))
        self.commitment, self.revival = commitment, revival

    def forward(self, latents: Tensor) -> Quantised:
        codes = self.nearest(latents)
        values = self.look_up(codes)
        loss = F.mse_loss(values, latents.detach()) + self.commitment * F.mse_loss(latents, values.detach())
        return Quantised(latents, latents + (values - latents).detach(), codes, loss)

    @torch.no_grad()
    def revive(self, shares: Tensor, latents: Tensor) -> None:
        even = 1 / len(shares)
        is_idle = shares < self.revival * even
        points = latents.permute(0, 2, 3, 1).flatten(0, 2)
        chosen = points[torch.randint(len(points), shares.shape, device=points.device)]
        self.codebook.copy_(torch.where(is_idle[:, None], chosen, self.codebook))
        shares.masked_fill_(is_idle, even)

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """Return the numbers [B, h, w] of the entries nearest to latents [B, D, h, w]."""
        points = latents.permute(0, 2, 3, 1)
        # |latent − entry|² less |latent|², which is the same for all entries
        distances = self.codebook.square().sum(dim=1) - 2 * (points @ self.codebook.T)
        return distances.argmin(dim=-1)


class GumbelSoftmax(Quantiser):
    """An entry drawn from the softmax of learned scores (Jang et al. 2017; for images Ramesh et al. 2021, section 2.1).

    The gradient is the one of a soft draw, whose temperature falls from 1 to `temperature` along a cosine. The loss is
    `divergence_weight` times the divergence of the softmax from an even choice. In evaluation the most probable entry
    is taken.
    """

    temperature: Tensor

    def __init__(self, entries: int, size: int, temperature: float, divergence_weight: float) -> None:
        super().__init__(torch.randn(entries, size))
        self.scores = nn.Conv2d(size, entries, 1)
        self.lowest, self.divergence_weight = temperature, divergence_weight
        # A tensor that is written, so that a step does the same operations at each temperature.
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    def anneal(self, progress: float) -> None:
        self.temperature.fill_(self.lowest + (1 - self.lowest) * (1 + math.cos(math.pi * progress)) / 2)

    def forward(self, latents: Tensor) -> Quantised:
        scores: Tensor = self.scores(latents)  # B K h w
        chosen = self._draw(scores)
        values = torch.einsum("bkhw,kd->bdhw", chosen, self.codebook)
        logs = scores.log_softmax(dim=1)
        divergence = (logs.exp() * (logs + math.log(len(self.codebook)))).sum(dim=1).mean()
        return Quantised(latents, values, chosen.argmax(dim=1), self.divergence_weight * divergence)

    def _draw(self, scores: Tensor) -> Tensor:
        """Draw one entry for each position [B, K, h, w]: 1 for the chosen one, 0 for the others."""
        if self.training:
            return F.gumbel_softmax(scores, self.temperature, hard=True, dim=1)  # type: ignore[arg-type]
        return F.one_hot(scores.argmax(dim=1), scores.shape[1]).movedim(-1, 1).to(scores.dtype)


def usage(counts: Tensor) -> dict[str, Tensor]:
    """Return how evenly the entries are used, from their counts [K].

    `codebook_usage`: part of the entries that was used at all. `codebook_perplexity`: exp(entropy), from 1 to K.
    """
    shares = counts / counts.sum()
    entropy = -torch.special.xlogy(shares, shares).sum()
    return {"codebook_usage": (counts > 0).float().mean(), "codebook_perplexity": entropy.exp()}
