"""A trained run, opened to be looked into: latents of seeds, changed latents, and their images."""

# B images, L layers, k components, D size of a latent

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ganformer import devices, plugins
from ganformer.analysis.generate import check, class_number, labelled
from ganformer.config import ABILITIES, Ability
from ganformer.config.look import LatentLook
from ganformer.data.images import Pixels, central, in_colours
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.nn.interfaces import Generator
from ganformer.nn.layers import Noise, constant_noise
from ganformer.records.npz import LatentsFile
from ganformer.records.run import Run
from ganformer.training.adversarial import class_mean, evaluating
from ganformer.training.learner import Learner
from ganformer.training.runs import open_run
from ganformer.training.samples import block_size, latents, make, pixels


class Composed(Protocol):
    """Interface of generators with components: w[:, :, i] is that of component i, for i below `components`."""

    components: int

    def synthesise_without(self, w: Tensor, absent: Sequence[int]) -> Tensor:
        """Return images [B, C, H, W] of w without some components."""


class Named(NamedTuple):
    """Latents w [n, L, …, D] and a name of each image, e.g. "seed 3"."""

    w: Tensor
    names: Sequence[str]


@dataclass
class Explorer:
    """A run whose images are made of latents; the noise of layers is constant, so that only latents change them."""

    path: Path
    """Its run.json."""
    record: Run
    learner: Learner
    device: torch.device
    class_means: dict[int, Tensor] = field(default_factory=dict)
    """Means of w of the classes that were needed so far, as each takes thousands of latents."""

    @property
    def generator(self) -> Generator:
        """Network that maps latents to images; ConfigError if the model has none."""
        if self.learner.sampling_generator is None:
            raise lacks(self.path, self.record.kind, "latents")
        return self.learner.sampling_generator

    @property
    def composed(self) -> "Composed":
        """The same network, of whose components each can be changed; ConfigError if the model has none."""
        require(self.path, self.record.kind, "components")
        return cast(Composed, self.generator)

    @property
    def noises(self) -> list[Noise]:
        """Layers of the generator that add noise."""
        return [part for part in self.generator.modules() if isinstance(part, Noise)]

    def stretched(self, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return numbers [..., h, w] of places, each over its part of the image, at the size of pictures."""
        image, (rows, columns) = self.record.image, numbers.shape[-2:]
        large = numbers.repeat(image.height // rows, -2).repeat(image.width // columns, -1)
        return central(large, *image.picture)

    def without(self, absent: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Return the function from w to images [B, C, H, W] that leaves out some components."""
        return partial(self.composed.synthesise_without, absent=sorted(absent)) if absent else self.generator.synthesise

    # ------------------------------------------------------------------------------------------- latents

    def chosen(self, look: LatentLook) -> Named:
        """Return the latents that a look names: of its seeds, or from its file."""
        return (
            self.of_seeds(look.seeds, look.truncation, look.label)
            if look.latents is None
            else self.stored(look.latents)
        )

    def of_seeds(self, seeds: Sequence[int], truncation: float, label: str | None = None) -> Named:
        """Return the latents w of the images that `generate` makes of these seeds, truncated."""
        check(truncation, min(seeds), max(seeds))
        w = torch.cat([self.map(*self.drawn([seed], label), truncation, place=seed) for seed in seeds])
        return Named(w, [f"seed {seed}" for seed in seeds])

    def drawn(self, seeds: Sequence[int], label: str | None = None) -> tuple[Tensor, Tensor]:
        """Return z [n, *latent_shape] and labels [n, classes] of seeds; ConfigError if there is no such class."""
        z, labels = latents(self.generator.latent_shape, seeds), self.labels(label)(seeds)
        return z.to(self.device), labels.to(self.device)

    def labels(self, label: str | None) -> Callable[[Sequence[int]], Tensor]:
        """Return a function from seeds to labels [n, classes]: all of one class, None: as in the data; ConfigError."""
        data = self.record.data
        return labelled(class_number(label, data, self.path), data.label_counts)

    def map(self, z: Tensor, labels: Tensor, truncation: float = 1.0, place: int = 0) -> Tensor:
        """Return w [n, L, …, D] of z [n, *latent_shape] and labels [n, classes], which may be mixed ones, truncated.

        Each is mapped in a block of `samples.block_size`, at place `place` modulo its size, as `generate` does.
        """
        generator = self.generator
        made = [
            self._alone(generator.map, place, one, label)
            for one, label in zip(z.split(1), labels.split(1), strict=True)
        ]
        w = torch.cat(made)
        return w if truncation == 1 else generator.truncate(w, truncation, self.means(labels))

    def stored(self, path: Path) -> Named:
        """Return the latents of a file; DataError if it is none, CheckpointError if they are of another generator."""
        facts, arrays = LatentsFile.read(path)
        w = torch.from_numpy(arrays["w"]).float().to(self.device)
        expected, found = list(self.mean().shape[1:]), list(w.shape[1:])
        if found != expected:
            raise CheckpointError(
                f"{path}: holds latents {list(w.shape)} of {facts.run}, but those of {self.path} are "
                f"[n, {', '.join(map(str, expected))}]; name the run that they were made with"
            )
        if not len(w) or not w.isfinite().all():
            what = "latents that are no numbers" if len(w) else "no latents"
            raise DataError(f"{path}: holds {what}; {LatentsFile.REMEDY}")
        if facts.weights_sha256 != self.record.weights_sha256:
            print(
                f"{path}: latents of {facts.run}, made with other weights than {self.path}", file=sys.stderr, flush=True
            )
        return Named(w, facts.names)

    def mean(self) -> Tensor:
        """Return the mean of w for all layers and components, [1, L, …, D]."""
        generator = self.generator
        z, labels = self.drawn([0])
        return generator.truncate(generator.map(z, labels), 0.0)

    # -------------------------------------------------------------------------------------------- images

    def samples(self, seeds: Sequence[int], label: str | None = None, truncation: float = 1.0) -> Tensor:
        """Return images [n, C, h, w] of seeds, without bars, of any model."""
        check(truncation, min(seeds), max(seeds))
        return central(self.canvases(seeds, label, truncation), *self.record.image.picture)

    def canvases(self, seeds: Sequence[int], label: str | None = None, truncation: float = 1.0) -> Tensor:
        """Return images [n, C, H, W] of seeds with the bars they may have."""
        image, labels = self.record.image, self.labels(label)
        return torch.cat([make(self.learner, image, labels, range(seed, seed + 1), truncation) for seed in seeds])

    def images(self, w: Tensor, synthesise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return images [n, C, h, w] of latents w, without bars, nominally in [-1, 1]; in blocks, as `generate` does.

        `synthesise`: another function of the generator from w to images; None: its `synthesise`.
        """
        synthesise = synthesise or self.generator.synthesise
        made = [synthesise(filled)[:count] for filled, count in self.blocks(w)]
        return central(torch.cat(made), *self.record.image.picture)

    def pictures(self, w: Tensor) -> Pixels:
        """Return images uint8 [n, h, w, 3] of latents w."""
        return coloured(self.images(w))

    def blocks(self, w: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Yield w in whole blocks, the last one filled up with copies, and the number that is not filled up."""
        size = block_size(self.record.image)
        for part in w.split(size):
            yield torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])]), len(part)

    def _alone(self, function: Callable[..., Tensor], place: int, *inputs: Tensor) -> Tensor:
        """Return the result [1, …] of one image's inputs [1, …] in a block of copies of it."""
        size = block_size(self.record.image)
        result = function(*(each.expand(size, *each.shape[1:]) for each in inputs))
        return result[place % size : place % size + 1]

    def means(self, labels: Tensor) -> Tensor | None:
        """Return the mean of w of each image's class [n, D], mixed as its labels; None without classes."""
        if not labels.shape[1]:
            return None
        classes = torch.eye(labels.shape[1], device=self.device)
        used = [int(number) for number in labels.any(dim=0).nonzero()]
        for number in used:
            if number not in self.class_means:
                self.class_means[number] = class_mean(self.generator, classes[number])
        return labels[:, used] @ torch.stack([self.class_means[number] for number in used])


def coloured(images: Tensor) -> Pixels:
    """Return images [n, C, h, w] nominally in [-1, 1] as uint8 [n, h, w, 3]."""
    return in_colours(pixels(images), axis=-1)


def opened(weights: Path, step: int | None = None, *, gpus: int = 0) -> Explorer:
    """Open a trained or imported run by its folder, its run.json or its weights; `step`: one of its snapshots.

    Of a run in training its newest checkpoint is used (`runs.open_run`). Raises ConfigError if there is no run,
    CheckpointError if it cannot be read.
    """
    path, learner, record = open_run(weights, step)
    device = devices.acquire(gpus)
    learner.sampler.to(device)
    return Explorer(path, record, learner, device)


@contextmanager
def looking(opened: Explorer, threads: int) -> Iterator[None]:
    """Make results reproducible inside: nothing is trained, and noise is constant."""
    sampler = opened.learner.sampler
    with devices.reproducible(threads), torch.no_grad(), evaluating(sampler), constant_noise(sampler):
        yield


def require(run: Path, kind: str, part: Ability) -> None:
    """Raise ConfigError if models of a kind have no such part; `run`: path of the record of one."""
    if part not in plugins.settings("ganformer.models", kind).Config.abilities:
        raise lacks(run, kind, part)


def lacks(run: Path, kind: str, part: Ability) -> ConfigError:
    """Return the error about a run of a kind of models without such a part."""
    able = [
        name
        for name in plugins.names("ganformer.models")
        if part in plugins.settings("ganformer.models", name).Config.abilities
    ]
    return ConfigError(f"{run}: models of kind '{kind}' have no {ABILITIES[part]}; take a run of {' or '.join(able)}")


def grey(values: NDArray[Any]) -> Pixels:
    """Return values [n, h, w] from 0 (black) to 1 (white) as uint8 [n, h, w, 3]."""
    shades = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.repeat(shades[..., None], 3, axis=-1)


def enlarged(images: Tensor, height: int, width: int) -> Tensor:
    """Return images [n, C, h, w] with hard pixels, [n, C, height, width]."""
    return F.interpolate(images, (height, width), mode="nearest")
