"""Settings of VQGAN."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from ganformer.config import ImageSpec, Probability, Strict, TrainingSettings
from ganformer.models.vqgan.two_stage_settings import TwoStageModel

if TYPE_CHECKING:
    from ganformer.models.vqgan.autoencoder import Layout
    from ganformer.models.vqgan.quantisation import Quantiser


class Nearest(Strict):
    """A latent becomes the nearest entry of the codebook."""

    kind: Literal["nearest"] = "nearest"
    commitment: NonNegativeFloat = 0.25
    """Weight β of drawing latents to their entries, beside that of drawing entries to their latents."""
    revival: Probability = 0.0
    """An entry that is chosen less often than this part of an even share is put onto a latent; 0: never."""

    def make(self, codes: int, size: int) -> "Quantiser":
        """The part, for so many codes of so many values."""
        from ganformer.models.vqgan.quantisation import NearestEntry

        return NearestEntry(codes, size, self.commitment, self.revival)


class Gumbel(Strict):
    """An entry is drawn from scores, with a gradient by the Gumbel softmax."""

    kind: Literal["gumbel"] = "gumbel"
    temperature: PositiveFloat = 1 / 16
    """Where the temperature of the draw ends that begins at 1."""
    divergence_weight: NonNegativeFloat = 1e-8
    """Weight of the divergence of the scores from an even choice."""

    def make(self, codes: int, size: int) -> "Quantiser":
        """The part, for so many codes of so many values."""
        from ganformer.models.vqgan.quantisation import GumbelSoftmax

        return GumbelSoftmax(codes, size, self.temperature, self.divergence_weight)


class Patches(Strict):
    """The discriminator of patches."""

    channels: PositiveInt = 64
    """Features of its first layer, doubled at each of the next ones, to at most 8 times as many."""
    layers: PositiveInt = 3
    """Layers that halve the resolution; each doubles the patch that one logit sees."""


class Transformer(Strict):
    """The transformer over codes."""

    layers: PositiveInt = 24
    heads: PositiveInt = 16
    """Of each attention; they share the width."""
    width: PositiveInt = 1024
    """Values of each place."""
    dropout: Probability = 0.0

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


class Config(TwoStageModel):
    """Settings of VQGAN; the defaults are those of the paper for faces 256 pixels wide."""

    channels: PositiveInt = 128
    """Features at the resolution of the image."""
    channel_multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 1, 2, 2, 4)
    """Times `channels`: features at each resolution, from the image down. Every entry but the first halves it."""
    residual_blocks: PositiveInt = 2
    """At each resolution of the encoder; the decoder has one more."""
    attention_downsampling: tuple[PositiveInt, ...] = (16,)
    """Features attend where the image is so many times wider than they are; the innermost always do once."""
    groups: PositiveInt = 32
    """Of all group normalisations; they divide all numbers of features."""
    autoencoder_dropout: Probability = 0.0
    latent_channels: PositiveInt = 256
    """Values that the encoder ends with and the decoder begins with, at each place."""
    codes: PositiveInt = 1024
    """Entries of the codebook."""
    code_size: PositiveInt = 256
    """Values of an entry."""
    quantiser: Annotated[Nearest | Gumbel, Field(discriminator="kind")] = Nearest()
    """How latents become codes."""
    discriminator: Patches = Patches()
    transformer: Transformer = Transformer()

    @property
    def downsampling(self) -> int:
        """How many times wider the image is than the grid of its codes."""
        return 1 << (len(self.channel_multipliers) - 1)

    def conflicts(self) -> Iterator[str]:
        """What does not fit between these settings, one sentence each."""
        for features in sorted({self.channels * multiplier for multiplier in self.channel_multipliers}):
            if features % self.groups:
                yield f"{features} features (channels × channel_multipliers) are not divisible by groups {self.groups}"
        factors = [1 << i for i in range(len(self.channel_multipliers))]
        for factor in self.attention_downsampling:
            if factor not in factors:
                yield (
                    f"attention_downsampling {factor} is none of "
                    f"{', '.join(map(str, factors))}, which channel_multipliers lead to"
                )

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        yield from super().problems(image, training)
        for side, pixels in (("height", image.height), ("width", image.width)):
            if pixels % self.downsampling:
                yield (
                    f"{side} {pixels} of the images is not divisible by {self.downsampling}, the downsampling that "
                    f"{len(self.channel_multipliers)} channel_multipliers make"
                )
            if patches(pixels, self.discriminator.layers) < 1:
                yield (
                    f"discriminator.layers {self.discriminator.layers} need more than {side} {pixels} of the images; "
                    "take fewer"
                )

    def layout(self) -> "Layout":
        """What encoder and decoder have in common."""
        from ganformer.models.vqgan.autoencoder import Layout, Level

        levels = [
            Level(self.channels * multiplier, 1 << i in self.attention_downsampling)
            for i, multiplier in enumerate(self.channel_multipliers)
        ]
        return Layout(levels, self.residual_blocks, self.latent_channels, self.groups, self.autoencoder_dropout)


def patches(pixels: int, layers: int) -> int:
    """Logits along a side of so many pixels; 0 or less where the side is too short."""
    for _ in range(layers):
        pixels //= 2
    return pixels - 2
