"""Look at what truncation does to pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ganformer.analysis.view import View
from ganformer.config import Ability, Look
from ganformer.config.look import Values

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


class Config(Look):
    """Truncation: pictures from the mean (ψ = 0) to all variety (ψ = 1) and beyond."""

    kind: Literal["truncation"] = "truncation"
    needs: ClassVar[Ability] = "latents"

    psi: Values = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)
    """Values of ψ, one a column, at least 0."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show a row for each seed and a column for each ψ."""
    import numpy as np

    columns = [explorer.of_seeds(settings.seeds, psi, settings.label) for psi in settings.psi]
    return View(
        cells=np.stack([explorer.pictures(each.w) for each in columns], axis=1),
        rows=columns[0].names,
        columns=[f"ψ {psi:g}" for psi in settings.psi],
        caption="Truncation moves latents towards their mean: ψ 0 is the mean, ψ 1 leaves them as they are.",
    )
