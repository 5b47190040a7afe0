"""Look at the pictures of some seeds, whose latents are kept to be used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Pictures of some seeds. Their latents w are written into latents.npz, which all looks take with --latents."""

    kind: Literal["latents"] = "latents"
    needs: ClassVar[Ability] = "latents"


def look(settings: Config, explorer: Explorer) -> View:
    """Show the pictures of latents in one row."""
    chosen = explorer.chosen(settings)
    return View(
        cells=explorer.pictures(chosen.w)[None],
        rows=[""],
        columns=chosen.names,
        caption="Pictures of the latents that latents.npz holds.",
        latents=chosen.w.cpu().numpy(),
        names=chosen.names,
    )
