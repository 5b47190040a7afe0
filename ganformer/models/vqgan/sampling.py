"""Sampling of codes from the logits of a transformer."""

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat, PositiveInt

if TYPE_CHECKING:
    from torch import Tensor

from ganformer.config import Strict


class Sampling(Strict):
    """Settings of sampling the next code from the transformer's logits; the cuts apply one after the other."""

    temperature: NonNegativeFloat = 1.0
    """Logits are divided by it: less than 1 prefers probable codes, 0 always takes the most probable one."""
    top_k: PositiveInt | None = 100
    """Only so many of the most probable codes can be drawn. None: all of them."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Only the most probable codes that together have at least this probability can be drawn (nucleus sampling)."""

    def choose(self, logits: "Tensor", noise: "Tensor") -> "Tensor":
        """Draw codes [B] from logits [B, K] with noise [B, K], exponentially distributed with mean 1.

        The code whose noise / probability is smallest is drawn with just that probability.
        """
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        weights = self.cut(logits / self.temperature).softmax(dim=-1)
        return (weights / noise).argmax(dim=-1)

    def cut(self, logits: "Tensor") -> "Tensor":
        """Return logits [B, K] with −∞ for codes that cannot be drawn."""
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < least, -math.inf)
        return logits if self.top_p == 1 else self._nucleus(logits)

    def _nucleus(self, logits: "Tensor") -> "Tensor":
        """Keep the most probable codes whose predecessors have less than `top_p` (Holtzman et al. 2020, equation 2)."""
        import torch

        ordered, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
        total = ordered.cpu().cumsum(dim=-1).to(logits.device)  # on a GPU torch has no running sum that is reproducible
        is_out = torch.empty_like(order, dtype=torch.bool).scatter_(-1, order, total - ordered >= self.top_p)
        return logits.masked_fill(is_out, -math.inf)
