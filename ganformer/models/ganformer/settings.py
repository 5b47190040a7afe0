"""Settings of GANformer."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from ganformer.config import Ability, ImageSpec, Probability, TrainingSettings
from ganformer.config.ladders import STEM_WIDTH, StyleBasedModel, Width


class Config(StyleBasedModel):
    """Settings of GANformer; the defaults are the values of the released code for images 256 pixels wide."""

    kind: Literal["ganformer"] = "ganformer"

    abilities: ClassVar[frozenset[Ability]] = frozenset({"latents", "components", "attention maps"})

    attention: Literal["simplex", "duplex", "centroid"]
    """Source of the keys: the components, centroids of the image, or learned constants (the released code)."""
    components: PositiveInt = 16
    """Number of local latents; each has latent_size / components values."""
    generator_architecture: Literal["orig", "skip", "resnet"] = "resnet"
    """Architecture of the generator (StyleGAN2, figure 7)."""
    mapping_architecture: Literal["plain", "resnet"] = "resnet"
    """Mapping network: StyleGAN2's, or residual steps of two layers each and one plain layer behind them."""
    latent_normalisation: Literal["each", "joint", "local", "joint-local"] = "each"
    """Normalisation of latents by their root mean square: `each` latent, as in the paper; the local ones by a `joint`
    one and the global one by its own (the released PyTorch code); each `local` one only (the released TensorFlow code);
    the local ones only, by a joint one, `joint-local` (the PyTorch code with weights converted from TensorFlow).
    """
    latent_self_attention: bool = True
    """Attention of the components to each other in the mapping network."""
    synthesis_self_attention: bool = False
    """The same in synthesis, before the image attends to them; later layers see the changed components."""
    update_components: bool = False
    """Attention of the components to the image before it attends to them; later layers see the changed components.
    Part of `duplex`."""
    global_style: bool = True
    """One more latent, of the size of a component, that modulates the convolutions of all layers."""
    refine_colours: bool = True
    """One more modulated convolution, linear, in front of the last toRGB (in the released code, not in the paper)."""
    heads: PositiveInt = 1
    """Number of heads of every attention."""
    integration: Literal["mul", "add", "both"] = "mul"
    """Integration of the attended values into the features: multiply (γ), add (β), or both."""
    normalisation: Literal["layer", "instance", "none"] = "layer"
    """Normalisation of the features before: over the channels of a pixel, the pixels of a channel, or none.

    The mean is removed if integration adds, and the root mean square divided by if it multiplies.
    """
    positions: Literal["sinusoidal", "linear", "trainable", "trainable-2d"] = "sinusoidal"
    """Position encoding of pixels: fixed waves, learned slopes, learned rows and columns, learned pixels."""
    position_directions: PositiveInt = 2
    """Directions of sinusoidal and linear positions, at equal angles."""
    start_resolution: Width = STEM_WIDTH
    """The smallest width of the image features that attend; a power of two."""
    end_resolution: Width | None = None
    """Features of this width and wider ones do not attend; a power of two. None: the width of the image."""
    iterations: PositiveInt = 1
    """Number of k-means iterations: computations of centroids (`duplex`) or of scores against them (`centroid`)."""
    carried_centroids: bool = False
    """Use the learned constants of `centroid` attention in its first layer only; later ones start from assignments."""
    image_gate: bool = False
    """Gate of every pixel on its attended values."""
    component_gate: bool = False
    """Gate of every component on its values."""
    attention_dropout: Probability = 0.12
    """Rate of dropout of attention in training: half for single weights, half for whole components."""
    component_dropout: Probability = 0.0
    """Probability of leaving a component out of an image in training; one at least stays."""
    discriminator_components: NonNegativeInt = 0
    """Aggregators, vectors as large as a component, that attend to the image in the discriminator. 0: none."""
    discriminator_start_resolution: Width = 2 * STEM_WIDTH
    """The smallest width of the features that aggregators attend to; a power of two."""
    discriminator_end_resolution: Width | None = None
    """Aggregators do not attend to features of this width and wider ones. None: the width of the image."""

    def conflicts(self) -> Iterator[str]:
        """Yield one sentence for every conflict between these settings."""
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
        """Return whether heads split the values of a component, not only the values of a pixel."""
        among = self.latent_self_attention or self.synthesis_self_attention
        from_image = self.attention == "duplex" or self.update_components or self.discriminator_components > 0
        return among or from_image

    def _idle_options(self) -> Iterator[str]:
        """Yield one sentence for every option that was set but has no effect, or another one than its name says."""
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
        """Return whether features of this width attend."""
        return self.start_resolution <= width < (self.end_resolution or image.width)

    def aggregates(self, width: int, image: ImageSpec) -> bool:
        """Return whether aggregators attend to features of this width."""
        return self.discriminator_start_resolution <= width < (self.discriminator_end_resolution or image.width)

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
        yield from super().problems(image, training)
        widths = [size.width for size in self.resolutions(image)]
        yield from _misplaced("", self.start_resolution, self.end_resolution, image)
        if self.discriminator_components:
            start, end = self.discriminator_start_resolution, self.discriminator_end_resolution
            yield from _misplaced("discriminator_", start, end, image)
        for width in widths:
            if self.attends(width, image) and self.channels(width) % self.heads:
                yield f"{self.channels(width)} features at width {width} are not divisible by heads {self.heads}"


def _misplaced(prefix: str, start: int, end: int | None, image: ImageSpec) -> Iterator[str]:
    """Yield one sentence for every conflict of images with the widths, from `start` to below `end`, that attend."""
    if start >= min(end or image.width, 2 * image.width):
        yield (
            f"there is no attention: {prefix}start_resolution {start} is not below "
            f"{end or image.width}, the {prefix}end_resolution or the width of the images"
        )
    if end is not None and end > 2 * image.width:
        yield f"{prefix}end_resolution {end} is outside the image; {2 * image.width} means all features"
