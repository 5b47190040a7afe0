"""An autoregressive transformer over codes (Esser et al. 2021, section 3.2), of the shape of GPT-2."""

# B batch, N codes of an image in reading order, K possible codes, h heads, s values a head, W width

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer.models.vqgan.sampling import Sampling
from ganformer.nn import recomputation

DEVIATION = 0.02  # standard deviation of the initial weights


@dataclass
class Cache:
    """Keys and values of one layer, [B, h, N, s] each, of which the first `length` are there already."""

    keys: Tensor
    values: Tensor
    length: int = 0

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values [B, h, 1, s] of one more code, and return all so far."""
        self.keys[:, :, self.length : self.length + 1] = keys
        self.values[:, :, self.length : self.length + 1] = values
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class CausalAttention(nn.Module):
    """x [B, N, W] → [B, N, W]; each place attends to itself and those before it.

    With a cache x is the one place [B, 1, W] behind the cached ones, and joins them.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        queries, keys, values = self._split(x)
        if cache is not None:
            return self._merge(F.scaled_dot_product_attention(queries, *cache.extended(keys, values)))
        dropout = self.dropout if self.training else 0.0
        return self._merge(F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True))

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values [B, h, N, s]."""
        parts: tuple[Tensor, ...] = (
            self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        )
        return parts

    def _merge(self, attended: Tensor) -> Tensor:
        merged: Tensor = self.projection(attended.transpose(1, 2).flatten(2))
        return merged


class Block(recomputation.Block):
    """Attention, then two layers on each place, both normalised before and added to x [B, N, W].

    With a cache x is the one place [B, 1, W] behind the cached ones.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, dropout)
        self.layers_norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), cache))
        y: Tensor = x + self.dropout(self.layers(self.layers_norm(x)))
        return y


class CodeTransformer(nn.Module):
    """Predicts each of the `length` codes of an image from those before it, the first from a learned start alone.

    There is one start for each class, or one for all images without `classes`.
    """

    def __init__(
        self, codes: int, length: int, classes: int, *, layers: int, heads: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.length, self.heads = length, heads
        self.starts = nn.Parameter(torch.randn(max(1, classes), width) * DEVIATION)
        self.embedding = nn.Embedding(codes, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes, bias=False)
        self.apply(_initialise)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Return logits [B, N, K] of each code, from the codes [B, N] before it and labels [B, classes]."""
        inputs = torch.cat([self._start(labels)[:, None], self.embedding(codes[:, :-1])], dim=1)
        x = self.dropout(inputs + self.positions[: inputs.shape[1]])
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def sample(
        self, labels: Tensor, sampling: Sampling, seeds: Sequence[int], known: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Return codes [B, length] for labels [B, classes]; each image is a function of its label and seed.

        `known`: codes [B, length], and where they are kept, bool [length]; only the others are drawn.
        """
        caches, x, codes = self._caches(len(labels)), self._start(labels), []
        streams = [np.random.RandomState(seed) for seed in seeds]
        for place in range(self.length):
            logits = self.next_logits(x, place, caches)
            noise = np.stack([stream.standard_exponential(logits.shape[1]) for stream in streams])
            drawn = sampling.choose(logits, torch.from_numpy(noise).to(logits))
            codes.append(drawn if known is None or not known[1][place] else known[0][:, place])
            x = self.embedding(codes[-1])
        return torch.stack(codes, dim=1)

    def next_logits(self, x: Tensor, place: int, caches: list[Cache]) -> Tensor:
        """Return logits [B, K] of the code at `place`, from the code before, x [B, W], and the caches, which grow."""
        x = (x + self.positions[place])[:, None]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache)
        logits: Tensor = self.head(self.norm(x))[:, 0]
        return logits

    def _start(self, labels: Tensor) -> Tensor:
        """Return the start of every row of codes, [B, W]."""
        return (labels if labels.shape[1] else labels.new_ones(len(labels), 1)) @ self.starts

    def _caches(self, count: int) -> list[Cache]:
        """Return empty caches of all layers for `count` images."""
        shape = (count, self.heads, self.length, self.starts.shape[1] // self.heads)
        return [Cache(self.starts.new_empty(shape), self.starts.new_empty(shape)) for _ in self.blocks]


def _initialise(part: nn.Module) -> None:
    if isinstance(part, nn.Linear | nn.Embedding):
        nn.init.normal_(part.weight, 0.0, DEVIATION)
    if isinstance(part, nn.Linear) and part.bias is not None:
        nn.init.zeros_(part.bias)
