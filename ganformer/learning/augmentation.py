"""Augmentation of the images that the discriminator sees, against overfitting of small data sets."""

# B batch, C channels, H×W pixels

from collections.abc import Collection, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ganformer import config
from ganformer.learning import distribution
from ganformer.learning.augmentations import differentiable, geometry
from ganformer.learning.augmentations.change import Change, Draws
from ganformer.learning.augmentations.colour import Colour
from ganformer.learning.augmentations.corruption import Cutout, Noise
from ganformer.learning.augmentations.frequency import BandFilter


class Augmentation(nn.Module):
    """Makes random changes one after another, the same for an image at every scale; without changes, none.

    Twice differentiable, since R1 looks through it. Randomness comes from torch's default generator of the images'
    device, which is never waited for.
    """

    probability: Tensor

    def __init__(self, changes: Iterable[Change]) -> None:
        super().__init__()
        self.changes = nn.ModuleList(changes)
        self.register_buffer("probability", torch.ones(()), persistent=False)

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Change images, given at several scales, the finest last, each [B, C, H, W] in [-1, 1] → same shapes."""
        draws = Draws(len(images[-1]), images[-1].device, self.probability)
        for change in self.changes:
            images = change(images, draws)
        return tuple(images)

    def adapt(self, real_scores: Tensor, step: int, batch: int) -> None:
        """Adapt to how well the discriminator knows the real images; called once a step, on every rank.

        `real_scores` [B]: logits of this rank's real images; `step`: number of finished steps; `batch`: real images of
        this step over all ranks. Here nothing follows.
        """

    def scalars(self) -> dict[str, Tensor]:
        """Return scalars to be logged, on their device; here none."""
        return {}


class AdaptiveAugmentation(Augmentation):
    """ADA makes each change with a probability that follows the discriminator's overfitting (Karras et al. 2020).

    Overfitting shows in r_t, the mean sign of the scores of real images (equation 1); the probability rises by a fixed
    amount where it is above its target, else falls. It stays in [0, 1] (the official code has no upper bound; what is
    above 1 there acts as 1, but takes as long to come down again).
    """

    sign_sum: Tensor
    score_count: Tensor

    def __init__(self, changes: Iterable[Change], settings: config.Ada) -> None:
        super().__init__(changes)
        self.settings = settings
        for name in ("probability", "sign_sum", "score_count"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def adapt(self, real_scores: Tensor, step: int, batch: int) -> None:
        """Count signs, and change the probability every few steps."""
        signs = real_scores.sign().mean(dtype=torch.float32)
        distribution.average([signs])  # at once, since the buffers of all ranks are made alike after every step
        self.sign_sum += signs
        self.score_count += 1
        if (step + 1) % self.settings.interval == 0:
            self._move(batch * self.settings.interval / (self.settings.kimg * 1000))

    def scalars(self) -> dict[str, Tensor]:
        """Return the probability, on its device."""
        return {"augmentation_probability": self.probability.clone()}

    def _move(self, amount: float) -> None:
        excess = self.sign_sum / self.score_count - self.settings.target
        self.probability.add_(amount * excess.sign()).clamp_(0, 1)
        self.sign_sum.zero_()
        self.score_count.zero_()


def make(settings: config.AnyAugmentation) -> Augmentation:
    """Return the augmentation of these settings."""
    match settings:
        case config.Ada():
            return AdaptiveAugmentation(_adaptive_changes(settings.transforms), settings)
        case config.DiffAugment():
            return Augmentation(DIFFERENTIABLE[name]() for name in settings.policy)
        case config.NoAugmentation():
            return Augmentation([])


DIFFERENTIABLE: dict[str, type[Change]] = {
    "colour": differentiable.Colour,
    "translation": differentiable.Translation,
    "cutout": differentiable.Cutout,
}


def _adaptive_changes(groups: Collection[str]) -> Iterator[Change]:
    """Yield changes in the paper's order; blitting and geometry are one, so that an image is resampled once."""
    steps = {"blitting": geometry.BLITTING, "geometry": geometry.GENERAL}
    moving = [step for name, members in steps.items() if name in groups for step in members]
    if moving:
        yield geometry.Geometry(moving)
    others: dict[str, type[Change]] = {"colour": Colour, "filter": BandFilter, "noise": Noise, "cutout": Cutout}
    yield from (change() for name, change in others.items() if name in groups)
