"""VQGAN (Esser et al. 2021, Taming Transformers): codes of a convolutional autoencoder, drawn by a transformer."""

from ganformer.config import ImageSpec
from ganformer.learning import augmentation
from ganformer.models.vqgan.autoencoder import Autoencoder, Decoder, Encoder
from ganformer.models.vqgan.discriminator import PatchDiscriminator
from ganformer.models.vqgan.learner import Stages, TwoStage
from ganformer.models.vqgan.settings import Config
from ganformer.models.vqgan.transformer import CodeTransformer


def build(config: Config, image: ImageSpec) -> TwoStage:
    """Return the learner of these settings for images of this shape."""
    shape = image.height // config.downsampling, image.width // config.downsampling
    stages = Stages(
        autoencoder(config, image.channels),
        PatchDiscriminator(image.channels, config.discriminator.channels, config.discriminator.layers),
        augmentation.make(config.augmentation),
        transformer(config, shape[0] * shape[1], image.classes),
        shape,
    )
    return TwoStage(stages, config)


def autoencoder(config: Config, colours: int) -> Autoencoder:
    """Return the first stage for images with `colours` channels."""
    layout = config.layout()
    return Autoencoder(
        Encoder(colours, layout),
        config.quantiser.make(config.codes, config.code_size),
        Decoder(colours, layout),
    )


def transformer(config: Config, length: int, classes: int) -> CodeTransformer:
    """Return the second stage for images of `length` codes."""
    settings = config.transformer
    return CodeTransformer(
        config.codes,
        length,
        classes,
        layers=settings.layers,
        heads=settings.heads,
        width=settings.width,
        dropout=settings.dropout,
    )
