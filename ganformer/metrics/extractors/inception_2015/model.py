"""The Inception network of 2015, whose features define FID (Heusel et al. 2017) and the inception score.

Equal to TensorFlow's `classify_image_graph_def.pb`, which differs from other Inception-v3 networks: 1008 classes,
averages that leave out the padding, a maximum instead of an average in the last block, and the resize of TensorFlow 1.
Modules have the tensor names of the file of weights that pytorch-fid and torch-fidelity use.

Spatial features are as in sFID (Nash et al. 2021), which sees where in the image things are: the first 7 channels of
`mixed_6/conv:0` at 17×17 places, as OpenAI's evaluator of guided diffusion takes them. In the graph `mixed_6` is the
block `Mixed_6d`, and `mixed_6/conv` ends its path of a 1×1 convolution: the convolution itself is the operation
`mixed_6/conv/Conv2D`, the normalisation `mixed_6/conv/batchnorm`, and the operation with the path's own name comes
behind them and the ReLU. Hence it is also the beginning of what the block concatenates.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from ganformer.metrics import batching, resizing, weights
from ganformer.metrics.extractors.inception_2015.settings import PYTORCH_FID, Config, Features
from ganformer.training.state import Shapes, shapes

NVIDIA = "inception-2015-12-05.pt"
SIZE = 299
# Images at a time on processors. The first layers make so much of an image that caches hold few; of what the blocks
# make they hold more, and each batch costs reading all weights.
CPU_FIRST_BATCH = 4
CPU_BATCH = 16
CLASSES = 1008
CHANNELS = 7  # of the spatial features, which are 7 · 17 · 17 = 2023 then, about as many as the others


# Names of a convolution's tensors here and in NVIDIA's file.
TENSORS = {"conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}


def _in_the_graph(resize: Callable[[Tensor, int], Tensor], images: Tensor) -> Tensor:
    """Normalise resized images as TensorFlow's graph does: x / 128 − 1."""
    return resize(images, SIZE).sub_(128).div_(128)


# Images uint8 [n, 3, H, W] -> input of the first convolution [n, 3, 299, 299].
INPUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tensorflow": partial(_in_the_graph, resizing.tensorflow),
    "clean": partial(_in_the_graph, resizing.clean),
    "pytorch-fid": lambda images: resizing.pytorch_fid(images, SIZE).mul_(2).sub_(1),  # x / 127.5 − 1
}


def load(config: Config, device: torch.device) -> "Network":
    """Return the network with the weights of 2015, fetched first where the file is missing.

    Raises DataError if they cannot be fetched, CheckpointError if the file is another one.
    """
    return network(weights.load(published(), config.weights), device, config.resize, config.features)


def fetch(config: Config) -> None:
    """Fetch the weights where their file is missing; DataError if they cannot be had."""
    weights.fetch(published(), config.weights)


def network(
    state: Mapping[str, Tensor], device: torch.device, resize: str = "tensorflow", features: Features = "pool"
) -> "Network":
    """Return the network with these weights. Scales of normalisations may be missing: they are 1."""
    with torch.device("meta"):  # no memory and no random numbers for values that are replaced at once
        built = Network(resize, features)
    factors = {name: torch.ones(shape) for name, shape in expected().items() if name.endswith("bn.weight")}
    built.load_state_dict({**factors, **state}, assign=True)
    for module in built.eval().requires_grad_(False).modules():
        if isinstance(module, Convolution):
            module.fold()
    moved: Network = built.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def expected() -> Shapes:
    """Return shapes of the weights by their names."""
    with torch.device("meta"):
        found = shapes(Network().state_dict())
    return {name: shape for name, shape in found.items() if not name.endswith("num_batches_tracked")}


def published() -> weights.Published:
    """Return the files that hold the network, both made from TensorFlow's."""
    pytorch_fid = weights.File(
        PYTORCH_FID,
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        (
            f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{PYTORCH_FID}",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
        ),
        {name: name for name in expected()},
    )
    nvidia = weights.File(
        NVIDIA,
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        (f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{NVIDIA}",),
        _nvidia_names(),
    )
    return weights.Published("the Inception network of 2015", (pytorch_fid, nvidia), expected())


def _nvidia_names() -> dict[str, str]:
    """Return NVIDIA's names of tensors by those here: TensorFlow's, without factors, which are all 1 there."""
    with torch.device("meta"):
        children = list(Network().named_children())
    convolutions = (name for name, module in children if isinstance(module, Convolution))
    blocks = ((name, module) for name, module in children if isinstance(module, Mixed))
    names = {name: _numbered("conv", i) for i, name in enumerate(convolutions)}
    for i, (name, block) in enumerate(blocks):
        names |= {f"{name}.{ours}": f"{_numbered('mixed', i)}.{theirs}" for ours, theirs in _nvidia_paths(block)}
    tensors = {f"{o}.{ours}": f"layers.{t}.{theirs}" for o, t in names.items() for ours, theirs in TENSORS.items()}
    return {**tensors, "fc.weight": "output.weight", "fc.bias": "output.bias"}


def _nvidia_paths(block: "Mixed") -> Iterator[tuple[str, str]]:
    """Yield names of a block's convolutions here and in NVIDIA's file, where several paths in one are towers."""
    has_fans = any(len(stage) > 1 for path in block.wiring for stage in path)
    towers = 0
    for path in (*block.wiring, block.pooled):
        tower = ""
        if len(path) > 1 or path is block.pooled:
            tower = _numbered("tower", towers) + ("_" if has_fans else ".")
            towers += 1
        for i, stage in enumerate(path):
            if len(stage) > 1:
                yield from ((name, tower + _numbered("mixed_conv", j)) for j, name in enumerate(stage))
            else:
                yield stage[0], tower + _numbered("conv", i)


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


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
    """Convolution and batch normalisation with stored statistics; the ReLU is left to what calls it."""

    def __init__(self, inputs: int, spec: Conv, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, spec.channels, (spec.rows, spec.columns), spec.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(spec.channels, eps=0.001)

    def fold(self) -> None:
        """Let the convolution do the normalisation's work too: a twelfth less time, differences of 3e-7."""
        self.conv = fuse_conv_bn_eval(self.conv, self.bn)
        self.bn = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.bn(self.conv(x))
        return seen


class Mixed(nn.Module):
    """Paths side by side over one input, the last of them a pooling; their channels are concatenated.

    `paths` maps the name that a path has in the file of weights to its stages, `pooled` likewise for the convolution
    behind the pooling, if any. Each convolution is followed by a ReLU, the last ones of all paths by one together.
    """

    def __init__(self, inputs: int, paths: Mapping[str, Stages], pool: Pool, pooled: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.wiring = [self._add(name, inputs, path) for name, path in paths.items()]
        self.pooled = self._add("branch_pool", inputs, [[Conv(pooled)]] if pooled else [])

    def _add(self, name: str, inputs: int, path: Stages) -> list[list[str]]:
        """Make the modules of a path; returns their names by stage."""
        wiring = []
        for i, stage in enumerate(path, start=1):
            stem = f"{name}_{i}" if len(path) > 1 else name
            wiring.append([stem + letter for letter in ("ab" if len(stage) > 1 else ("",))])
            for module, spec in zip(wiring[-1], stage, strict=True):
                self.add_module(module, Convolution(inputs, spec, spec.padding))
            inputs = stage[0].channels
        return wiring

    def _walk(self, x: Tensor, path: list[list[str]]) -> list[Tensor]:
        first, *others = path
        outputs = [self.get_submodule(module)(x) for module in first]
        for stage in others:
            x = F.relu(outputs[0], inplace=True)
            outputs = [self.get_submodule(module)(x) for module in stage]
        return outputs

    def _pool(self, x: Tensor) -> list[Tensor]:
        """Swap an average and a 1×1 convolution: the result is the same, and fewer channels are averaged."""
        if self.pooled and self.pool is average:
            return [average(*self._walk(x, self.pooled))]
        return self._walk(self.pool(x), self.pooled) if self.pooled else [self.pool(x)]

    def forward(self, x: Tensor) -> Tensor:
        outputs = [output for path in self.wiring for output in self._walk(x, path)]
        return F.relu(torch.cat([*outputs, *self._pool(x)], dim=1), inplace=True)


def mixed_5(inputs: int, pooled: int) -> Mixed:
    """Return 35×35 blocks."""
    paths = {
        "branch1x1": [[Conv(64)]],
        "branch5x5": [[Conv(48)], [Conv(64, 5, 5)]],
        "branch3x3dbl": [[Conv(64)], [Conv(96, 3, 3)], [Conv(96, 3, 3)]],
    }
    return Mixed(inputs, paths, average, pooled)


def mixed_6a(inputs: int) -> Mixed:
    """Reduce 35×35 to 17×17."""
    paths = {
        "branch3x3": [[Conv(384, 3, 3, stride=2)]],
        "branch3x3dbl": [[Conv(64)], [Conv(96, 3, 3)], [Conv(96, 3, 3, stride=2)]],
    }
    return Mixed(inputs, paths, halve)


def mixed_6(inputs: int, c: int) -> Mixed:
    """Return 17×17 blocks with `c` channels inside."""
    paths = {
        "branch1x1": [[Conv(192)]],
        "branch7x7": [[Conv(c)], [Conv(c, 1, 7)], [Conv(192, 7, 1)]],
        "branch7x7dbl": [[Conv(c)], [Conv(c, 7, 1)], [Conv(c, 1, 7)], [Conv(c, 7, 1)], [Conv(192, 1, 7)]],
    }
    return Mixed(inputs, paths, average, pooled=192)


def mixed_7a(inputs: int) -> Mixed:
    """Reduce 17×17 to 8×8."""
    paths = {
        "branch3x3": [[Conv(192)], [Conv(320, 3, 3, stride=2)]],
        "branch7x7x3": [[Conv(192)], [Conv(192, 1, 7)], [Conv(192, 7, 1)], [Conv(192, 3, 3, stride=2)]],
    }
    return Mixed(inputs, paths, halve)


def mixed_7(inputs: int, pool: Pool) -> Mixed:
    """Return 8×8 blocks."""
    fan = [Conv(384, 1, 3), Conv(384, 3, 1)]
    paths = {
        "branch1x1": [[Conv(320)]],
        "branch3x3": [[Conv(384)], fan],
        "branch3x3dbl": [[Conv(448)], [Conv(384, 3, 3)], fan],
    }
    return Mixed(inputs, paths, pool, pooled=192)


class Network(nn.Module):
    """Network that maps images [n, 3, H, W] uint8 to features [n, 2048] and class logits [n, 1008], both float32.

    The logits leave out the bias, as the original code of the inception score does. If `features` are spatial, there
    are 2023, row by row as in TensorFlow, and logits without columns [n, 0].
    """

    def __init__(self, resize: str = "tensorflow", features: Features = "pool") -> None:
        super().__init__()
        self.prepare = INPUTS[resize]
        self.features = features
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
        return batching.see_all(self._see, batching.of_images(images, CPU_BATCH))

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([self._begin(batch) for batch in batching.of_images(images, CPU_FIRST_BATCH)])  # n 192 35 35
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # n 288 35 35
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # n 768 17 17
        return self._locate(x) if self.features == "spatial" else self._classify(x)

    def _begin(self, images: Tensor) -> Tensor:
        """Compute the stem. A ReLU and a maximum are swapped: a quarter of the pixels is left after the maximum."""
        x = self.prepare(images).contiguous(memory_format=torch.channels_last)
        for convolution in (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3):
            x = F.relu(convolution(x), inplace=True)
        x = F.relu(halve(self.Conv2d_2b_3x3(x)), inplace=True)
        x = F.relu(self.Conv2d_3b_1x1(x), inplace=True)
        return F.relu(halve(self.Conv2d_4a_3x3(x)), inplace=True)

    def _locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        places = F.relu(self.Mixed_6d.get_submodule("branch1x1")(x))  # n 192 17 17
        return places[:, :CHANNELS].permute(0, 2, 3, 1).flatten(1), x.new_empty(len(x), 0)

    def _classify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # n 2048 8 8
        features = x.mean(dim=(2, 3))
        return features, features @ self.fc.weight.T
