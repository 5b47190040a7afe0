"""The contract between the one training loop and every model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ganformer.nn.interfaces import Generator
from ganformer.nn.layers import limit_half
from ganformer.nn.resampling import use_dtype


class Reals(NamedTuple):
    """One microbatch of a batch of real images."""

    images: Tensor
    """[B, C, H, W] float32 in [-1, 1]."""
    labels: Tensor
    """[B, classes] float32, one-hot; without classes it has no columns."""


class Learner(ABC):
    """A model that can be trained, sampled, saved and continued.

    `network` holds every weight and buffer there is, so nothing can be missing from a checkpoint. `sampler` is the part
    of it that images are sampled from (e.g. the moving average of the generator); its state is `weights.safetensors`.
    Built on the CPU; the loop moves `network` to its device.
    """

    network: nn.Module
    sampler: nn.Module
    truncation_mean: Literal["class", "global"] | None = None
    """Target of truncation: the mean of the image's class or of all images; None: the model has no such mean."""
    replays = False
    """True: the operations of updates are recorded in the first steps, then repeated without Python."""
    repairs = False
    """True: gradients that are not finite are made so, as features are in float16."""
    sampling_generator: Generator | None = None
    """Generator of `sampler`, which maps latents to images in one pass; None: the model samples in another way."""

    @abstractmethod
    def step(self, reals: Sequence[Reals], step: int) -> Mapping[str, Tensor]:
        """Train for one step.

        `reals`: the microbatches of one batch; gradients are averaged over them. `step`: number of finished steps.
        Randomness comes from torch's default generators, which the loop seeds with a function of (seed, rank, step).
        Returns scalars to be logged, still on the device.
        """

    @abstractmethod
    def sample(self, labels: Tensor, seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Return images [n, C, H, W] of `sampler` for `labels` [n, classes]: float32, nominally in [-1, 1].

        The latents of an image are a function of its seed, from 0 to 2³² − 1, whatever the device and the images beside
        it; noise of layers comes from the first seed. `truncation` ψ < 1 gives up variety for quality; its meaning
        depends on the model.
        """

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """Return all state to continue training from, optimisers included; tensors and plain values only."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `save`. Raises CheckpointError if it does not fit this learner."""

    def use_dtype(self, dtype: torch.dtype | None) -> None:
        """Compute features in `dtype` from here on, with weights and everything delicate in float32; None: all.

        Called once, before training. In float16 outputs of layers are limited, and gradients made finite.
        """
        self.repairs = dtype == torch.float16
        limit_half(self.network, dtype)
        self._compute_in(dtype)

    def _compute_in(self, dtype: torch.dtype | None) -> None:
        """Let `network` compute features in `dtype`."""
        use_dtype(self.network, dtype)

    def parameters(self) -> Mapping[str, int]:
        """Return the number of parameters by part, for the cost table: children of `network` but the sampler."""
        counts = {
            name: sum(p.numel() for p in part.parameters())
            for name, part in self.network.named_children()
            if part is not self.sampler
        }
        return {name: count for name, count in counts.items() if count}


class Reconstructor(ABC):
    """Interface of learners that contain an autoencoder, so that its reconstruction error can be measured."""

    @abstractmethod
    def reconstruct(self, images: Tensor) -> Tensor:
        """Encode and decode images [B, C, H, W] in [-1, 1] on the device of the network → same shape."""


class Coder(ABC):
    """Interface of learners that write images as codes, in rows and columns, so that these can be looked at."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Number of different codes."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Return the codes [B, h, w] of images [B, C, H, W] in [-1, 1] on the device of the network."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Return images [B, C, H, W] of codes [B, h, w]."""

    @abstractmethod
    def complete(self, codes: Tensor, kept: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return codes [B, h, w]: those where `kept` [h, w] is true, all others drawn for labels and seeds."""
