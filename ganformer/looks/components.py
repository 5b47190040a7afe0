"""Look at what single components do: take them from another picture, draw them anew, move or remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook, Numbers
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Edits of one component at a time, and the difference that each makes."""

    kind: Literal["components"] = "components"
    needs: ClassVar[Ability] = "components"

    edit: Literal["swap", "resample", "move", "remove"] = "swap"
    """Edit: take the component from the picture `donor`, draw its z anew (as in `donor`), move it towards that of the
    donor by `strength`, or remove it: no pixel attends to it, and k-GAN composes the picture of the others."""
    donor: NonNegativeInt = 4
    """Seed of the picture that components come from."""
    strength: float = 0.5
    """Part of the way to the donor's component that `move` goes; below 0 away from it, above 1 beyond it."""
    components: Numbers | None = None
    """Numbers of the components, from 0, as in 0-3; the one behind the last is GANformer's global latent. None: all."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show for each picture a row with it, the donor and every edit, and below it the differences.

    Array `changes` float32 [pictures, components, H, W]: mean absolute change of the channels, 1 is black to white.
    """
    import numpy as np
    import torch

    from ganformer.analysis.explorer import coloured, grey

    latents, components = explorer.chosen(settings), explorer.composed.components
    numbers = chosen(settings, components, latents.w.shape[2])
    donor = None
    if settings.edit != "remove":
        donor = explorer.of_seeds([settings.donor], settings.truncation, settings.label)
    rows, changes, titles = [], [], []
    for place, (w, name) in enumerate(zip(latents.w.split(1), latents.names, strict=True)):
        original = explorer.images(w)
        if settings.edit == "remove":
            images = torch.cat([explorer.images(w, explorer.without([number])) for number in numbers])
        else:
            assert donor is not None
            edits = [edited(explorer, settings, w, donor.w, number, place) for number in numbers]
            images = explorer.images(torch.cat(edits))
        change = ((images.clamp(-1, 1) - original.clamp(-1, 1)).abs().mean(dim=1) / 2).cpu().numpy()
        first = [coloured(original), *([] if donor is None else [explorer.pictures(donor.w)])]
        blank = np.full((len(first), *first[0].shape[1:]), 255, np.uint8)
        rows.append((np.concatenate([*first, coloured(images)]), blank))
        titles += [name, "difference"]
        changes.append(change)
    most = float(np.max(changes))
    shades = [grey(change / max(most, 1e-12)) for change in changes]
    cells = [[pictures, np.concatenate([blank, shade])] for (pictures, blank), shade in zip(rows, shades, strict=True)]
    names = [f"component {number}" if number < components else "global" for number in numbers]
    said = {
        "swap": f"Each picture has one component of the picture of seed {settings.donor}.",
        "resample": "In each picture one component was drawn anew.",
        "move": f"In each picture one component was moved by {settings.strength:g} of the way to the donor's.",
        "remove": "From each picture one component was removed.",
    }
    return View(
        cells=np.stack(cells).reshape(-1, *np.shape(cells)[2:]),
        rows=titles,
        columns=["picture", *([] if donor is None else donor.names), *names],
        caption=(
            f"{said[settings.edit]} Differences are black where nothing changed; white is {most:.2g} of the range from "
            "black to white, the largest one."
        ),
        arrays={"changes": np.stack(changes).astype(np.float32), "components": np.array(numbers)},
    )


def chosen(settings: Config, components: int, latents: int) -> list[int]:
    """Return the numbers of the latents to edit; ConfigError if one is not there.

    The model has so many `components`; behind them a global latent may follow, which cannot be removed.
    """
    count = components if settings.edit == "remove" else latents
    numbers = list(range(count)) if settings.components is None else sorted(set(settings.components))
    if numbers[-1] >= count:
        more = f", and {components} is its global latent" if count > components else ""
        raise ConfigError(f"components {numbers[-1]}: the model has components 0 to {components - 1}{more}")
    if settings.edit == "remove" and components == 1:
        raise ConfigError("edit remove: the model has one component, and a picture without any is none")
    return numbers


def edited(explorer: Explorer, settings: Config, w: Tensor, donor: Tensor, number: int, place: int) -> Tensor:
    """Return w [1, L, k, D] with component `number` swapped, moved or drawn anew; `donor`: w of the donor.

    `place`: number of the picture among the chosen ones. ConfigError if z is needed of latents that came from a file.
    """
    result = w.clone()
    if settings.edit == "swap":
        result[:, :, number] = donor[:, :, number]
    elif settings.edit == "move":
        result[:, :, number] = w[:, :, number].lerp(donor[:, :, number], settings.strength)
    else:
        if settings.latents is not None:
            raise ConfigError("edit resample: a component of z is drawn, and a file of latents has w alone; name seeds")
        z, labels = explorer.drawn([settings.seeds[place]], settings.label)
        other, _ = explorer.drawn([settings.donor], settings.label)
        z[:, number] = other[:, number]
        result = explorer.map(z, labels, settings.truncation, settings.seeds[place])
    return result
