"""Images of a GANformer, and which component every position of every layer attends to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ganformer import devices, plugins
from ganformer.analysis.samples import classes_of, provenance, write
from ganformer.errors import ConfigError
from ganformer.nn.layers import constant_noise
from ganformer.training.adversarial import evaluating
from ganformer.training.checkpoint import restore
from ganformer.training.learner import Learner
from ganformer.training.samples import batches, draw_labels, latents, pixels


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
    same shape. `run`: its run.json. ConfigError where the model has no attention maps.
    """
    learner, record = restore(run)
    require_maps(record, run)
    device = devices.acquire(gpus)
    images, maps = [], []
    with devices.reproducible(threads), torch.no_grad():
        for portion, layers in attended(learner, record, range(count), device):
            images.append(pixels(portion))
            maps.append([layer.half().cpu().numpy() for layer in layers])
    joined = [np.concatenate(portions) for portions in zip(*maps, strict=True)]
    arrays = {"images": np.concatenate(images), **{f"maps_{i}": layer for i, layer in enumerate(joined)}}
    write(out, {**provenance(record), "classes": classes_of(record, count)}, arrays)


def require_maps(record: Mapping[str, Any], run: Path) -> None:
    """ConfigError where the model of a run, whose record is at `run`, has no attention maps."""
    kind = record["spec"]["model"]["kind"]
    if not plugins.find("ganformer.models", kind).Config.has_attention_maps:
        raise ConfigError(f"{run}: models of kind '{kind}' have no attention maps; take a run of a GANformer")


def attended(
    learner: Learner, record: Mapping[str, Any], seeds: Sequence[int], device: torch.device
) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """Images [n, C, H, W] in [-1, 1] of these seeds, in portions, with the attention maps of all layers.

    The noise is constant, so that only latents make a difference.
    """
    module = learner.sampler.to(device)
    sampler = cast(Attending, module)
    with evaluating(module), constant_noise(module):
        for some in batches(seeds):
            labels, z = draw_labels(record["data"]["label_counts"], some), latents(sampler.latent_shape, some)
            yield sampler.attention_maps(sampler.map(z.to(device), labels.to(device)))
