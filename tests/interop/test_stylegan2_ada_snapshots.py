"""Snapshots of StyleGAN2-ADA give the same images and logits here."""

import numpy as np
import official_stylegan2_ada as twin
import pytest
import torch
from official import dumped
from parity import discriminator_of, one_hot, relative_error
from PIL import Image

from ganformer.analysis.generate import Request, generate
from ganformer.config import Evaluation
from ganformer.errors import CheckpointError
from ganformer.interop import snapshot
from ganformer.learning.checkpoint import restore
from ganformer.metrics.compare import compare
from ganformer.nn.layers import constant_noise

WIDTH, SIZE = 16, 12
LIMITS = {"channel_base": 128, "channel_max": 16}


def built(mapping=(), synthesis=(), discriminator=(), **arguments):
    """The official G, D and G_ema."""
    shared = {"c_dim": 0, "img_resolution": WIDTH, "img_channels": 3, **arguments}
    generator = {
        "z_dim": SIZE,
        "w_dim": SIZE,
        "mapping_kwargs": {"num_layers": 8, **dict(mapping)},
        "synthesis_kwargs": {**LIMITS, "conv_clamp": 256, **dict(synthesis)},
        **shared,
    }
    other = {**LIMITS, "conv_clamp": 256, "epilogue_kwargs": {"mbstd_group_size": 4}, **shared, **dict(discriminator)}
    torch.manual_seed(0)
    return twin.Generator(**generator), twin.Discriminator(**other), twin.Generator(**generator)


def write(folder, networks):
    path = folder / "network-snapshot-025000.pkl"
    names = dict(zip(("G", "D", "G_ema"), networks, strict=True))
    path.write_bytes(dumped({"training_set_kwargs": {"use_labels": False}, "augment_pipe": None, **names}))
    return path


VARIANTS = {
    "default": {},
    "resnet and skip": {
        "synthesis": {"architecture": "resnet", "conv_clamp": None},
        "discriminator": {"architecture": "skip", "conv_clamp": None},
    },
    "orig": {"synthesis": {"architecture": "orig"}, "discriminator": {"architecture": "orig"}},
    "2 mapping layers": {"mapping": {"num_layers": 2}},
    "labels": {"c_dim": 3},
    "labels, 2 mapping layers": {"c_dim": 5, "mapping": {"num_layers": 2}},
    "a clamp that matters": {"synthesis": {"conv_clamp": 0.7}, "discriminator": {"conv_clamp": 0.7}},
    "a clamp that matters, resnet": {
        "synthesis": {"conv_clamp": 0.7, "architecture": "resnet"},
        "discriminator": {"conv_clamp": 0.7},
    },
    "grey, no noise": {"img_channels": 1, "synthesis": {"use_noise": False}},
    "narrow": {"synthesis": {"channel_base": 96}, "discriminator": {"channel_base": 96}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_images_and_logits_are_those_of_the_official_code(tmp_path, name):
    networks = built(**VARIANTS[name])
    _, discriminator, average = networks
    snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    learner, record = restore(tmp_path / "out" / "run.json")
    sampler, classes = learner.sampler, VARIANTS[name].get("c_dim", 0)
    z, labels = torch.randn(3, SIZE), one_hot(classes, 3)
    with torch.no_grad(), constant_noise(sampler):
        for psi in (1.0, 0.7):
            w = sampler.truncate(sampler.map(z, labels), psi)
            assert relative_error(sampler.synthesise(w), average(z, labels, psi)) < 1e-4
        w = torch.randn(3, average.synthesis.num_ws, SIZE)
        assert relative_error(sampler.synthesise(w), average.synthesis(w.unbind(1))) < 1e-4
    assert record["imported"]["origin"] == "StyleGAN2-ADA (PyTorch)"
    assert record["imported"]["notes"] == []
    images, labels = torch.randn(8, average._init_kwargs["img_channels"], WIDTH, WIDTH), one_hot(classes, 8)
    found = discriminator_of(learner, tmp_path / "out", record)
    with torch.no_grad():
        assert relative_error(found([images], labels), discriminator(images, labels).squeeze(1)) < 1e-4


MISFITS = {
    "it compares 32 images of a batch": {"epilogue_kwargs": {"mbstd_group_size": 32}},
    "its mapping network has 2 layers": {"mapping_kwargs": {"num_layers": 2}, "c_dim": 0},
    "its activations are limited to None": {"conv_clamp": None},
    "its channel_max is 12": {"channel_max": 12},
    "all but one limit": {"architecture": "skip"},
}


@pytest.mark.parametrize("reason", MISFITS)
def test_a_discriminator_that_no_model_has_is_left_out(tmp_path, reason):
    found = snapshot.import_snapshot(write(tmp_path, built(discriminator=MISFITS[reason])), tmp_path / "out")
    assert not (tmp_path / "out" / "discriminator.safetensors").exists()
    (note,) = found.notes
    assert "the discriminator is left out" in note
    assert reason in note
    _, record = restore(tmp_path / "out" / "run.json")
    assert record["imported"]["notes"] == [note]
    assert list(record["parameters"]) == ["generator"]


def test_what_is_computed_in_half_precision_is_said(tmp_path):
    found = snapshot.import_snapshot(write(tmp_path, built(synthesis={"num_fp16_res": 4})), tmp_path / "out")
    assert found.notes == ("the official code computes the 4 finest resolutions in float16; here all are float32",)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
@pytest.mark.parametrize("kind", ["random-vgg16", "inception-random"])
def test_a_snapshot_of_other_channels_measures_what_its_pictures_measure(tmp_path, channels, mode, kind):
    imported = tmp_path / "imported"
    snapshot.import_snapshot(write(tmp_path, built(img_channels=channels)), imported)
    generate(
        imported, Request(24, 0, 32, 1.0, None, True), tmp_path / "made", as_grid=False, as_npz=False, threads=1, gpus=0
    )
    with Image.open(tmp_path / "made/seed000000.png") as picture:
        assert picture.mode == mode
    evaluation = {"extractor": {"kind": kind}, "images": 24, "metrics": ["frechet", "kid"]}
    settings = Evaluation.model_validate(evaluation)
    real = tmp_path / "real.npy"
    np.save(real, np.random.default_rng(0).integers(0, 256, (30, WIDTH, WIDTH, 3), np.uint8))
    of_run, of_pictures = (
        compare(settings, str(real), str(fake), threads=1, gpus=0)["values"] for fake in (imported, tmp_path / "made")
    )
    assert of_run == of_pictures
    assert np.isfinite(of_run["fd"]["value"])


def test_images_of_two_channels_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be imported: its images have channels: 2 is not 1, 3 or 4"):
        snapshot.import_snapshot(write(tmp_path, built(img_channels=2)), tmp_path / "imported")
