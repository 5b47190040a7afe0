"""Networks without style modulation: a stem that grows from the latent, and the generator around it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganformer.config.ladders import Resolution
from ganformer.nn.layers import SQRT_2, Projection
from ganformer.nn.resampling import Convolve
from ganformer.nn.synthesis import AnyStem, LayerLatents, LayerSpec, LayerState, MakeLayer, MappedGenerator
from ganformer.ops.bias_act import bias_act

GAIN = SQRT_2 / 4  # gain of the first layer (Progressive GAN's code, GANformer's)


class LatentStem(AnyStem):
    """The latent, made into the first features by an activated linear layer, and the first layer of the ladder."""

    def __init__(self, size: Resolution, latent_size: int, make_layer: MakeLayer) -> None:
        super().__init__()
        self.shape = (size.channels, size.height, size.width)
        values = size.channels * size.height * size.width
        self.features = Projection(latent_size, values)
        self.bias = nn.Parameter(torch.zeros(values))
        self.layer = make_layer(LayerSpec(size.channels, size, Convolve()))

    def forward(self, latents: Sequence[LayerLatents], state: LayerState) -> tuple[Tensor, LayerState]:
        features = bias_act(self.features(latents[0].style) * GAIN, self.bias, gain=SQRT_2)
        x = features.unflatten(1, self.shape).contiguous(memory_format=torch.channels_last)
        x, state = self.layer(x, latents[0], state)
        return x, state


class LatentGenerator(MappedGenerator):
    """One latent enters at the stem and nowhere else: z [B, size], labels → w [B, 1, size] → images."""

    def map(self, z: Tensor, labels: Tensor) -> Tensor:
        w: Tensor = self.mapping(z, labels)
        return w[:, None]

    def synthesise(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis([LayerLatents(w[:, 0])] * self.synthesis.layers)
        return images
