"""Growth of cost: series of measurements over one size each, and the exponents of power laws fitted to them."""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
import workloads
import yaml
from measure import in_process, peak, peak_from_here
from official import Sizes
from workloads import Layer, Measured, timed

from ganformer import artifacts, devices, plugins
from ganformer.config import ImageSpec, load
from ganformer.records.manifest import Crop, Manifest, Shard
from ganformer.report import drawing
from ganformer.training import distribution
from ganformer.training.checkpoint import build
from ganformer.training.learner import Learner, Reals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

S = TypeVar("S")

ROOT = Path(__file__).resolve().parents[1]
FORMATS = (".svg", ".png", ".pdf")
COLUMNS = 3
"""Panels side by side in the figure."""
MARGIN, LEAST_SPAN = 1.3, 10
"""Free part above and below the points, and ratio of the ends of an axis at least: what is constant looks constant."""
TICKS = 5
"""Sizes on an axis at most."""
LEAST = 3
"""Points that a line is fitted to, if there are as many."""
CHANNELS = 16
"""Channels of the generators."""
RANK_STEPS = 5
"""Training steps that are timed on every rank."""


@dataclass(frozen=True)
class Growth:
    """Sizes of all series; a series without sizes is left out."""

    layer: Layer = field(default_factory=lambda: Layer(128, 32, batch=1))
    """Attention layer of which the width of the image or the number of components changes."""
    widths: Sequence[int] = (32, 48, 64, 96, 128, 192, 256, 384, 512)
    components: Sequence[int] = (1, 2, 4, 6, 8, 12, 16, 24, 32)
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Batches of training steps of the default configuration's duplex model."""
    images: Sequence[int] = (32, 64, 128, 256, 512)
    """Widths of the images of a generator, whose features have 16 channels at all of them."""
    packs: Sequence[int] = (1_000, 4_000, 16_000, 64_000)
    """Images of the data set that training starts with."""
    ranks: Sequence[int] = (1, 2)
    """Processes that share a batch of the default configuration's duplex model."""
    rank_batch: int = 64
    """Images that they share."""


class Exponent(NamedTuple):
    """Exponent of a power law, and the range of the exponents with one point left out."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """Medians over one size."""

    work: str
    over: str
    """Name of the size."""
    sizes: Sequence[float]
    values: Sequence[float]
    unit: str = "ms"

    @property
    def quantity(self) -> str:
        """Name of the values."""
        return "memory" if self.unit == "MB" else "time"

    @property
    def larger(self) -> slice:
        """Points that the line is fitted to: the larger half, but at least three."""
        return slice(-max(LEAST, (len(self.sizes) + 1) // 2), None)

    @cached_property
    def exponent(self) -> Exponent:
        """Exponent of the larger half."""
        return fitted(self.sizes[self.larger], self.values[self.larger])

    def __str__(self) -> str:
        exponent, ends = self.exponent, [f"{value:,.4g}" for value in (self.values[0], self.values[-1])]
        spread = "" if math.isnan(exponent.low) else f" ({exponent.low:.2f} to {exponent.high:.2f})"
        return f"{self.quantity} ~ {self.over}^{exponent.value:.2f}{spread}; {' to '.join(ends)} {self.unit}"


def fitted(sizes: Sequence[float], values: Sequence[float]) -> Exponent:
    """Return the exponent by least squares of log(value) on log(size); the range is NaN with fewer than 3 points.

    NaN if a value is not positive, or there is only one.
    """
    if min(values) <= 0 or len(values) < 2:
        return Exponent(math.nan, math.nan, math.nan)
    points = np.log([sizes, values])
    others = [_slope(np.delete(points, left_out, axis=1)) for left_out in range(len(sizes))] if len(sizes) > 2 else []
    return Exponent(_slope(points), min(others, default=math.nan), max(others, default=math.nan))


def _slope(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    x, y = points - points.mean(axis=1, keepdims=True)
    return float((x * y).sum() / (x * x).sum())


# ------------------------------------------------------------------------------------------------ the series


def series(growth: Growth, seconds: float, repeats: int) -> Iterator[Series]:
    """Yield all series: each size is measured `repeats` times, the sizes in turn, a measurement for `seconds`."""
    layer = growth.layer
    kept = f"duplex, {layer.channels} channels, batch {layer.batch}"

    def attention(layer: Layer) -> Measured:
        return workloads.attention_side("duplex", layer, ours=True, seconds=seconds)

    if growth.widths:
        layers = [replace(layer, width=width) for width in growth.widths]
        work = f"attention layer, {kept}, {layer.components} components"
        time, memory = _medians(attention, layers, repeats)
        pixels = [each.pixels for each in layers]
        yield Series(work, "pixels", pixels, time)
        yield Series(work, "pixels", pixels, memory, "MB")
    if growth.components:
        layers = [replace(layer, components=components) for components in growth.components]
        work = f"attention layer, {kept}, {layer.width} × {layer.width}"
        yield Series(work, "components", growth.components, _medians(attention, layers, repeats)[0])
    if growth.batches:
        time, memory = _medians(partial(_step, seconds), growth.batches, repeats)
        yield Series("training step, default duplex", "batch", growth.batches, time)
        yield Series("training step, default duplex", "batch", growth.batches, memory, "MB")
    if growth.images:

        def generating(width: int) -> Measured:
            sizes = Sizes(width, channel_base=CHANNELS * width, channel_max=CHANNELS)
            return workloads.images_side(sizes, 1, ours=True, seconds=seconds)

        time, memory = _medians(generating, growth.images, repeats)
        pixels = [width**2 for width in growth.images]
        work = f"generating, centroid, {CHANNELS} channels, batch 1"
        yield Series(work, "pixels", pixels, time)
        yield Series(work, "pixels", pixels, memory, "MB")
    if growth.packs:
        with tempfile.TemporaryDirectory() as folder:
            packs = [_write_pack(Path(folder) / str(count), count) for count in growth.packs]
            yield Series("start of training", "images", growth.packs, _medians(_start, packs, repeats, cores=None)[0])
    if growth.ranks and has_cores(growth):
        cores = max(growth.ranks)
        yield Series(
            f"training by the clock, an image, default duplex, batch {growth.rank_batch}, a core a rank",
            "ranks",
            growth.ranks,
            _medians(partial(_ranks, growth.rank_batch), growth.ranks, repeats, cores=cores)[0],
        )


def has_cores(growth: Growth) -> bool:
    """Return whether each rank can have a core of its own."""
    return len(os.sched_getaffinity(0)) >= max(growth.ranks)


def help_seconds(repeats: int) -> float:
    """Return processor time of `python -m ganformer --help`, the median."""
    call = [sys.executable, "-m", "ganformer", "--help"]
    return statistics.median(_spent(call)[0] for _ in range(repeats))


def _medians(
    side: Callable[[S], Measured], sizes: Sequence[S], repeats: int, *, cores: int | None = 1
) -> tuple[list[float], list[float]]:
    """Return milliseconds and megabytes of every size; each run has a process and `cores` of its own, if given."""
    runs = [
        [side(size) if cores is None else in_process(partial(side, size), cores) for size in sizes]
        for _ in range(repeats)
    ]
    columns = list(zip(*runs, strict=True))
    return (
        [1000 * statistics.median(run.seconds for run in column) for column in columns],
        [statistics.median(run.megabytes for run in column) for column in columns],
    )


# ----------------------------------------------------------------------------------------------- their work


def _learner(batch: int) -> tuple[Learner, list[Reals]]:
    """Return the default configuration's duplex model, and a batch of noise."""
    config = load(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    torch.manual_seed(0)
    spec = config.spec("scenes", "duplex", 0)
    image = spec.image
    images = torch.rand(batch, image.channels, image.height, image.width) * 2 - 1
    return build(spec), [Reals(images, torch.zeros(batch, image.classes))]


def _step(seconds: float, batch: int) -> Measured:
    """Return the time of a training step without regularisation; memory counts everything from the networks on."""
    before = peak_from_here()
    learner, reals = _learner(batch)
    with devices.reproducible(1):
        found = timed(lambda: learner.step(reals, 1), seconds)
    return Measured(found, peak() - before)


def _write_pack(folder: Path, count: int) -> Path:
    """Write a pack of black images of 32 × 32 pixels."""
    layout = plugins.find("ganformer.data.formats", "npy")
    image, path = ImageSpec(height=32, width=32), folder / f"images-00000{layout.SUFFIX}"
    folder.mkdir()
    with layout.Writer(path, image) as writer:
        writer.append(np.zeros((count, 3, 32, 32), np.uint8))
    shard = Shard(file=path.name, count=count, sha256=artifacts.file_digest(path))
    Manifest(
        count=count,
        image=image,
        format="npy",
        source={},
        crop=Crop(ratio=1.0),
        shards=[shard],
        duplicates=0,
        content=shard.sha256,
    ).write(folder / "manifest.json")
    return folder


def _start(pack: Path) -> Measured:
    """Return processor time until a first training step is done, without a second one."""
    return Measured(json.loads(_spent([sys.executable, str(Path(__file__).with_name("start_up.py")), str(pack)])[1]), 0)


def _spent(call: Sequence[str]) -> tuple[float, str]:
    """Return processor time and output of a program; SystemExit if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if said.returncode:
        raise SystemExit("a measurement failed; its own words stand above")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, said.stdout


def _ranks(batch: int, count: int) -> Measured:
    """Return time of the clock of an image of a batch that `count` processes of one thread each share."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds.json"
        distribution.launch(time_steps, (batch // count, out), [torch.device("cpu")] * count)
        return Measured(json.loads(out.read_text(encoding="utf-8")) / batch, 0)


def time_steps(share: int, out: Path, device: torch.device) -> None:
    """Write the median time of a training step to `out`; every rank has a batch of `share`."""
    learner, reals = _learner(share)
    times = []
    with devices.reproducible(1):
        for _ in range(1 + RANK_STEPS):
            distribution.meet()
            start = perf_counter()
            learner.step(reals, 1)
            distribution.meet()
            times.append(perf_counter() - start)
    if distribution.rank() == 0:
        artifacts.write_json(out, statistics.median(times[1:]))


# ----------------------------------------------------------------------------------------------- the figure


def draw(found: Sequence[Series], out: Path) -> None:
    """Write a figure with a panel for each series: points, and the fitted line over the points that it is fitted to."""
    import matplotlib as mpl

    rows = math.ceil(len(found) / COLUMNS)
    metadata: dict[str, Any] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    kind = out.suffix[1:]
    with drawing.style():
        # Text as text keeps the file small; every browser has some font without serifs.
        text: Mapping[Any, Any] = {
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
        }
        mpl.rcParams.update({**text, "svg.hashsalt": "growth"})
        figure = drawing.figure(2.4 * rows)
        panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        for axes, each in zip(panels, found, strict=False):
            _panel(axes, each)
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        with artifacts.atomic(out) as temporary:
            figure.savefig(temporary, format=kind, dpi=drawing.DPI // 2, metadata=metadata[kind])


def _panel(axes: "Axes", each: Series) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, StrMethodFormatter

    colour = drawing.COLOURS["duplex" if each.quantity == "memory" else "simplex"]
    axes.plot(each.sizes, each.values, "o", ms=4, color=colour)
    x, exponent = np.asarray(each.sizes[each.larger]), each.exponent.value
    if math.isfinite(exponent):
        middle = np.log(each.values[each.larger]).mean() - exponent * np.log(x).mean()
        axes.plot(x, np.exp(middle) * x**exponent, lw=1.4, color=colour, label=f"{each.over}$^{{{exponent:.2f}}}$")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set(xscale="log", yscale="log", xlabel=each.over, ylabel=f"{each.quantity}, {each.unit}")
    drawn = [value for value in each.values if value > 0] or [1.0]
    centre = math.sqrt(min(drawn) * max(drawn))
    half = max(math.sqrt(max(drawn) / min(drawn)) * MARGIN, math.sqrt(LEAST_SPAN))
    axes.set_ylim(centre / half, centre * half)
    axes.xaxis.set_major_locator(FixedLocator(each.sizes[:: math.ceil(len(each.sizes) / TICKS)]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=9))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    axes.set_title("\n".join(textwrap.wrap(each.work, 44)), fontsize=8)
