"""Arrangements of other public code compute what this project does with the same weights."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganformer.interop import snapshot
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import restore
from tests.interop import test_stylegan2_ada_snapshots as ada
from tests.interop.parity import discriminator_of, relative_error

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 1e-4
TINY = """
import sys; sys.path[:0] = ["benchmarks", "."]
from dataclasses import replace
import speed
from official import Sizes
networks = (Sizes(16, channel_base=128, channel_max=16, latent_size=32), 4)
speed.print_plan(replace(speed.QUICK, rows=("rivals",), repeats=1, stylegan2=(networks,)))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)"),
]


@pytest.fixture(scope="module")
def benchmarks():
    """Return the modules of the benchmarks by their names."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import official
        import rivals_stylegan2
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return {"official": official, "stylegan2": rivals_stylegan2}


def test_every_row_is_printed():
    said = subprocess.run([sys.executable, "-c", TINY], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.stdout.splitlines()[2:]]
    networks = "StyleGAN2, 16 × 16, up to 16 channels, batch 4"
    assert [row[:2] for row in table[2:]] == [
        [f"training, {networks}, here {precision}", "StyleGAN2-ADA's arrangement"]
        for precision in ("float32", "bfloat16")
    ]
    for row in table[2:]:
        cells = dict(zip(table[0], row, strict=True))
        assert all(re.fullmatch(r"[\d.,]+ s/kimg", cells[side]) for side in ("theirs", "here")), cells
        assert float(cells["ratio"]) > 0


# ----------------------------------------------------------------------------------------------- StyleGAN2-ADA


def loaded(network, state):
    """Return the network with the weights of a snapshot."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert missing == [] and all(name.endswith("resample_filter") for name in unexpected)
    return network


def test_stylegan2_ada_gives_our_images_and_logits(benchmarks, tmp_path):
    """The snapshot's networks are written a second time, for interop; both give what the import of a snapshot does."""
    official = benchmarks["official"]
    unlimited = {"conv_clamp": None}
    _, discriminator, average = networks = ada.built(synthesis=unlimited, discriminator=unlimited)
    snapshot.import_snapshot(ada.write(tmp_path, networks), tmp_path / "out")
    learner, record = restore(tmp_path / "out" / "run.json")
    sizes = official.Sizes(ada.WIDTH, **ada.LIMITS, latent_size=ada.SIZE)
    generator = loaded(benchmarks["stylegan2"].Generator(sizes), average.state_dict()).eval()
    state = discriminator.state_dict()
    named = {re.sub(r"((?:fromrgb|conv\d?)\.)bias$", r"\1biasAct.bias", name): state[name] for name in state}
    judge = loaded(official.Discriminator(sizes), named)
    z, images = torch.randn(3, ada.SIZE), torch.randn(8, 3, ada.WIDTH, ada.WIDTH)
    with torch.no_grad(), constant_noise(learner.sampler):
        expected = learner.sampler.synthesise(learner.sampler.map(z, torch.zeros(3, 0)))
        assert relative_error(generator(z), expected) < CLOSE
        scores = discriminator_of(learner, tmp_path / "out", record)([images], torch.zeros(8, 0))
        assert relative_error(judge(images).squeeze(1), scores) < CLOSE


@pytest.mark.parametrize("up", [False, True])
def test_both_forms_of_stylegan2_adas_convolution_agree(benchmarks, up):
    official, stylegan2 = benchmarks["official"], benchmarks["stylegan2"]
    torch.manual_seed(0)
    x, weight, styles = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    width = 8 if up else 4
    plain, fused = (
        stylegan2.modulated_convolve(x, weight, styles, official.fir_taps(), noise, up=up, fused=fused)
        for fused, noise in ((False, torch.ones(2, 1, width, width)), (True, torch.ones(width, width)))
    )
    assert relative_error(fused, plain) < 1e-5


def test_both_stylegan2_trainings_have_equal_networks_and_change_them(benchmarks):
    official, stylegan2 = benchmarks["official"], benchmarks["stylegan2"]
    sizes = official.Sizes(16, channel_base=128, channel_max=16, latent_size=32)
    learner, training = stylegan2.our_learner(sizes, 4), stylegan2.Training(sizes, 4)
    ours = learner.network.generator, learner.network.discriminator
    for network, their in zip(ours, (training.generator, training.discriminator), strict=True):
        assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in their.parameters())
    followed = [training.average, training.discriminator]
    before = [value.clone() for network in followed for value in network.parameters()]
    for step in (0, 1):
        training.step(torch.rand(4, 3, 16, 16), step)
    after = [value for network in followed for value in network.parameters()]
    assert not any(map(torch.equal, before, after))
