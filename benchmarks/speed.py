"""One table of the speed of training: this project beside other arrangements of the same work.

A row is the median over pairs of measurements. Both sides of a pair follow one another, each in a process of its own on
one core; the first side changes from pair to pair. Times are processor times of one thread.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import growth
import limits
import rivals_bmsg
import rivals_stylegan2
import rivals_vqgan
import torch
import workloads
import yaml
from growth import Growth
from limits import Limits, Probes
from measure import import_optimisers, in_process
from official import Sizes
from workloads import KINDS, Layer, Measured, Side, Square

from ganformer import artifacts
from ganformer.ops import compiled

HERE = Path(__file__).resolve().parents[1]
ROWS = ("limits", "attention", "training", "rivals", "models", "operations", "images", "growth", "gpu")
COLUMNS = ("against", "theirs", "here", "ratio", "quartiles", "theirs MB", "here MB", "of the limit", "differ by")
PRECISIONS = ("float32", "bfloat16")  # of this project; the other side's is float32
WAYS: Mapping[str, Mapping[str, object]] = {
    **{precision: {"precision": precision} for precision in PRECISIONS},
    "bfloat16, activation checkpointing": {"precision": "bfloat16", "activation_checkpointing": True},
}
ARRANGEMENT = "released arrangement"


@dataclass(frozen=True)
class Plan:
    """Sizes of all work, and the number of pairs."""

    repeats: int
    rows: Sequence[str] = ROWS
    seconds: float = 0.5
    """Least processor time of one measurement of short work."""
    probes: Probes = field(default_factory=Probes)
    layers: Sequence[Layer] = (Layer(32, 512), Layer(64, 512), Layer(128, 256))
    training: Sequence[tuple[Sizes, int]] = ((Sizes(64), 4), (Sizes(256), 2))
    """Networks, and their batch."""
    stylegan2: Sequence[tuple[Sizes, int]] = ((rivals_stylegan2.SIZES, 4),)
    vqgan: Sequence[tuple[rivals_vqgan.Sizes, int]] = ((rivals_vqgan.Sizes(), 4),)
    msggan: Sequence[tuple[rivals_bmsg.Sizes, int]] = ((rivals_bmsg.Sizes(32, 128), 16), (rivals_bmsg.Sizes(64), 4))
    images: Sequence[tuple[Sizes, int]] = ((Sizes(64), 4), (Sizes(256), 2))
    operations: Sequence[Layer] = (Layer(32, 16, batch=16, components=8, latent=16), Layer(64, 512))
    models: Sequence[str] = ()
    """Models of config.yaml; none: all of table 1."""
    steps: int = 16
    before: Path | None = None
    growth: Growth = field(default_factory=Growth)
    figure: Path | None = None
    """File of a figure of the growth, by its suffix."""
    gpu: tuple[Sizes, int] = (Sizes(256), 32)


SMALL = Sizes(32, channel_base=4096, channel_max=128)
FULL = Plan(repeats=5)
QUICK = Plan(
    repeats=3,
    rows=[name for name in ROWS if name not in ("rivals", "growth")],
    seconds=0.2,
    probes=Probes(side=1024, width=32, megabytes=128),
    layers=(Layer(64, 512),),
    training=((SMALL, 4),),
    stylegan2=((SMALL, 4),),
    vqgan=((rivals_vqgan.Sizes(32, blocks=1), 4),),
    msggan=((rivals_bmsg.Sizes(32, 128), 4),),
    images=((SMALL, 4),),
    operations=(Layer(32, 256),),
    models=("centroid",),
    growth=Growth(
        widths=(64, 128, 256), components=(4, 8, 16), batches=(4, 8, 16), images=(32, 64, 128), packs=(1_000, 16_000)
    ),
)


@dataclass
class Pairs:
    """Measurements of both sides, pair by pair."""

    theirs: list[Measured] = field(default_factory=list)
    ours: list[Measured] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ratio of times of every pair: above 1, this project is faster."""
        return [theirs.seconds / ours.seconds for theirs, ours in zip(self.theirs, self.ours, strict=True)]

    @property
    def seconds(self) -> tuple[float, float]:
        """Median times of both sides."""
        return _median(each.seconds for each in self.theirs), _median(each.seconds for each in self.ours)

    @property
    def megabytes(self) -> tuple[float, float]:
        """Median memory of both sides."""
        return _median(each.megabytes for each in self.theirs), _median(each.megabytes for each in self.ours)


def measure(theirs: Side, ours: Side, repeats: int) -> Pairs:
    """Return `repeats` pairs of measurements."""
    pairs = Pairs()
    for number in range(repeats):
        sides = [(theirs, pairs.theirs), (ours, pairs.ours)]
        for side, kept in sides if number % 2 == 0 else sides[::-1]:
            kept.append(side())
    return pairs


def forked(work: Callable[[], Measured]) -> Side:
    """Return the side whose work is done in a process of its own."""
    return partial(in_process, work)


class Table:
    """Rows, in the order of their measurement."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.limits: Limits | None = None

    def rows(self) -> Iterator[Mapping[str, str]]:
        """Yield all rows of the plan."""
        for name in ROWS:
            if name in self.plan.rows:
                yield from getattr(self, f"_{name}")()

    def _limits(self) -> Iterator[Mapping[str, str]]:
        self.limits = found = in_process(partial(limits.measure, self.plan.probes))
        for kind, rates in (
            ("matrix product", found.products),
            ("3 × 3 convolution, forward + backward", found.convolutions),
        ):
            for dtype, rate in rates.items():
                yield _row(f"limit: {kind}, {dtype}", here=f"{rate:,.1f} GFLOP/s")
        yield _row("limit: copy", here=f"{found.copy:,.2f} GB/s")

    def _attention(self) -> Iterator[Mapping[str, str]]:
        for layer in self.plan.layers:
            for kind in KINDS:
                side = partial(workloads.attention_side, kind, layer, seconds=self.plan.seconds)
                pairs = self._pairs(partial(side, ours=False), partial(side, ours=True))
                against = ARRANGEMENT if kind == "simplex" else f"{ARRANGEMENT}, k-means"
                name = f"attention, {kind}, {_size(layer.width)}, {layer.channels} channels, batch {layer.batch}"
                row = self._compared(name, against, pairs, _milliseconds)
                row["of the limit"] = self._share(pairs, layer.bytes, products=layer.operations)
                if kind != "duplex":  # the paper's duplex attention is another function than the released one
                    row["differ by"] = f"{in_process(partial(workloads.difference, kind, layer)):.0e}"
                yield row

    def _training(self) -> Iterator[Mapping[str, str]]:
        for sizes, batch in self.plan.training:
            side = partial(workloads.step_side, sizes, batch)
            operations = partial(workloads.step_operations, sizes, batch)
            yield from self._trained(_networks(sizes, batch), ARRANGEMENT, batch, side, operations)

    def _rivals(self) -> Iterator[Mapping[str, str]]:
        plan = self.plan
        for sizes, batch in plan.stylegan2:
            yield from self._rival(rivals_stylegan2, "StyleGAN2", "StyleGAN2-ADA", sizes, batch, sizes.channel_max)
        for size, batch in plan.vqgan:
            yield from self._rival(rivals_vqgan, "VQGAN", "Taming", size, batch, max(size.widths))
        for each, batch in plan.msggan:
            yield from self._rival(rivals_bmsg, "MSG-GAN", "BMSG-GAN", each, batch, each.latent_size)

    def _rival(
        self, arrangement: ModuleType, model: str, code: str, sizes: Square, batch: int, channels: int
    ) -> Iterator[Mapping[str, str]]:
        learner = arrangement.our_learner
        side = partial(workloads.step_side, sizes, batch, make_learner=learner, make_training=arrangement.Training)
        networks = f"{model}, {_size(sizes.width)}, up to {channels} channels, batch {batch}"
        operations = partial(workloads.step_operations, sizes, batch, learner)
        yield from self._trained(networks, f"{code}'s arrangement", batch, side, operations)

    def _trained(
        self,
        networks: str,
        against: str,
        batch: int,
        side: Callable[..., Measured],
        operations: Callable[[], Mapping[str, float]],
    ) -> Iterator[Mapping[str, str]]:
        for way, settings in WAYS.items():
            pairs = self._pairs(partial(side, ours=False), partial(side, ours=True, **settings))
            row = self._compared(f"training, {networks}, here {way}", against, pairs, partial(_per_kimg, batch))
            if way == "float32":  # the limits below are of float32
                row["of the limit"] = self._share(pairs, 0, **in_process(operations))
            yield row

    def _models(self) -> Iterator[Mapping[str, str]]:
        before = self.plan.before
        if before is None:
            yield _row("default configuration, a step", here="not measured: no earlier checkout (--before DIR)")
            return
        for precision in PRECISIONS:
            with Steps(before, self.plan.steps) as theirs, Steps(HERE, self.plan.steps, precision) as ours:
                yield from self._steps(f"default configuration, a step, here {precision}", theirs, ours)

    def _steps(self, name: str, theirs: "Steps", ours: "Steps") -> Iterator[Mapping[str, str]]:
        compared = []
        total = Pairs([Measured(0, 0)] * self.plan.repeats, [Measured(0, 0)] * self.plan.repeats)
        for model in self.plan.models or _models_of_table_1():
            pairs = measure(partial(theirs.measured, model), partial(ours.measured, model), self.plan.repeats)
            if theirs.work[model] != ours.work[model]:
                reason = f"not compared: {theirs.work[model]} there, {ours.work[model]} here"
                yield _row(f"{name}: {model}", here=reason)
                continue
            yield self._compared(f"{name}: {model}", "earlier checkout", pairs, _milliseconds)
            compared.append(model)
            total.theirs, total.ours = (
                [_added(*each) for each in zip(sums, new, strict=True)]
                for sums, new in ((total.theirs, pairs.theirs), (total.ours, pairs.ours))
            )
        if compared:
            title = f"{name}: sum of {len(compared)} models"
            memory = {"theirs MB": "–", "here MB": "–"}
            yield {**self._compared(title, "earlier checkout", total, _milliseconds), **memory}

    def _operations(self) -> Iterator[Mapping[str, str]]:
        if compiled.library("cpu") is None:
            yield _row("operations", here="not measured: compiled operations cannot be built, or GANFORMER_OPS=python")
            return
        for layer in self.plan.operations:
            for name, operation in workloads.operations(layer).items():
                side = partial(workloads.operation_side, name, layer, seconds=self.plan.seconds)
                pairs = self._pairs(partial(side, ours=False), partial(side, ours=True))
                title = f"{name}, {_size(layer.width)}, {layer.channels} channels, batch {layer.batch}"
                row = self._compared(title, "composed of torch's", pairs, _milliseconds)
                row["of the limit"] = self._share(pairs, operation.passes * layer.bytes / 5)
                yield row

    def _images(self) -> Iterator[Mapping[str, str]]:
        for sizes, batch in self.plan.images:
            side = partial(workloads.images_side, sizes, batch, seconds=self.plan.seconds)
            pairs = self._pairs(partial(side, ours=False), partial(side, ours=True))
            name = f"generating, {_networks(sizes, batch)}"
            yield self._compared(name, ARRANGEMENT, pairs, partial(_images_a_second, batch))

    def _growth(self) -> Iterator[Mapping[str, str]]:
        found = []
        for each in growth.series(self.plan.growth, self.plan.seconds, self.plan.repeats):
            found.append(each)
            yield _row(f"growth of {each.quantity}: {each.work}", here=str(each))
        if not growth.has_cores(self.plan.growth):
            yield _row("growth of time: ranks", here="not measured: fewer cores than ranks")
        yield _row("start of `ganformer --help`", here=f"{growth.help_seconds(self.plan.repeats):.2f} s")
        if self.plan.figure is not None:
            growth.draw(found, self.plan.figure)

    def _gpu(self) -> Iterator[Mapping[str, str]]:
        sizes, batch = self.plan.gpu
        name = f"training on a GPU, {_networks(sizes, batch)}"
        if not torch.cuda.device_count():  # does not initialise CUDA, which a forked process could not use then
            yield _row(name, here=f"not measured: torch {torch.__version__} finds no GPU")
            return
        side = partial(workloads.step_side, sizes, batch, device="cuda")
        pairs = self._pairs(partial(side, ours=False), partial(side, ours=True))
        yield self._compared(name, ARRANGEMENT, pairs, partial(_per_kimg, batch))

    def _pairs(self, theirs: Callable[[], Measured], ours: Callable[[], Measured]) -> Pairs:
        return measure(forked(theirs), forked(ours), self.plan.repeats)

    def _compared(self, work: str, against: str, pairs: Pairs, shown: Callable[[float], str]) -> dict[str, str]:
        (theirs, ours), (memory, our_memory) = pairs.seconds, pairs.megabytes
        return _row(
            work,
            against=against,
            theirs=shown(theirs),
            here=shown(ours),
            ratio=f"{statistics.median(pairs.ratios):.2f}",
            quartiles=_quartiles(pairs.ratios),
            **{"theirs MB": f"{memory:,.0f}", "here MB": f"{our_memory:,.0f}"},
        )

    def _share(self, pairs: Pairs, traffic: float, *, products: float = 0.0, convolutions: float = 0.0) -> str:
        """Return the least time of such work at the limits, relative to ours: memory and arithmetic overlap."""
        if self.limits is None:
            return "–"
        arithmetic = products / self.limits.products["float32"] + convolutions / self.limits.convolutions["float32"]
        return f"{max(traffic / self.limits.copy, arithmetic) / 1e9 / pairs.seconds[1]:.0%}"


class Steps:
    """Process in which training steps of a checkout's models are timed, each in a process of its own."""

    def __init__(self, checkout: Path, steps: int, *precision: str) -> None:
        program = Path(__file__).with_name("training_steps.py")
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, program, checkout, str(steps), *precision],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.work: dict[str, str] = {}

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def measured(self, model: str) -> Measured:
        """Return the time of a mean step of a model."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{model}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} failed; its own words stand above")
        found = json.loads(line)
        self.work[model] = found["work"]
        return Measured(found["seconds"], found["megabytes"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an excerpt, smaller, with three pairs: two minutes")
    parser.add_argument("--before", type=Path, metavar="DIR", help="an earlier checkout of this project, to be run too")
    parser.add_argument("--repeats", type=int, help="pairs of measurements (5, with --quick 3)")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, help="groups of rows (all; with --quick all but rivals and growth)"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="figure of the growth: .svg, .png or .pdf")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    rows = options.rows or plan.rows
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if options.before is not None and not (options.before / "ganformer").is_dir():
        parser.error(f"--before: {options.before} is no checkout of this project, it has no folder ganformer")
    if options.figure is not None and options.figure.suffix not in growth.FORMATS:
        parser.error(f"--figure: {options.figure} must end with one of {', '.join(growth.FORMATS)}")
    if options.figure is not None and "growth" not in rows:
        parser.error("--figure: the figure is of the rows growth, which are left out; add growth to --rows")
    print_plan(
        replace(
            plan,
            repeats=options.repeats or plan.repeats,
            rows=rows,
            before=options.before and options.before.resolve(),
            figure=options.figure and options.figure.resolve(),
        )
    )


def print_plan(plan: Plan) -> None:
    """Measure and print a plan."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("needs Linux (/proc, processor affinity)")
    torch.set_num_threads(1)  # before any work, as processes that are forked cannot use threads that there were
    import_optimisers()
    operations = compiled.backend("cpu")
    hardware = artifacts.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores of which one thread is used"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, operations: {operations}"
    print(f"### {machine}, {versions}; {plan.repeats} pairs\n")
    print(_line(["", *COLUMNS]), _line(["---", *["---:"] * len(COLUMNS)]), sep="\n", flush=True)
    for row in Table(plan).rows():
        print(_line(row.values()), flush=True)  # at once: a run that fails later has not measured in vain


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(work: str, **cells: str) -> dict[str, str]:
    return {"": work, **{column: cells.get(column, "–") for column in COLUMNS}}


def _models_of_table_1() -> list[str]:
    config = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
    names: list[str] = config["experiments"]["table1"]["models"]
    return names


def _added(a: Measured, b: Measured) -> Measured:
    return Measured(a.seconds + b.seconds, a.megabytes + b.megabytes)


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


def _quartiles(ratios: Sequence[float]) -> str:
    if len(ratios) < 2:
        return "–"
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{low:.2f}–{high:.2f}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.4g} ms"


def _per_kimg(batch: int, seconds: float) -> str:
    return f"{1000 * seconds / batch:,.0f} s/kimg"


def _images_a_second(batch: int, seconds: float) -> str:
    return f"{batch / seconds:,.4g} images/s"


def _size(width: int) -> str:
    return f"{width} × {width}"


def _networks(sizes: Sizes, batch: int) -> str:
    kind = "centroid" if sizes.kmeans else "simplex"
    return f"{kind}, {_size(sizes.width)}, up to {sizes.channel_max} channels, batch {batch}"
