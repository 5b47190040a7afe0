"""Adversarial training of a generator against a discriminator, as in StyleGAN2, for every model that does so."""

# B batch, L layers, z latents, w latents of the layers

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ganformer.config import AdversarialSettings
from ganformer.config.ladders import StyleBasedModel
from ganformer.nn import interfaces
from ganformer.nn.layers import clamp_activations
from ganformer.seeds import mix
from ganformer.training import augmentation, distribution, losses
from ganformer.training.augmentation import Augmentation
from ganformer.training.buffers import ChangedBuffers
from ganformer.training.learner import Learner, Reals
from ganformer.training.samples import latents
from ganformer.training.state import load_adam, load_module, refuse_misfit
from ganformer.training.update import Update, frozen

PATH_LENGTH_DECAY = 0.01  # step of the running mean path length, per computed microbatch (StyleGAN2)
PATH_LENGTH_SHRINK = 2  # path lengths are computed for this part of a batch (StyleGAN2)
CLASS_LATENTS = 4096  # latents in the mean of w of a class, the same for all classes
CLASS_MICROBATCH = 512  # latents at a time


class Networks(nn.Module):
    """All state that is saved: both networks, augmentation, moving average of the generator, mean path length."""

    path_length_mean: Tensor

    def __init__(
        self, generator: interfaces.Generator, discriminator: interfaces.Discriminator, augmentation: Augmentation
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.augmentation = augmentation
        self.sampler = copy.deepcopy(generator).eval().requires_grad_(False)
        self.register_buffer("path_length_mean", torch.zeros(()))


class Adversarial(Learner):
    """Trains `generator` against `discriminator`.

    R1 and path-length regularisation are updates of their own every few steps (lazy regularisation, StyleGAN2 section
    3.1); images are sampled from a moving average of the generator. Generated images have the labels of the real ones.
    """

    network: Networks
    sampler: interfaces.Generator

    def __init__(
        self, generator: interfaces.Generator, discriminator: interfaces.Discriminator, settings: AdversarialSettings
    ) -> None:
        self.settings = settings
        self.loss = losses.LOSSES[settings.loss]
        self.network = Networks(generator, discriminator, augmentation.make(settings.augmentation))
        self.sampler = self.sampling_generator = self.network.sampler
        self.truncation_mean = "class"
        self._class_means: dict[int, Tensor] = {}
        self._changed = ChangedBuffers(generator)

    # Made when first used: the first optimiser of a process imports torch._dynamo, which takes longer than sampling a
    # small run.
    @cached_property
    def generator_adam(self) -> Adam:
        """Optimiser of the generator."""
        settings = self.settings
        interval = settings.path_length_interval
        return lazy_adam(
            self.network.generator.parameters(),
            settings.generator_learning_rate,
            (settings.beta1, settings.beta2),
            interval if settings.path_length_weight or settings.generator_correction else None,
        )

    @cached_property
    def discriminator_adam(self) -> Adam:
        """Optimiser of the discriminator."""
        settings = self.settings
        return lazy_adam(
            self.network.discriminator.parameters(),
            settings.discriminator_learning_rate,
            (settings.beta1, settings.beta2),
            settings.r1_interval if settings.r1_gamma else None,
        )

    @cached_property
    def _followed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the average and of the generator, which are walked through in every step."""
        return list(self.sampler.parameters()), list(self.network.generator.parameters())

    @cached_property
    def generator_update(self) -> Update:
        """Updates of the generator's parameters."""
        return Update("generator", self.network.generator.parameters(), self.generator_adam)

    @cached_property
    def discriminator_update(self) -> Update:
        """Updates of the discriminator's parameters."""
        return Update("discriminator", self.network.discriminator.parameters(), self.discriminator_adam)

    def step(self, reals: Sequence[Reals], step: int) -> Mapping[str, Tensor]:
        """Update both networks once, with new latents for each microbatch, then the moving average."""
        self._class_means.clear()
        scalars = {"generator": self._play_generator(reals, step)}
        if self.settings.path_length_weight and step % self.settings.path_length_interval == 0:
            scalars["path_length"] = self._regularise_generator(reals)
        scalars |= self._play_discriminator(reals, step)
        if self.settings.r1_gamma and step % self.settings.r1_interval == 0:
            scalars["r1"] = self._regularise_discriminator(reals)
        batch = sum(len(microbatch.images) for microbatch in reals) * distribution.ranks()
        self._follow(average_beta(self.settings, batch, seen=step * batch))
        return scalars

    def sample(self, labels: Tensor, seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Return images of the moving average; `truncation` ψ < 1 moves w towards its mean (StyleGAN, section B).

        With classes it is the mean of the image's class, unless `truncation_mean` is "global".
        """
        sampler = self.sampler
        device = sampler.w_average.device
        z = latents(sampler.latent_shape, seeds).to(device)
        with torch.no_grad(), evaluating(sampler), noise_from(seeds[0], device):
            w = sampler.map(z, labels.to(device))
            if truncation != 1:
                w = sampler.truncate(w, truncation, self._means(labels))
            images: Tensor = sampler.synthesise(w)
        return images

    def save(self) -> dict[str, Any]:
        """Return weights and buffers of both networks and of the average, and both optimisers."""
        return {
            "network": self.network.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "discriminator_adam": self.discriminator_adam.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `save`; CheckpointError names the parts that do not fit."""
        refuse_misfit(dict.fromkeys(self.save(), ()), dict.fromkeys(state, ()), "the training state")
        self._class_means.clear()
        load_module(self.network, state["network"], "the network's state")
        load_adam(self.generator_adam, state["generator_adam"], "the generator's optimiser")
        load_adam(self.discriminator_adam, state["discriminator_adam"], "the discriminator's optimiser")

    def _means(self, labels: Tensor) -> Tensor | None:
        """Return the mean of w of the class of every image, [n, w_size]; None if one mean serves all."""
        if self.truncation_mean == "global" or not labels.shape[1]:
            return None
        numbers = labels.argmax(dim=1).tolist()
        for number, label in zip(numbers, labels, strict=True):
            if number not in self._class_means:
                self._class_means[number] = class_mean(self.sampler, label)
        return torch.stack([self._class_means[number] for number in numbers])

    def _play_generator(self, reals: Sequence[Reals], step: int) -> Tensor:
        networks, mapped = self.network, []

        def loss(microbatch: Reals) -> Tensor:
            w = self._map(microbatch.labels)
            mapped.append(w.detach())
            fakes = self._score(networks.generator.scales(self._mix(w, microbatch.labels)), microbatch.labels)
            return self.loss.generator(fakes, partial(self._score_reals, microbatch))

        with frozen(networks.discriminator):
            total = self.generator_update.minimise(loss, reals)
        networks.generator.track(torch.cat(mapped), step)
        distribution.average([networks.generator.w_average])
        return total

    def _play_discriminator(self, reals: Sequence[Reals], step: int) -> dict[str, Tensor]:
        scores: dict[str, list[Tensor]] = {"real_score": [], "fake_score": []}

        def loss(microbatch: Reals) -> Tensor:
            generated = self._generate(microbatch.labels)
            real, fake = self._score_reals(microbatch), self._score(generated, microbatch.labels)
            scores["real_score"].append(real.detach())
            scores["fake_score"].append(fake.detach())
            penalty = self._gradient_penalty(microbatch, generated) if self.settings.gradient_penalty else 0.0
            return self.loss.discriminator(real, fake) + penalty

        total = self.discriminator_update.minimise(loss, reals)
        joined = {name: torch.cat(parts) for name, parts in scores.items()}
        real_scores, shown = joined["real_score"], self.network.augmentation
        shown.adapt(real_scores, step, len(real_scores) * distribution.ranks())
        means = {name: each.mean() for name, each in joined.items()}
        return {"discriminator": total, **means, **shown.scalars()}

    def _gradient_penalty(self, microbatch: Reals, generated: Sequence[Tensor]) -> Tensor:
        """Return WGAN-GP's penalty between the real images and the generated ones, at the same point for all scales."""
        shares = torch.rand(len(microbatch.labels), 1, 1, 1, device=microbatch.labels.device)
        scales = zip(self.network.discriminator.scales(microbatch.images), generated, strict=True)
        between = [real.lerp(fake, shares).requires_grad_() for real, fake in scales]
        return self.settings.gradient_penalty * losses.gradient_penalty(
            self._score(between, microbatch.labels), between
        )

    def _regularise_generator(self, reals: Sequence[Reals]) -> Tensor:
        """Regularise path lengths (StyleGAN2, equation 4); return the running mean length."""
        networks = self.network
        weight = self.settings.path_length_weight * self.settings.path_length_interval

        def loss(microbatch: Reals) -> Tensor:
            labels = microbatch.labels[: max(1, len(microbatch.labels) // PATH_LENGTH_SHRINK)]
            w = self._mix(self._map(labels), labels).requires_grad_()  # also where nothing learned made it
            lengths = losses.path_lengths(networks.generator.synthesise(w), w)
            mean = networks.path_length_mean.lerp(lengths.mean(), PATH_LENGTH_DECAY)
            networks.path_length_mean = mean.detach()
            return weight * (lengths - mean).square().mean()

        self.generator_update.minimise(loss, reals)
        return networks.path_length_mean.clone()

    def _regularise_discriminator(self, reals: Sequence[Reals]) -> Tensor:
        """Regularise by R1 (Mescheder et al. 2018, equation 9); return the penalty with γ, without the lazy factor."""

        def loss(microbatch: Reals) -> Tensor:
            scales = [scale.detach().requires_grad_() for scale in self.network.discriminator.scales(microbatch.images)]
            penalty = losses.r1_penalty(self._score(scales, microbatch.labels), scales)
            return self.settings.r1_gamma * self.settings.r1_interval * penalty

        return self.discriminator_update.minimise(loss, reals) / self.settings.r1_interval

    def _score(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return logits [B] of images at all scales, augmented as the discriminator sees them."""
        logits: Tensor = self.network.discriminator(self.network.augmentation(images), labels)
        return logits

    def _score_reals(self, microbatch: Reals) -> Tensor:
        return self._score(self.network.discriminator.scales(microbatch.images), microbatch.labels)

    def _generate(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Generate images at all scales, without a gradient."""
        with torch.no_grad():
            return self.network.generator.scales(self._mix(self._map(labels), labels))

    def _map(self, labels: Tensor) -> Tensor:
        generator = self.network.generator
        w: Tensor = generator.map(generator.latents(len(labels)), labels)
        return w

    def _mix(self, w: Tensor, labels: Tensor) -> Tensor:
        """Mix latents: with some probability the layers, or components, behind a random one get other latents.

        One cut for all images of a microbatch, as in the official code; drawn on the CPU, so that no step waits for the
        device.
        """
        for dim, probability in ((1, self.settings.style_mixing), (2, self.settings.component_mixing)):
            count = w.shape[dim]
            if dim < w.ndim - 1 and count > 1 and torch.rand(()) < probability:
                cut = int(torch.randint(1, count, ()))
                other = self._map(labels)
                w = torch.cat([w.narrow(dim, 0, cut), other.narrow(dim, cut, count - cut)], dim=dim)
        return w

    def _follow(self, beta: float) -> None:
        """Move the average towards the generator; buffers are copied."""
        with torch.no_grad():
            torch._foreach_lerp_(*self._followed, 1 - beta)
            for name, buffer in self._changed():
                self.sampler.get_buffer(name).copy_(buffer)


def make_learner(
    config: StyleBasedModel, generator: interfaces.Generator, discriminator: interfaces.Discriminator
) -> Adversarial:
    """Return the learner of two networks, whose activations are limited by `activation_clamp`."""
    for network in (generator, discriminator):
        clamp_activations(network, config.activation_clamp)
    return Adversarial(generator, discriminator, config.adversarial)


def lazy_adam(
    parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], interval: int | None
) -> Adam:
    """Return Adam corrected for interval + 1 updates instead of interval (StyleGAN2, appendix B).

    `interval`: steps from one regularising update to the next; None: no correction.
    """
    share = interval / (interval + 1) if interval else 1.0
    return Adam(parameters, lr=rate * share, betas=(betas[0] ** share, betas[1] ** share), eps=1e-8, fused=True)


def class_mean(sampler: interfaces.Generator, label: Tensor) -> Tensor:
    """Return the mean of w [w_size] of one class, over layers, components and the same 4,096 latents each time.

    It is computed, not tracked in training, so that all weights have it, imported ones as well. `label` [classes];
    `sampler` is in evaluation mode.
    """
    device = sampler.w_average.device
    everything = torch.randn(CLASS_LATENTS, *sampler.latent_shape, generator=torch.Generator().manual_seed(0))
    means = []
    for z in everything.split(CLASS_MICROBATCH):
        w = sampler.map(z.to(device), label.to(device).expand(len(z), -1))
        means.append(w.flatten(end_dim=-2).mean(dim=0))
    return torch.stack(means).mean(dim=0)


def average_beta(settings: AdversarialSettings, batch: int, seen: int) -> float:
    """Return the factor of the moving average for one more batch after `seen` images."""
    half_life = settings.ema_kimg * 1000
    if settings.ema_rampup is not None:
        half_life = min(half_life, seen * settings.ema_rampup)
    return float(0.5 ** (batch / half_life)) if half_life else 0.0


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` into evaluation mode inside the context."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@contextmanager
def noise_from(seed: int, device: torch.device) -> Iterator[None]:
    """Start torch's default generators from `seed` inside the context, and restore them afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mix(seed, "noise"))
        yield
