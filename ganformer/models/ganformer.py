"""GANformer (Hudson & Zitnick 2021): StyleGAN2's ladder, steered by components that its features attend to."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import PositiveInt, field_validator, model_validator
from torch import Tensor, nn

from ganformer.config import ImageSpec, Probability, TrainingSettings
from ganformer.learning.adversarial import Adversarial
from ganformer.nn import position
from ganformer.nn.attention import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttendedLatents,
    AttendedLayer,
    Attention,
    AttentionSize,
    Carried,
    Centroid,
    Duplex,
    NoAttention,
    SelfAttention,
    Simplex,
)
from ganformer.nn.layers import (
    ModulatedColours,
    ModulatedConvolution,
    Noise,
    UnmodulatedColours,
    UnmodulatedConvolution,
    clamp_activations,
)
from ganformer.nn.mapping import STEPS, AttendedMapping, Entrance, Mapping, NormaliseEach, NormaliseJointly, entrance
from ganformer.nn.players import Generator
from ganformer.nn.resampling import Convolve
from ganformer.nn.settings import STEM_WIDTH, StyleBasedModel, ladder_discriminator
from ganformer.nn.synthesis import LADDERS, Colours, Ladder, Place, RefinedColours, Size, Stem, SynthesisLayer


class Config(StyleBasedModel):
    """Settings of GANformer; the defaults are those of the released code for images 256 pixels wide."""

    has_attention_maps: ClassVar[bool] = True

    attention: Literal["simplex", "duplex", "centroid"]
    """Where the keys come from: the components, centroids of the image, or learned constants (the released code)."""
    components: PositiveInt = 16
    """Number of local latents; each has latent_size / components values."""
    generator_architecture: Literal["orig", "skip", "resnet"] = "resnet"
    """How the generator is connected (StyleGAN2, figure 7)."""
    mapping_architecture: Literal["plain", "resnet"] = "resnet"
    """Whether the mapping network is StyleGAN2's, or of residual steps of two layers and a plain one behind them."""
    latent_normalisation: Literal["each", "joint", "local", "joint-local"] = "each"
    """What is divided by its root mean square: `each` latent, as in the paper; the local ones by a `joint` one and the
    global one by its own (the released PyTorch code); each `local` one only (the released TensorFlow code); the local
    ones only, by a joint one, `joint-local` (the PyTorch code with weights converted from TensorFlow).
    """
    latent_self_attention: bool = True
    """Whether the components attend to each other in the mapping network."""
    global_style: bool = True
    """Whether one more latent, of the size of a component, modulates the convolutions of all layers."""
    refine_colours: bool = True
    """Whether one more modulated convolution, linear, precedes the colours (in the released code, not in the paper)."""
    heads: PositiveInt = 1
    """Number of heads of every attention."""
    integration: Literal["mul", "add", "both"] = "mul"
    """What attention does to the features: multiplies (γ), adds (β), or both."""
    normalisation: Literal["layer", "instance", "none"] = "layer"
    """Over what features are normalised before: the channels of a pixel, the pixels of a channel, or not at all.

    The mean is removed where integration adds, and the root mean square divided by where it multiplies.
    """
    positions: Literal["sinusoidal", "linear", "trainable", "trainable-2d"] = "sinusoidal"
    """How pixels know where they are: fixed waves, learned slopes, learned rows and columns, learned pixels."""
    position_directions: PositiveInt = 2
    """Directions of sinusoidal and linear positions, at equal angles."""
    start_resolution: PositiveInt = STEM_WIDTH
    """The smallest width of the image features that attend; a power of two."""
    end_resolution: PositiveInt | None = None
    """Features of this width and wider ones do not attend; a power of two. None: the width of the image."""
    iterations: PositiveInt = 1
    """How often centroids are computed (`duplex`) or scores against them (`centroid`), as in k-means."""
    attention_dropout: Probability = 0.12
    """Rate of dropout of attention in training: half for single weights, half for whole components."""

    @field_validator("start_resolution", "end_resolution")
    @classmethod
    def _is_power_of_two(cls, value: int | None) -> int | None:
        if value is not None and (value < STEM_WIDTH or value & (value - 1)):
            raise ValueError(f"{value} is not a power of two from {STEM_WIDTH}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if conflicts := list(self._conflicts()):
            raise ValueError("; ".join(conflicts))
        return self

    def _conflicts(self) -> Iterator[str]:
        size, rest = divmod(self.latent_size, self.components)
        if rest or not size:
            multiple = max(self.components, self.latent_size - rest)
            yield f"latent_size {self.latent_size} is not divisible by components {self.components}; {multiple} is"
            return
        parts = {"sinusoidal": 2 * self.position_directions, "linear": self.position_directions, "trainable": 2}
        unit = parts.get(self.positions, 1)
        if size % unit:
            yield (
                f"a component has latent_size / components = {size} values; "
                f"{self.positions} positions need a multiple of {unit}"
            )
        if size % self.heads and (self.latent_self_attention or self.attention == "duplex"):
            yield f"a component has latent_size / components = {size} values, which {self.heads} heads cannot share"
        if self.iterations > 1 and self.attention == "simplex":
            yield f"iterations {self.iterations} has no meaning for attention 'simplex', which has no centroids"
        if self.position_directions != 2 and self.positions in ("trainable", "trainable-2d"):
            yield f"position_directions has no meaning for {self.positions} positions; leave it out"

    @property
    def component_size(self) -> int:
        """Values of one component, and of the global latent."""
        return self.latent_size // self.components

    def attends(self, width: int, image: ImageSpec) -> bool:
        """Whether features of this width attend."""
        return self.start_resolution <= width < (self.end_resolution or image.width)

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        yield from super().problems(image, training)
        widths = [size.width for size in self.sizes(image) if self.attends(size.width, image)]
        if not widths:
            yield (
                f"no features attend: start_resolution {self.start_resolution} is not below "
                f"{self.end_resolution or image.width}, the end_resolution or the width of the images"
            )
        if self.end_resolution is not None and self.end_resolution > 2 * image.width:
            yield f"end_resolution {self.end_resolution} is outside the image; {2 * image.width} means all features"
        for width in widths:
            if self.channels(width) % self.heads:
                yield f"{self.channels(width)} features at width {width} are not divisible by heads {self.heads}"


class ComponentGenerator(Generator):
    """Local components that features attend to and, behind them, one global latent that modulates, or none.

    z [B, components + 1 or 0, size] → w [B, layers, as before, size] → images. `positions` [components, size] belongs
    to the components in the mapping network and in every attention. It is the only parameter that can be without use:
    with `centroid` attention and no self-attention of the components.
    """

    def __init__(
        self,
        latent_shape: tuple[int, int],
        components: int,
        local_mapping: AttendedMapping,
        global_mapping: Mapping,
        ladder: Ladder,
    ) -> None:
        super().__init__(latent_shape, latent_shape[1])
        self.components = components
        self.positions = nn.Parameter(torch.rand(components, latent_shape[1]))
        self.local_mapping = local_mapping
        self.global_mapping = global_mapping
        self.synthesis = ladder

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        local = self.local_mapping(z[:, : self.components], labels, self.positions)
        w = torch.cat([local, self.global_mapping(z[:, self.components :], labels)], dim=1)
        return w[:, None].expand(-1, self.synthesis.layers, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        carried = Carried()
        latents = [
            AttendedLatents(
                layer[:, self.components :].flatten(1), layer[:, : self.components], self.positions, carried
            )
            for layer in w.unbind(1)
        ]
        images: Tensor = self.synthesis(latents)
        return images

    def attention_maps(self, w: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images of w, and of every attention, from coarse to fine, what it gave to the components.

        A map is [B, heads, components, height, width] with sum 1 over the components (in evaluation, where there is
        no dropout); of several iterations it is that of the last.
        """
        layers = [part for part in self.synthesis.modules() if isinstance(part, AttendedLayer)]
        weights: dict[AttendedLayer, Tensor] = {}
        hooks = [layer.attention.weights.register_forward_hook(partial(_keep, weights, layer)) for layer in layers]
        try:
            images = self.synthesise(w)
        finally:
            for hook in hooks:
                hook.remove()
        return images, [layer.as_maps(weights[layer]) for layer in layers]


def _keep(weights: dict[AttendedLayer, Tensor], layer: AttendedLayer, *call: Tensor) -> None:
    weights[layer] = call[-1]


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    players = generator(config, image), ladder_discriminator(config, image)
    for player in players:
        clamp_activations(player, config.activation_clamp)
    return Adversarial(*players, config.adversarial)


def generator(config: Config, image: ImageSpec) -> ComponentGenerator:
    """The generator of these settings for images of this shape."""
    make_layer, sizes = partial(_layer, config, image), config.sizes(image)
    ladder = LADDERS[config.generator_architecture](
        Stem(sizes[0], make_layer), sizes, make_layer, partial(_colours, config, image)
    )
    return ComponentGenerator(
        (config.components + config.global_style, config.component_size),
        config.components,
        _local_mapping(config, image),
        _global_mapping(config, image),
        ladder,
    )


def _local_mapping(config: Config, image: ImageSpec) -> AttendedMapping:
    size, steps = config.component_size, _steps(config)
    normalisation = NormaliseJointly() if config.latent_normalisation in ("joint", "joint-local") else NormaliseEach()
    attend = partial(SelfAttention, size, config.heads, config.attention_dropout)
    attentions = [attend() if config.latent_self_attention else NoAttention() for _ in steps[1:]]
    return AttendedMapping(_entrance(config, normalisation, image.classes), steps, attentions)


def _global_mapping(config: Config, image: ImageSpec) -> Mapping:
    if not config.global_style:
        return Mapping(_entrance(config, nn.Identity(), 0), [])
    normalisation = nn.Identity() if config.latent_normalisation in ("local", "joint-local") else NormaliseEach()
    return Mapping(_entrance(config, normalisation, image.classes), _steps(config))


def _entrance(config: Config, normalisation: nn.Module, classes: int) -> Entrance:
    return entrance(normalisation, config.component_size, classes, config.mapping_learning_rate_multiplier)


def _steps(config: Config) -> list[nn.Module]:
    make = STEPS[config.mapping_architecture]
    return make(config.mapping_layers, config.component_size, config.mapping_learning_rate_multiplier)


def _layer(config: Config, image: ImageSpec, place: Place) -> SynthesisLayer:
    size = place.output
    convolution = _convolution(config, place.inputs, size.channels, place.operation)
    noise = Noise(size.height, size.width) if config.noise else nn.Identity()
    if config.attends(size.width, image):
        return AttendedLayer(place, convolution, noise, _attention(config, size))
    return SynthesisLayer(place, convolution, noise)


def _convolution(config: Config, inputs: int, outputs: int, operation: nn.Module) -> nn.Module:
    if config.global_style:
        return ModulatedConvolution(inputs, outputs, config.component_size, operation)
    return UnmodulatedConvolution(inputs, outputs, operation)


def _colours(config: Config, image: ImageSpec, size: Size) -> Colours:
    colours = (
        ModulatedColours(size.channels, image.channels, config.component_size)
        if config.global_style
        else UnmodulatedColours(size.channels, image.channels)
    )
    if config.refine_colours and size.width == image.width:
        return RefinedColours(_convolution(config, size.channels, size.channels, Convolve()), colours)
    return Colours(colours)


def _attention(config: Config, size: Size) -> Attention:
    kinds: dict[str, Callable[..., Attention]] = {
        "simplex": Simplex,
        "duplex": partial(Duplex, iterations=config.iterations),
        "centroid": partial(Centroid, iterations=config.iterations),
    }
    numbers = AttentionSize(size.channels, config.component_size, config.components, config.heads)
    integration = INTEGRATIONS[config.integration](NORMALISATIONS[config.normalisation]())
    return kinds[config.attention](numbers, _positions(config, size), integration, config.attention_dropout)


def _positions(config: Config, size: Size) -> nn.Module:
    kinds: dict[str, Callable[[int, int, int], nn.Module]] = {
        "sinusoidal": partial(position.Sinusoidal, directions=config.position_directions),
        "linear": partial(position.Linear, directions=config.position_directions),
        "trainable": position.Trainable,
        "trainable-2d": position.Trainable2d,
    }
    return kinds[config.positions](size.height, size.width, config.component_size)
