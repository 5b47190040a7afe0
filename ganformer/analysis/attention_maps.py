"""Images of a GANformer, with the component that every position of every layer attends to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ganformer import devices
from ganformer.analysis.explorer import require
from ganformer.analysis.stored_images import classes_of, facts
from ganformer.nn.layers import constant_noise
from ganformer.records.run import Run
from ganformer.training.adversarial import evaluating
from ganformer.training.checkpoint import restore
from ganformer.training.learner import Learner
from ganformer.training.samples import batches, draw_labels, latents, pixels


class Attending(Protocol):
    """Interface of a sampler with attention maps."""

    latent_shape: tuple[int, ...]

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return w of z [B, *latent_shape], standard normal, and one-hot labels [B, classes]."""

    def attention_maps(self, w: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return images [B, C, H, W] of w, and attention of layers, coarse to fine, [B, heads, components, h, w]."""


def attend(run: Path, images: int, out: Path, *, threads: int, gpus: int) -> None:
    """Write `images` images of a trained run and their attention maps into an npz file.

    `images` uint8 [images, H, W, C]; `maps_0`, `maps_1`, … one a layer, from coarse to fine, float16 [images, heads,
    components, h, w], summing to 1 over the components. The latents are the same for every run with latents of the
    same shape. `run`: its run.json. ConfigError if the model has no attention maps.
    """
    learner, record = restore(run)
    require_maps(record, run)
    device = devices.acquire(gpus)
    made, maps = [], []
    with devices.reproducible(threads), torch.no_grad():
        for batch, layers in attended(learner, record, range(images), device):
            made.append(pixels(batch))
            maps.append([layer.half().cpu().numpy() for layer in layers])
    joined = [np.concatenate(parts) for parts in zip(*maps, strict=True)]
    arrays = {"images": np.concatenate(made), **{f"maps_{i}": layer for i, layer in enumerate(joined)}}
    facts(record, classes=classes_of(record, images)).write(out, arrays)


def require_maps(record: Run, run: Path) -> None:
    """Raise ConfigError if the model of a run, whose record is at `run`, has no attention maps."""
    require(run, record.kind, "attention maps")


def attended(
    learner: Learner, record: Run, seeds: Sequence[int], device: torch.device
) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """Yield images [n, C, H, W] in [-1, 1] of these seeds, in batches, with the attention maps of all layers.

    The noise is constant, so that only latents make a difference.
    """
    module = learner.sampler.to(device)
    sampler = cast(Attending, module)
    with evaluating(module), constant_noise(module):
        for some in batches(seeds):
            labels, z = draw_labels(record.data.label_counts, some), latents(sampler.latent_shape, some)
            yield sampler.attention_maps(sampler.map(z.to(device), labels.to(device)))
