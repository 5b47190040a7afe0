"""The changes of DiffAugment (Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training")."""

# B batch, C channels, H×W pixels

from collections.abc import Sequence

import torch
from torch import Tensor

from ganformer.training.augmentations.change import Change, Draws, Frame
from ganformer.training.augmentations.corruption import cut
from ganformer.training.augmentations.geometry import translated


class Colour(Change):
    """Brightness ± 0.5 at most, saturation times 0 to 2, contrast times 0.5 to 1.5; opacity stays as it is."""

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        brightness = draws.uniform(-0.5, 0.5, 1, 1, 1)
        saturation = draws.uniform(0, 2, 1, 1, 1)
        contrast = draws.uniform(0.5, 1.5, 1, 1, 1)
        return tuple(
            _recoloured(image, *(value.to(image.dtype) for value in (brightness, saturation, contrast)))
            for image in images
        )


def _recoloured(image: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    if image.shape[1] > 3:
        return torch.cat([_recoloured(image[:, :3], brightness, saturation, contrast), image[:, 3:]], dim=1)
    image = image + brightness
    image = image.mean(dim=1, keepdim=True).lerp(image, saturation)
    return image.mean(dim=(1, 2, 3), keepdim=True).lerp(image, contrast)


class Translation(Change):
    """Translation by whole pixels of the finest scale, at most an eighth of width and height; zeros move in."""

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        frame = Frame.of(images)
        across, down = (draws.whole(-(size // 8), size // 8) for size in (frame.width, frame.height))
        return tuple(translated(image, across, down, frame) for image in images)


class Cutout(Change):
    """A rectangle of half the width and half the height becomes 0; its centre is any corner between pixels."""

    def forward(self, images: Sequence[Tensor], draws: Draws) -> tuple[Tensor, ...]:
        frame = Frame.of(images)
        columns, rows = (_span(size, draws) for size in (frame.width, frame.height))
        return tuple(cut(image, columns, rows, frame) for image in images)


def _span(size: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return first pixel and end, [B], of half of an axis of `size` pixels; it may exceed the edge."""
    length = size // 2
    first = draws.whole(0, size - length % 2) - length // 2
    return first, first + length
