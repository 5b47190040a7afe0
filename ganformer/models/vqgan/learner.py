"""Learning in two stages (VQGAN, Esser et al. 2021): images as codes, then the distribution of the codes."""

# B batch, N codes of an image, K possible codes, h×w codes in rows and columns

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from ganformer.models.vqgan.autoencoder import Autoencoder
from ganformer.models.vqgan.discriminator import PatchDiscriminator
from ganformer.models.vqgan.quantisation import usage
from ganformer.models.vqgan.sampling import Sampling
from ganformer.models.vqgan.settings import TwoStageModel
from ganformer.models.vqgan.transformer import CodeTransformer
from ganformer.perceptual.distance import Distance, distance
from ganformer.training import distribution, losses
from ganformer.training.adversarial import evaluating
from ganformer.training.augmentation import Augmentation
from ganformer.training.learner import Coder, Learner, Reals, Reconstructor
from ganformer.training.samples import in_colours
from ganformer.training.state import load_adam, load_module, refuse_misfit
from ganformer.training.update import Update

MAX_ADVERSARIAL_WEIGHT = 1e4
EPSILON = 1e-4
SHARES_DECAY = 0.95  # moving average of the shares of the codes, per training step


class CodeSampler(nn.Module):
    """Sampler: the transformer draws codes, the decoder makes images of them."""

    def __init__(self, autoencoder: Autoencoder, transformer: CodeTransformer, shape: tuple[int, int]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.transformer = transformer
        self.shape = shape

    def forward(self, labels: Tensor, sampling: Sampling, seeds: Sequence[int]) -> Tensor:
        """Return images [B, C, H, W] for labels [B, classes], each a function of its label and seed."""
        codes = self.transformer.sample(labels, sampling, seeds).unflatten(1, self.shape)  # B h w
        return self.decode(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Return images [B, C, H, W] of codes [B, h, w]."""
        images: Tensor = self.autoencoder.decode(self.autoencoder.quantiser.look_up(codes))
        return images


class Stages(nn.Module):
    """Networks of both stages, with the moving average for sampling and the recent shares of the codes.

    `code_shares` [K]: moving average of the part of all codes that each entry of the codebook had.
    """

    code_shares: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        discriminator: PatchDiscriminator,
        augmentation: Augmentation,
        transformer: CodeTransformer,
        shape: tuple[int, int],
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.discriminator = discriminator
        self.augmentation = augmentation
        self.transformer = transformer
        self.sampler = copy.deepcopy(CodeSampler(autoencoder, transformer, shape)).eval().requires_grad_(False)
        self.register_buffer("code_shares", torch.zeros(len(autoencoder.quantiser.codebook)))


class TwoStage(Learner, Reconstructor, Coder):
    """First trains the autoencoder, against a discriminator of patches, then the transformer over its codes.

    The second stage sees codes of the moving average of the autoencoder, which is fixed then, and which decodes
    samples. Until it begins, samples are of codes that are drawn at random.
    """

    network: Stages
    sampler: CodeSampler

    def __init__(self, stages: Stages, settings: TwoStageModel) -> None:
        self.settings = settings
        self.dtype: torch.dtype | None = None
        self.network = stages
        self.sampler = stages.sampler
        self.loss = losses.LOSSES[settings.loss]

    # Made when first used, see `Adversarial`.
    @cached_property
    def autoencoder_adam(self) -> Adam:
        """Optimiser of the autoencoder."""
        return Adam(self.network.autoencoder.parameters(), betas=self._betas, fused=True)

    @cached_property
    def discriminator_adam(self) -> Adam:
        """Optimiser of the discriminator."""
        return Adam(self.network.discriminator.parameters(), betas=self._betas, fused=True)

    @property
    def _betas(self) -> tuple[float, float]:
        return self.settings.autoencoder_beta1, self.settings.autoencoder_beta2

    @cached_property
    def transformer_adam(self) -> AdamW:
        """Optimiser of the transformer."""
        settings = self.settings
        return AdamW(
            decayed(self.network.transformer, settings.weight_decay),
            betas=(settings.transformer_beta1, settings.transformer_beta2),
            fused=True,
        )

    @cached_property
    def autoencoder_update(self) -> Update:
        """Updates of the autoencoder's parameters."""
        return Update(
            "autoencoder",
            self.network.autoencoder.parameters(),
            self.autoencoder_adam,
            replays=self.replays,
            repairs=self.repairs,
        )

    @cached_property
    def discriminator_update(self) -> Update:
        """Updates of the discriminator's parameters."""
        return Update(
            "discriminator",
            self.network.discriminator.parameters(),
            self.discriminator_adam,
            replays=self.replays,
            repairs=self.repairs,
        )

    @cached_property
    def transformer_update(self) -> Update:
        """Updates of the transformer's parameters."""
        return Update(
            "transformer",
            self.network.transformer.parameters(),
            self.transformer_adam,
            replays=self.replays,
            repairs=self.repairs,
        )

    @cached_property
    def perceptual(self) -> Distance:
        """Loaded when training begins, since sampling does without it."""
        return distance(self.settings.perceptual, next(self.network.parameters()).device)

    def step(self, reals: Sequence[Reals], step: int) -> Mapping[str, Tensor]:
        """Train the stage that is due after the images seen so far."""
        batch = sum(len(microbatch.images) for microbatch in reals) * distribution.ranks()
        seen, first = step * batch, self.settings.lengths[1] * 1000
        beta = 0.5 ** (batch / (self.settings.ema_kimg * 1000)) if self.settings.ema_kimg else 0.0
        if seen < first:
            self.network.autoencoder.quantiser.anneal(seen / first)
            scalars = self._train_autoencoder(reals, batch, step)
            _follow(self.sampler.autoencoder, self.network.autoencoder, beta)
            return scalars
        scalars = self._train_transformer(reals, batch)
        _follow(self.sampler.transformer, self.network.transformer, beta)
        return scalars

    def sample(self, labels: Tensor, seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Return images of the moving average; `truncation` ψ multiplies the temperature; 0: the likeliest codes."""
        sampling = self.settings.sampling
        sampling = sampling.model_copy(update={"temperature": sampling.temperature * truncation})
        with torch.no_grad(), evaluating(self.sampler):
            images: Tensor = self.sampler(labels.to(self.sampler.transformer.starts.device), sampling, seeds)
        return images

    def reconstruct(self, images: Tensor) -> Tensor:
        """Encode and decode images [B, C, H, W] in [-1, 1] by the moving average of the autoencoder."""
        with torch.no_grad(), evaluating(self.sampler):
            reconstructed: Tensor = self.sampler.autoencoder(images)[0]
        return reconstructed

    @property
    def entries(self) -> int:
        """Number of different codes."""
        return len(self.sampler.autoencoder.quantiser.codebook)

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes [B, h, w] of images [B, C, H, W] in [-1, 1]."""
        with torch.no_grad(), evaluating(self.sampler):
            codes: Tensor = self.sampler.autoencoder.encode(images).codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Return images [B, C, H, W] of codes [B, h, w]."""
        with torch.no_grad(), evaluating(self.sampler):
            return self.sampler.decode(codes)

    def complete(self, codes: Tensor, kept: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return codes [B, h, w] of which those where `kept` [h, w] is true stay, and the others are drawn.

        Each is drawn after those before it, row by row from the top: it knows nothing of kept codes behind it.
        """
        known = codes.flatten(1), kept.flatten()
        with torch.no_grad(), evaluating(self.sampler):
            drawn = self.sampler.transformer.sample(labels, self.settings.sampling, seeds, known)
        completed: Tensor = drawn.unflatten(1, self.sampler.shape)
        return completed

    def save(self) -> dict[str, Any]:
        """Return weights and buffers of all parts, and all three optimisers."""
        return {"network": self.network.state_dict()} | {
            f"{name}_adam": adam.state_dict() for name, adam in self._optimisers().items()
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `save`; CheckpointError names the parts that do not fit."""
        refuse_misfit(dict.fromkeys(self.save(), ()), dict.fromkeys(state, ()), "the training state")
        load_module(self.network, state["network"], "the network's state")
        for name, adam in self._optimisers().items():
            load_adam(adam, state[f"{name}_adam"], f"the {name}'s optimiser")

    def _optimisers(self) -> dict[str, Adam]:
        return {
            "autoencoder": self.autoencoder_adam,
            "discriminator": self.discriminator_adam,
            "transformer": self.transformer_adam,
        }

    def _train_autoencoder(self, reals: Sequence[Reals], batch: int, step: int) -> dict[str, Tensor]:
        """Train the autoencoder for one step, then, once it takes part, the discriminator on the same images."""
        is_adversarial = step * batch >= self.settings.lengths[0] * 1000
        _set_rate(self.autoencoder_adam, self.settings.autoencoder_learning_rate * batch)
        loss = self._adversarial_loss if is_adversarial else self._reconstruction_loss
        _, made = self.autoencoder_update.minimise(loss, reals)
        reconstructed, latents, codes = (made.pop(name) for name in ("reconstructed", "latents", "codes"))
        quantiser = self.network.autoencoder.quantiser
        counts = torch.cat(codes).bincount(minlength=len(quantiser.codebook))
        self.network.code_shares.lerp_(counts / counts.sum(), 1 - SHARES_DECAY)
        quantiser.revive(self.network.code_shares, torch.cat(latents))
        distribution.share([quantiser.codebook])
        scalars = means(made) | usage(counts)
        if is_adversarial:
            pairs = list(zip((microbatch.images for microbatch in reals), reconstructed, strict=True))
            scalars |= self._train_discriminator(pairs, batch, step)
        return scalars

    def _compute_in(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype

    def _computing(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass in the type of `_compute_in`: torch chooses the operators for it."""
        device = next(self.network.parameters()).device.type
        return torch.autocast(device, self.dtype, enabled=self.dtype is not None)

    def _reconstruction_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of reconstruction and codebook; other values to be logged, and for what follows.

        "reconstructed": images [B, C, H, W]; "latents" [B, D, h, w]; "codes" [B · h · w].
        """
        with self._computing():
            reconstructed, quantised = self.network.autoencoder(images)
        reconstructed = reconstructed.float()
        pixels = (reconstructed - images).abs().mean()
        looks = self.perceptual(in_colours(reconstructed), in_colours(images))
        total: Tensor = pixels + looks + self.settings.codebook_weight * quantised.loss
        return total, {
            "pixels": pixels,
            "perceptual": looks,
            "codebook": quantised.loss,
            "reconstructed": reconstructed,
            "latents": quantised.latents,
            "codes": quantised.codes.flatten(),
        }

    def _adversarial_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss with the discriminator's (equation 6), and other values as `_reconstruction_loss`."""
        total, others = self._reconstruction_loss(images, labels)
        adversarial = self.loss.generator(self._score(others["reconstructed"]), partial(self._score, images))
        last = self.network.autoencoder.decoder.last.weight
        weight = adaptive_weight(others["pixels"] + others["perceptual"], adversarial, last)
        total = total + self.settings.discriminator_weight * weight * adversarial
        return total, others | {"adversarial": adversarial, "adaptive_weight": weight}

    def _train_discriminator(self, pairs: Sequence[tuple[Tensor, Tensor]], batch: int, step: int) -> dict[str, Tensor]:
        """Train for one step on pairs of images and their reconstructions."""
        _set_rate(self.discriminator_adam, self.settings.autoencoder_learning_rate * batch)
        total, made = self.discriminator_update.minimise(self._discriminator_loss, pairs)
        augmentation = self.network.augmentation
        augmentation.adapt(torch.cat(made.pop("scores")), step, batch)
        return {"discriminator": total, **means(made), **augmentation.scalars()}

    def _discriminator_loss(self, images: Tensor, reconstructed: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and other values to be logged; "scores": logits of the real images."""
        images = images.detach().requires_grad_()
        real, fake = self._score(images), self._score(reconstructed)
        others = {"real_score": real.mean(), "fake_score": fake.mean(), "scores": real}
        total = self.loss.discriminator(real, fake)
        if not self.settings.r1_gamma:
            return total, others
        penalty = self.settings.r1_gamma * losses.r1_penalty(real, [images])
        return total + penalty, others | {"r1": penalty}

    def _train_transformer(self, reals: Sequence[Reals], batch: int) -> dict[str, Tensor]:
        """Train for one step on the likelihood of the codes; return the loss in nats a code (equation 9)."""
        _set_rate(self.transformer_adam, self.settings.transformer_learning_rate * batch)

        total, _ = self.transformer_update.minimise(self._transformer_loss, reals)
        return {"transformer": total}

    def _transformer_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            codes = self.sampler.autoencoder.encode(images).codes.flatten(1)  # B N
        with self._computing():
            logits = self.network.transformer(codes, labels).float()
        return F.cross_entropy(logits.flatten(0, 1), codes.flatten()), {}

    def _score(self, images: Tensor) -> Tensor:
        """Return logits of all patches of all images, augmented, [B · patches]."""
        augmented = self.network.augmentation([images])
        with self._computing():
            logits: Tensor = self.network.discriminator(*augmented)
        return logits.flatten().float()


def means(values: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Return the means of scalars over the microbatches, by name."""
    return {name: torch.stack(list(parts)).mean() for name, parts in values.items()}


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """Return ‖∇ reconstruction‖ / ‖∇ adversarial‖ with respect to the `last` weight of the decoder (equation 7)."""
    slopes = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial))
    steep, other = slopes
    weight: Tensor = (steep / (other + EPSILON)).clamp(max=MAX_ADVERSARIAL_WEIGHT)
    return weight


def decayed(transformer: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters for AdamW in two groups: matrices of linear layers, which decay, and all others."""
    matrices = [part.weight for part in transformer.modules() if isinstance(part, nn.Linear)]
    numbers = set(map(id, matrices))
    others = [parameter for parameter in transformer.parameters() if id(parameter) not in numbers]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _set_rate(adam: Adam, rate: float) -> None:
    for group in adam.param_groups:
        group["lr"] = rate


def _follow(average: nn.Module, source: nn.Module, beta: float) -> None:
    """Move an average towards its source: average := beta · average + (1 − beta) · source."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - beta)
