"""Images of a GANformer, and which component every position of every layer attends to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganformer import devices, plugins
from ganformer.analysis.samples import provenance, write
from ganformer.errors import ConfigError
from ganformer.learning.adversarial import evaluating
from ganformer.learning.checkpoint import restore
from ganformer.learning.samples import batches, draw_labels, latents, pixels
from ganformer.nn.layers import constant_noise


class Attending(Protocol):
    """What this asks of a sampler with attention maps."""

    latent_shape: tuple[int, ...]

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        """z [B, *latent_shape], standard normal, one-hot labels [B, classes] → w."""

    def attention_maps(self, w: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """w → images [B, C, H, W] and of each layer, coarse to fine, attention [B, heads, components, h, w]."""


def attend(run: Path, count: int, out: Path, *, threads: int, gpus: int) -> None:
    """Writes `count` images of a trained run and its attention maps into an npz file.

    `images` uint8 [count, H, W, C]; `maps_0`, `maps_1`, … one a layer, from coarse to fine, float16 [count, heads,
    components, h, w], summing to 1 over the components. The latents are the same for every run with latents of the
    same shape, and the noise is constant, so that only latents make a difference. `run`: its run.json. ConfigError
    where the model has no attention maps.
    """
    learner, record = restore(run)
    kind = record["spec"]["model"]["kind"]
    if not plugins.find("ganformer.models", kind).Config.has_attention_maps:
        raise ConfigError(f"{run}: models of kind '{kind}' have no attention maps; take a run of a GANformer")
    device = devices.acquire(gpus)
    sampler = learner.sampler.to(device)
    with devices.reproducible(threads), torch.no_grad(), evaluating(sampler), constant_noise(sampler):
        arrays = _attended(cast(Attending, sampler), count, record["data"]["label_counts"], device)
    write(out, provenance(record), arrays)


def _attended(
    sampler: Attending, count: int, label_counts: Sequence[int], device: torch.device
) -> dict[str, NDArray[Any]]:
    images, maps = [], []
    for seeds in batches(range(count)):
        labels, z = draw_labels(label_counts, seeds).to(device), latents(sampler.latent_shape, seeds).to(device)
        portion, layers = sampler.attention_maps(sampler.map(z, labels))
        images.append(pixels(portion))
        maps.append([layer.half().cpu().numpy() for layer in layers])
    joined = [np.concatenate(portions) for portions in zip(*maps, strict=True)]
    return {"images": np.concatenate(images), **{f"maps_{i}": layer for i, layer in enumerate(joined)}}
