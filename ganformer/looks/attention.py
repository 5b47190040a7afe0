"""Look at the component that every place attends to, in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from ganformer.analysis.view import View
from ganformer.config import Ability, Probability
from ganformer.config.look import LatentLook, Numbers
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ganformer.analysis.attention_maps import Attending
    from ganformer.analysis.explorer import Explorer


class Config(LatentLook):
    """Attention maps of layers and heads over the pictures: one colour for each component."""

    kind: Literal["attention"] = "attention"
    needs: ClassVar[Ability] = "attention maps"

    layers: Numbers | None = None
    """Numbers of the attention layers, from coarse to fine from 0 on; None: all."""
    heads: Literal["mean", "each"] = "mean"
    """Mean over all heads, or a column for each head."""
    alpha: Probability = 0.7
    """Weight of the colours over the picture; 1: colours alone."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show for each picture the most attended component at every place, layer by layer.

    Arrays: `maps_0`, `maps_1`, … float16 [pictures, heads, components, h, w] of each chosen layer, with sum 1 over the
    components; `segments` uint8 [pictures, columns, H, W]: number of the most attended component, at picture size. One
    picture is made at a time, and a map is reduced as soon as it is made, so memory does not grow with their number.
    """
    import numpy as np

    from ganformer.report import drawing

    latents = explorer.chosen(settings)
    generator = cast("Attending", explorer.generator)
    rows, segments, titles = [], [], [""]
    stored: dict[str, list[NDArray[np.float16]]] = {}
    for w in latents.w.split(1):
        maps = list(generator.attention_maps(w)[1])
        picture = explorer.pictures(w)[0]
        row, segment, titles = [picture], [], ["picture"]
        for layer in _layers(settings.layers, len(maps)):
            found = maps[layer][0].float()  # heads, components, h, w
            stored.setdefault(f"maps_{layer}", []).append(found.half().cpu().numpy())
            shown = found.mean(dim=0, keepdim=True) if settings.heads == "mean" else found
            for head, each in enumerate(shown):
                strongest = each.argmax(dim=0).byte().cpu().numpy()
                large = explorer.stretched(strongest)
                segment.append(large)
                row.append(drawing.under_components(picture, large, each.shape[0], settings.alpha))
                size = f"layer {layer}, {each.shape[2]}×{each.shape[1]}"
                titles.append(size if settings.heads == "mean" else f"{size}, head {head}")
        rows.append(np.stack(row))
        segments.append(np.stack(segment))
    return View(
        cells=np.stack(rows),
        rows=latents.names,
        columns=titles,
        caption="Each place has the colour of the component that it attends to most.",
        arrays={"segments": np.stack(segments), **{name: np.stack(each) for name, each in stored.items()}},
    )


def _layers(wanted: Numbers | None, count: int) -> list[int]:
    """Return the numbers of the layers to show, of `count`; ConfigError if one is not there."""
    layers = list(range(count)) if wanted is None else sorted(set(wanted))
    if layers[-1] >= count:
        raise ConfigError(f"layers {layers[-1]}: the model has attention layers 0 to {count - 1}")
    return layers
