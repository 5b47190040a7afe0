"""The Inception network of 2015, whose features define FID (Heusel et al. 2017) and the inception score.

Equal to TensorFlow's `classify_image_graph_def.pb`, which differs from other Inception-v3 networks: 1008 classes,
averages that leave out the padding, a maximum instead of an average in the last block, and the resize of TensorFlow 1.
Modules have the tensor names of the file of weights, the one that pytorch-fid and torch-fidelity use.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganformer import artifacts
from ganformer.config import Extractor
from ganformer.data import download
from ganformer.errors import CheckpointError, DataError

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 299
CLASSES = 1008


class Config(Extractor):
    """The Inception network of 2015; distances of its features are called FID and compare with published ones."""

    weights: Path = Path("results/weights/pt_inception-2015-12-05-6726825d.pth")
    """File of the weights; fetched from the web where it is missing (96 MB)."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file of weights."""
        return (self.weights,)


def load(config: Config, device: torch.device) -> "Network":
    """The network with the weights of 2015, fetched first where the file is missing.

    Raises DataError where they cannot be fetched, CheckpointError where the file is another one.
    """
    fetch(config)
    found = artifacts.file_digest(config.weights)
    if found != SHA256:
        raise CheckpointError(
            f"{config.weights}: is not the Inception network of 2015 (sha256 {found}, expected {SHA256}); "
            "delete it to have it fetched again, or correct evaluation.extractor.weights"
        )
    return network(torch.load(config.weights, map_location="cpu", weights_only=True), device)


def network(state: Mapping[str, Tensor], device: torch.device) -> "Network":
    """The network with these weights, ready to be called."""
    with torch.device("meta"):  # no memory and no random numbers for values that are replaced at once
        built = Network()
    built.load_state_dict(dict(state), assign=True)
    return built.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def fetch(config: Config) -> None:
    """Fetches the weights where their file is missing; DataError where they cannot be had."""
    path = config.weights
    if path.exists():
        return
    try:
        download.fetch(download.Remote(path.name, (URL,), sha256=SHA256), path.parent)
    except DataError as error:
        raise DataError(
            f"{error}\nThese are the weights of the Inception network; if you have them elsewhere, name their place in "
            "evaluation.extractor.weights"
        ) from error


# ----------------------------------------------------------------------------------------------- the network


class Conv(NamedTuple):
    """A convolution, padded to keep the size where its stride is 1."""

    channels: int
    rows: int = 1
    columns: int = 1
    stride: int = 1

    @property
    def padding(self) -> tuple[int, int]:
        """Rows and columns of zeros on each side."""
        return (self.rows // 2, self.columns // 2) if self.stride == 1 else (0, 0)


# What one path of a block does, one stage after another; the convolutions of a stage see the same input.
Stages = Sequence[Sequence[Conv]]
Pool = Callable[[Tensor], Tensor]

average: Pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
maximum: Pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
halve: Pool = partial(F.max_pool2d, kernel_size=3, stride=2)


class Convolution(nn.Module):
    """Convolution, batch normalisation with stored statistics, ReLU."""

    def __init__(self, inputs: int, spec: Conv, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, spec.channels, (spec.rows, spec.columns), spec.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(spec.channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Paths side by side over one input, the last of them a pooling; their channels are concatenated.

    `paths` maps the name that a path has in the file of weights to its stages, `pooled` likewise for the convolution
    behind the pooling, if any.
    """

    def __init__(self, inputs: int, paths: Mapping[str, Stages], pool: Pool, pooled: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.wiring = [self._add(name, inputs, path) for name, path in paths.items()]
        self.pooled = self._add("branch_pool", inputs, [[Conv(pooled)]] if pooled else [])

    def _add(self, name: str, inputs: int, path: Stages) -> list[list[str]]:
        """Makes the modules of a path; returns their names by stage."""
        wiring = []
        for i, stage in enumerate(path, start=1):
            stem = f"{name}_{i}" if len(path) > 1 else name
            wiring.append([stem + letter for letter in ("ab" if len(stage) > 1 else ("",))])
            for module, spec in zip(wiring[-1], stage, strict=True):
                self.add_module(module, Convolution(inputs, spec, spec.padding))
            inputs = stage[0].channels
        return wiring

    def _walk(self, x: Tensor, path: list[list[str]]) -> list[Tensor]:
        outputs = [x]
        for stage in path:
            outputs = [self.get_submodule(module)(outputs[0]) for module in stage]
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        outputs = [output for path in self.wiring for output in self._walk(x, path)]
        return torch.cat([*outputs, *self._walk(self.pool(x), self.pooled)], dim=1)


def mixed_5(inputs: int, pooled: int) -> Mixed:
    """35×35 blocks."""
    paths = {
        "branch1x1": [[Conv(64)]],
        "branch5x5": [[Conv(48)], [Conv(64, 5, 5)]],
        "branch3x3dbl": [[Conv(64)], [Conv(96, 3, 3)], [Conv(96, 3, 3)]],
    }
    return Mixed(inputs, paths, average, pooled)


def mixed_6a(inputs: int) -> Mixed:
    """From 35×35 to 17×17."""
    paths = {
        "branch3x3": [[Conv(384, 3, 3, stride=2)]],
        "branch3x3dbl": [[Conv(64)], [Conv(96, 3, 3)], [Conv(96, 3, 3, stride=2)]],
    }
    return Mixed(inputs, paths, halve)


def mixed_6(inputs: int, c: int) -> Mixed:
    """17×17 blocks with `c` channels inside."""
    paths = {
        "branch1x1": [[Conv(192)]],
        "branch7x7": [[Conv(c)], [Conv(c, 1, 7)], [Conv(192, 7, 1)]],
        "branch7x7dbl": [[Conv(c)], [Conv(c, 7, 1)], [Conv(c, 1, 7)], [Conv(c, 7, 1)], [Conv(192, 1, 7)]],
    }
    return Mixed(inputs, paths, average, pooled=192)


def mixed_7a(inputs: int) -> Mixed:
    """From 17×17 to 8×8."""
    paths = {
        "branch3x3": [[Conv(192)], [Conv(320, 3, 3, stride=2)]],
        "branch7x7x3": [[Conv(192)], [Conv(192, 1, 7)], [Conv(192, 7, 1)], [Conv(192, 3, 3, stride=2)]],
    }
    return Mixed(inputs, paths, halve)


def mixed_7(inputs: int, pool: Pool) -> Mixed:
    """8×8 blocks."""
    fan = [Conv(384, 1, 3), Conv(384, 3, 1)]
    paths = {
        "branch1x1": [[Conv(320)]],
        "branch3x3": [[Conv(384)], fan],
        "branch3x3dbl": [[Conv(448)], [Conv(384, 3, 3)], fan],
    }
    return Mixed(inputs, paths, pool, pooled=192)


class Network(nn.Module):
    """Called with images [n, 3, H, W] uint8, gives features [n, 2048] and class logits [n, 1008], both float32.

    The logits leave out the bias, as the original code of the inception score does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, Conv(32, 3, 3, stride=2), padding=(0, 0))
        self.Conv2d_2a_3x3 = Convolution(32, Conv(32, 3, 3), padding=(0, 0))
        self.Conv2d_2b_3x3 = Convolution(32, Conv(64, 3, 3), padding=(1, 1))
        self.Conv2d_3b_1x1 = Convolution(64, Conv(80), padding=(0, 0))
        self.Conv2d_4a_3x3 = Convolution(80, Conv(192, 3, 3), padding=(0, 0))
        self.Mixed_5b = mixed_5(192, pooled=32)
        self.Mixed_5c = mixed_5(256, pooled=64)
        self.Mixed_5d = mixed_5(288, pooled=64)
        self.Mixed_6a = mixed_6a(288)
        self.Mixed_6b = mixed_6(768, 128)
        self.Mixed_6c = mixed_6(768, 160)
        self.Mixed_6d = mixed_6(768, 160)
        self.Mixed_6e = mixed_6(768, 192)
        self.Mixed_7a = mixed_7a(768)
        self.Mixed_7b = mixed_7(1280, average)
        self.Mixed_7c = mixed_7(2048, maximum)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = (resize(images.float()) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halve(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halve(x))))  # n 288 35 35
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # n 768 17 17
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # n 2048 8 8
        features = x.mean(dim=(2, 3))
        return features, features @ self.fc.weight.T


def resize(images: Tensor) -> Tensor:
    """TensorFlow 1's `resize_bilinear` to 299×299: pixel i lies at i × in/out, without half-pixel centres.

    [n, C, H, W] -> [n, C, 299, 299], both float32.
    """
    return _interpolate(_interpolate(images, dim=3), dim=2)


def _interpolate(x: Tensor, dim: int) -> Tensor:
    size = x.shape[dim]
    position = torch.arange(SIZE, device=x.device) * torch.tensor(size / SIZE, device=x.device)
    low = position.long()
    fraction = (position - low).unflatten(0, (SIZE,) if dim == 3 else (SIZE, 1))
    before, after = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=size - 1))
    return before + (after - before) * fraction
