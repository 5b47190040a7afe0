"""Arrangements of other public code compute what this project does with the same weights."""

import re
import subprocess
import sys

import pytest
import torch

from ganformer.interop import snapshot
from ganformer.nn.layers import constant_noise
from ganformer.perceptual.distance import load
from ganformer.perceptual.settings import RandomNetwork
from ganformer.training.checkpoint import restore
from ganformer.training.losses import LOSSES
from tests.benchmarks import ROOT, programs
from tests.interop import test_bmsg as bmsg
from tests.interop import test_stylegan2_ada_snapshots as ada
from tests.interop import test_taming as taming
from tests.interop.parity import discriminator_of, relative_error

CLOSE = 1e-4
TINY = """
import sys; sys.path[:0] = ["benchmarks", "."]
from dataclasses import replace
import speed
import rivals_bmsg, rivals_vqgan
from official import Sizes
networks = (Sizes(16, channel_base=128, channel_max=16, latent_size=32), 4)
speed.print_plan(replace(speed.QUICK, rows=("rivals",), repeats=1, stylegan2=(networks,),
    vqgan=((rivals_vqgan.Sizes(16, 32, (1, 1), 1, (), 8, 16, 8, (4, 1)), 4),),
    msggan=((rivals_bmsg.Sizes(16, 8), 4),)))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)"),
]


@pytest.fixture(scope="module")
def benchmarks():
    """Return the modules of the benchmarks by their names."""
    modules = programs("official", "rivals_stylegan2", "rivals_vqgan", "rivals_bmsg")
    return {name.removeprefix("rivals_"): module for name, module in modules.items()}


def unmoved(networks, training):
    """Return the names of the parameters of `networks` that a step of `training` leaves as they are."""
    before = [{name: value.clone() for name, value in network.named_parameters()} for network in networks]
    training.step(torch.rand(4, 3, 16, 16), 0)
    return [
        name
        for network, values in zip(networks, before, strict=True)
        for name, value in network.named_parameters()
        if torch.equal(value, values[name])
    ]


def test_every_row_is_printed():
    said = subprocess.run([sys.executable, "-c", TINY], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.stdout.splitlines()[2:]]
    networks = {
        "StyleGAN2, 16 × 16, up to 16 channels, batch 4": "StyleGAN2-ADA's arrangement",
        "VQGAN, 16 × 16, up to 32 channels, batch 4": "Taming's arrangement",
        "MSG-GAN, 16 × 16, up to 8 channels, batch 4": "BMSG-GAN's arrangement",
    }
    assert [row[:2] for row in table[2:]] == [
        [f"training, {each}, here {precision}", against]
        for each, against in networks.items()
        for precision in ("float32", "bfloat16", "bfloat16, activation checkpointing")
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


# ------------------------------------------------------------------------------------------------------ Taming


def test_taming_gives_our_images_and_logits(benchmarks, tmp_path):
    """The first stage is written a second time, for interop; both give what the import of a checkpoint does."""
    vqgan = benchmarks["vqgan"]
    first = taming.first_stage()
    state = taming.discriminated(first)
    learner, record = taming.written(
        taming.saved(tmp_path, state, {"ddconfig": {"resolution": taming.WIDTH}}), tmp_path / "run"
    )
    sizes = vqgan.Sizes(
        taming.WIDTH, 32, (1, 1, 2), 1, (2,), latent_channels=6, codes=taming.CODES, code_size=6, discriminator=(4, 2)
    )
    autoencoder, discriminator = vqgan.Autoencoder(sizes), vqgan.NLayerDiscriminator(*sizes.discriminator)
    autoencoder.load_state_dict(first)
    prefix = "loss.discriminator."
    discriminator.load_state_dict({n.removeprefix(prefix): value for n, value in state.items() if prefix in n})
    images = taming.noise()
    with torch.no_grad():
        assert relative_error(autoencoder(images)[0], learner.reconstruct(images)) < CLOSE
        ours = discriminator_of(learner, tmp_path / "run", record).eval()
        assert relative_error(discriminator.eval()(images)[:, 0], ours(images)) < CLOSE


def test_tamings_perceptual_distance_is_ours(benchmarks):
    ours = load(RandomNetwork(), torch.device("cpu"), "")
    theirs = benchmarks["vqgan"].LPIPS().eval()
    convolutions = [part for part in theirs.slices.modules() if isinstance(part, torch.nn.Conv2d)]
    for part, (weight, _) in zip(convolutions, [layer for block in ours.layers for layer in block], strict=True):
        part.weight.copy_(weight)
        part.bias.zero_()
    for (_, judgement), weights in zip(theirs.lins, ours.judgement, strict=True):
        judgement.weight.copy_(weights[None, :, None, None])
    torch.manual_seed(0)
    images, others = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    assert relative_error(theirs(images, others).flatten(), ours.each(images, others)) < CLOSE


def test_both_vqgan_trainings_have_equal_networks_and_change_them(benchmarks):
    vqgan = benchmarks["vqgan"]
    sizes = vqgan.Sizes(16, 32, (1, 2), 1, (1,), latent_channels=8, codes=16, code_size=8, discriminator=(4, 1))
    learner, training = vqgan.our_learner(sizes, 4), vqgan.Training(sizes, 4)
    ours = learner.network.autoencoder, learner.network.discriminator
    theirs = training.autoencoder, training.discriminator
    for network, their in zip(ours, theirs, strict=True):
        assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in their.parameters())
    assert learner.settings.lengths[0] == 0
    still = unmoved(theirs, training)
    # Softmax is blind to a bias of the keys, and a hinge loss within its margins to the bias of all logits.
    assert all(name.endswith((".k.bias", "main.5.bias")) for name in still), still


# ---------------------------------------------------------------------------------------------------- BMSG-GAN


@pytest.mark.parametrize(("depth", "size"), [(2, 4), (5, 8)])
def test_bmsg_gan_gives_our_images_logits_and_losses(benchmarks, tmp_path, depth, size):
    """The networks are written a second time, for interop; both give what the import of state dicts does."""
    theirs = benchmarks["bmsg"]
    path, *states = bmsg.both(tmp_path, depth, size)
    generator, discriminator = bmsg.made(bmsg.read(path))
    sizes = theirs.Sizes(2 << depth, size)
    other, judge = theirs.Generator(sizes), theirs.Discriminator(sizes)
    for network, state in zip((other, judge), states, strict=True):
        network.load_state_dict(state)
    z, images = torch.randn(5, size), torch.randn(5, 3, 2 << depth, 2 << depth)
    with torch.no_grad():
        fakes = generator.scales(generator.map(z, bmsg.NONE))
        points = z / z.norm(dim=1, keepdim=True) * size**0.5
        for expected, image in zip(fakes, other(points), strict=True):
            assert relative_error(image, expected) < CLOSE
        sets = [discriminator.scales(images), fakes]
        scores, found = [discriminator(each, bmsg.NONE) for each in sets], [judge(list(each)) for each in sets]
        for logits, expected in zip(found, scores, strict=True):
            assert relative_error(logits, expected) < CLOSE
    loss = LOSSES["relativistic-hinge"]
    torch.testing.assert_close(theirs.relativistic_hinge(*found), loss.discriminator(*scores), rtol=CLOSE, atol=0)
    torch.testing.assert_close(
        theirs.relativistic_hinge(*found[::-1]), loss.generator(scores[1], lambda: scores[0]), rtol=CLOSE, atol=0
    )


def test_both_msggan_trainings_have_equal_networks_and_change_them(benchmarks):
    theirs = benchmarks["bmsg"]
    sizes = theirs.Sizes(16, 8)
    learner, training = theirs.our_learner(sizes, 4), theirs.Training(sizes, 4)
    ours = learner.network.generator, learner.network.discriminator
    for network, their in zip(ours, (training.generator, training.discriminator), strict=True):
        assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in their.parameters())
    followed = [training.average, training.discriminator]
    still = unmoved(followed, training)
    assert set(still) <= {"final_block.conv_3.bias"}  # the loss is of differences of logits
