"""Look at the parts that a picture is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Parts of a picture: results of the RGB outputs, images of each scale, or k-GAN's components and their α."""

    kind: Literal["layers"] = "layers"
    needs: ClassVar[Ability] = "latents"


def look(settings: Config, explorer: Explorer) -> View:
    """Show each picture and the parts that it is made of, enlarged; mid-grey is 0.

    Arrays `part_0`, `part_1`, … float32 [pictures, C, h, w]: the parts in the order of their columns.
    """
    import numpy as np
    import torch

    from ganformer.analysis.explorer import coloured, enlarged
    from ganformer.data.images import central

    latents, image = explorer.chosen(settings), explorer.record.image
    found = [explorer.generator.additions(w) for w in latents.w.split(1)]
    if not found[0]:
        raise ConfigError(
            f"{explorer.path}: its image comes from one RGB output behind the last layer, so there are no parts to "
            "look at; take a run of kgan, of msggan, or with generator_architecture: skip"
        )
    parts = {title: torch.cat([each[title] for each in found]) for title in found[0]}
    columns = [coloured(central(enlarged(part, image.height, image.width), *image.picture)) for part in parts.values()]
    return View(
        cells=np.stack([explorer.pictures(latents.w), *columns], axis=1),
        rows=latents.names,
        columns=["picture", *parts],
        caption="Parts that the picture is made of, from coarse to fine.",
        arrays={f"part_{number}": part.cpu().numpy() for number, part in enumerate(parts.values())},
    )
