"""Look at mixtures of pictures: some layers have the latents of one, the others of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook, Numbers, as_text, numbers
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


THIRDS = ("coarse", "middle", "fine")


def checked(layers: str) -> str:
    """Return the layers as they are written; ValueError if they are neither a third nor numbers."""
    if layers not in THIRDS and not numbers(layers):
        raise ValueError(f"{layers!r} names no layers; write {', '.join(THIRDS)}, or numbers as in 0-3")
    return layers


class Config(LatentLook):
    """Style mixing (StyleGAN, figure 3): rows and columns are pictures, their crossings have latents of both."""

    kind: Literal["mixing"] = "mixing"
    needs: ClassVar[Ability] = "latents"

    others: Numbers = (4, 5, 6, 7)
    """Seeds of the columns."""
    layers: Annotated[str, BeforeValidator(as_text), AfterValidator(checked)] = "coarse"
    """Layers that have the latents of the column: numbers from 0, as in 0-3, or the first, second or last third."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show the pictures of columns above, those of rows on the left, and their mixtures."""
    import numpy as np

    rows = explorer.chosen(settings)
    columns = explorer.of_seeds(settings.others, settings.truncation, settings.label)
    layers = taken(settings, rows.w.shape[1])
    mixed = rows.w[:, None].repeat(1, len(columns.w), *[1] * (rows.w.ndim - 1))
    mixed[:, :, layers] = columns.w[None, :, layers]
    pictures = explorer.pictures(mixed.flatten(0, 1)).reshape(
        len(rows.w), len(columns.w), *explorer.record.image.picture, 3
    )
    own, above = explorer.pictures(rows.w), explorer.pictures(columns.w)
    corner = np.full_like(own[:1], 255)
    cells = np.concatenate([np.concatenate([corner, above])[None], np.concatenate([own[:, None], pictures], axis=1)])
    return View(
        cells=cells,
        rows=["", *rows.names],
        columns=["", *columns.names],
        caption=f"Layers {_ranges(layers)} have the latents of the column, all others those of the row.",
    )


def taken(settings: Config, count: int) -> list[int]:
    """Return the numbers of the layers that come from the column, of `count`; ConfigError if one is not there."""
    if count == 1:
        raise ConfigError("the generator has one w for the whole picture, so there is nothing to mix")
    if settings.layers in THIRDS:
        third = THIRDS.index(settings.layers)
        return list(range(count * third // 3, count * (third + 1) // 3))
    found = sorted(set(numbers(settings.layers)))
    if found[-1] >= count:
        raise ConfigError(f"layers {found[-1]}: the generator has layers 0 to {count - 1}")
    return found


def _ranges(layers: list[int]) -> str:
    """Return layers in words: `0 to 3`, or `0, 2, 5`."""
    if len(layers) > 1 and layers == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))
