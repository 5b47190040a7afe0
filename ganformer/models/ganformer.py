"""GANformer (Hudson & Zitnick 2021): StyleGAN2's ladder, steered by components that its features attend to."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from ganformer.config import ImageSpec, Probability, TrainingSettings
from ganformer.learning.adversarial import Adversarial
from ganformer.nn import position
from ganformer.nn.aggregators import AggregatingDiscriminator, Aggregation, NoAggregation
from ganformer.nn.attention import (
    AttendedLayer,
    Attention,
    AttentionParts,
    CarriedCentroid,
    Centroid,
    Doubled,
    Duplex,
    Simplex,
)
from ganformer.nn.attention_parts import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttentionDropout,
    AttentionSize,
    ComponentGate,
    ComponentSoftmax,
    Gates,
    ImageGate,
    PresentSoftmax,
)
from ganformer.nn.component_generator import ComponentGenerator, DroppingGenerator
from ganformer.nn.components import ComponentAttention, FromEachOther, FromImage, NoAttention, SelfAttention
from ganformer.nn.discriminator import DISCRIMINATORS, make_head
from ganformer.nn.layers import (
    ModulatedColours,
    ModulatedConvolution,
    Noise,
    UnmodulatedColours,
    UnmodulatedConvolution,
)
from ganformer.nn.mapping import STEPS, AttendedMapping, Entrance, Mapping, NormaliseEach, NormaliseJointly, entrance
from ganformer.nn.players import Discriminator
from ganformer.nn.resampling import Convolve, ConvolveUp
from ganformer.nn.settings import STEM_WIDTH, StyleBasedModel, Width, ladder_discriminator, play
from ganformer.nn.synthesis import LADDERS, Colours, Place, RefinedColours, Size, Stem, SynthesisLayer


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
    synthesis_self_attention: bool = False
    """Whether they do so in synthesis too, before the image attends to them; what changes stays changed."""
    update_components: bool = False
    """Whether they attend to the image before it attends to them; what changes stays changed. Part of `duplex`."""
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
    start_resolution: Width = STEM_WIDTH
    """The smallest width of the image features that attend; a power of two."""
    end_resolution: Width | None = None
    """Features of this width and wider ones do not attend; a power of two. None: the width of the image."""
    iterations: PositiveInt = 1
    """How often centroids are computed (`duplex`) or scores against them (`centroid`), as in k-means."""
    carried_centroids: bool = False
    """Whether `centroid` attention learns constants in its first layer only, and goes on from there in those behind."""
    image_gate: bool = False
    """Whether every pixel has a gate in front of what it attends to."""
    component_gate: bool = False
    """Whether every component has a gate behind what it gives to the image."""
    attention_dropout: Probability = 0.12
    """Rate of dropout of attention in training: half for single weights, half for whole components."""
    component_dropout: Probability = 0.0
    """Probability that an image is made without a component in training; one at least is always there."""
    discriminator_components: NonNegativeInt = 0
    """Aggregators, vectors as large as a component, that attend to the image in the discriminator. 0: none."""
    discriminator_start_resolution: Width = 2 * STEM_WIDTH
    """The smallest width of the features that aggregators attend to; a power of two."""
    discriminator_end_resolution: Width | None = None
    """Aggregators do not attend to features of this width and wider ones. None: the width of the image."""

    def conflicts(self) -> Iterator[str]:
        """What does not fit between these settings, one sentence each."""
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
        if size % self.heads and self._splits_components():
            yield f"a component has latent_size / components = {size} values, which {self.heads} heads cannot share"
        yield from self._idle_options()

    def _splits_components(self) -> bool:
        """Whether heads share the values of a component, not only those of a pixel."""
        among = self.latent_self_attention or self.synthesis_self_attention
        from_image = self.attention == "duplex" or self.update_components or self.discriminator_components > 0
        return among or from_image

    def _idle_options(self) -> Iterator[str]:
        """Options that were set where they change nothing, or not what they say."""
        if self.iterations > 1 and self.attention == "simplex":
            yield f"iterations {self.iterations} has no meaning for attention 'simplex', which has no centroids"
        if self.carried_centroids and self.attention != "centroid":
            yield f"carried_centroids has no meaning for attention '{self.attention}'; it is about 'centroid'"
        if self.update_components and self.attention == "duplex":
            yield "update_components has no meaning for attention 'duplex', which does so anyway; leave it out"
        if self.position_directions != 2 and self.positions in ("trainable", "trainable-2d"):
            yield f"position_directions has no meaning for {self.positions} positions; leave it out"
        if self.component_dropout and self.components == 1:
            yield "component_dropout has no meaning for components 1, which is always there"
        if self.component_dropout and self.latent_normalisation in ("joint", "joint-local"):
            yield (
                f"component_dropout does not go with latent_normalisation '{self.latent_normalisation}', "
                "by which components grow where others are absent; take 'each' or 'local'"
            )
        for name in ("discriminator_start_resolution", "discriminator_end_resolution"):
            is_set = getattr(self, name) != type(self).model_fields[name].default
            if is_set and not self.discriminator_components:
                yield f"{name} has no meaning without discriminator_components"

    @property
    def component_size(self) -> int:
        """Values of one component, and of the global latent."""
        return self.latent_size // self.components

    def attends(self, width: int, image: ImageSpec) -> bool:
        """Whether features of this width attend."""
        return self.start_resolution <= width < (self.end_resolution or image.width)

    def aggregates(self, width: int, image: ImageSpec) -> bool:
        """Whether aggregators attend to features of this width."""
        return self.discriminator_start_resolution <= width < (self.discriminator_end_resolution or image.width)

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        yield from super().problems(image, training)
        widths = [size.width for size in self.sizes(image)]
        yield from _misplaced("", self.start_resolution, self.end_resolution, image)
        if self.discriminator_components:
            start, end = self.discriminator_start_resolution, self.discriminator_end_resolution
            yield from _misplaced("discriminator_", start, end, image)
        for width in widths:
            if self.attends(width, image) and self.channels(width) % self.heads:
                yield f"{self.channels(width)} features at width {width} are not divisible by heads {self.heads}"


def _misplaced(prefix: str, start: int, end: int | None, image: ImageSpec) -> Iterator[str]:
    """What does not fit between images and the widths, from `start` to below `end`, at which something attends."""
    if start >= min(end or image.width, 2 * image.width):
        yield (
            f"there is no attention: {prefix}start_resolution {start} is not below "
            f"{end or image.width}, the {prefix}end_resolution or the width of the images"
        )
    if end is not None and end > 2 * image.width:
        yield f"{prefix}end_resolution {end} is outside the image; {2 * image.width} means all features"


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    return play(config, generator(config, image), discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> ComponentGenerator:
    """The generator of these settings for images of this shape."""
    make_layer, sizes = partial(_layer, config, image), config.sizes(image)
    ladder = LADDERS[config.generator_architecture](
        Stem(sizes[0], make_layer), sizes, make_layer, partial(_colours, config, image)
    )
    parts = (
        (config.components + config.global_style, config.component_size),
        config.components,
        _local_mapping(config, image),
        _global_mapping(config, image),
        ladder,
    )
    return (
        DroppingGenerator(*parts, config.component_dropout) if config.component_dropout else ComponentGenerator(*parts)
    )


def discriminator(config: Config, image: ImageSpec) -> Discriminator:
    """The discriminator of these settings for images of this shape."""
    count = config.discriminator_components
    if not count:
        return ladder_discriminator(config, image)
    sizes = config.sizes(image)
    head = make_head(config.discriminator_labels, sizes[0].channels + count, image.classes)
    trunk = DISCRIMINATORS[config.discriminator_architecture](sizes, image.channels, head)
    aggregations = [_aggregation(config, image, size) for size in sizes[::-1]]
    return AggregatingDiscriminator(trunk, aggregations, count, config.component_size)


def _aggregation(config: Config, image: ImageSpec, size: Size) -> nn.Module:
    if not config.aggregates(size.width, image):
        return NoAggregation()
    latent = config.component_size
    attention = ComponentAttention(size.channels, latent, config.heads, latent)
    return Aggregation(attention, _positions(config, size), config.attention_dropout)


def _local_mapping(config: Config, image: ImageSpec) -> AttendedMapping:
    steps = _steps(config)
    normalisation = NormaliseJointly() if config.latent_normalisation in ("joint", "joint-local") else NormaliseEach()
    attentions = [_self_attention(config) if config.latent_self_attention else NoAttention() for _ in steps[1:]]
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
        return AttendedLayer(place, convolution, noise, _attention(config, place), list(_changes(config, size)))
    return SynthesisLayer(place, convolution, noise)


def _changes(config: Config, size: Size) -> Iterator[nn.Module]:
    """What changes the components before features of this size attend to them."""
    if config.synthesis_self_attention:
        yield FromEachOther(config.component_size, _self_attention(config))
    if config.update_components:
        yield FromImage(size.channels, config.component_size, config.heads)


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


def _attention(config: Config, place: Place) -> Attention:
    kinds: dict[str, Callable[..., Attention]] = {
        "simplex": Simplex,
        "duplex": partial(Duplex, iterations=config.iterations),
        "centroid": partial(_centroid_kind(config, place), iterations=config.iterations),
    }
    size = AttentionSize(place.output.channels, config.component_size, config.components, config.heads)
    gates: dict[str, nn.Module] = {"image": ImageGate(size)} if config.image_gate else {}
    if config.component_gate:
        gates["component"] = ComponentGate(size)
    parts = AttentionParts(
        _positions(config, place.output),
        _softmax(config),
        AttentionDropout(config.attention_dropout),
        Gates(gates),
        INTEGRATIONS[config.integration](NORMALISATIONS[config.normalisation]()),
    )
    return kinds[config.attention](size, parts)


def _centroid_kind(config: Config, place: Place) -> Callable[..., Attention]:
    """Centroids learned here, or carried from the layer before, which may have half as many rows and columns."""
    grows = isinstance(place.operation, ConvolveUp)
    is_first = place.output.width == config.start_resolution and (grows or place.output.width == STEM_WIDTH)
    if is_first or not config.carried_centroids:
        return Centroid
    stretch = Doubled(place.output.height // 2, place.output.width // 2) if grows else nn.Identity()
    return partial(CarriedCentroid, stretch=stretch)


def _self_attention(config: Config) -> SelfAttention:
    return SelfAttention(config.component_size, _softmax(config), config.attention_dropout)


def _softmax(config: Config) -> ComponentSoftmax:
    return PresentSoftmax(config.heads) if config.component_dropout else ComponentSoftmax(config.heads)


def _positions(config: Config, size: Size) -> nn.Module:
    kinds: dict[str, Callable[[int, int, int], nn.Module]] = {
        "sinusoidal": partial(position.Sinusoidal, directions=config.position_directions),
        "linear": partial(position.Linear, directions=config.position_directions),
        "trainable": position.Trainable,
        "trainable-2d": position.Trainable2d,
    }
    return kinds[config.positions](size.height, size.width, config.component_size)
