#!/usr/bin/env python
"""One part of what only a GPU can show, printed as JSON: `bash benchmarks/first_gpu.sh` runs all of them.

    PYTHONPATH=. python benchmarks/first_gpu.py PART [--device cuda|cpu] [--width 256] [--batch 32] [--out FILE]

On a CPU, with a small width and batch, every part runs as well, to see that it works.
"""

import argparse
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import limits
import torch
import torch.nn.functional as F
import workloads
from limits import Probes
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from workloads import Layer, Operation

from ganformer import devices, plugins
from ganformer.nn.layers import constant_noise
from ganformer.ops import compiled
from ganformer.ops.bias_act import bias_act
from ganformer.ops.bipartite_attention import attend, gather
from ganformer.ops.upfirdn2d import upfirdn2d
from ganformer.training import augmentation, losses
from ganformer.training.adversarial import Adversarial
from ganformer.training.learner import Learner, Reals

SMALL: dict[str, Any] = {"channel_base": 512, "channel_max": 64, "latent_size": 64}
GANFORMER: dict[str, Any] = {"kind": "ganformer", **SMALL, "latent_size": 128, "components": 8}
MODELS: dict[str, dict[str, Any]] = {
    "gan": SMALL,
    "kgan": {**SMALL, "components": 4, "merge_resolution": 16},
    "sagan": {**SMALL, "attention_resolutions": [16]},
    "stylegan2": {**SMALL, "adversarial": {"path_length_weight": 2}},
    "msggan": SMALL,
    "simplex": {**GANFORMER, "attention": "simplex"},
    "duplex": {**GANFORMER, "attention": "duplex"},
    "centroid": {**GANFORMER, "attention": "centroid"},
    "vqgan": {
        "channels": 16,
        "channel_multipliers": [1, 2],
        "groups": 4,
        "latent_channels": 16,
        "codes": 32,
        "code_size": 8,
        "attention_downsampling": [1],
        "perceptual": {"kind": "none"},
        "transformer": {"layers": 1, "heads": 2, "width": 32},
    },
}
LARGE: dict[str, dict[str, Any]] = {
    "stylegan2": {"channel_base": 32768, "adversarial": {"path_length_weight": 2}},
    "duplex": {"kind": "ganformer", "attention": "duplex", "components": 16, "channel_base": 32768},
}
WIDTH = 32  # of the small models
STEPS = (0, 1, 2)  # the first with all regularisation
RECORDED = 6  # steps until the operations of the first ones are replayed


@dataclass(frozen=True)
class Place:
    """Device, and sizes of the large models."""

    device: torch.device
    width: int
    batch: int

    @property
    def is_gpu(self) -> bool:
        """True if times are those of a GPU."""
        return self.device.type == "cuda"


def large(place: Place) -> dict[str, dict[str, Any]]:
    """Return the models that a GPU is timed with; on a CPU small ones."""
    return LARGE if place.is_gpu else {name: MODELS[name] for name in LARGE}


def learner(place: Place, model: str, settings: Mapping[str, Any], width: int, **training: Any) -> Learner:
    """Return a learner on the device, for images as wide as high."""
    training = {"replay": False, **training}  # first steps are timed, which Python runs anyway
    made = workloads.learner_of({"kind": model, **settings}, replace(place, width=width), place.batch, **training)
    made.network.to(place.device)
    return made


def reals(place: Place, width: int, batch: int, microbatch: int | None = None) -> list[Reals]:
    """Return a batch of noise, in microbatches."""
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(batch, 3, width, width, generator=generator) * 2 - 1).to(place.device)
    labels = torch.zeros(batch, 0, device=place.device)
    size = microbatch or batch
    return [Reals(*each) for each in zip(images.split(size), labels.split(size), strict=True)]


def seconds(place: Place, work: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of the clock of `work`, once called before, until the device is done."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if place.is_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def digest(made: Learner) -> str:
    """Return sha256 (hex) of all weights and buffers."""
    found = hashlib.sha256()
    for name, value in sorted(made.network.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def caught(work: Callable[[], Any]) -> Any:
    """Return the result of `work`, or the message of what it raised."""
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"


def measure_limits(place: Place) -> dict[str, Any]:
    """Return the device's name and its rates: copy, matrix products, convolutions."""
    if not place.is_gpu:
        return {"device": "cpu", **limits.measure(Probes(64, 1, 8, 8, 1, 1)).__dict__}
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "capability": torch.cuda.get_device_capability()}
    found |= {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    source = torch.empty(2**28, device=place.device)
    target = torch.empty_like(source)
    found["copy_gb_per_s"] = 2 * source.nbytes / seconds(place, lambda: target.copy_(source)) / 1e9
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, 0),
    ):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = bool(tf32)
        a = torch.randn(8192, 8192, device=place.device, dtype=dtype)
        found[f"product_{name}_tflop_per_s"] = 2 * 8192**3 / seconds(place, partial(torch.mm, a, a)) / 1e12
        x = torch.randn(32, 512, 64, 64, device=place.device, dtype=dtype).to(memory_format=torch.channels_last)
        weight = torch.randn(512, 512, 3, 3, device=place.device, dtype=dtype).to(memory_format=torch.channels_last)
        work = 2 * 9 * x.numel() * 512
        taken = seconds(place, partial(F.conv2d, x, weight, padding=1))
        found[f"convolution_{name}_tflop_per_s"] = work / taken / 1e12
    return found


def measure_determinism(place: Place) -> dict[str, Any]:
    """Return for each model whether two trainings of three steps end in the same bytes, or the refusal."""

    def trained(model: str, settings: Mapping[str, Any]) -> str:
        made = learner(replace(place, batch=8), model, settings, WIDTH)
        for step in STEPS:
            torch.manual_seed(step)
            made.step(reals(place, WIDTH, 8), step)
        return digest(made)

    def same(model: str, settings: Mapping[str, Any]) -> bool:
        return trained(model, settings) == trained(model, settings)

    with devices.reproducible(1):
        return {name: caught(partial(same, name, settings)) for name, settings in MODELS.items()}


def measure_processor(place: Place) -> dict[str, Any]:
    """Return the largest relative difference between the CPU and the device: images, logits, gradient of R1."""

    def outputs(where: Place, model: str, settings: Mapping[str, Any]) -> list[Tensor]:
        made = learner(where, model, settings, WIDTH)
        assert isinstance(made, Adversarial)
        generator, discriminator = made.sampler, made.network.discriminator
        z = torch.randn(8, *generator.latent_shape, generator=torch.Generator().manual_seed(1)).to(where.device)
        labels = torch.zeros(8, 0, device=where.device)
        with torch.no_grad(), constant_noise(generator):
            images = generator.synthesise(generator.map(z, labels))
        scales = [scale.requires_grad_() for scale in discriminator.scales(reals(where, WIDTH, 8)[0].images)]
        logits = discriminator(scales, labels)
        losses.r1_penalty(logits, scales).backward()
        slopes = [p.grad.flatten() for p in discriminator.parameters() if p.grad is not None]
        return [each.detach().cpu() for each in (images, logits, torch.cat(slopes))]

    def difference(model: str, settings: Mapping[str, Any]) -> list[float]:
        expected = outputs(replace(place, device=torch.device("cpu")), model, settings)
        found = outputs(place, model, settings)
        return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, expected, strict=True)]

    results = {}
    for tf32 in (False, True):
        with devices.reproducible(1, tf32=tf32):
            for name, settings in MODELS.items():
                if name != "vqgan":
                    key = f"{name}, {'tf32' if tf32 else 'float32'}"
                    results[key] = caught(partial(difference, name, settings))
    return results


def _timed_steps(place: Place, made: Learner, microbatch: int | None = None) -> dict[str, float]:
    batch = reals(place, place.width, place.batch, microbatch)
    if place.is_gpu:
        torch.cuda.reset_peak_memory_stats()
    found = {
        "plain_s": seconds(place, lambda: made.step(batch, 1), 3),
        "regularised_s": seconds(place, lambda: made.step(batch, 0), 1),
    }
    if place.is_gpu:
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def measure_steps(place: Place) -> dict[str, Any]:
    """Return times of large steps, in one microbatch and in several, and the operators that take longest."""
    results: dict[str, Any] = {}
    activities = [torch.profiler.ProfilerActivity.CPU]
    if place.is_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with devices.reproducible(1, tf32=True):
        for name, settings in large(place).items():
            made = learner(place, name, settings, place.width, precision="tf32")
            for microbatch in (place.batch, max(1, place.batch // 8)):
                results[f"{name}, microbatch {microbatch}"] = caught(partial(_timed_steps, place, made, microbatch))
            with torch.profiler.profile(activities=activities) as profile:
                made.step(reals(place, place.width, place.batch), 1)
            rows = profile.key_averages()
            key = "self_device_time_total" if place.is_gpu else "self_cpu_time_total"
            rows = sorted(rows, key=lambda row: -getattr(row, key))[:25]
            results[f"{name}, longest"] = [[row.key[:60], row.count, round(getattr(row, key) / 1e3, 2)] for row in rows]
    return results


def measure_convolutions(place: Place) -> dict[str, Any]:
    """Return times of StyleGAN2's step with other choices of cuDNN, and in full float32."""
    results = {}
    cudnn = torch.backends.cudnn
    for name, tf32 in (("tf32", True), ("float32", False), ("tf32, native depthwise", True)):
        with devices.reproducible(1, tf32=tf32), _depthwise("native" if "native" in name else None):
            made = learner(place, "stylegan2", large(place)["stylegan2"], place.width)
            results[name] = caught(partial(_timed_steps, place, made))
    results["cudnn"] = [cudnn.is_available(), cudnn.version()]
    return results


@contextmanager
def _depthwise(kernel: str | None) -> Iterator[None]:
    """Choose the kernel of depthwise convolutions, where this torch has a switch for it."""
    before = getattr(torch.backends.cudnn, "depthwise_kernel", None)
    if kernel is not None and before is not None:
        torch.backends.cudnn.depthwise_kernel = kernel
    try:
        yield
    finally:
        if kernel is not None and before is not None:
            torch.backends.cudnn.depthwise_kernel = before


def measure_resampling(place: Place) -> dict[str, float]:
    """Return times of the filter up to its second derivative, and of a copy of equal bytes."""
    taps = (torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8).to(place.device)
    x = torch.randn(place.batch, 128, place.width, place.width, device=place.device)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    target = torch.empty_like(x)

    def work(order: int) -> None:
        y = upfirdn2d(x, taps, padding=(2, 1, 2, 1))
        if order > 0:
            (slope,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=order > 1)
            if order > 1:
                slope.square().sum()

    found = {f"order_{order}_s": seconds(place, partial(work, order)) for order in range(3)}
    return {**found, "copy_s": seconds(place, lambda: target.detach().copy_(x.detach()))}


@contextmanager
def _operations(kind: str) -> Iterator[None]:
    """Compute with operations of this kind inside the context, `compiled` or `python`."""
    before = os.environ.get("GANFORMER_OPS", "auto")
    workloads.use_operations(kind)
    try:
        yield
    finally:
        workloads.use_operations(before)


def _cases(place: Place, layer: Layer) -> dict[str, Operation]:
    """Return the operations that are compiled for GPUs, also with all that they can be given."""
    found = workloads.operations(layer, place.device)
    del found["convolve"]
    x, bias = found["bias_act"].given
    rows, keys, places, values, gain = found["attend"].given
    scale, noise = torch.rand_like(x[:, :, 0, 0]), torch.rand_like(x[:, :1])

    def activate(x: Tensor, bias: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        return bias_act(x, bias, gain=2**0.5, clamp=2.0, scale=scale, noise=noise)

    def weigh(x: Tensor, keys: Tensor, places: Tensor, values: Tensor, gain: Tensor, factor: Tensor) -> Tensor:
        features, weights = attend(x, keys, places, values, gain, 2, normalise=False, factor=factor)
        return torch.cat([features.flatten(), weights.to(x.dtype).flatten()])

    def collect(x: Tensor, keys: Tensor, places: Tensor) -> Tensor:
        return torch.cat([each.flatten() for each in gather(x, keys, places)])

    return {
        **found,
        "bias_act, all": Operation(activate, [x, bias, scale, noise], 0),
        "attend, all": Operation(weigh, [rows, keys, places, values, gain, torch.rand_like(places)], 0),
        "gather, all": Operation(collect, [rows, keys, places], 0),
    }


def _compared(place: Place, case: Operation, dtype: torch.dtype) -> dict[str, Any]:
    """Return how values and gradients differ, whether two runs are equal, and both times.

    The difference is the largest one of a tensor, relative in the Euclidean norm: rounding to bfloat16 moves single
    values over the kink of an activation.
    """
    features, *others = [each.detach().requires_grad_() for each in case.given]
    given = [features.detach().to(dtype).requires_grad_(), *others]
    above = torch.randn_like(case.call(*given))

    def work() -> list[Tensor]:
        y = case.call(*given)
        return [y.detach(), *torch.autograd.grad(y, given, above)]

    found: dict[str, Any] = {}
    results = []
    for kind in ("python", "compiled"):
        with _operations(kind):
            results.append(work())
            if kind == "compiled":
                found["repeats"] = all(a.equal(b) for a, b in zip(results[1], work(), strict=True))
            found[f"{kind}_s"] = seconds(place, work)
    pairs = zip(*results, strict=True)
    found["differ"] = max(((a.double() - b.double()).norm() / a.double().norm()).item() for a, b in pairs)
    return found


def _has_derivatives(case: Operation) -> bool:
    """Return whether the first and the second derivative are those of the values, in float64."""
    given = [each.detach().double().requires_grad_() for each in case.given]
    with _operations("compiled"):
        first = gradcheck(case.call, given, fast_mode=True)
        return first and gradgradcheck(lambda *each: case.call(*each).square(), given, fast_mode=True)


def measure_operations(place: Place) -> dict[str, Any]:
    """Return how each compiled operation differs from PyTorch's, its times, and whether its derivatives are right.

    Times of large steps with both follow.
    """
    sizes = Layer(128, 256, place.batch) if place.is_gpu else Layer(16, 32, place.batch)
    results: dict[str, Any] = {}
    with devices.reproducible(1):
        start = time.perf_counter()
        with _operations("compiled"):
            results["has compiled"] = caught(partial(compiled.backend, place.device.type))
        results["building_s"] = time.perf_counter() - start
        for name, case in _cases(place, sizes).items():
            for dtype in (torch.float32, torch.bfloat16):
                results[f"{name}, {dtype}"] = caught(partial(_compared, place, case, dtype))
        for name, case in _cases(place, Layer(3, 4, 2, components=4)).items():
            results[f"{name}, derivatives"] = caught(partial(_has_derivatives, case))
        for name, settings in large(place).items():
            made, batch = learner(place, name, settings, place.width), reals(place, place.width, place.batch)
            for kind in ("python", "compiled"):
                with _operations(kind):
                    results[f"{name}, step, {kind}_s"] = caught(
                        partial(seconds, place, partial(made.step, batch, 1), 3)
                    )
    return results


def measure_augmentation(place: Place) -> dict[str, Any]:
    """Return times of augmentations, forward and backward, with deterministic algorithms and without."""
    results = {}
    chosen = {"ada": {"kind": "ada"}, "diffaugment": {"kind": "diffaugment"}}
    for name, settings in chosen.items():
        model = {**SMALL, "adversarial": {"augmentation": settings}}
        made = learner(replace(place, batch=8), "stylegan2", model, WIDTH)
        assert isinstance(made, Adversarial)
        augment = made.network.augmentation
        if isinstance(getattr(augment, "probability", None), Tensor):
            augment.probability.fill_(0.5)
        images = reals(place, place.width, place.batch)[0].images.requires_grad_()
        for deterministic in (True, False):
            with devices.reproducible(1):
                torch.use_deterministic_algorithms(deterministic)

                def work(augment: augmentation.Augmentation = augment, images: Tensor = images) -> None:
                    (y,) = augment([images])
                    torch.autograd.grad(y.sum(), images)

                key = f"{name}, {'deterministic' if deterministic else 'any algorithm'}"
                results[key] = caught(partial(seconds, place, work))
    torch.use_deterministic_algorithms(False)
    return results


def measure_compiling(place: Place) -> dict[str, Any]:
    """Return seconds that `torch.compile` takes for StyleGAN2's networks, and times of a step with and without it."""
    width, settings = (place.width if place.is_gpu else WIDTH, large(place)["stylegan2"])

    def run(*, compiles: bool) -> dict[str, float]:
        made = learner(place, "stylegan2", settings, width)
        assert isinstance(made, Adversarial)
        if compiles:
            for network, names in (
                (made.network.generator, ("map", "synthesise")),
                (made.network.discriminator, ("forward",)),
            ):
                for name in names:
                    setattr(network, name, torch.compile(getattr(network, name)))
        batch = reals(place, width, place.batch)
        start = time.perf_counter()
        made.step(batch, 1)
        first = time.perf_counter() - start
        return {"first_step_s": first, "step_s": seconds(place, lambda: made.step(batch, 1))}

    with devices.reproducible(1, tf32=True):
        return {"eager": run(compiles=False), "compiled": caught(lambda: run(compiles=True))}


def measure_precision(place: Place) -> dict[str, Any]:
    """Return times and memory of duplex's step in every precision, and whether all scalars are finite."""
    results = {}
    for precision in ("float32", "tf32", "bfloat16"):
        with devices.reproducible(1, tf32=precision == "tf32"):
            made = learner(place, "duplex", large(place)["duplex"], place.width, precision=precision)
            found: dict[str, Any] = caught(partial(_timed_steps, place, made))
            scalars = made.step(reals(place, place.width, place.batch), 1).values()
            results[precision] = [found, all(bool(torch.as_tensor(value).isfinite()) for value in scalars)]
    return results


def measure_evaluation(place: Place) -> dict[str, Any]:
    """Return images a second of sampling and of the extractor's features, and the time of a tile of distances."""
    results = {}
    with devices.reproducible(1), torch.inference_mode():
        made = learner(place, "stylegan2", large(place)["stylegan2"], place.width)
        for batch in (place.batch, place.batch * 4):
            labels, numbers = torch.zeros(batch, 0), range(batch)
            taken = seconds(place, partial(made.sample, labels, numbers), 2)
            results[f"sampling, batch {batch}, images/s"] = batch / taken
        extractor = plugins.find("ganformer.metrics.extractors", "random-vgg16")
        network = extractor.load(extractor.Config(kind="random-vgg16"), place.device)
        images = torch.randint(
            0, 256, (place.batch, 3, place.width, place.width), dtype=torch.uint8, device=place.device
        )
        results["random-vgg16, images/s"] = place.batch / seconds(place, lambda: network(images), 2)
        for dtype in (torch.float32, torch.float64):
            a = torch.randn(2048, 4096 if place.is_gpu else 64, device=place.device, dtype=dtype)
            results[f"tile of distances, {dtype}, s"] = seconds(place, partial(torch.mm, a, a.T))
    return results


def measure_replay(place: Place) -> dict[str, Any]:
    """Return times of plain steps in Python and replayed, whether their bytes are equal, and times of CUDA graphs."""
    results: dict[str, Any] = {}
    batch = reals(place, place.width, place.batch)
    for name, settings in large(place).items():
        found: dict[str, Any] = {}
        digests = []
        for replays in (False, True):
            made = learner(place, name, settings, place.width, replay=replays)
            for step in range(RECORDED):
                torch.manual_seed(step)
                made.step(batch, 1)
            digests.append(digest(made))
            found["replayed_s" if replays else "python_s"] = seconds(place, partial(made.step, batch, 1), 3)
        found["equal_bytes"] = digests[0] == digests[1]
        results[name] = found
        if place.is_gpu:
            found["losses"] = caught(partial(_graphed, place, made, batch[0]))
    return results


def _graphed(place: Place, made: Learner, microbatch: Reals) -> dict[str, float]:
    """Return times of the losses with their gradients, replayed operator by operator and as CUDA graphs."""
    assert isinstance(made, Adversarial)
    found = {}
    for update in (made.generator_update, made.discriminator_update):
        (program,) = (program for replayed in update._replayed.values() for program in replayed.programs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            program(microbatch)
        found[f"{update.name}, replayed_s"] = seconds(place, partial(program, microbatch), 3)
        found[f"{update.name}, graph_s"] = seconds(place, graph.replay, 3)
    return found


PARTS: dict[str, Callable[[Place], Mapping[str, Any]]] = {
    "limits": measure_limits,
    "determinism": measure_determinism,
    "processor": measure_processor,
    "steps": measure_steps,
    "convolutions": measure_convolutions,
    "resampling": measure_resampling,
    "operations": measure_operations,
    "augmentation": measure_augmentation,
    "compiling": measure_compiling,
    "replay": measure_replay,
    "precision": measure_precision,
    "evaluation": measure_evaluation,
}


def main() -> None:
    """Run one part; print its line, and append it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--width", type=int, default=256, help="of the images of the large models")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, help="file that the line is appended to")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            f"--device cuda: torch {torch.__version__} finds no GPU; --device cpu runs the parts on the CPU"
        )
    if options.device == "cpu":
        torch.set_num_threads(1)
    start = time.perf_counter()
    found = PARTS[options.part](Place(torch.device(options.device), options.width, options.batch))
    line = json.dumps({"part": options.part, "seconds": round(time.perf_counter() - start, 1), **found})
    print(line)
    if options.out is not None:
        with options.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
