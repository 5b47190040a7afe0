"""The table of speed has every row, and both sides compute the same. How fast any is, is not tested."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganformer.nn.layers import constant_noise
from tests.benchmarks import ROOT, programs
from tests.interop.parity import discriminator_of, relative_error
from tests.interop.test_pytorch_snapshots import COMPONENTS, LIMITS, SIZE, WIDTH, built, imported

KINDS = ("simplex", "centroid", "duplex")
OPERATIONS = ["convolve", "bias_act", "upfirdn2d, up", "upfirdn2d, down", "upfirdn2d, same", "attend", "gather"]
WAYS = ("float32", "bfloat16", "bfloat16, activation checkpointing")
STEP = "default configuration, a step"
TINY = """
import sys; sys.path[:0] = ["benchmarks", "."]
from pathlib import Path
from dataclasses import replace
import speed
from limits import Probes
from official import Sizes
from workloads import Layer
networks = (Sizes(16, channel_base=128, channel_max=16, latent_size=32, components=4), 4)
layer = Layer(8, 16, batch=2, components=4, latent=8)
speed.print_plan(replace(speed.QUICK, repeats=2, seconds=0, probes=Probes(16, 1, 4, 4, 1, 1), layers=(layer,),
    training=(networks,), images=(networks,), operations=(layer,), models=("gan",), steps=1, gpu=networks, **CHANGES))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)"),
]


@pytest.fixture(scope="module")
def benchmarks():
    """Return the modules of the benchmarks by their names."""
    return programs("official", "speed", "workloads")


def rows(changes, **environment):
    """Return the cells of all rows of a small plan by the first one and the column."""
    program = TINY.replace("CHANGES", changes)
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-c", program]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    title, _, *lines = said.stdout.splitlines()
    assert re.match(r"### .+ one thread is used, Python [\d.]+, torch \S+, operations: \w+; 2 pairs$", title)
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: dict(zip(table[0][1:], cells, strict=True)) for first, *cells in table[2:]}


@pytest.fixture(scope="module")
def table():
    return rows(f"{{'before': Path({str(ROOT)!r})}}")


def test_every_row_is_printed(table):
    networks, layer = "centroid, 16 × 16, up to 16 channels, batch 4", "8 × 8, 16 channels, batch 2"
    kinds = ("matrix product", "3 × 3 convolution, forward + backward")
    assert list(table) == [
        *(f"limit: {kind}, {dtype}" for kind in kinds for dtype in ("float32", "bfloat16")),
        "limit: copy",
        *(f"attention, {kind}, {layer}" for kind in KINDS),
        *(f"training, {networks}, here {way}" for way in WAYS),
        *(
            f"default configuration, a step, here {precision}: {models}"
            for precision in ("float32", "bfloat16")
            for models in ("gan", "sum of 1 models")
        ),
        *(f"{name}, {layer}" for name in OPERATIONS),
        f"generating, {networks}",
        f"training on a GPU, {networks}",
    ]


def test_every_cell_is_measured(table):
    measured = {name: cells for name, cells in table.items() if "limit" not in name and "GPU" not in name}
    for cells in measured.values():
        assert re.fullmatch(r"[\d.,e+]+ (ms|s/kimg|images/s)", cells["theirs"]), cells
        assert float(cells["ratio"]) > 0
        low, high = map(float, cells["quartiles"].split("–"))
        assert 0 < low <= float(cells["ratio"]) <= high
    limits = [cells["here"] for name, cells in table.items() if name.startswith("limit")]
    assert all(re.fullmatch(r"[\d.,]+ (GFLOP|GB)/s", cell) for cell in limits), limits
    assert {name for name, cells in table.items() if cells["of the limit"] != "–"} == {
        name for name in measured if not name.startswith(("default", "generating")) and "bfloat16" not in name
    }
    assert {cells["theirs MB"] for name, cells in measured.items() if "sum" not in name} & {"–", "0"} == set()


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a GPU")
def test_a_missing_gpu_is_said(table):
    (found,) = (cells["here"] for name, cells in table.items() if "GPU" in name)
    assert found == f"not measured: torch {torch.__version__} finds no GPU"


def test_rows_that_cannot_be_measured_say_so():
    assert {
        name: cells["here"]
        for name, cells in rows("{'rows': ['models', 'operations']}", GANFORMER_OPS="python").items()
    } == {
        "default configuration, a step": "not measured: no earlier checkout (--before DIR)",
        "operations": "not measured: compiled operations cannot be built, or GANFORMER_OPS=python",
    }


def test_unequal_work_is_not_compared(benchmarks, monkeypatch):
    speed, workloads = benchmarks["speed"], benchmarks["workloads"]

    class Steps:
        def __init__(self, checkout, steps, precision=None):
            assert (precision is None) == (checkout == Path("old"))
            self.is_old, self.work = checkout == Path("old"), {}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def measured(self, model):
            self.work[model] = f"{model}, {8 if self.is_old and model == 'gan' else 9} parameters"
            return workloads.Measured(3.0 if self.is_old else 2.0, 10)

    monkeypatch.setattr(speed, "Steps", Steps)
    plan = replace(speed.FULL, rows=("models",), before=Path("old"), models=("gan", "simplex", "duplex"))
    gan, simplex, _, both, *others = speed.Table(plan).rows()
    assert gan["here"] == "not compared: gan, 8 parameters there, gan, 9 parameters here"
    assert (simplex["ratio"], simplex["quartiles"]) == ("1.50", "1.50–1.50")
    assert (both[""], both["theirs"]) == (f"{STEP}, here float32: sum of 2 models", "6,000 ms")
    assert [row[""] for row in others] == [row[""].replace("float32", "bfloat16") for row in (gan, simplex, _, both)]


@pytest.mark.parametrize("kind", KINDS[:2])
def test_our_layer_is_the_released_one(benchmarks, kind):
    workloads = benchmarks["workloads"]
    assert 0 < workloads.difference(kind, workloads.Layer(16, 64, components=4, latent=16)) < 5e-6


def test_our_layer_has_the_gradient_of_the_released_one(benchmarks):
    official, workloads = benchmarks["official"], benchmarks["workloads"]
    layer = workloads.Layer(8, 32, batch=2, components=4, latent=16)
    theirs = workloads.official_attention("centroid", layer).eval()
    ours = workloads.our_attention("centroid", layer).eval()
    workloads.copy_weights(theirs, ours)
    torch.manual_seed(0)
    x, components, positions = torch.randn(2, 32, 8, 8), torch.randn(2, 4, 16), torch.rand(4, 16)
    above, grid = torch.randn_like(x), official.sinusoids(8, 16).flatten(0, 1)
    grads = []
    for run in (
        lambda *given: workloads.run_official(theirs, grid, *given),
        lambda *given: workloads.run_ours(ours, *given),
    ):
        given = x.clone().requires_grad_(), components.clone().requires_grad_()
        grads.append(torch.autograd.grad(run(*given, positions), given, above))
    for found, expected in zip(grads[1], grads[0], strict=True):
        assert relative_error(found, expected) < 1e-5


def test_the_networks_are_those_that_are_imported(benchmarks, tmp_path):
    """The snapshot's networks are written a second time, for interop; both give what the import of a snapshot does."""
    official = benchmarks["official"]
    sizes = official.Sizes(WIDTH, **LIMITS, latent_size=COMPONENTS * SIZE, components=COMPONENTS, mapping_layers=4)
    _, discriminator, average = networks = built()
    learner, record, out = imported(tmp_path, networks)
    generator, judge = official.Generator(sizes).eval(), official.Discriminator(sizes)
    for ours, theirs in ((generator, average), (judge, discriminator)):
        missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
        assert missing == [] and all(name.endswith("resample_kernel") for name in unexpected)
    z, images = torch.randn(3, COMPONENTS + 1, SIZE), torch.randn(8, 3, WIDTH, WIDTH)
    with torch.no_grad(), constant_noise(learner.sampler):
        expected = learner.sampler.synthesise(learner.sampler.map(z, torch.zeros(3, 0)))
        assert relative_error(generator(z), expected) < 1e-4
        scores = discriminator_of(learner, out, record)([images], torch.zeros(8, 0))
        assert relative_error(judge(images).squeeze(1), scores) < 1e-4


@pytest.mark.parametrize("up", [False, True])
def test_both_forms_of_the_modulated_convolution_agree(benchmarks, up):
    official = benchmarks["official"]
    torch.manual_seed(0)
    x, weight, styles = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    plain, fused = (
        official.modulated_convolve(x, weight, styles, official.fir_taps(), up=up, demodulate=True, fused=fused)
        for fused in (False, True)
    )
    assert relative_error(fused, plain) < 1e-5


def test_both_trainings_have_equal_networks_and_change_them(benchmarks):
    official, workloads = benchmarks["official"], benchmarks["workloads"]
    sizes = official.Sizes(16, channel_base=128, channel_max=16, latent_size=32, components=4)
    learner, training = workloads.our_learner(sizes, 4), official.Training(sizes, 4)
    idle = re.compile(r"synthesis.*\.to_(keys|pos_map)\.|\.to_(keys|pos_map)\.bias$")
    counts = {name: value.numel() for name, value in training.generator.named_parameters() if not idle.search(name)}
    assert sum(counts.values()) == sum(p.numel() for p in learner.network.generator.parameters())
    judges = training.discriminator, learner.network.discriminator
    assert len({sum(p.numel() for p in judge.parameters()) for judge in judges}) == 1
    before = {name: value.clone() for name, value in training.average.named_parameters()}
    for step in (0, 1):
        training.step(torch.rand(4, 3, 16, 16), step)
    still = {name for name, value in training.average.named_parameters() if torch.equal(value, before[name])}
    assert still and all(re.search(r"to_(keys|pos_map)", name) for name in still)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--before", "docs"], "--before: docs is no checkout of this project, it has no folder ganformer"),
        (["--rows", "all"], "argument --rows: invalid choice: 'all'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    said = subprocess.run([sys.executable, "-m", "benchmarks", *options], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert message in said.stderr
