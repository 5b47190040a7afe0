"""k-GAN (van Steenkiste et al. 2020) as a baseline of the paper: StyleGAN2 for each of k latents, then composed."""

from collections.abc import Sequence

from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.config.ladders import Resolution
from ganformer.models.kgan.merging import MERGING_LADDERS, ComponentStem, Merge, MergingLadder, make_weights
from ganformer.models.kgan.settings import Config
from ganformer.nn.discriminator import ladder_discriminator
from ganformer.nn.interfaces import Generator
from ganformer.nn.layers import ModulatedConvolution, ModulatedToRGB, Noise, NoNoise
from ganformer.nn.mapping import Mapping, NormaliseEach, latent_input, plain_steps
from ganformer.nn.synthesis import LayerLatents, LayerSpec, SynthesisLayer, ToRGB
from ganformer.training.adversarial import Adversarial, make_learner


class ComposingGenerator(Generator):
    """Images composed of layers that components make: z [B, k, size], labels → w [B, layers, k, size] → images."""

    def __init__(self, latent_shape: tuple[int, int], mapping: Mapping, ladder: MergingLadder) -> None:
        super().__init__(latent_shape, latent_shape[1])
        self.components = latent_shape[0]
        self.mapping = mapping
        self.synthesis = ladder

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.mapping(z, labels)
        return w[:, None].expand(-1, self.synthesis.layers, -1, -1)

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis([LayerLatents(styles.flatten(0, 1)) for styles in w.unbind(1)])
        return images

    def synthesise_without(self, w: Tensor, absent: Sequence[int]) -> Tensor:
        """Return images of w without some components: the others get their weights where weights have the sum 1."""
        with self.synthesis.merge.weights.without(absent):
            return self.synthesise(w)

    def additions(self, w: Tensor) -> dict[str, Tensor]:
        """Return what is composed: the image of each component, if they are composed as images, and its weights α."""
        found: dict[str, Tensor] = {}

        def keep(merge: Merge, given: tuple[Tensor, Tensor | None, object], result: object) -> None:
            features, images, _ = given
            weights = merge.weights(merge.split(features))  # B k 1 H W
            for component in range(merge.components):
                if images is not None:
                    found[f"component {component}"] = merge.split(images)[:, component]
                found[f"α {component}"] = weights[:, component] * 2 - 1

        hook = self.synthesis.merge.register_forward_hook(keep)
        try:
            self.synthesise(w)
        finally:
            hook.remove()
        return found


def build(config: Config, image: ImageSpec) -> Adversarial:
    """Return the learner of these settings for images of this shape."""
    return make_learner(config, generator(config, image), ladder_discriminator(config, image))


def generator(config: Config, image: ImageSpec) -> ComposingGenerator:
    """Return the generator of these settings for images of this shape."""
    components, size, resolutions = config.components, config.component_size, config.resolutions(image)

    def make_layer(spec: LayerSpec) -> SynthesisLayer:
        convolution = ModulatedConvolution(spec.inputs, spec.output.channels, size, spec.operation)
        noise = Noise(spec.output.height, spec.output.width) if config.noise else NoNoise()
        return SynthesisLayer(spec, convolution, noise)

    def make_to_rgb(resolution: Resolution) -> ToRGB:
        return ToRGB(ModulatedToRGB(resolution.channels, image.channels, size))

    rate = config.mapping_learning_rate_multiplier
    mapping = Mapping(
        latent_input(NormaliseEach(), size, image.classes, rate), plain_steps(config.mapping_layers, size, rate)
    )
    merged_at = [resolution.width for resolution in resolutions].index(config.merge_resolution or image.width)
    merge = Merge(components, make_weights(config.merge, resolutions[merged_at].channels))
    stem = ComponentStem(components, resolutions[0], make_layer)
    ladder = MERGING_LADDERS[config.generator_architecture](
        stem, resolutions, make_layer, make_to_rgb, merge, merged_at
    )
    return ComposingGenerator((components, size), mapping, ladder)
