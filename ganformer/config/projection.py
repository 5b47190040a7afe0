"""Settings of a projection: the search for latents whose picture is like a given one."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ganformer.config.base import Strict
from ganformer.perceptual.settings import AnyNetwork, RandomNetwork


def named(value: Any) -> Any:
    """Return the settings of a distance written as a kind alone or as JSON text; everything else as it is."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("{") else {"kind": value}


class Projection(Strict):
    """Search for latents w by gradient descent (StyleGAN2, appendix D)."""

    space: Literal["w", "layers"] = "w"
    """One w for all layers, as in training, or a w for each of the `layers`, which comes nearer."""
    steps: PositiveInt = 500
    """Steps of Adam for each picture."""
    starts: PositiveInt = 4
    """Latents that are improved together; the best one is kept. One is the mean, the others the nearest candidates."""
    candidates: NonNegativeInt = 256
    """Latents drawn at random that are looked through for the starts; 0: all starts are the mean."""
    learning_rate: PositiveFloat = 0.1
    """Learning rate of Adam; it rises in the first twentieth of the steps and falls to 0 in the last quarter."""
    exploration: NonNegativeFloat = 0.05
    """Deviation of the noise that is added to w in the first three quarters of the steps, falling to 0, in units of the
    deviation of w."""
    noise: Literal["constant", "optimised"] = "constant"
    """Noise of the layers: the same as in all looks, or optimised as well, which comes nearer; then the file of latents
    alone does not make the picture again."""
    noise_weight: NonNegativeFloat = 1e5
    """Weight of the correlation of optimised noise with itself one pixel further, at every scale."""
    distance: Annotated[AnyNetwork, BeforeValidator(named), Field(discriminator="kind")] = RandomNetwork()
    """Distance of pictures: random-vgg16, which needs no file, or LPIPS as JSON: kind vgg16 with its files."""
    pixel_weight: NonNegativeFloat = 0.0
    """Weight of the mean squared difference of the pixels beside that distance."""
    seed: NonNegativeInt = 0
    """Seed of candidates and exploration."""
    label: str | None = None
    """Class whose mean the search begins at, by name or number; None: classes as in the data."""
