"""k-GAN (van Steenkiste et al. 2020) as a baseline of the paper: StyleGAN2 for each of k latents, then composed."""

from torch import Tensor, nn

from ganformer.config import ImageSpec
from ganformer.learning.adversarial import Adversarial, make_learner
from ganformer.models.kgan.merging import MERGING_LADDERS, ComponentStem, Merge, MergingLadder, make_weights
from ganformer.models.kgan.settings import Config
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.layers import ModulatedColours, ModulatedConvolution, Noise
from ganformer.nn.mapping import Mapping, NormaliseEach, entrance, plain_steps
from ganformer.nn.players import Generator
from ganformer.nn.synthesis import Colours, LayerLatents, Place, Size, SynthesisLayer


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
    return make_learner(config, generator(config, image), ladder_discriminator(config, image))


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
