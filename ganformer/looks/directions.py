"""Look at the principal directions of the latents w."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook, Numbers
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from ganformer.analysis.explorer import Explorer

AT_A_TIME = 256  # latents


class Config(LatentLook):
    """Principal directions of w (GANSpace, Härkönen et al. 2020): pictures along each of them."""

    kind: Literal["directions"] = "directions"
    needs: ClassVar[Ability] = "latents"

    seeds: Numbers = (0,)
    """Seeds of the pictures, as in 0,3,5-8: those of `ganformer generate`."""
    count: PositiveInt = 6
    """Number of directions, those of largest variance first."""
    reach: PositiveFloat = 2.0
    """Standard deviations that the pictures go to on both sides."""
    steps: Annotated[int, Field(ge=3)] = 5
    """Pictures along a direction, an odd number for the picture itself in the middle."""
    samples: Annotated[int, Field(ge=2)] = 4096
    """Latents whose directions are found; their seeds are 0, 1, …"""


def look(settings: Config, explorer: Explorer) -> View:
    """Show a row for each picture and direction, from `-reach` to `reach` standard deviations.

    Arrays: `directions` float32 [count, …, D], of length 1, for the w of one layer; `deviations` float32 [count]:
    standard deviations of w along them; `explained` float32 [count]: shares of the whole variance.
    """
    import numpy as np
    import torch

    latents = explorer.chosen(settings)
    directions, deviations, explained = principal(explorer, settings.samples, settings.count, settings.label)
    places = np.linspace(-settings.reach, settings.reach, settings.steps)
    rows, titles = [], []
    for w, name in zip(latents.w.split(1), latents.names, strict=True):
        for number, (direction, deviation) in enumerate(zip(directions, deviations, strict=True)):
            moved = torch.cat([w + float(place) * deviation * direction for place in places])
            rows.append(explorer.pictures(moved))
            titles.append(f"{name}, direction {number} ({float(explained[number]):.0%})")
    return View(
        cells=np.stack(rows),
        rows=titles,
        columns=[f"{place:+.2g} σ" if place else "0" for place in places],
        caption="Each row goes along one principal direction of w, with its share of the variance.",
        arrays={
            "directions": directions.cpu().numpy(),
            "deviations": deviations.cpu().numpy(),
            "explained": explained.cpu().numpy(),
        },
    )


def principal(explorer: Explorer, samples: int, count: int, label: str | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return directions [count, …, D], deviations [count] and shares of the variance [count] of w, largest first.

    The sign of a direction makes its largest entry positive. ConfigError if w has fewer directions.
    """
    import torch

    found = []
    for first in range(0, samples, AT_A_TIME):
        z, labels = explorer.drawn(range(first, min(first + AT_A_TIME, samples)), label)
        found.append(explorer.generator.map(z, labels)[:, 0])
    w = torch.cat(found)
    most = min(samples - 1, w[0].numel())
    if count > most:
        raise ConfigError(f"count {count}: {samples} latents of {w[0].numel()} values have at most {most} directions")
    centred = (w - w.mean(dim=0)).flatten(1).double()
    variances, vectors = torch.linalg.eigh(centred.T @ centred / samples)
    vectors = vectors.T.flip(0)[:count]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    chosen = variances.flip(0)[:count].clamp(min=0)
    directions = (vectors * largest.sign()).float().unflatten(1, w.shape[1:])
    return directions, chosen.sqrt().float(), (chosen / variances.sum()).float()
