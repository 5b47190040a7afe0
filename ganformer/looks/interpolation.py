"""Look at the way from one picture to the next."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Interpolation from each picture to the next one, as a row of pictures and as a film."""

    kind: Literal["interpolation"] = "interpolation"
    needs: ClassVar[Ability] = "latents"

    space: Literal["z", "w"] = "w"
    """Latents that are interpolated: those that are drawn, z, or those that layers use, w."""
    path: Literal["linear", "slerp"] | None = None
    """Straight line, or arc of the great circle (slerp). None: an arc in z, whose lengths are alike, a line in w."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Steps from one picture to the next."""
    loop: bool = False
    """Go back from the last picture to the first one at the end."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show a row of pictures for each pair of neighbours: both, and steps - 1 pictures between them.

    In z the labels are interpolated along a line, too. The first and the last picture of a row are those of its seeds.
    """
    is_in_z, steps = settings.space == "z", settings.steps
    if is_in_z and settings.latents is not None:
        raise ConfigError("space z: a file of latents holds w alone; interpolate in w, or name seeds")
    path = settings.path or ("slerp" if is_in_z else "linear")
    rows, labels = [], None
    names: Sequence[str] = [f"seed {seed}" for seed in settings.seeds]
    if is_in_z:
        points, labels = explorer.drawn(settings.seeds, settings.label)
    else:
        points, names = explorer.chosen(settings)
    order = [*range(len(points)), *([0] if settings.loop else [])]
    if len(order) < 2:
        raise ConfigError("an interpolation needs at least two pictures; name two seeds, as in 0,1")
    for first, second in itertools.pairwise(order):
        parts = [step / steps for step in range(steps + 1)]
        way = between(points[[first]], points[[second]], parts, path)
        if labels is not None:
            mixed = between(labels[[first]], labels[[second]], parts, "linear")
            way = explorer.map(way, mixed, settings.truncation)
        rows.append(explorer.pictures(way))
    import numpy as np

    cells = np.stack(rows)
    frames = np.concatenate([cells[:, :-1].reshape(-1, *cells.shape[2:]), *([] if settings.loop else [cells[-1, -1:]])])
    return View(
        cells=cells,
        rows=[f"{names[first]} to {names[second]}" for first, second in itertools.pairwise(order)],
        columns=[f"{step / steps:.2g}" for step in range(steps + 1)],
        caption=f"Interpolation in {settings.space}, {'on an arc' if path == 'slerp' else 'along a line'}.",
        frames=frames,
    )


def between(first: Tensor, second: Tensor, parts: list[float], path: str) -> Tensor:
    """Return points [len(parts), …, D] between `first` and `second` [1, …, D], at parts of the way from 0 to 1.

    `path` "linear": on the line; "slerp": along the arc between the directions of each vector [D] (Shoemake 1985),
    a line where they are (nearly) the same or opposite.
    """
    import torch

    if path == "linear":
        return torch.cat([first.lerp(second, part) for part in parts])
    directions = [end / end.norm(dim=-1, keepdim=True).clamp(min=1e-12) for end in (first, second)]
    angle = (directions[0] * directions[1]).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    is_flat = sine < 1e-4
    found = []
    for part in parts:
        arc = (((1 - part) * angle).sin() * first + (part * angle).sin() * second) / sine.clamp(min=1e-12)
        found.append(torch.where(is_flat, first.lerp(second, part), arc))
    return torch.cat([first, *found[1:-1], second]) if parts[0] == 0 and parts[-1] == 1 else torch.cat(found)
