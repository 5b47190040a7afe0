"""Settings of VQGAN."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from ganformer.config import (
    Ability,
    AnyAugmentation,
    ImageSpec,
    LossName,
    Model,
    NoAugmentation,
    Probability,
    Strict,
    TrainingSettings,
)
from ganformer.models.vqgan.sampling import Sampling
from ganformer.perceptual.settings import Perceptual, RandomPerceptual

if TYPE_CHECKING:
    from ganformer.models.vqgan.autoencoder import Layout
    from ganformer.models.vqgan.quantisation import Quantiser


LATEST_START = 90.0  # thousands of images before the discriminator takes part, in the paper's training on faces


Decay = Annotated[float, Field(ge=0, lt=1)]


class TwoStageModel(Model):
    """A model that learns an autoencoder of images to codes, and then a transformer over the codes."""

    autoencoder_kimg: PositiveFloat | None = None
    """Length of the first stage in thousands of images; the rest belongs to the second. None: half the training; a
    longer run then trains both stages again, while one with a number resumes."""
    autoencoder_learning_rate: PositiveFloat = 4.5e-6
    """Learning rate per image, multiplied by the batch size: of Adam, for the autoencoder and its discriminator."""
    autoencoder_beta1: Decay = 0.5
    autoencoder_beta2: Decay = 0.9
    codebook_weight: NonNegativeFloat = 1.0
    """Weight of the quantiser's loss."""
    perceptual: Perceptual = RandomPerceptual()
    """Perceptual distance, added to the distance of pixels."""
    loss: LossName = "hinge"
    """Adversarial loss of discriminator and autoencoder (`ganformer/training/losses.py`)."""
    discriminator_start_kimg: NonNegativeFloat | None = None
    """Thousands of images before the discriminator takes part. None: 90, but at most a quarter of the first stage."""
    discriminator_weight: NonNegativeFloat = 0.8
    """Weight of the adversarial loss, multiplied by its adaptive weight."""
    augmentation: AnyAugmentation = NoAugmentation(kind="none")
    """Augmentation of the images that the discriminator sees."""
    r1_gamma: NonNegativeFloat = 0.0
    """Weight of the gradient penalty on real images (R1); 0 leaves it out."""
    transformer_learning_rate: PositiveFloat = 4.5e-6
    """Learning rate per image of AdamW, multiplied by the batch size."""
    transformer_beta1: Decay = 0.9
    transformer_beta2: Decay = 0.95
    weight_decay: NonNegativeFloat = 0.01
    """Weight decay of the matrices of the transformer, without embeddings."""
    ema_kimg: NonNegativeFloat = 0.0
    """Half-life of the moving averages that are sampled from, in thousands of images; 0: the weights themselves."""
    sampling: Sampling = Sampling()
    """Sampling of the codes."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Weights of what compares images."""
        return self.perceptual.inputs

    def resolved(self, training: TrainingSettings) -> Self:
        """Return these settings with the lengths of both stages."""
        first = training.kimg / 2 if self.autoencoder_kimg is None else self.autoencoder_kimg
        start = self.discriminator_start_kimg
        start = min(LATEST_START, first / 4) if start is None else start
        return self.model_copy(update={"autoencoder_kimg": first, "discriminator_start_kimg": start})

    @property
    def lengths(self) -> tuple[float, float]:
        """Thousands of images before the discriminator takes part, and in the first stage, once both are resolved."""
        assert self.discriminator_start_kimg is not None and self.autoencoder_kimg is not None
        return self.discriminator_start_kimg, self.autoencoder_kimg

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
        start, first = self.resolved(training).lengths
        if math.ceil(first * 1000 / training.batch) >= math.ceil(training.kimg * 1000 / training.batch):
            yield (
                f"autoencoder_kimg {first:g} leaves the transformer nothing of training.kimg {training.kimg:g}; "
                "leave it out, or set it to about half of that"
            )
        if start >= first:
            yield (
                f"discriminator_start_kimg {start:g} is not before autoencoder_kimg {first:g}, the end of the "
                "autoencoder's training; set it lower"
            )


class Nearest(Strict):
    """A latent becomes the nearest entry of the codebook."""

    kind: Literal["nearest"] = "nearest"
    commitment: NonNegativeFloat = 0.25
    """Weight β of the loss that pulls latents to their entries; the loss that pulls entries to latents has weight 1."""
    revival: Probability = 0.0
    """Move an entry to a latent if its share of the choices is below this part of an even share; 0: never."""

    def make(self, codes: int, size: int) -> "Quantiser":
        """Return the quantiser of `codes` entries with `size` values each."""
        from ganformer.models.vqgan.quantisation import NearestEntry

        return NearestEntry(codes, size, self.commitment, self.revival)


class Gumbel(Strict):
    """An entry is drawn from scores, with a gradient by the Gumbel softmax."""

    kind: Literal["gumbel"] = "gumbel"
    temperature: PositiveFloat = 1 / 16
    """Final temperature of the draw, which begins at 1."""
    divergence_weight: NonNegativeFloat = 1e-8
    """Weight of the divergence of the scores from a uniform distribution."""

    def make(self, codes: int, size: int) -> "Quantiser":
        """Return the quantiser of `codes` entries with `size` values each."""
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
    """Heads of each attention; they divide the width."""
    width: PositiveInt = 1024
    """Features of each position."""
    dropout: Probability = 0.0

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


class Config(TwoStageModel):
    """Settings of VQGAN; the defaults are the values of the paper for faces 256 pixels wide."""

    kind: Literal["vqgan"] = "vqgan"

    abilities: ClassVar[frozenset[Ability]] = frozenset({"codes"})

    channels: PositiveInt = 128
    """Features at the resolution of the image."""
    channel_multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 1, 2, 2, 4)
    """Times `channels`: features at each resolution, from the image down. Every entry but the first halves it."""
    residual_blocks: PositiveInt = 2
    """Residual blocks at each resolution of the encoder; the decoder has one more."""
    attention_downsampling: tuple[PositiveInt, ...] = (16,)
    """Downsampling factors of the features that attend to themselves; the innermost features always do once."""
    groups: PositiveInt = 32
    """Groups of all group normalisations; they divide all numbers of features."""
    autoencoder_dropout: Probability = 0.0
    latent_channels: PositiveInt = 256
    """Channels between encoder and decoder."""
    codes: PositiveInt = 1024
    """Entries of the codebook."""
    code_size: PositiveInt = 256
    """Values of an entry."""
    quantiser: Annotated[Nearest | Gumbel, Field(discriminator="kind")] = Nearest()
    """Quantiser of the latents."""
    discriminator: Patches = Patches()
    transformer: Transformer = Transformer()

    @property
    def downsampling(self) -> int:
        """Factor between the width of the image and of the grid of its codes."""
        return 1 << (len(self.channel_multipliers) - 1)

    def conflicts(self) -> Iterator[str]:
        """Yield one sentence for every conflict between these settings."""
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
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
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
        """Return the layout that encoder and decoder share."""
        from ganformer.models.vqgan.autoencoder import Layout, Level

        levels = [
            Level(self.channels * multiplier, 1 << i in self.attention_downsampling)
            for i, multiplier in enumerate(self.channel_multipliers)
        ]
        return Layout(levels, self.residual_blocks, self.latent_channels, self.groups, self.autoencoder_dropout)


def patches(pixels: int, layers: int) -> int:
    """Return the number of logits along a side of `pixels`; 0 or less if the side is too short."""
    for _ in range(layers):
        pixels //= 2
    return pixels - 2
