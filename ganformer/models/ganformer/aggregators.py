"""Attention in a discriminator: learned vectors attend to the features of every resolution."""

# B batch, n pixels of the image, m aggregators, h heads, D size of an aggregator

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganformer.models.ganformer.components import ComponentAttention
from ganformer.models.ganformer.parts import AttentionDropout, Pixels, weighted_sum
from ganformer.nn import interfaces
from ganformer.nn.discriminator import Discriminator, append_deviation
from ganformer.nn.layers import ActivatedLinear, Linear


class Aggregation(nn.Module):
    """Aggregators [B, m, D] at positions [m, D] plus what they find in features x [B, C, H, W] → [B, m, D].

    `positions()` returns the position encodings of the pixels, [H·W, D].
    """

    def __init__(self, attention: ComponentAttention, positions: nn.Module, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.positions = positions
        self.dropout = AttentionDropout(dropout, over=2)

    def forward(self, x: Tensor, aggregators: Tensor, positions: Tensor) -> Tensor:
        pixels = Pixels(x.permute(0, 2, 3, 1).flatten(1, 2), self.positions())
        weights = self.dropout(self.attention.weights(pixels, aggregators, positions))
        return aggregators + self.attention.attended_values(weighted_sum(weights, pixels.content))


class NoAggregation(nn.Module):
    """Leaves aggregators [B, m, D] as they are."""

    def forward(self, x: Tensor, aggregators: Tensor, positions: Tensor) -> Tensor:
        return aggregators


class AggregatingDiscriminator(interfaces.Discriminator):
    """Discriminator whose head gets, beside the features of `trunk`, one score of each of `count` aggregators.

    `aggregations`: one module for every resolution of the trunk, from the image's to the coarsest. `size`: values of
    an aggregator. As in the released TensorFlow code, whose published checkpoints do not use it.
    """

    def __init__(self, trunk: Discriminator, aggregations: Sequence[nn.Module], count: int, size: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.aggregations = nn.ModuleList(aggregations)
        self.aggregators = nn.Parameter(torch.rand(count, size))
        self.positions = nn.Parameter(torch.rand(count, size))
        self.scores = nn.Sequential(ActivatedLinear(size + 1, size), Linear(size, 1))

    def forward(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        found = self.aggregators.expand(len(labels), -1, -1)
        for x, aggregation in zip(self.trunk.pyramid(images), self.aggregations, strict=True):
            found = aggregation(x, found, self.positions)
        features = torch.cat([self.trunk.epilogue.features(x), self.score(found)], dim=1)
        logits: Tensor = self.trunk.epilogue.head(features, labels)
        return logits

    def layers_by_resolution(self) -> list[list[nn.Module]]:
        """Return those of the trunk: like its head, what looks for something in its features learns on."""
        return self.trunk.layers_by_resolution()

    def score(self, found: Tensor) -> Tensor:
        """Return scores [B, m] of aggregators [B, m, D], computed beside their deviation within the batch."""
        columns = append_deviation(found.transpose(1, 2)[:, :, :, None])  # B D+1 m 1
        scores: Tensor = self.scores(columns.squeeze(3).transpose(1, 2))
        return scores.squeeze(2)
