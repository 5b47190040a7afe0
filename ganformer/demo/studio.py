"""Pictures of the demo: of latents of several seeds, without some components, and under the colours of attention."""

# L layers, k components, D size of a latent

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganformer.analysis import explorer, projection
from ganformer.analysis.attention_maps import Attending
from ganformer.analysis.explorer import Explorer, coloured
from ganformer.config.projection import Projection
from ganformer.data.images import Pixels, central
from ganformer.errors import ConfigError
from ganformer.report import drawing

PROJECTION = {"steps": 150, "starts": 2, "candidates": 128}
"""Settings of a projection that nobody waits for too long."""

Source = int | str
"""Origin of a latent: a seed, or the name of a picture that was saved or projected."""


@dataclass(frozen=True)
class Recipe:
    """Picture to be made: the source of every latent of w, components left out, truncation ψ, and the class."""

    sources: tuple[Source, ...]
    """One for all layers and each component, and one for the global latent if there is one."""
    absent: frozenset[int] = frozenset()
    truncation: float = 0.7
    label: str | None = None


@dataclass
class Studio:
    """A run that pictures are made with; `saved`: latents w [1, L, …, D] of pictures by their names."""

    run: Explorer
    threads: int = 1
    saved: dict[str, Tensor] = field(default_factory=dict)

    @property
    def has_latents(self) -> bool:
        """True if the model maps latents to images, so that they can be mixed."""
        return self.run.learner.sampling_generator is not None

    @cached_property
    def components(self) -> int:
        """Number of components that can be removed; 0: the model has none."""
        try:
            return self.run.composed.components
        except ConfigError:
            return 0

    @property
    def slots(self) -> int:
        """Number of latents that can come from different sources; components first."""
        if not self.components:
            return 1
        return int(self.run.generator.latent_shape[0])

    @property
    def classes(self) -> list[str]:
        """Names or numbers of the classes; none without labels."""
        data = self.run.record.data
        return list(data.class_names) or [str(number) for number in range(len(data.label_counts))]

    def title(self, slot: int) -> str:
        """Return the name of a latent, e.g. "component 2"."""
        return f"component {slot}" if slot < self.components else "global"

    def latents(self, recipe: Recipe) -> Tensor:
        """Return w [1, L, …, D]: each latent as in its source, whose own w was truncated."""
        with explorer.looking(self.run, self.threads):
            found = {source: self._of(source, recipe) for source in set(recipe.sources)}
        w = found[recipe.sources[0]].clone()
        for slot, source in enumerate(recipe.sources[1:], start=1):
            w[:, :, slot] = found[source][:, :, slot]
        return w

    def _of(self, source: Source, recipe: Recipe) -> Tensor:
        if isinstance(source, str):
            return self.saved[source]
        return self.run.of_seeds([source], recipe.truncation, recipe.label).w

    def picture(self, w: Tensor, absent: Sequence[int] = ()) -> Pixels:
        """Return the picture uint8 [h, w, 3] of latents w [1, L, …, D] without some components.

        It is made alone, not in a block as `generate` makes it, which takes eight times as long: a level of 255 may
        differ.
        """
        with explorer.looking(self.run, self.threads):
            return self._pixels(self.run.without(absent)(w))

    def _pixels(self, images: Tensor) -> Pixels:
        made: Pixels = coloured(central(images, *self.run.record.image.picture))[0]
        return made

    def seen(self, w: Tensor, absent: Sequence[int] = ()) -> tuple[Pixels, dict[str, NDArray[np.float32]]]:
        """Return the `picture` and its `regions`, in one pass where that is possible."""
        if absent or not self._attends:
            return self.picture(w, absent), self.regions(w)
        with explorer.looking(self.run, self.threads):
            images, maps = cast(Attending, self.run.generator).attention_maps(w)
            return self._pixels(images), _named(maps)

    @cached_property
    def _attends(self) -> bool:
        return "attention maps" in self.run.record.settings(self.run.path).model.abilities

    def sample(self, seed: int, truncation: float, label: str | None) -> Pixels:
        """Return the picture uint8 [h, w, 3] of a seed, of any model."""
        with explorer.looking(self.run, self.threads):
            made: Pixels = coloured(self.run.samples([seed], label, truncation))[0]
        return made

    def regions(self, w: Tensor) -> dict[str, NDArray[np.float32]]:
        """Return, by the titles of layers, the shares [heads, k, h, w] that components have of every place.

        Attention of a GANformer, or the weights α of k-GAN; none of other models.
        """
        with explorer.looking(self.run, self.threads):
            if self._attends:
                return _named(cast(Attending, self.run.generator).attention_maps(w)[1])
            if not self.components:
                return {}
            parts = self.run.generator.additions(w)
        weights = [(part[0] + 1) / 2 for title, part in parts.items() if title.startswith("α")]
        return {"α": torch.stack(weights, dim=1).cpu().numpy()}

    def bring_in(self, path: Path) -> None:
        """Find the latents of a picture file and save them as `upload`; DataError if it is no picture."""
        settings = Projection.model_validate(PROJECTION)
        wanted = projection.targets([path], self.run)
        (found,) = projection.find(self.run, settings, wanted, None, self.threads)
        self.saved["upload"] = found.w[None]

    def masks(self, regions: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        """Return the numbers of the strongest components, uint8 [heads, h, w] at picture size, by layer."""
        return {title: self.run.stretched(shares.argmax(axis=1).astype(np.uint8)) for title, shares in regions.items()}

    def overlay(self, picture: Pixels, mask: NDArray[np.uint8], alpha: float) -> Pixels:
        """Return a picture [h, w, 3] under the colours of components, numbered in `mask` [h, w], of weight `alpha`."""
        return drawing.under_components(picture, mask, self.components, alpha)


def _named(maps: Sequence[Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return the attention maps [heads, k, h, w] of one picture by the titles of their layers."""
    return {
        f"layer {number}, {each.shape[4]}×{each.shape[3]}": each[0].float().cpu().numpy()
        for number, each in enumerate(maps)
    }


def strongest(shares: NDArray[np.float32], box: tuple[float, float, float, float]) -> int:
    """Return the component with the largest share of a box, in shares [heads, k, h, w], mean over the heads.

    `box`: left, top, right and bottom as parts of the width and height, from 0 to 1. It has at least the place under
    its middle.
    """
    height, width = shares.shape[2:]
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    return int(shares.mean(axis=0)[:, top:bottom, left:right].sum(axis=(1, 2)).argmax())


def _span(first: float, last: float, size: int) -> tuple[int, int]:
    """Return the places from `first` to `last`, parts of `size` places: begin and end."""
    first, last = sorted((first, last))
    begin = min(size - 1, max(0, int(first * size)))
    return begin, max(begin + 1, min(size, -(-int(last * size * 1000) // 1000)))


def as_png(picture: Pixels) -> bytes:
    """Return a PNG file of a picture uint8 [h, w, 3]."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def as_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return an npz file of arrays."""
    file = io.BytesIO()
    content: dict[str, Any] = dict(arrays)
    np.savez_compressed(file, **content)
    return file.getvalue()


def command(weights: Path, recipe: Recipe) -> str:
    """Return a command that makes the same picture; `latents.npz` is the file of latents that the demo offers."""
    label = f" --label {recipe.label}" if recipe.label is not None else ""
    first = recipe.sources[0]
    if not recipe.absent and isinstance(first, int) and len(set(recipe.sources)) == 1:
        words = f"ganformer generate --weights {weights} --seed {first} --images-num 1"
        return f"{words} --truncation-psi {recipe.truncation:g}{label}"
    absent = f" --absent {','.join(map(str, sorted(recipe.absent)))}" if recipe.absent else ""
    return f"ganformer look latents --weights {weights} --latents latents.npz{absent}"
