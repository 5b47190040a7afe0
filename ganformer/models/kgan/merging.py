"""Images of single components and their composition (k-GAN, van Steenkiste et al. 2020).

Each component passes the ladder as if it were the only latent, with weights that all share. At one resolution the
features become one: a sum over the components, weighted pixel by pixel.
"""

# B batch, k components (behind the batch and, flattened with it, the faster one), C channels, D features of a latent

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganformer.config.ladders import Resolution
from ganformer.nn.layers import Convolution, as_float
from ganformer.nn.resampling import Convolve
from ganformer.nn.synthesis import (
    NO_STATE,
    AnyStem,
    Ladder,
    LayerLatents,
    LayerSpec,
    LayerState,
    MakeLayer,
    MakeToRGB,
    ResidualLadder,
    SkipLadder,
)

# ------------------------------------------------------------------------------------------------- weights


def softmax(scores: Tensor) -> Tensor:
    """Return weights of the shape of scores [B, k, ...], with sum 1 over the components."""
    return scores.softmax(dim=1)


def highest(scores: Tensor) -> Tensor:
    """Return weight 1 for the component with the highest of scores [B, k, ...], 0 for the others.

    Scores learn as if it were the softmax (straight-through estimator, Bengio et al. 2013).
    """
    soft = scores.softmax(dim=1)
    hard = torch.zeros_like(soft).scatter(1, scores.argmax(dim=1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


def leaves(scores: Tensor) -> Tensor:
    """Return weights, with sum 1 over the components, of layers that cover each other, from scores [B, k, ...].

    Each covers those before it with opacity α = σ(its score - the highest score before it).
    """
    weights = torch.ones_like(scores[:, :1])
    for index in range(1, scores.shape[1]):
        alpha = (scores[:, index : index + 1] - scores[:, :index].amax(dim=1, keepdim=True)).sigmoid()
        weights = torch.cat([weights * (1 - alpha), alpha], dim=1)
    return weights


class Weights(nn.Module, ABC):
    """Weights of components: x [B, k, C, H, W] → [B, k, 1, H, W]."""

    absent: Sequence[int] = ()
    """Components with weight 0; the others are weighted as if these were not there."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.absent:
            return self.among(x)
        kept = [component for component in range(x.shape[1]) if component not in self.absent]
        found = self.among(x[:, kept])
        weights = found.new_zeros(*x.shape[:2], *found.shape[2:])
        weights[:, kept] = found
        return weights

    @abstractmethod
    def among(self, x: Tensor) -> Tensor:
        """Return the weights [B, k, 1, H, W] of components x [B, k, C, H, W], all of which take part."""

    @contextmanager
    def without(self, absent: Sequence[int]) -> Iterator[None]:
        """Leave out some components inside the context."""
        self.absent = list(absent)
        try:
            yield
        finally:
            self.absent = ()


class EqualWeights(Weights):
    """Weight 1 for every component."""

    def among(self, x: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones_like(x[:, :, :1])


class ScoredWeights(Weights):
    """Weights made, by `share`, of a score that a 1×1 convolution gives."""

    def __init__(self, channels: int, share: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.scores = Convolution(channels, 1, 1, Convolve())
        self.share = share

    def among(self, x: Tensor) -> Tensor:
        """Return shares of the components by their scores."""
        return self.share(as_float(self.scores(x.flatten(0, 1))).unflatten(0, x.shape[:2]))


SHARES: dict[str, Callable[[Tensor], Tensor]] = {"softmax": softmax, "max": highest, "leaves": leaves}


def make_weights(kind: str, channels: int) -> Weights:
    """Return the module that weights components by features with `channels`; `kind`: "sum" or a name of `SHARES`."""
    return EqualWeights() if kind == "sum" else ScoredWeights(channels, SHARES[kind])


# -------------------------------------------------------------------------------------------------- ladder


class ComponentStem(AnyStem):
    """A learned constant for every component, and the first layer: styles [B·k, D] → features [B·k, C, H, W]."""

    def __init__(self, components: int, size: Resolution, make_layer: MakeLayer) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.randn(components, size.channels, size.height, size.width))
        self.layer = make_layer(LayerSpec(size.channels, size, Convolve()))

    def forward(self, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        x = self.constants.repeat(latents[0].style.shape[0] // len(self.constants), 1, 1, 1)
        x, state = self.layer(x.contiguous(memory_format=torch.channels_last), latents[0], state)
        return x, state


class Merge(nn.Module):
    """Sum over the components; `weights`: features [B, k, C, H, W] → [B, k, 1, H, W]."""

    def __init__(self, components: int, weights: Weights) -> None:
        super().__init__()
        self.components = components
        self.weights = weights

    def forward(
        self, x: Tensor, images: Tensor | None, latents: Sequence[LayerLatents]
    ) -> tuple[Tensor, Tensor | None, list[LayerLatents]]:
        """Merge features, images if there are any yet, and latents, each [B·k, ...], into [B, ...].

        Colours are weighted like features, latents by the mean weight of their component.
        """
        weights: Tensor = self.weights(self.split(x))
        means = weights.mean(dim=(2, 3, 4))[:, :, None]
        merged = [LayerLatents((self.split(layer.style) * means).sum(dim=1)) for layer in latents]
        return self.compose(x, weights), None if images is None else self.compose(images, weights), merged

    def split(self, x: Tensor) -> Tensor:
        """Split [B·k, ...] into [B, k, ...]."""
        split: Tensor = x.unflatten(0, (-1, self.components))
        return split

    def compose(self, x: Tensor, weights: Tensor) -> Tensor:
        """Sum x [B·k, C, H, W] over the components with weights [B, k, 1, H, W]: [B, C, H, W]."""
        return (self.split(x) * weights).sum(dim=1).to(x.dtype)


class MergingLadder(Ladder):
    """Ladder that components pass separately up to resolution number `merged_at`, counted from 0, and then as one.

    Latents are [B·k, D]. If they are merged at the last resolution, whole images are composed.
    """

    def __init__(
        self,
        stem: AnyStem,
        resolutions: Sequence[Resolution],
        make_layer: MakeLayer,
        make_to_rgb: MakeToRGB,
        merge: Merge,
        merged_at: int,
    ) -> None:
        super().__init__(stem, resolutions, make_layer, make_to_rgb)
        self.merge = merge
        self.merged_at = merged_at

    def forward(self, latents: Sequence[LayerLatents], state: LayerState = NO_STATE) -> Tensor:
        x, state = self.stem(latents, state)
        latents = latents[self.stem.layers :]
        x, images, latents = self.arrive(0, x, None, latents)
        for index, block in enumerate(self.blocks, start=1):
            x, state = block(x, latents, state)
            latents = latents[2:]
            x, images, latents = self.arrive(index, x, images, latents)
        assert images is not None
        return images

    def arrive(
        self, index: int, x: Tensor, images: Tensor | None, latents: Sequence[LayerLatents]
    ) -> tuple[Tensor, Tensor | None, Sequence[LayerLatents]]:
        """Return features, images so far and latents of later layers at resolution `index`, merged if it is due."""
        images = self.paint(index, x, images, latents)
        return self.merge(x, images, latents) if index == self.merged_at else (x, images, latents)

    def paint(self, index: int, x: Tensor, images: Tensor | None, latents: Sequence[LayerLatents]) -> Tensor | None:
        """Return the images so far, with the RGB output of this resolution if there is one."""
        return self.colours(x, latents) if index == len(self.blocks) else images


class MergingResidualLadder(MergingLadder, ResidualLadder):
    """A merging ladder of residual blocks."""


class MergingSkipLadder(MergingLadder, SkipLadder):
    """Merging ladder that adds an RGB output at every resolution, before the merge one for each component."""

    def paint(self, index: int, x: Tensor, images: Tensor | None, latents: Sequence[LayerLatents]) -> Tensor:
        colours: Tensor = [*self.coarse_colours, self.colours][index](x, latents)
        return colours if images is None else self.upsample(images) + colours


MERGING_LADDERS = {"orig": MergingLadder, "skip": MergingSkipLadder, "resnet": MergingResidualLadder}
"""Architectures by the names that StyleGAN2's code gave them."""
