"""Look at what the noise of layers changes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ganformer.analysis.view import View
from ganformer.config import Ability
from ganformer.config.look import LatentLook
from ganformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor

    from ganformer.analysis.explorer import Explorer
    from ganformer.nn.layers import Noise


class Config(LatentLook):
    """Noise: the mean of pictures with different noise, and the standard deviation by all layers and by each."""

    kind: Literal["noise"] = "noise"
    needs: ClassVar[Ability] = "latents"

    draws: Annotated[int, Field(ge=2)] = 16
    """Draws of noise."""


def look(settings: Config, explorer: Explorer) -> View:
    """Show for each picture: with constant noise, the mean over draws, and deviations, of all layers and of each.

    Arrays `deviations` float32 [pictures, 1 + layers with noise, H, W]: standard deviation over the draws, mean over
    the channels, 1 is half of the range from black to white. In the picture all are divided by the largest.
    """
    import numpy as np

    from ganformer.analysis.explorer import coloured, grey

    layers = explorer.noises
    if not layers:
        raise ConfigError(f"{explorer.path}: its layers add no noise (noise: false), so there is nothing to look at")
    chosen = explorer.chosen(settings)
    rows, deviations = [], []
    for latents in chosen.w.split(1):
        everything, mean = _spread(explorer, latents, layers, settings.draws)
        alone = [_spread(explorer, latents, [layer], settings.draws)[0] for layer in layers]
        deviations.append(np.stack([everything, *alone]))
        rows.append([explorer.pictures(latents)[0], coloured(mean[None])[0]])
    found = np.stack(deviations)
    shades = grey((found / max(float(found.max()), 1e-12)).reshape(-1, *found.shape[2:])).reshape(*found.shape, 3)
    return View(
        cells=np.concatenate([np.array(rows), shades], axis=1),
        rows=chosen.names,
        columns=["constant", "mean", "deviation", *(_title(layer) for layer in layers)],
        caption=(
            f"The mean of {settings.draws} draws of noise, and their standard deviation: of noise in all layers, and "
            f"in one layer at a time, constant in the others. White is a deviation of {float(found.max()) / 2:.2g} of "
            "the range from black to white."
        ),
        arrays={"deviations": found.astype(np.float32)},
    )


def _title(layer: Noise) -> str:
    height, width = layer.constant.shape[2:]
    return f"{width}×{height}"


def _spread(explorer: Explorer, w: Tensor, layers: Sequence[Noise], draws: int) -> tuple[NDArray[Any], Tensor]:
    """Return the deviation [h, w] and the mean image [C, h, w] of latents w [1, …] over draws of noise in `layers`."""
    from ganformer.training.adversarial import noise_from

    with noise_from(0, explorer.device), _fresh(layers):
        made = explorer.images(w.expand(draws, *w.shape[1:]))
    return made.std(dim=0, correction=0).mean(dim=0).cpu().numpy(), made.mean(dim=0)


@contextmanager
def _fresh(layers: Sequence[Noise]) -> Iterator[None]:
    """Let these layers add fresh noise inside the context."""
    with ExitStack() as after:
        for layer in layers:
            layer.is_constant = False
            after.callback(setattr, layer, "is_constant", True)
        yield
