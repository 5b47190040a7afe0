"""Small coloured pictures, and what a network sees in them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganformer.metrics.extractors.random_vgg16 import model as random_vgg16
from ganformer.metrics.statistics import Observed, Observer

Images = NDArray[np.uint8]
ALL = {"mean", "covariance", "features", "logits"}


def _shapes(count: int, seed: int, size: int = 32) -> Images:
    """Return discs and boxes of a few colours on smooth grounds, uint8 [count, 3, size, size]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    palette = np.array([[200, 30, 30], [30, 200, 30], [40, 40, 210], [220, 220, 40], [200, 40, 200], [30, 200, 200]])
    images = np.empty((count, size, size, 3))
    for image in images:
        top, bottom = random.uniform(60, 160, (2, 3))
        image[:] = top + (bottom - top) * rows[..., None]
        for _ in range(random.integers(2, 6)):
            y, x, radius = random.uniform([0, 0, 0.08], [1, 1, 0.25])
            distance = np.maximum(abs(rows - y), abs(columns - x)), np.hypot(rows - y, columns - x)
            image[distance[random.integers(2)] < radius] = random.choice(palette)
    return images.transpose(0, 3, 1, 2).astype(np.uint8)


def _observe(features: NDArray[np.floating], logits: NDArray[np.floating] | None = None) -> Observed:
    """Return everything that can be known of these features and logits."""
    observer = Observer("images", ALL)
    observer.update(features, np.zeros((len(features), 1)) if logits is None else logits)
    return observer.observed()


@pytest.fixture(scope="session")
def draw_shapes() -> Callable[..., Images]:
    return _shapes


@pytest.fixture(scope="session")
def observe() -> Callable[..., Observed]:
    return _observe


@pytest.fixture(scope="session")
def network() -> random_vgg16.Network:
    return random_vgg16.load(random_vgg16.Config(kind="random-vgg16"), torch.device("cpu"))


@pytest.fixture(scope="session")
def seen(network) -> Callable[[Images], Observed]:
    """Provide what the random VGG16 sees in images."""

    def see(images: Images) -> Observed:
        observer = Observer("images", ALL)
        for part in torch.from_numpy(images).split(25):
            with torch.inference_mode():
                features, logits = network(part)
            observer.update(features.numpy(), logits.numpy())
        return observer.observed()

    return see


@pytest.fixture(scope="session")
def shapes() -> Images:
    """Provide real images: [100, 3, 32, 32]."""
    return _shapes(100, seed=1)


@pytest.fixture(scope="session")
def reals(seen, shapes) -> Observed:
    return seen(shapes)
