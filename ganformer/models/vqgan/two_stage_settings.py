"""Settings of learning in two stages."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat

from ganformer.config import AnyAugmentation, ImageSpec, Model, NoAugmentation, TrainingSettings
from ganformer.models.vqgan.sampling import Sampling
from ganformer.perceptual.settings import Perceptual, RandomPerceptual

LATEST_START = 90.0  # thousands of images before the discriminator takes part, in the paper's training on faces


Decay = Annotated[float, Field(ge=0, lt=1)]


class TwoStageModel(Model):
    """A model that learns an autoencoder of images to codes, and then a transformer over the codes."""

    autoencoder_kimg: PositiveFloat | None = None
    """Length of the first stage in thousands of images; what is left belongs to the second. None: half the training,
    so that a run which is made longer trains both again; one with a number goes on."""
    autoencoder_learning_rate: PositiveFloat = 4.5e-6
    """Of Adam, for the autoencoder and its discriminator; for each image of a batch, by whose size it is multiplied."""
    autoencoder_beta1: Decay = 0.5
    autoencoder_beta2: Decay = 0.9
    codebook_weight: NonNegativeFloat = 1.0
    """Weight of the quantiser's loss."""
    perceptual: Perceptual = RandomPerceptual()
    """What compares images beside their pixels."""
    loss: Literal["logistic", "hinge", "wgan", "lsgan", "relativistic-hinge"] = "hinge"
    """What discriminator and autoencoder minimise against each other (`ganformer/learning/losses.py`)."""
    discriminator_start_kimg: NonNegativeFloat | None = None
    """Thousands of images before the discriminator takes part. None: 90, but at most a quarter of the first stage."""
    discriminator_weight: NonNegativeFloat = 0.8
    """Weight of the adversarial loss, beside its adaptive weight."""
    augmentation: AnyAugmentation = NoAugmentation(kind="none")
    """What is done to images before the discriminator sees them."""
    r1_gamma: NonNegativeFloat = 0.0
    """Weight of the gradient penalty on real images (R1); 0 leaves it out."""
    transformer_learning_rate: PositiveFloat = 4.5e-6
    """Of AdamW; for each image of a batch, by whose size it is multiplied."""
    transformer_beta1: Decay = 0.9
    transformer_beta2: Decay = 0.95
    weight_decay: NonNegativeFloat = 0.01
    """Of the matrices of the transformer, embeddings not among them."""
    ema_kimg: NonNegativeFloat = 0.0
    """Half-life of the moving averages that are sampled from, in thousands of images; 0: the weights themselves."""
    sampling: Sampling = Sampling()
    """How codes are drawn."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Weights of what compares images."""
        return self.perceptual.inputs

    def resolved(self, training: TrainingSettings) -> Self:
        """With the lengths of both stages."""
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
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
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
