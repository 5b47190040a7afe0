"""Snapshots of StyleGAN2-ADA give the same images and logits here."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.analysis.generate import Request, generate
from ganformer.config import Evaluation
from ganformer.errors import CheckpointError
from ganformer.interop import snapshot
from ganformer.metrics.compare import compare
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import restore
from tests.interop import official_stylegan2_ada as twin
from tests.interop.official import dumped, in_protocols
from tests.interop.parity import discriminator_of, one_hot, relative_error

pytestmark = pytest.mark.slow

WIDTH, SIZE = 16, 12
LIMITS = {"channel_base": 128, "channel_max": 16}


def built(mapping=(), synthesis=(), discriminator=(), **arguments):
    """Return the official G, D and G_ema."""
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


def built_later(mapping=(), discriminator=(), **arguments):
    """Return G, D and G_ema of StyleGAN3's code; what is left out has its defaults, which snapshots do not say."""
    shared = {"c_dim": 0, "img_resolution": WIDTH, "img_channels": 3, **LIMITS}
    generator = {
        "z_dim": SIZE,
        "w_dim": SIZE,
        "mapping_kwargs": {"num_layers": 8, **dict(mapping)},
        **shared,
        **arguments,
    }
    other = {"block_kwargs": {}, "mapping_kwargs": {}, "epilogue_kwargs": {"mbstd_group_size": 4}, **shared}
    for name in ("c_dim", "img_channels", "num_fp16_res", "conv_clamp"):
        other |= {name: arguments[name]} if name in arguments else {}
    torch.manual_seed(0)
    generators = [twin.LaterGenerator(**generator) for _ in range(2)]
    return generators[0], twin.LaterDiscriminator(**{**other, **dict(discriminator)}), generators[1]


def write(folder, networks, protocol=4):
    path = folder / "network-snapshot-025000.pkl"
    names = {name: network for name, network in zip(("G", "D", "G_ema"), networks, strict=True) if network is not None}
    path.write_bytes(dumped({"training_set_kwargs": {"use_labels": False}, "augment_pipe": None, **names}, protocol))
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
    "another rate of the mapping network": {"mapping": {"lr_multiplier": 0.1}},
}
LATER = {
    "default": {},
    "labels": {"c_dim": 3},
    "a clamp that matters": {"conv_clamp": 0.7},
    "no clamp": {"conv_clamp": None, "num_fp16_res": 0},
    "orig": {"architecture": "orig", "discriminator": {"architecture": "orig"}},
    "resnet": {"architecture": "resnet"},
    "grey, no noise, 2 mapping layers": {"img_channels": 1, "use_noise": False, "mapping": {"num_layers": 2}},
}
FLOATS = "the official code computes the 2 finest resolutions in float16; here all are float32"


@pytest.mark.parametrize(("name", "protocol"), in_protocols(VARIANTS))
def test_images_and_logits_are_those_of_the_official_code(tmp_path, name, protocol):
    record = compared(tmp_path, built(**VARIANTS[name]), VARIANTS[name].get("c_dim", 0), protocol)
    assert record.imported.origin == "StyleGAN2-ADA (PyTorch)"
    assert record.imported.notes == []


@pytest.mark.parametrize(("name", "protocol"), in_protocols(LATER))
def test_images_and_logits_are_those_of_stylegan3s_code(tmp_path, name, protocol):
    record = compared(tmp_path, built_later(**LATER[name]), LATER[name].get("c_dim", 0), protocol)
    assert record.imported.origin == "StyleGAN2 (of StyleGAN3's code)"
    assert record.imported.notes == ([] if name == "no clamp" else [FLOATS])
    assert record.model["activation_clamp"] == LATER[name].get("conv_clamp", 256)


def compared(tmp_path, networks, classes, protocol):
    """Return the record of a snapshot that was imported.

    After its images and logits were compared with the official ones.
    """
    _, discriminator, average = networks
    snapshot.import_snapshot(write(tmp_path, networks, protocol), tmp_path / "out")
    learner, record = restore(tmp_path / "out" / "run.json")
    assert list(record.data.label_counts) == [1] * classes  # samples have each class equally often
    sampler = learner.sampler
    z, labels = torch.randn(3, SIZE), one_hot(classes, 3)
    with torch.no_grad(), constant_noise(sampler):
        for psi in (1.0, 0.7):
            w = sampler.truncate(sampler.map(z, labels), psi)
            assert relative_error(sampler.synthesise(w), average(z, labels, psi)) < 1e-4
        w = torch.randn(3, average.synthesis.num_ws, SIZE)
        assert relative_error(sampler.synthesise(w), average.synthesis(w.unbind(1))) < 1e-4
    images, labels = torch.randn(8, average._init_kwargs["img_channels"], WIDTH, WIDTH), one_hot(classes, 8)
    found = discriminator_of(learner, tmp_path / "out", record)
    with torch.no_grad():
        assert relative_error(found([images], labels), discriminator(images, labels).squeeze(1)) < 1e-4
    return record


MISFITS = {
    "it compares 32 images of a batch": {"epilogue_kwargs": {"mbstd_group_size": 32}},
    "it compares all images of a batch": {"epilogue_kwargs": {"mbstd_group_size": None}},
    "its mapping network has 2 layers": {"mapping_kwargs": {"num_layers": 2}},
    "its mapping network's lr_multiplier is 0.1": {"mapping_kwargs": {"lr_multiplier": 0.1}},
    "its activations are limited to None": {"conv_clamp": None},
    "its channel_max is 12": {"channel_max": 12},
    "all but one limit": {"architecture": "skip"},
}


@pytest.mark.parametrize("reason", MISFITS)
def test_a_discriminator_that_no_model_has_is_left_out(tmp_path, reason):
    networks = built(discriminator=MISFITS[reason], c_dim=3)
    found = snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert not (tmp_path / "out" / "discriminator.safetensors").exists()
    (note,) = found.notes
    assert "the discriminator is left out" in note
    assert reason in note
    _, record = restore(tmp_path / "out" / "run.json")
    assert record.imported.notes == [note]
    assert list(record.parameters) == ["generator"]


def test_what_is_computed_in_half_precision_is_said(tmp_path):
    found = snapshot.import_snapshot(write(tmp_path, built(synthesis={"num_fp16_res": 4})), tmp_path / "out")
    assert found.notes == (FLOATS,)


@pytest.mark.parametrize("build", [built, built_later])
def test_the_moving_average_suffices(tmp_path, build):
    networks = build()
    out = tmp_path / "out"
    found = snapshot.import_snapshot(write(tmp_path, (None, None, networks[2])), out)
    assert "without a discriminator, which it does not hold" in found.notes
    assert sorted(path.name for path in out.iterdir()) == ["run.json", "weights.safetensors"]
    learner, _ = restore(out / "run.json")
    z, labels = torch.randn(2, SIZE), torch.zeros(2, 0)
    with torch.no_grad(), constant_noise(learner.sampler):
        assert relative_error(learner.sampler(z, labels), networks[2](z, labels)) < 1e-4


def without_attributes(network, *names):
    """Return the network without what its layers hold under these names."""
    for part in network.modules():
        for name in names:
            vars(part).pop(name, None)
    return network


SETTINGS = {
    "conv_clamp": "conv_clamp",
    "architecture": "architecture",
    "use_noise": "use_noise",
    "activation": "activation",
    "bias_gain": "lr_multiplier",
}


@pytest.mark.parametrize("attribute", SETTINGS)
def test_a_setting_that_is_found_nowhere_is_refused(tmp_path, attribute):
    networks = built_later()
    without_attributes(networks[2], attribute)
    words = f"neither the arguments nor the layers of its network say {SETTINGS[attribute]}"
    with pytest.raises(CheckpointError, match=words):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("attribute", ["group_size", "conv_clamp"])
def test_a_setting_of_the_discriminator_that_is_found_nowhere_is_refused(tmp_path, attribute):
    networks = built_later(discriminator={"epilogue_kwargs": {}})
    without_attributes(networks[1], attribute)
    with pytest.raises(CheckpointError, match="neither the arguments nor the layers of its network say"):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")


def test_arguments_suffice_where_layers_hold_nothing(tmp_path):
    networks = built_later(conv_clamp=0.7, architecture="resnet", use_noise=True)
    without_attributes(networks[2], "conv_clamp", "architecture", "use_noise")
    found = snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert found.model["activation_clamp"] == 0.7
    assert found.model["generator_architecture"] == "resnet"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"conv_clamp": 128},
            "its network says different things of conv_clamp: 128 and 256, in its arguments and layers",
        ),
        ({"architecture": "resnet"}, "different things of architecture: 'resnet' and 'skip'"),
        ({"use_noise": False}, "different things of use_noise: False and True"),
        ({"img_channels": 1}, "different things of img_channels: 1 and 3"),
        ({"w_dim": 8}, "different things of w_dim: 8 and 12"),
        ({"c_dim": 3}, "different things of c_dim: 3 and 0"),
        ({"mapping_kwargs": {"lr_multiplier": 0.1}}, "different things of lr_multiplier: 0.1 and 0.01"),
        ({"mapping_kwargs": {"num_layers": 2}}, "different things of num_layers: 8 and 2"),
        ({"channel_max": 24}, "does not fit the model; .*mis-shaped: .*instead of"),
        ({"conv_clamp": "256"}, "conv_clamp of its network is '256'"),
        ({"architecture": [1]}, "architecture of its network is a list"),
    ],
)
def test_arguments_that_layers_contradict_are_refused(tmp_path, said, message):
    networks = built_later()
    networks[2]._init_kwargs.update(said)
    with pytest.raises(CheckpointError, match=message):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layer", ["conv1", "torgb"])
def test_layers_that_differ_are_refused(tmp_path, layer):
    networks = built_later()
    getattr(networks[2].synthesis.b8, layer).conv_clamp = 1.0
    with pytest.raises(CheckpointError, match=r"different things of conv_clamp: 256 and 1\.0, .*from layer to layer"):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")


def test_widths_that_no_argument_says_are_those_of_the_layers(tmp_path):
    networks = built_later()
    for network in networks[1:]:
        del network._init_kwargs["channel_base"], network._init_kwargs["channel_max"]
    found = snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert {name: found.model[name] for name in LIMITS} == LIMITS
    assert found.discriminator is not None


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
@pytest.mark.parametrize("kind", ["random-vgg16", "inception-random"])
def test_a_snapshot_of_other_channels_measures_what_its_pictures_measure(tmp_path, channels, mode, kind):
    imported = tmp_path / "imported"
    snapshot.import_snapshot(write(tmp_path, built(img_channels=channels)), imported)
    generate(
        imported, Request(4, 0, 32, 1.0, None, True), tmp_path / "made", as_grid=False, as_npz=False, threads=1, gpus=0
    )
    with Image.open(tmp_path / "made/seed000000.png") as picture:
        assert picture.mode == mode
    evaluation = {"extractor": {"kind": kind}, "metrics": ["frechet", "kid"]}
    real = tmp_path / "real.npy"
    np.save(real, np.random.default_rng(0).integers(0, 256, (6, WIDTH, WIDTH, 3), np.uint8))
    of_run, of_pictures = (
        compare(Evaluation.model_validate({**evaluation, **changes}), str(real), str(fake), threads=1, gpus=0).values
        for fake, changes in ((imported, {"images": 4}), (tmp_path / "made", {}))
    )
    assert of_run == of_pictures
    assert np.isfinite(of_run["fd"].value)


def test_images_of_two_channels_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be imported: its images have channels: 2 is not 1, 3 or 4"):
        snapshot.import_snapshot(write(tmp_path, built(img_channels=2)), tmp_path / "imported")
