"""Batches of a pack for training, in the order of a seed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.data.dataset import Images
from ganformer.data.images import central
from ganformer.data.shuffle import Order


def batch(
    images: Images, order: Order, position: int, count: int, canvas: ImageSpec, mirror: bool
) -> tuple[Tensor, Tensor]:
    """Return images at `position`, …, `position + count - 1` of an order, and their labels.

    uint8 [count, C, H, W] of the canvas (`ImageSpec.canvas`), and one-hot [count, classes]. Of images stored with a
    margin a random window is taken. With `mirror` each image is flipped left to right on the coin of its position.
    """
    indices = order.indices(position, count)
    pixels = images.read(indices)
    if images.image.width > canvas.width:
        rows, columns = images.image.picture
        spare = (images.image.height - rows + 1, images.image.width - columns + 1)
        windows = np.empty((count, images.image.channels, rows, columns), np.uint8)
        for window, image, (top, left) in zip(windows, pixels, order.places(position, count, spare), strict=True):
            window[:] = image[:, top : top + rows, left : left + columns]
        pixels = windows
    if mirror:
        tensor = torch.from_numpy(pixels)  # of the same memory: torch flips four times as fast as numpy
        for number in np.flatnonzero(order.coins(position, count)):
            tensor[number] = tensor[number].flip(-1)
    return torch.from_numpy(filled(pixels, canvas)), torch.from_numpy(images.labels(indices))


def filled(pixels: NDArray[np.uint8], canvas: ImageSpec) -> NDArray[np.uint8]:
    """Return images [n, C, h, W] centred on the canvas: [n, C, H, W], with black bars above and below."""
    missing = canvas.height - pixels.shape[2]
    if not missing:
        return pixels
    whole = np.zeros((*pixels.shape[:2], canvas.height, canvas.width), np.uint8)
    central(whole, pixels.shape[2], canvas.width)[:] = pixels
    return whole
