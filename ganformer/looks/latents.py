"""Look at the pictures of some seeds, whose latents are kept to be used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook, Numbers
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Pictures of some seeds. Their latents w are written into latents.npz, which all looks take with --latents."""

    kind: Literal["latents"] = "latents"
    needs: ClassVar[Ability] = "latents"

    absent: Numbers | None = None
    """Numbers of components that are left out of the pictures, from 0, as in 0,3; None: all take part."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show the pictures of latents in one row."""
    from ganformer.analysis.explorer import coloured

    chosen, absent = explorer.chosen(settings), settings.absent or ()
    if absent and not set(range(explorer.composed.components)) - set(absent):
        raise ConfigError("absent: leaves no component out of which a picture could be made; leave out fewer")
    if absent and max(absent) >= explorer.composed.components:
        raise ConfigError(f"absent {max(absent)}: the model has components 0 to {explorer.composed.components - 1}")
    return View(
        cells=coloured(explorer.images(chosen.w, explorer.without(absent)))[None],
        rows=[""],
        columns=chosen.names,
        caption="Pictures of the latents that latents.npz holds.",
        latents=chosen.w.cpu().numpy(),
        names=chosen.names,
    )
