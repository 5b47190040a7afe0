"""k-GAN (van Steenkiste et al. 2020) as a baseline of the paper: StyleGAN2 for each of k latents, then composed."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ganformer.config import ImageSpec, TrainingSettings
from ganformer.learning.adversarial import Adversarial
from ganformer.nn.layers import ModulatedColours, ModulatedConvolution, Noise
from ganformer.nn.mapping import Mapping, NormaliseEach, entrance, plain_steps
from ganformer.nn.merging import MERGING_LADDERS, ComponentStem, Merge, MergingLadder, make_weights
from ganformer.nn.players import Generator
from ganformer.nn.settings import StyleBasedModel, Width, ladder_discriminator, play
from ganformer.nn.synthesis import Colours, LayerLatents, Place, Size, SynthesisLayer


class Config(StyleBasedModel):
    """Settings of k-GAN; the defaults are those of GANformer's TensorFlow code."""

    components: Annotated[int, Field(ge=2)] = 8
    """Number of latents; each has latent_size / components values."""
    merge: Literal["softmax", "sum", "max", "leaves"] = "softmax"
    """How components become one image: pixel by pixel weighted by softmaxed scores, all added, the highest score alone,
    or one upon the other, covering those before."""
    merge_resolution: Width | None = 32
    """Width of the features behind which components are one; a power of two. None: the width of the image; then whole
    images are composed."""
    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """How the generator is connected (StyleGAN2, figure 7)."""

    def conflicts(self) -> Iterator[str]:
        """What does not fit between these settings, one sentence each."""
        if rest := self.latent_size % self.components:
            multiple = max(self.components, self.latent_size - rest)
            yield f"latent_size {self.latent_size} is not divisible by components {self.components}; {multiple} is"

    @property
    def component_size(self) -> int:
        """Values of one component."""
        return self.latent_size // self.components

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        yield from super().problems(image, training)
        if self.merge_resolution is not None and self.merge_resolution > image.width:
            yield (
                f"merge_resolution {self.merge_resolution} is wider than the images; "
                f"set it to at most {image.width}, their width"
            )


class ComposingGenerator(Generator):
    """Images composed of layers that components make: z [B, k, size], labels → w [B, layers, k, size] → images."""

    def __init__(self, latent_shape: tuple[int, int], mapping: Mapping, ladder: MergingLadder) -> None:
        super().__init__(latent_shape, latent_shape[1])
        self.mapping = mapping
        self.synthesis = ladder

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.mapping(z, labels)
        return w[:, None].expand(-1, self.synthesis.layers, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis([LayerLatents(styles.flatten(0, 1)) for styles in w.unbind(1)])
        return images


def build(config: Config, image: ImageSpec) -> Adversarial:
    """The learner of these settings for images of this shape."""
    return play(config, generator(config, image), ladder_discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> ComposingGenerator:
    """The generator of these settings for images of this shape."""
    components, size, sizes = config.components, config.component_size, config.sizes(image)

    def make_layer(place: Place) -> SynthesisLayer:
        convolution = ModulatedConvolution(place.inputs, place.output.channels, size, place.operation)
        noise = Noise(place.output.height, place.output.width) if config.noise else nn.Identity()
        return SynthesisLayer(place, convolution, noise)

    def make_colours(rung: Size) -> Colours:
        return Colours(ModulatedColours(rung.channels, image.channels, size))

    rate = config.mapping_learning_rate_multiplier
    mapping = Mapping(
        entrance(NormaliseEach(), size, image.classes, rate), plain_steps(config.mapping_layers, size, rate)
    )
    merged_at = [rung.width for rung in sizes].index(config.merge_resolution or image.width)
    merge = Merge(components, make_weights(config.merge, sizes[merged_at].channels))
    stem = ComponentStem(components, sizes[0], make_layer)
    ladder = MERGING_LADDERS[config.generator_architecture](stem, sizes, make_layer, make_colours, merge, merged_at)
    return ComposingGenerator((components, size), mapping, ladder)
