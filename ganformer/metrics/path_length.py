"""Perceptual path length (Karras et al. 2019, section 4.1): change of images for a small change of latents.

A pair of latents spans a path, along a great circle in z (eq. 2) or a straight line in w (eq. 3). At a point of it,
the perceptual distance of two images that are ε apart is divided by ε². The protocol is StyleGAN2's: the
point is anywhere on the path (`full`) or its beginning (`end`), noise and labels are the same for both images, there is
no truncation, images are compared as float32, and the lowest and the highest percent of the distances are left out.
8-bit images would not do: torch-fidelity's notes have 1147 of them where float32 gives 31.

Components go from one latent to the other each on a great circle of its own. There they have the length that normal
latents have on average; NVIDIA's code makes it 1, which is the same to a mapping network that normalises each of them.
Latents to sample with lack no components, so that there are all of them at both points.
"""

# B pairs, L layers, D size of a latent

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer import plugins
from ganformer.config import AdversarialModel
from ganformer.config.path_length import PathLength, Sampling, Space
from ganformer.data.images import central
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.sets import Picture, Share
from ganformer.metrics.statistics import Array
from ganformer.nn.interfaces import Generator
from ganformer.perceptual import distance as perceptual
from ganformer.progress import Progress
from ganformer.records.run import Run
from ganformer.training import distribution
from ganformer.training.adversarial import evaluating, noise_from
from ganformer.training.learner import Learner
from ganformer.training.samples import BATCH, batches, draw_labels, in_colours, latents

SETTING = "evaluation.path_length"
SIDE = 256  # larger images are averaged down to it, since VGG16 was made for 224 (StyleGAN2)
PIXELS = 8 * SIDE**2  # of images compared at a time, which bounds the memory that VGG16's activations take

Choice = tuple[Space, Sampling]
Compare = Callable[[Tensor, Tensor], Tensor]  # images [B, 3, H, W] in [-1, 1] and as many others -> distances [B]


def spaces(learner: Learner) -> tuple[Space, ...]:
    """Return the spaces in which the images of this learner have paths; none if it has no generator."""
    return learner.sampling_generator.path_spaces if learner.sampling_generator else ()


def measure(
    settings: PathLength,
    learner: Learner,
    record: Run,
    picture: Picture,
    device: torch.device,
    seed: int = 0,
) -> dict[str, float]:
    """Return `ppl_z_full` and the others that are chosen, and as `ppl_z_full_std` their standard errors.

    `record`: the run.json; `picture`: rows and columns in the middle of the images, which are compared.
    Pairs, and the points on their paths, are functions of the seeds from `seed` × `settings.images` on; a path begins
    at the latent that the image of its seed is made of. Where several processes work together, each measures its share,
    and the first one gets the values, the others nothing.

    Raises ConfigError for a model without such paths and for a crop of images that are not square, DataError for fewer
    than 2 pairs and for images that are not finite, CheckpointError as `perceptual.load`.
    """
    title = str(record.run)
    sampler = _sampler(settings, learner, record)
    _check(settings, picture, title)
    compare = perceptual.load(settings.network, device, f"{SETTING}.network").each
    learner.network.to(device)
    walk = Walk(settings, sampler, record.data.label_counts, picture, compare, title, device)
    lengths = _lengths(walk, range(seed * settings.images, (seed + 1) * settings.images))
    values = {}
    for (space, sampling), found in lengths.items():
        key = f"ppl_{space}_{sampling}"
        values[key], values[f"{key}_std"] = trimmed_mean(found, settings.outliers)
    return values


def _sampler(settings: PathLength, learner: Learner, record: Run) -> Generator:
    """Return the generator's sampler; ConfigError if it has no paths in a chosen space."""
    kind, generator = record.kind, learner.sampling_generator
    if generator is None:
        raise ConfigError(
            f"{SETTING}: {kind} makes no images of latents in one go, so that there are no paths to measure; leave it "
            f"out, or measure one of {', '.join(_kinds())}"
        )
    possible = generator.path_spaces
    if impossible := set(settings.spaces) - set(possible):
        raise ConfigError(
            f"{SETTING}.spaces: {kind} has no mapping network, so that there are no paths in {', '.join(impossible)}; "
            f"set it to [{', '.join(possible)}]"
        )
    return generator


def _kinds() -> list[str]:
    """Return the kinds of models that have paths."""
    package = "ganformer.models"
    return [name for name in plugins.names(package) if issubclass(plugins.find(package, name).Config, AdversarialModel)]


def _check(settings: PathLength, picture: Picture, title: str) -> None:
    if settings.images < 2:
        raise DataError(
            f"{title}: {settings.images} pair of images is too few for path lengths, whose error is measured, too; set "
            f"{SETTING}.images to at least 2"
        )
    rows, columns = picture
    if settings.crop and rows != columns:
        raise ConfigError(
            f"{SETTING}.crop: is of faces in the middle of square images, but images of {title} are {columns}×{rows}; "
            "set it to false"
        )


def _lengths(walk: "Walk", seeds: range) -> dict[Choice, Array]:
    """Return the lengths [N] of the chosen kinds, ascending; nothing where another process has them."""
    chosen = list(itertools.product(walk.settings.spaces, walk.settings.sampling))
    share = Share(distribution.rank(), distribution.ranks())
    found: list[Array] = []
    label, total = f"path lengths {walk.title}", len(seeds) * len(chosen)
    progress = Progress(label, total, unit="pairs", is_silent=share.rank > 0)
    with torch.no_grad(), evaluating(walk.sampler), progress:
        for batch in share.of(batches(seeds, walk.pairs)):
            found.append(np.stack([walk.lengths(batch, *choice) for choice in chosen]))
            progress.update(min(found[-1].size * share.ranks, total - progress.done))
    gathered = [part for parts in distribution.gather(found) for part in parts]
    # In order, so that sums do not depend on who measured what.
    return dict(zip(chosen, np.sort(np.concatenate(gathered, axis=1)), strict=True)) if gathered else {}


@dataclass(frozen=True)
class Walk:
    """Paths of a generator, along which images are compared."""

    settings: PathLength
    sampler: Generator
    label_counts: Sequence[int]
    picture: Picture
    compare: Compare
    title: str
    device: torch.device

    @property
    def pairs(self) -> int:
        """Number of pairs compared at a time."""
        rows, columns = (min(side, SIDE) for side in self.picture)
        return min(BATCH, PIXELS // (rows * columns))

    def lengths(self, seeds: Sequence[int], space: Space, sampling: Sampling) -> Array:
        """Return lengths [B] of the paths of these seeds; DataError if an image is not finite."""
        # With the same noise, which is another one for every pair of images.
        one, other = (self._look(w, seeds[0]) for w in self._ends(seeds, space, sampling))
        distances = self.compare(in_colours(one), in_colours(other)).double()
        lengths: Array = (distances / self.settings.epsilon**2).cpu().numpy()
        return lengths

    def _ends(self, seeds: Sequence[int], space: Space, sampling: Sampling) -> list[Tensor]:
        """Return w [B, L, …, D] of both images of each pair; points between ends are float64, since ε is small."""
        start, goal = latents((2, *self.sampler.latent_shape), seeds).double().unbind(1)
        at = points(seeds) if sampling == "full" else torch.zeros(len(seeds), dtype=torch.float64)
        labels = draw_labels(self.label_counts, seeds).to(self.device)
        both = (at, at + self.settings.epsilon)
        if space == "z":
            return [self._map(slerp(start, goal, _beside(t, start)), labels) for t in both]
        w, last = (self._map(z, labels).double() for z in (start, goal))
        return [w.lerp(last, _beside(t.to(self.device), w)).float() for t in both]

    def _map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.sampler.map(z.float().to(self.device), labels)
        return w

    def _look(self, w: Tensor, seed: int) -> Tensor:
        """Return the images of w, with noise from `seed`, as they are compared."""
        with noise_from(seed, self.device):
            images = central(self.sampler.synthesise(w), *self.picture)
        if not images.isfinite().all():
            raise DataError(
                f"{self.title}: images on the paths between latents hold NaN or infinity, so the training diverged; a "
                "smaller learning rate or a larger r1_gamma often helps"
            )
        return shrunk(face(images) if self.settings.crop else images)


def slerp(start: Tensor, goal: Tensor, t: Tensor) -> Tensor:
    """Interpolate on the great circle from `start` [..., D] to `goal` at the fraction `t`.

    Both ends are first projected to the sphere of radius √D, on which the result is, too.
    """
    start, goal = F.normalize(start, dim=-1), F.normalize(goal, dim=-1)
    cosine = (start * goal).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = t * cosine.arccos()
    across = F.normalize(goal - cosine * start, dim=-1)
    on_unit_sphere = start * angle.cos() + across * angle.sin()
    between: Tensor = on_unit_sphere * start.shape[-1] ** 0.5
    return between


def _beside(t: Tensor, latents: Tensor) -> Tensor:
    """Return t [B] as [B, 1, …], for latents [B, …]."""
    return t.view(-1, *[1] * (latents.ndim - 1))


def points(seeds: Sequence[int]) -> Tensor:
    """Draw the position of each seed's pair on its path: [B] float64, uniform in [0, 1)."""
    # The 2 parts them from latents and labels.
    return torch.tensor([np.random.RandomState([seed, 2]).random_sample() for seed in seeds], dtype=torch.float64)


def face(images: Tensor) -> Tensor:
    """Crop square images [B, C, S, S] of FFHQ to the face: [B, C, S/2, S/2]."""
    eighth = images.shape[-1] // 8
    return images[:, :, 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]


def shrunk(images: Tensor) -> Tensor:
    """Average images [B, C, H, W] over squares of whole pixels, so that their larger side is less than 2 · `SIDE`."""
    factor = max(images.shape[-2:]) // SIDE
    return F.avg_pool2d(images, factor) if factor > 1 else images


def trimmed_mean(values: Array, outliers: float) -> tuple[float, float]:
    """Return the mean of values [N] without the lowest and the highest `outliers` percent, and its standard error.

    The bounds are values themselves and are kept, as in the published code. The error is by Tukey and McLaughlin
    (1963): the standard deviation of all values, outliers moved to the bounds, over √N and over the part that is kept.
    """
    low = np.percentile(values, outliers, method="lower")
    high = np.percentile(values, 100 - outliers, method="higher")
    kept = values[(values >= low) & (values <= high)]
    deviation = np.clip(values, low, high).std(ddof=1)
    return float(kept.mean()), float(deviation * np.sqrt(len(values)) / len(kept))
