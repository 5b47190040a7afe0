"""GANformer (Hudson & Zitnick 2021): StyleGAN2's ladder, steered by components that its features attend to."""

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from ganformer.config import ImageSpec
from ganformer.config.ladders import STEM_WIDTH, Resolution
from ganformer.models.ganformer import positions
from ganformer.models.ganformer.aggregators import AggregatingDiscriminator, Aggregation, NoAggregation
from ganformer.models.ganformer.attention import (
    AttendedLayer,
    Attention,
    AttentionParts,
    CarriedCentroid,
    Centroid,
    Doubled,
    Duplex,
    Simplex,
)
from ganformer.models.ganformer.components import (
    ComponentAttention,
    FromEachOther,
    FromImage,
    NoAttention,
    SelfAttention,
)
from ganformer.models.ganformer.generator import ComponentGenerator, DroppingGenerator, GeneratorParts
from ganformer.models.ganformer.parts import (
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
from ganformer.models.ganformer.settings import Config
from ganformer.nn.discriminator import DISCRIMINATORS, ladder_discriminator, make_head
from ganformer.nn.interfaces import Discriminator
from ganformer.nn.layers import (
    ModulatedConvolution,
    ModulatedToRGB,
    Noise,
    NoNoise,
    UnmodulatedConvolution,
    UnmodulatedToRGB,
)
from ganformer.nn.mapping import (
    STEPS,
    AttendedMapping,
    LatentInput,
    Mapping,
    NormaliseEach,
    NormaliseJointly,
    latent_input,
)
from ganformer.nn.resampling import Convolve, ConvolveUp, Operation
from ganformer.nn.synthesis import LADDERS, LayerSpec, RefinedToRGB, Stem, SynthesisLayer, ToRGB
from ganformer.training.adversarial import Adversarial, make_learner


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> ComponentGenerator:
    """Return the generator of these settings for images of this shape."""
    make_layer, resolutions = partial(_layer, config, image), config.resolutions(image)
    ladder = LADDERS[config.generator_architecture](
        Stem(resolutions[0], make_layer), resolutions, make_layer, partial(_to_rgb, config, image)
    )
    parts = GeneratorParts(
        (config.components + config.global_style, config.component_size),
        config.components,
        _local_mapping(config, image),
        _global_mapping(config, image),
        ladder,
    )
    if config.component_dropout:
        return DroppingGenerator(parts, config.component_dropout)
    return ComponentGenerator(parts)


def discriminator(config: Config, image: ImageSpec) -> Discriminator:
    """Return the discriminator of these settings for images of this shape."""
    count = config.discriminator_components
    if not count:
        return ladder_discriminator(config, image)
    resolutions = config.resolutions(image)
    head = make_head(config.discriminator_labels, resolutions[0].channels + count, image.classes)
    trunk = DISCRIMINATORS[config.discriminator_architecture](resolutions, image.channels, head)
    aggregations = [_aggregation(config, image, size) for size in resolutions[::-1]]
    return AggregatingDiscriminator(trunk, aggregations, count, config.component_size)


def _aggregation(config: Config, image: ImageSpec, size: Resolution) -> nn.Module:
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


def _entrance(config: Config, normalisation: nn.Module, classes: int) -> LatentInput:
    return latent_input(normalisation, config.component_size, classes, config.mapping_learning_rate_multiplier)


def _steps(config: Config) -> list[nn.Module]:
    make = STEPS[config.mapping_architecture]
    return make(config.mapping_layers, config.component_size, config.mapping_learning_rate_multiplier)


def _layer(config: Config, image: ImageSpec, spec: LayerSpec) -> SynthesisLayer:
    size = spec.output
    convolution = _convolution(config, spec.inputs, size.channels, spec.operation)
    noise = Noise(size.height, size.width) if config.noise else NoNoise()
    if config.attends(size.width, image):
        return AttendedLayer(spec, convolution, noise, _attention(config, spec), list(_changes(config, size)))
    return SynthesisLayer(spec, convolution, noise)


def _changes(config: Config, size: Resolution) -> Iterator[nn.Module]:
    """Yield the modules that change the components before features of this resolution attend to them."""
    if config.synthesis_self_attention:
        yield FromEachOther(config.component_size, _self_attention(config))
    if config.update_components:
        yield FromImage(size.channels, config.component_size, config.heads)


def _convolution(
    config: Config, inputs: int, outputs: int, operation: Operation
) -> ModulatedConvolution | UnmodulatedConvolution:
    if config.global_style:
        return ModulatedConvolution(inputs, outputs, config.component_size, operation)
    return UnmodulatedConvolution(inputs, outputs, operation)


def _to_rgb(config: Config, image: ImageSpec, size: Resolution) -> ToRGB:
    colours = (
        ModulatedToRGB(size.channels, image.channels, config.component_size)
        if config.global_style
        else UnmodulatedToRGB(size.channels, image.channels)
    )
    if config.refine_colours and size.width == image.width:
        return RefinedToRGB(_convolution(config, size.channels, size.channels, Convolve()), colours)
    return ToRGB(colours)


def _attention(config: Config, spec: LayerSpec) -> Attention:
    kinds: dict[str, Callable[..., Attention]] = {
        "simplex": Simplex,
        "duplex": partial(Duplex, iterations=config.iterations),
        "centroid": partial(_centroid_kind(config, spec), iterations=config.iterations),
    }
    size = AttentionSize(spec.output.channels, config.component_size, config.components, config.heads)
    gates: dict[str, nn.Module] = {"image": ImageGate(size)} if config.image_gate else {}
    if config.component_gate:
        gates["component"] = ComponentGate(size)
    parts = AttentionParts(
        _positions(config, spec.output),
        _softmax(config),
        AttentionDropout(config.attention_dropout),
        Gates(gates),
        INTEGRATIONS[config.integration](NORMALISATIONS[config.normalisation]()),
    )
    return kinds[config.attention](size, parts)


def _centroid_kind(config: Config, spec: LayerSpec) -> Callable[..., Attention]:
    """Return the kind of centroids: learned, or from the layer before, which may have half as many rows and columns."""
    grows = isinstance(spec.operation, ConvolveUp)
    is_first = spec.output.width == config.start_resolution and (grows or spec.output.width == STEM_WIDTH)
    if is_first or not config.carried_centroids:
        return Centroid
    stretch = Doubled(spec.output.height // 2, spec.output.width // 2) if grows else nn.Identity()
    return partial(CarriedCentroid, stretch=stretch)


def _self_attention(config: Config) -> SelfAttention:
    return SelfAttention(config.component_size, _softmax(config), config.attention_dropout)


def _softmax(config: Config) -> ComponentSoftmax:
    return PresentSoftmax(config.heads) if config.component_dropout else ComponentSoftmax(config.heads)


def _positions(config: Config, size: Resolution) -> nn.Module:
    kinds: dict[str, Callable[[int, int, int], nn.Module]] = {
        "sinusoidal": partial(positions.Sinusoidal, directions=config.position_directions),
        "linear": partial(positions.Linear, directions=config.position_directions),
        "trainable": positions.Trainable,
        "trainable-2d": positions.Trainable2d,
    }
    return kinds[config.positions](size.height, size.width, config.component_size)
