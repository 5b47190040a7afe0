"""Work whose speed is compared, each piece in two arrangements: of this project, and of the released code."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import official
import torch
from measure import peak, peak_from_here
from official import Sizes
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganformer import devices
from ganformer.config.base import parse
from ganformer.config.training import Spec
from ganformer.models.ganformer.attention import Attention, AttentionParts, Centroid, Duplex, Simplex
from ganformer.models.ganformer.components import AttendedLatents, ComponentState
from ganformer.models.ganformer.parts import (
    INTEGRATIONS,
    NORMALISATIONS,
    AttentionDropout,
    AttentionSize,
    ComponentSoftmax,
    Gates,
    Pixels,
)
from ganformer.models.ganformer.positions import Sinusoidal
from ganformer.ops import compiled
from ganformer.ops.bias_act import bias_act
from ganformer.ops.bipartite_attention import attend, gather
from ganformer.ops.convolution import convolve
from ganformer.ops.upfirdn2d import upfirdn2d
from ganformer.training.adversarial import Adversarial
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner, Reals

KINDS = ("simplex", "centroid", "duplex")
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Measured:
    """Processor time of one piece of work, and growth of the process's memory at its peak."""

    seconds: float
    megabytes: float


Side = Callable[[], Measured]
MakeLearner = Callable[..., Learner]  # from sizes, batch and settings of training, by name
MakeTraining = Callable[[Any, int, str], "Trains"]  # from sizes, batch and device


class Trains(Protocol):
    """Training of another arrangement."""

    def step(self, reals: Tensor, step: int) -> None:
        """Update all networks with real images [B, 3, H, W]; `step`: number of finished steps."""


class Square(Protocol):
    """Sizes of networks for square images."""

    @property
    def width(self) -> int:
        """Width of the images."""


@dataclass(frozen=True)
class Layer:
    """Sizes of an attention layer."""

    width: int
    channels: int
    batch: int = 4
    components: int = 16
    latent: int = 32

    @property
    def pixels(self) -> int:
        """Number of pixels of an image."""
        return self.width**2

    @property
    def operations(self) -> int:
        """Least floating-point operations, forward and backward: scores and values, of which both have gradients."""
        return 3 * 2 * 2 * self.batch * self.pixels * self.channels * self.components

    @property
    def bytes(self) -> int:
        """Least traffic: features read and written forward; features and gradient read, and one written, backward."""
        return 5 * self.batch * self.pixels * self.channels * FLOAT


def timed(work: Callable[[], object], seconds: float, *, clock: Callable[[], float] = time.process_time) -> float:
    """Return the median time of `work`, called once before, then at least twice and for `seconds` altogether."""
    work()
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)


# ----------------------------------------------------------------------------------------- attention layers


def our_attention(kind: str, layer: Layer) -> Attention:
    """Return a layer of this project, as the released defaults have it."""
    kinds: dict[str, Callable[[AttentionSize, AttentionParts], Attention]] = {
        "simplex": Simplex,
        "centroid": partial(Centroid, iterations=1),
        "duplex": partial(Duplex, iterations=1),
    }
    parts = AttentionParts(
        Sinusoidal(layer.width, layer.width, layer.latent, directions=2),
        ComponentSoftmax(1),
        AttentionDropout(official.DROPOUT),
        Gates({}),
        INTEGRATIONS["mul"](NORMALISATIONS["layer"]()),
    )
    return kinds[kind](AttentionSize(layer.channels, layer.latent, layer.components), parts)


def official_attention(kind: str, layer: Layer) -> official.TransformerLayer:
    """Return a layer of the released code, whose duplex attention is its k-means."""
    return official.TransformerLayer(
        layer.channels, layer.latent, layer.components, kmeans=kind != "simplex", integration="mul"
    )


def _inputs(layer: Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Return features [B, C, H, W], components [B, m, D] and their positions [m, D]."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(layer.batch, layer.channels, layer.width, layer.width, generator=generator)
    components = torch.randn(layer.batch, layer.components, layer.latent, generator=generator)
    return x, components, torch.rand(layer.components, layer.latent, generator=generator)


def run_ours(attention: Attention, x: Tensor, components: Tensor, positions: Tensor) -> Tensor:
    """Return features [B, C, H, W] of features in channels_last memory."""
    pixels = Pixels(x.permute(0, 2, 3, 1).flatten(1, 2), attention.positions())
    latents = AttendedLatents(components[:, 0], components, positions)
    features, _ = attention(pixels, latents, ComponentState())
    image: Tensor = features.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    return image


def run_official(
    attention: official.TransformerLayer, grid: Tensor, x: Tensor, components: Tensor, positions: Tensor
) -> Tensor:
    """Return features [B, C, H, W] of features in contiguous memory; `grid` [n, D]: positions of the pixels."""
    mask = torch.ones(components.shape[:2])
    pixels = x.reshape(*x.shape[:2], -1).permute(0, 2, 1)
    features, _ = attention(pixels, components, grid, positions, mask)
    image: Tensor = features.permute(0, 2, 1).reshape(x.shape)
    return image


def attention_side(kind: str, layer: Layer, *, ours: bool, seconds: float) -> Measured:
    """Return forward and backward time of a layer in training mode, with gradients of all parameters and inputs."""
    x, components, positions = _inputs(layer)
    memory_format = torch.channels_last if ours else torch.contiguous_format
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    above = torch.randn(x.shape).contiguous(memory_format=memory_format)
    run: Callable[[], Tensor]
    module: nn.Module
    if ours:
        module = attention = our_attention(kind, layer)
        run = partial(run_ours, attention, x, components.requires_grad_(), positions.requires_grad_())
    else:
        module = theirs = official_attention(kind, layer)
        grid = official.sinusoids(layer.width, layer.latent).flatten(0, 1)
        run = partial(run_official, theirs, grid, x, components.requires_grad_(), positions.requires_grad_())
    given = [x, components, positions, *module.parameters()]
    before = peak_from_here()
    with _settings(ours):
        found = timed(lambda: torch.autograd.grad(run(), given, above, allow_unused=True), seconds)
    return Measured(found, peak() - before)


def difference(kind: str, layer: Layer) -> float:
    """Return by how much both layers differ with the same weights: largest difference over largest value."""
    torch.manual_seed(0)
    theirs, ours = official_attention(kind, layer).eval(), our_attention(kind, layer).eval()
    copy_weights(theirs, ours)
    x, components, positions = _inputs(layer)
    grid = official.sinusoids(layer.width, layer.latent).flatten(0, 1)
    with torch.no_grad():
        expected = run_official(theirs, grid, x, components, positions)
        found = run_ours(ours, x.contiguous(memory_format=torch.channels_last), components, positions)
    return ((found - expected).abs().max() / expected.abs().max()).item()


def copy_weights(theirs: official.TransformerLayer, ours: Attention) -> None:
    """Give our layer, simplex or centroid, the weights of the released one; what has no effect is left out."""
    names = {
        "queries": "to_queries",
        "query_positions": "from_pos_map",
        "values": "to_values",
        "modulation": "modulation",
        "keys": "to_keys",
        "key_positions": "to_pos_map",
        "importance": "att_weight",
    }
    source = theirs.state_dict()
    copied = {}
    for name in ours.state_dict():
        part, _, rest = name.partition(".")
        copied[name] = source[f"{names.get(part, part)}{'.' * bool(rest)}{rest}"]
    ours.load_state_dict(copied)


# ------------------------------------------------------------------------------------------------- training


def our_learner(sizes: Sizes, batch: int, **settings: object) -> Adversarial:
    """Return a learner of this project with networks of these sizes; `settings` are those of `training`."""
    model = {
        "kind": "ganformer",
        "attention": "centroid" if sizes.kmeans else "simplex",
        "channel_base": sizes.channel_base,
        "channel_max": sizes.channel_max,
        "latent_size": sizes.latent_size,
        "components": sizes.components,
        "mapping_layers": sizes.mapping_layers,
    }
    return adversarial(model, sizes, batch, **settings)


def adversarial(model: Mapping[str, object], sizes: Square, batch: int, **settings: object) -> Adversarial:
    """Return a learner of these settings that trains a generator against a discriminator."""
    learner = learner_of(model, sizes, batch, **settings)
    assert isinstance(learner, Adversarial)
    return learner


def learner_of(model: Mapping[str, object], sizes: Square, batch: int, **settings: object) -> Learner:
    """Return a learner of these settings for square images."""
    image = {"height": sizes.width, "width": sizes.width}
    training = {"kimg": 1, "batch": batch, **settings}
    raw = {"image": image, "mirror": False, "seed": 0, "training": training, "model": model}
    return build(parse(Spec, raw, "benchmark"))


def step_side(
    sizes: Square,
    batch: int,
    *,
    ours: bool,
    device: str = "cpu",
    make_learner: MakeLearner = our_learner,
    make_training: MakeTraining = official.Training,
    **settings: object,
) -> Measured:
    """Return the mean time of a step over `R1_INTERVAL` steps, of which one has R1: one step of either kind is timed.

    The one with R1 comes first, so that what only the first step of a process does counts with its small weight. Memory
    counts everything from the networks on.
    On a GPU the time is that of the clock, and the memory is the GPU's.
    """
    before = peak_from_here()
    torch.manual_seed(0)
    images = (torch.rand(batch, 3, sizes.width, sizes.width) * 2 - 1).to(device)
    step: Callable[[int], object]
    if ours:
        learner = make_learner(sizes, batch, **settings)
        learner.network.to(device)
        reals = [Reals(images, torch.zeros(batch, 0, device=device))]
        step = partial(learner.step, reals)
    else:
        step = partial(make_training(sizes, batch, device).step, images)
    times = {}
    with _settings(ours), contextlib.redirect_stdout(sys.stderr):  # some models print
        for number in (0, 1):
            times[number] = _clocked(partial(step, number), device)
    interval = official.R1_INTERVAL
    mean = ((interval - 1) * times[1] + times[0]) / interval
    grown = peak() - before if device == "cpu" else torch.cuda.max_memory_allocated() / 1e6
    return Measured(mean, grown)


def _clocked(work: Callable[[], object], device: str) -> float:
    """Return processor time, or of a GPU time until it is done."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def step_operations(sizes: Square, batch: int, make_learner: MakeLearner = our_learner) -> Mapping[str, float]:
    """Return floating-point operations of our mean step: of convolutions, and of products.

    Counted as torch's own operators do them, of which direct convolutions have four times as many multiplications as
    the compiled ones. Changes the operations that this process uses.
    """
    use_operations("python")
    reals = [Reals(torch.rand(batch, 3, sizes.width, sizes.width) * 2 - 1, torch.zeros(batch, 0))]
    learner = make_learner(sizes, batch)
    interval, totals = official.R1_INTERVAL, {"convolutions": 0.0, "products": 0.0}
    with devices.reproducible(1):
        for number, weight in ((1, (interval - 1) / interval), (0, 1 / interval)):
            torch.manual_seed(0)
            with _Counted() as counted, contextlib.redirect_stdout(sys.stderr):  # some models print
                learner.step(reals, number)
            for name, count in counted.operations.items():
                totals[name] += weight * count
    return totals


class _Counted(TorchDispatchMode):
    """Floating-point operations of torch's own operators; torch's counter refuses second derivatives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = {"convolutions": 0, "products": 0}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            name = "convolutions" if "convolution" in str(func) else "products"
            self.operations[name] += count(*args, **(kwargs or {}), out_val=out)
        return out


def images_side(sizes: Sizes, batch: int, *, ours: bool, seconds: float) -> Measured:
    """Return time of a batch of images of a generator in evaluation."""
    before = peak_from_here()
    torch.manual_seed(0)
    if ours:
        sampler = our_learner(sizes, batch).sampler

        def generate(z: Tensor) -> Tensor:
            return sampler.synthesise(sampler.map(z, torch.zeros(batch, 0)))

    else:
        generate = official.Generator(sizes).eval()
    z = torch.randn(batch, sizes.components + 1, sizes.latent)
    with _settings(ours), torch.no_grad():
        found = timed(lambda: generate(z), seconds)
    return Measured(found, peak() - before)


# ----------------------------------------------------------------------------------------------- operations


@dataclass(frozen=True)
class Operation:
    """An operation on features: its call, tensors that are given and have gradients, passes over the features."""

    call: Callable[..., Tensor]
    given: list[Tensor]
    passes: float
    """Least traffic forward and backward, in sizes of the features."""


def operations(layer: Layer, device: torch.device | str = "cpu") -> dict[str, Operation]:
    """Return all operations at these sizes."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    shape = (layer.batch, layer.channels, layer.width, layer.width)
    x = normal(*shape).contiguous(memory_format=torch.channels_last)
    rows = x.permute(0, 2, 3, 1).flatten(1, 2)
    taps = (torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8).to(device)
    keys = normal(layer.batch, layer.components, layer.channels) / layer.channels**0.5
    places = normal(layer.batch, layer.components, layer.pixels)
    values, gain = normal(layer.batch, layer.components, layer.channels), normal(layer.channels)
    fir = {
        "upfirdn2d, up": Operation(lambda x: upfirdn2d(x, taps, up=2, padding=(2, 1, 2, 1), gain=4), [x], 10),
        "upfirdn2d, down": Operation(lambda x: upfirdn2d(x, taps, down=2, padding=(1, 1, 1, 1)), [x], 2.5),
        "upfirdn2d, same": Operation(lambda x: upfirdn2d(x, taps, padding=(2, 1, 2, 1)), [x], 4),
    }
    weight = normal(layer.channels, layer.channels, 3, 3)
    return {
        "convolve": Operation(lambda x, weight: convolve(x, weight, padding=1), [x, weight], 6),
        "bias_act": Operation(lambda x, bias: bias_act(x, bias, gain=2**0.5), [x, normal(layer.channels)], 5),
        **fir,
        "attend": Operation(
            lambda x, keys, places, values, gain: attend(x, keys, places, values, gain, 1, normalise=True)[0],
            [rows, keys, places, values, gain],
            5,
        ),
        "gather": Operation(lambda *given: gather(*given)[0], [rows, keys, places], 3),
    }


def operation_side(name: str, layer: Layer, *, ours: bool, seconds: float) -> Measured:
    """Return forward and backward time of an operation, compiled or, if not `ours`, composed of PyTorch's operators."""
    use_operations("compiled" if ours else "python")
    operation = operations(layer)[name]
    given = [each.requires_grad_() for each in operation.given]
    above = torch.randn_like(operation.call(*given))
    before = peak_from_here()
    with _settings(True):
        found = timed(lambda: torch.autograd.grad(operation.call(*given), given, above), seconds)
    return Measured(found, peak() - before)


def use_operations(kind: str) -> None:
    """Choose the operations of this process, as GANFORMER_OPS does."""
    os.environ["GANFORMER_OPS"] = kind
    compiled.library.cache_clear()


def _settings(ours: bool) -> contextlib.AbstractContextManager[None]:
    """Return the settings that training runs with: our own, or one thread of torch as it is."""
    if ours:
        return devices.reproducible(1)
    torch.set_num_threads(1)
    return contextlib.nullcontext()
