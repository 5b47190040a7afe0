"""Few images at a time, where that is faster or where more would not fit into memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Pixels at a time of a network that looks at images in their own size. On processors, as many as their caches hold in
# part: 8 images of 256×256. On GPUs, so many that 64 channels of each, as VGG16 begins with, take 2 GB.
CPU_PIXELS = 2**19
GPU_PIXELS = 2**23


def of_images(images: Tensor, count: int) -> Sequence[Tensor]:
    """Return images [n, ...] in batches of `count` on processors, else all of them as one."""
    return images.split(count) if images.device.type == "cpu" else [images]


def of_pixels(images: Tensor) -> Sequence[Tensor]:
    """Return images [n, C, H, W] in batches of so few that their activations fit into memory, whatever their size."""
    most = CPU_PIXELS if images.device.type == "cpu" else GPU_PIXELS
    batches: Sequence[Tensor] = images.split(max(1, most // (images.shape[-2] * images.shape[-1])))
    return batches


def see_all(see: Callable[[Tensor], tuple[Tensor, Tensor]], batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return features and logits that `see` computes of the images of all batches."""
    features, logits = zip(*(see(batch) for batch in batches), strict=True)
    return torch.cat(features), torch.cat(logits)
