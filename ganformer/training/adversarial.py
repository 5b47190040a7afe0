"""Adversarial training of a generator against a discriminator, as in StyleGAN2, for every model that does so."""

# B batch, L layers, z latents, w latents of the layers

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ganformer.config import AdversarialSettings
from ganformer.config.ladders import StyleBasedModel, too_many_frozen
from ganformer.errors import ConfigError
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
        freeze_layers(discriminator, settings.frozen_discriminator_layers)
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
            self._discriminating,
            settings.discriminator_learning_rate,
            (settings.beta1, settings.beta2),
            settings.r1_interval if settings.gamma else None,
        )

    @property
    def _discriminating(self) -> list[nn.Parameter]:
        """Parameters of the discriminator that learn."""
        return [parameter for parameter in self.network.discriminator.parameters() if parameter.requires_grad]

    @cached_property
    def _followed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the average and of the generator, which are walked through in every step."""
        return list(self.sampler.parameters()), list(self.network.generator.parameters())

    @cached_property
    def generator_update(self) -> Update:
        """Updates of the generator's parameters."""
        return Update(
            "generator",
            self.network.generator.parameters(),
            self.generator_adam,
            replays=self.replays,
            repairs=self.repairs,
        )

    @cached_property
    def discriminator_update(self) -> Update:
        """Updates of the discriminator's parameters."""
        return Update(
            "discriminator",
            self._discriminating,
            self.discriminator_adam,
            replays=self.replays,
            repairs=self.repairs,
        )

    def step(self, reals: Sequence[Reals], step: int) -> Mapping[str, Tensor]:
        """Update both networks once, with new latents for each microbatch, then the moving average."""
        self._class_means.clear()
        scalars = {"generator": self._play_generator(reals, step)}
        if self.settings.path_length_weight and step % self.settings.path_length_interval == 0:
            scalars["path_length"] = self._regularise_generator(reals)
        scalars |= self._play_discriminator(reals, step)
        if self.settings.gamma and step % self.settings.r1_interval == 0:
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
        generator = self.network.generator
        total, others = self.generator_update.minimise(self._generator_loss, reals)
        generator.track(torch.cat(others["w"]), step)
        distribution.average([generator.w_average])
        return total

    def _generator_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with frozen(self.network.discriminator):
            w, mixed = self._draw(labels)
            fakes = self._score(self.network.generator.scales(mixed), labels)
            return self.loss.generator(fakes, partial(self._score_reals, images, labels)), {"w": w}

    def _play_discriminator(self, reals: Sequence[Reals], step: int) -> dict[str, Tensor]:
        total, others = self.discriminator_update.minimise(self._discriminator_loss, reals)
        scores = {name: torch.cat(parts) for name, parts in others.items()}
        real_scores, shown = scores["real_score"], self.network.augmentation
        shown.adapt(real_scores, step, len(real_scores) * distribution.ranks())
        means = {name: each.mean() for name, each in scores.items()}
        return {"discriminator": total, **means, **shown.scalars()}

    def _discriminator_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        generated = self._generate(labels)
        real, fake = self._score_reals(images, labels), self._score(generated, labels)
        penalty = self._gradient_penalty(images, labels, generated) if self.settings.gradient_penalty else 0.0
        return self.loss.discriminator(real, fake) + penalty, {"real_score": real, "fake_score": fake}

    def _gradient_penalty(self, images: Tensor, labels: Tensor, generated: Sequence[Tensor]) -> Tensor:
        """Return WGAN-GP's penalty between the real images and the generated ones, at the same point for all scales."""
        shares = torch.rand(len(labels), 1, 1, 1, device=labels.device)
        scales = zip(self.network.discriminator.scales(images), generated, strict=True)
        between = [real.lerp(fake, shares).requires_grad_() for real, fake in scales]
        return self.settings.gradient_penalty * losses.gradient_penalty(self._score(between, labels), between)

    def _regularise_generator(self, reals: Sequence[Reals]) -> Tensor:
        """Regularise path lengths (StyleGAN2, equation 4); return the running mean length."""
        self.generator_update.minimise(self._path_length_loss, reals)
        return self.network.path_length_mean.clone()

    def _path_length_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        networks = self.network
        weight = self.settings.path_length_weight * self.settings.path_length_interval
        labels = labels[: max(1, len(labels) // PATH_LENGTH_SHRINK)]
        w = self._draw(labels)[1].requires_grad_()  # also where nothing learned made it
        lengths = losses.path_lengths(networks.generator.synthesise(w), w)
        mean = networks.path_length_mean.lerp(lengths.mean(), PATH_LENGTH_DECAY)
        networks.path_length_mean.copy_(mean.detach())
        return weight * (lengths - mean).square().mean(), {}

    def _regularise_discriminator(self, reals: Sequence[Reals]) -> Tensor:
        """Regularise by R1 (Mescheder et al. 2018, equation 9); return the penalty with γ, without the lazy factor."""
        total, _ = self.discriminator_update.minimise(self._r1_loss, reals)
        return total / self.settings.r1_interval

    def _r1_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        scales = [scale.detach().requires_grad_() for scale in self.network.discriminator.scales(images)]
        penalty = losses.r1_penalty(self._score(scales, labels), scales)
        return self.settings.gamma * self.settings.r1_interval * penalty, {}

    def _score(self, images: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return logits [B] of images at all scales, augmented as the discriminator sees them."""
        logits: Tensor = self.network.discriminator(self.network.augmentation(images), labels)
        return logits

    def _score_reals(self, images: Tensor, labels: Tensor) -> Tensor:
        return self._score(self.network.discriminator.scales(images), labels)

    def _generate(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Generate images at all scales, without a gradient."""
        with torch.no_grad():
            return self.network.generator.scales(self._draw(labels)[1])

    def _draw(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw latents and map them: return w [B, L, …, D] as drawn, and mixed with other draws.

        With some probability the layers, or components, behind a random one are from another draw. One cut for all
        images of a microbatch, as in the official code; no step waits for where it is. All draws are mapped at once.
        """
        generator = self.network.generator
        chances = {1: self.settings.style_mixing, 2: self.settings.component_mixing}
        chances = {dim: probability for dim, probability in chances.items() if probability}
        repeated = labels.repeat(1 + len(chances), 1)
        w, *others = generator.map(generator.latents(len(repeated)), repeated).chunk(1 + len(chances))
        mixed = w
        for (dim, probability), other in zip(chances.items(), others, strict=True):
            mixed = mixed_behind(mixed, other, dim, probability)
        return w, mixed

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


def freeze_layers(discriminator: interfaces.Discriminator, count: int) -> None:
    """Let the layers of the first `count` resolutions keep their weights and buffers (FreezeD, Mo et al. 2020).

    Raises ConfigError if there are not so many.
    """
    resolutions = discriminator.layers_by_resolution()
    if count > len(resolutions):
        raise ConfigError(too_many_frozen(count, len(resolutions)))
    for layer in itertools.chain.from_iterable(resolutions[:count]):
        layer.requires_grad_(False)
        layer.eval()  # the steps of spectral normalisation end, too


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


def mixed_behind(w: Tensor, other: Tensor, dim: int, probability: float) -> Tensor:
    """Return w [B, L, …, D] whose `dim` is, behind a random place, from `other`, with the given probability."""
    count = w.shape[dim]
    if dim == w.ndim - 1 or count == 1:
        return w
    is_mixed = torch.rand((), device=w.device) < probability
    cut = torch.where(is_mixed, torch.randint(1, count, (), device=w.device), count)
    places = torch.arange(count, device=w.device).view(-1, *[1] * (w.ndim - 1 - dim))
    return torch.where(places < cut, w, other)


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
