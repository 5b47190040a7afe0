"""VGG16 trained on ImageNet: features of improved precision and recall (Kynkäänniemi et al. 2019).

Features are the same as of StyleGAN2-ADA's `vgg16.pt` with `return_features`: of the second fully connected layer,
behind its ReLU, of images that TensorFlow 1's resize brought to 224×224. torchvision's weights give the same:
torch-fidelity's tests find features of both files within 1e-4 of each other.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganformer.metrics import batching, resizing, weights
from ganformer.metrics.extractors.vgg16.settings import TORCHVISION, Config
from ganformer.perceptual import vgg16
from ganformer.perceptual.distance import CONVOLUTIONS

NVIDIA = "vgg16.pt"
SIZE = 224
CPU_BATCH = 8  # images at a time on processors: with 32, which their caches do not hold, it takes 1.1 times as long
BLOCKS = vgg16.BLOCKS
CONNECTED = (0, 3, 6)  # numbers of the fully connected layers in torchvision's `classifier`
FEATURES = 4096
CLASSES = 1000


@dataclass(frozen=True)
class Network:
    """Network that maps images [n, 3, H, W] uint8 to features [n, 4096] and class logits [n, 1000], both float32.

    `blocks` has the convolutions of each block, `layers` the three that are fully connected.
    """

    blocks: Sequence[Sequence[vgg16.Layer]]
    layers: Sequence[tuple[Tensor, Tensor]]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return batching.see_all(self._see, batching.of_images(images, CPU_BATCH))

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (vgg16.MEAN, vgg16.STD))
        x = (resizing.tensorflow(images, SIZE) / 255 - mean) / std
        x = x.contiguous(memory_format=torch.channels_last)
        (x,) = deque(vgg16.activations(x, self.blocks), maxlen=1)
        x = F.max_pool2d(x, 2).flatten(1)
        *hidden, head = self.layers
        for weight, bias in hidden:
            x = F.linear(x, weight, bias).relu_()
        return x, F.linear(x, *head)


def load(config: Config, device: torch.device) -> Network:
    """Return the network, its weights fetched first where the file is missing.

    Raises DataError if they cannot be fetched, CheckpointError if the file is another one.
    """
    state = {name: tensor.to(device) for name, tensor in weights.load(published(), config.weights).items()}
    numbers, blocks = iter(CONVOLUTIONS), []
    for block in BLOCKS:
        names = [f"features.{next(numbers)}" for _ in block]
        blocks.append([_packed(state, name) for name in names])
    layers = [(state[f"classifier.{number}.weight"], state[f"classifier.{number}.bias"]) for number in CONNECTED]
    return Network(blocks, layers)


def _packed(state: Mapping[str, Tensor], name: str) -> vgg16.Layer:
    return state[f"{name}.weight"].contiguous(memory_format=torch.channels_last), state[f"{name}.bias"]


def fetch(config: Config) -> None:
    """Fetch the weights where their file is missing; DataError if they cannot be had."""
    weights.fetch(published(), config.weights)


def published() -> weights.Published:
    """Return the files that hold the network."""
    shapes: dict[str, tuple[int, ...]] = {}
    names: dict[str, str] = {}
    for name, theirs, shape in _layers():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        names |= {f"{name}.{part}": f"layers.{theirs}.{part}" for part in ("weight", "bias")}
    torchvision = weights.File(
        TORCHVISION,
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        (f"https://download.pytorch.org/models/{TORCHVISION}",),
        {name: name for name in shapes},
    )
    nvidia = weights.File(
        NVIDIA,
        "b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
        (f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{NVIDIA}",),
        names,
    )
    return weights.Published("VGG16 as torchvision trained it", (torchvision, nvidia), shapes)


def _layers() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield names of layers in torchvision's and in NVIDIA's file, and the shapes of their weights."""
    inputs, widths = 3, [width for block in BLOCKS for width in block]
    for i, (number, width) in enumerate(zip(CONVOLUTIONS, widths, strict=True), start=1):
        yield f"features.{number}", f"conv{i}", (width, inputs, 3, 3)
        inputs = width
    inputs *= (SIZE >> len(BLOCKS)) ** 2
    for i, (number, width) in enumerate(zip(CONNECTED, (FEATURES, FEATURES, CLASSES), strict=True), start=1):
        yield f"classifier.{number}", f"fc{i}", (width, inputs)
        inputs = width
