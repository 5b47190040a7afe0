"""Samples at every scale that a generator makes at once (MSG-GAN, figure 1)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganformer import devices
from ganformer.analysis.stored_images import facts
from ganformer.data.images import Pixels
from ganformer.data.pictures import save_picture
from ganformer.errors import ConfigError
from ganformer.nn.interfaces import Generator
from ganformer.training.adversarial import evaluating
from ganformer.training.checkpoint import restore
from ganformer.training.samples import batches, draw_labels, latents, pixels


def sample_scales(run: Path, images: int, out: Path, *, threads: int, gpus: int) -> None:
    """Write `images` samples of a trained run at every scale into an npz file, and as a picture beside it.

    `scale_0`, `scale_1`, … uint8 [images, h, w, C], from coarse to fine; the finest are the images of `samples.sample`.
    The picture, of the same name with .png, has a row for each sample and a column for each scale, all enlarged to the
    finest. `run`: its run.json. ConfigError if the model makes images of one scale only.
    """
    learner, record = restore(run)
    device = devices.acquire(gpus)
    if learner.sampling_generator is None:
        raise _one_scale(run, record.kind)
    generator = learner.sampling_generator.to(device)
    label_counts = record.data.label_counts
    with devices.reproducible(threads), torch.no_grad(), evaluating(generator):
        made = [_scales(generator, draw_labels(label_counts, seeds), seeds) for seeds in batches(range(images))]
    scales = [np.concatenate([pixels(part) for part in parts]) for parts in zip(*made, strict=True)]
    if len(scales) < 2:
        raise _one_scale(run, record.kind)
    save_picture(out.with_suffix(".png"), _picture(scales))
    facts(record).write(out, {f"scale_{i}": scale for i, scale in enumerate(scales)})


def _one_scale(run: Path, kind: str) -> ConfigError:
    return ConfigError(f"{run}: models of kind '{kind}' make images of one scale only; take a run of MSG-GAN")


def _scales(generator: Generator, labels: Tensor, seeds: Sequence[int]) -> tuple[Tensor, ...]:
    """Return images of these seeds at every scale."""
    device = generator.w_average.device
    return generator.scales(generator.map(latents(generator.latent_shape, seeds).to(device), labels.to(device)))


def _picture(scales: Sequence[Pixels]) -> Pixels:
    """Return a picture [count · H, scales · W, C], H×W the finest."""
    height = scales[-1].shape[1]
    enlarged = [scale.repeat(height // scale.shape[1], 1).repeat(height // scale.shape[1], 2) for scale in scales]
    return np.concatenate(np.concatenate(enlarged, axis=2))
