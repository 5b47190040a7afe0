"""The arrangement of Taming Transformers' code in training VQGAN's first stage, as plain modules of our own.

Written from the code's structure (github.com/CompVis/taming-transformers, taming/modules/diffusionmodules/model.py,
losses/vqperceptual.py, losses/lpips.py, vqvae/quantize.py) for comparisons of speed. A step of its loop has two
updates, of the autoencoder and of the discriminator; each encodes and decodes the images and computes the perceptual
distance, and parameters of the other one have no gradients, as Lightning arranges it. Real and reconstructed images
pass VGG16 one after another. Features are in contiguous memory; parameters have the original names.
"""

# B batch, C channels, D values of an entry of the codebook, h×w codes

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
import torch.nn.functional as F
import workloads
from torch import Tensor, nn
from torch.optim import Adam

from ganformer.models.vqgan.learner import TwoStage

GROUPS = 32
COMMITMENT = 0.25
DISCRIMINATOR_WEIGHT = 0.8
RATE = 4.5e-6
SLOPE = 0.2
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks; `attends`: levels with attention, from 0 at the resolution of the image."""

    width: int = 64
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    attends: tuple[int, ...] = (2,)
    latent_channels: int = 256
    codes: int = 1024
    code_size: int = 256
    discriminator: tuple[int, int] = (64, 3)
    """Channels of its first layer, and layers that halve."""

    @property
    def widths(self) -> list[int]:
        """Channels of the levels."""
        return [self.channels * multiplier for multiplier in self.multipliers]


# ----------------------------------------------------------------------------------------------- autoencoder


def swish(x: Tensor) -> Tensor:
    """Return x · σ(x), in two operations."""
    return x * torch.sigmoid(x)


def normalisation(channels: int) -> nn.GroupNorm:
    """Return group normalisation with its constants."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """x [B, inputs, H, W] → [B, outputs, H, W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = normalisation(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = normalisation(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.dropout = nn.Dropout(0.0)
        self.is_projected = inputs != outputs
        if self.is_projected:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(swish(self.norm1(x)))
        h = self.conv2(self.dropout(swish(self.norm2(h))))
        y: Tensor = (self.nin_shortcut(x) if self.is_projected else x) + h
        return y


class AttnBlock(nn.Module):
    """Pixels attend to each other, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = self.q(h).flatten(2).permute(0, 2, 1), self.k(h).flatten(2), self.v(h).flatten(2)
        weights = F.softmax(torch.bmm(q, k) * x.shape[1] ** -0.5, dim=2)
        h = torch.bmm(v, weights.permute(0, 2, 1)).reshape(x.shape)
        y: Tensor = x + self.proj_out(h)
        return y


class Downsample(nn.Module):
    """Convolution with stride, padded on the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.pad(x, (0, 1, 0, 1), mode="constant", value=0))
        return y


class Upsample(nn.Module):
    """Repeated pixels, convolved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y


class Level(nn.Module):
    """Residual blocks of one resolution, with or without attention behind each of them; then resampling, if any."""

    downsample: nn.Module
    upsample: nn.Module

    def __init__(self, inputs: int, outputs: int, blocks: int, attends: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(outputs if index else inputs, outputs) for index in range(blocks))
        self.attn = nn.ModuleList(AttnBlock(outputs) for _ in range(blocks * attends))
        self.downsample, self.upsample = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            x = self.attn[index](x) if len(self.attn) else x
        y: Tensor = self.upsample(self.downsample(x))
        return y


class Middle(nn.Module):
    """Blocks of the lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1, self.block_2 = ResnetBlock(channels, channels), ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return y


class Encoder(nn.Module):
    """Images [B, 3, H, W] → [B, latent channels, h, w]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.conv_in = nn.Conv2d(3, sizes.channels, 3, padding=1)
        self.down = nn.ModuleList()
        for index, (inputs, outputs) in enumerate(pairwise([sizes.channels, *widths])):
            level = Level(inputs, outputs, sizes.blocks, index in sizes.attends)
            if index < len(widths) - 1:
                level.downsample = Downsample(outputs)
            self.down.append(level)
        self.mid, self.norm_out = Middle(widths[-1]), normalisation(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], sizes.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_in(images)
        for level in self.down:
            x = level(x)
        latents: Tensor = self.conv_out(swish(self.norm_out(self.mid(x))))
        return latents


class Decoder(nn.Module):
    """[B, latent channels, h, w] → images [B, 3, H, W]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.conv_in = nn.Conv2d(sizes.latent_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList()
        for index, outputs in enumerate(widths):
            inputs = widths[min(index + 1, len(widths) - 1)]
            level = Level(inputs, outputs, sizes.blocks + 1, index in sizes.attends)
            if index:
                level.upsample = Upsample(outputs)
            self.up.append(level)
        self.norm_out, self.conv_out = normalisation(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.mid(self.conv_in(latents))
        for level in reversed(self.up):
            x = level(x)
        images: Tensor = self.conv_out(swish(self.norm_out(x)))
        return images


class VectorQuantizer(nn.Module):
    """Latents [B, D, h, w] → the nearest entries of the codebook, and their loss, whose weight is at the other term."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.codes, sizes.code_size)
        nn.init.uniform_(self.embedding.weight, -1 / sizes.codes, 1 / sizes.codes)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        z = latents.permute(0, 2, 3, 1).contiguous()
        flat, entries = z.view(-1, z.shape[-1]), self.embedding.weight
        distances = (
            (flat**2).sum(dim=1, keepdim=True)
            + (entries**2).sum(dim=1)
            - 2 * torch.einsum("bd,dn->bn", flat, entries.t())
        )
        chosen = self.embedding(distances.argmin(dim=1)).view(z.shape)
        loss = ((chosen.detach() - z) ** 2).mean() + COMMITMENT * ((chosen - z.detach()) ** 2).mean()
        chosen = z + (chosen - z).detach()
        return chosen.permute(0, 3, 1, 2).contiguous(), loss


class Autoencoder(nn.Module):
    """Images → reconstructed images, and the loss of the codebook."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder, self.decoder, self.quantize = Encoder(sizes), Decoder(sizes), VectorQuantizer(sizes)
        self.quant_conv = nn.Conv2d(sizes.latent_channels, sizes.code_size, 1)
        self.post_quant_conv = nn.Conv2d(sizes.code_size, sizes.latent_channels, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        chosen, loss = self.quantize(self.quant_conv(self.encoder(images)))
        return self.decoder(self.post_quant_conv(chosen)), loss


# ---------------------------------------------------------------------------------------------------- losses


class NLayerDiscriminator(nn.Module):
    """Images → logits of patches [B, 1, h, w]."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        widths = [channels * min(2**index, 8) for index in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 2 if index < layers - 1 else 1
            parts += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.main = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.main(images)
        return logits


class LPIPS(nn.Module):
    """Perceptual distance [B, 1, 1, 1] of images in [-1, 1], by VGG16 with weights that do not learn."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.slices, self.lins, inputs = nn.ModuleList(), nn.ModuleList(), 3
        for number, block in enumerate(VGG16):
            parts: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
            for outputs in block:
                parts += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            self.slices.append(nn.Sequential(*parts))
            self.lins.append(nn.Sequential(nn.Dropout(), nn.Conv2d(inputs, 1, 1, bias=False)))
        self.requires_grad_(False)

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Yield features of length 1 after each block."""
        x = (images - self.shift) / self.scale
        kept = []
        for part in self.slices:
            x = part(x)
            kept.append(x)
        for x in kept:
            yield x / ((x**2).sum(dim=1, keepdim=True).sqrt() + 1e-10)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        pairs = zip(self.features(images), self.features(others), self.lins, strict=True)
        values = [lin((one - other) ** 2).mean([2, 3], keepdim=True) for one, other, lin in pairs]
        return torch.stack(values).sum(dim=0)


class Training:
    """Steps of the loop once the discriminator takes part."""

    def __init__(self, sizes: Sizes, batch: int, device: str = "cpu") -> None:
        self.autoencoder = Autoencoder(sizes).to(device)
        self.discriminator = NLayerDiscriminator(*sizes.discriminator).to(device)
        self.perceptual = LPIPS().to(device)  # in training, as all that belongs to a module of Lightning
        self.autoencoder_adam, self.discriminator_adam = (
            Adam(network.parameters(), lr=RATE * batch, betas=(0.5, 0.9))
            for network in (self.autoencoder, self.discriminator)
        )

    def step(self, images: Tensor, step: int) -> None:
        """Update the autoencoder, then the discriminator, with images [B, 3, H, W]; all steps are alike."""
        for adam, loss, other in (
            (self.autoencoder_adam, self._autoencoder_loss, self.discriminator),
            (self.discriminator_adam, self._discriminator_loss, self.autoencoder),
        ):
            for parameter in chain(self.autoencoder.parameters(), self.discriminator.parameters()):
                parameter.requires_grad_(True)
            other.requires_grad_(False)
            total = loss(images)
            adam.zero_grad()
            total.backward()
            adam.step()

    def _reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructed images, their distance, and the loss of the codebook."""
        reconstructed, codebook = self.autoencoder(images)
        distance = (images - reconstructed).abs() + self.perceptual(images, reconstructed)
        return reconstructed, distance.mean(), codebook

    def _autoencoder_loss(self, images: Tensor) -> Tensor:
        reconstructed, distance, codebook = self._reconstruct(images)
        adversarial = -self.discriminator(reconstructed).mean()
        last = self.autoencoder.decoder.conv_out.weight
        steep, other = (
            torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (distance, adversarial)
        )
        weight = (steep / (other + 1e-4)).clamp(0.0, 1e4).detach() * DISCRIMINATOR_WEIGHT
        total: Tensor = distance + weight * adversarial + codebook
        return total

    def _discriminator_loss(self, images: Tensor) -> Tensor:
        reconstructed, _, _ = self._reconstruct(images)
        real, fake = self.discriminator(images.detach()), self.discriminator(reconstructed.detach())
        return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def our_learner(sizes: Sizes, batch: int, **settings: object) -> TwoStage:
    """Return a learner of this project with networks of these sizes, whose discriminator takes part from the start."""
    channels, layers = sizes.discriminator
    model = {
        "kind": "vqgan",
        "channels": sizes.channels,
        "channel_multipliers": sizes.multipliers,
        "residual_blocks": sizes.blocks,
        "attention_downsampling": [2**level for level in sizes.attends],
        "groups": GROUPS,
        "latent_channels": sizes.latent_channels,
        "codes": sizes.codes,
        "code_size": sizes.code_size,
        "discriminator": {"channels": channels, "layers": layers},
        "transformer": {"layers": 1, "heads": 1, "width": 8},  # which this stage does not use
        "discriminator_start_kimg": 0,
    }
    learner = workloads.learner_of(model, sizes, batch, **settings)
    assert isinstance(learner, TwoStage)
    return learner
