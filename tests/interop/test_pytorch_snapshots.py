"""Snapshots of GANformer's PyTorch code give the same images and logits here, whatever they were built with."""

import pytest
import torch

from ganformer.interop import snapshot
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import restore
from tests.interop import official_pytorch as twin
from tests.interop.official import dumped, in_protocols
from tests.interop.parity import discriminator_of, one_hot, relative_error

pytestmark = pytest.mark.slow

WIDTH, COMPONENTS, SIZE = 16, 4, 8
LIMITS = {"channel_base": 128, "channel_max": 16}
ATTENDING = {
    "transformer": True,
    "use_pos": True,
    "num_heads": 1,
    "ltnt_gate": False,
    "attention_dropout": 0.12,
}
SYNTHESIS = {
    **LIMITS,
    **ATTENDING,
    "architecture": "resnet",
    "style": True,
    "latent_stem": False,
    "local_noise": True,
    "start_res": 0,
    "end_res": 4,
    "norm": "layer",
    "integration": "mul",
    "img_gate": False,
    "iterative": False,
    "kmeans": True,
    "kmeans_iters": 1,
    "pos_dim": None,
    "pos_type": "sinus",
    "pos_init": "uniform",
    "pos_directions_num": 2,
}
MAPPING = {**ATTENDING, "num_layers": 4, "layer_dim": None, "resnet": True, "shared": False, "ltnt2ltnt": True}


def built(mapping=(), synthesis=(), discriminator=(), **arguments):
    """Return the official G, D and Gs with these options instead of those of the default."""
    shared = {"c_dim": 0, "img_resolution": WIDTH, "img_channels": 3, "reg_interval": 4}
    generator = {
        "z_dim": SIZE,
        "w_dim": SIZE,
        "k": COMPONENTS + 1,
        "component_dropout": 0.0,
        "mapping_kwargs": {**MAPPING, **dict(mapping)},
        "synthesis_kwargs": {**SYNTHESIS, **dict(synthesis)},
        **shared,
        **arguments,
    }
    other = {
        **LIMITS,
        "architecture": "resnet",
        "mapping_kwargs": {},
        "block_kwargs": {},
        "epilogue_kwargs": {"mbstd_group_size": 4},
        **shared,
        **{name: value for name, value in arguments.items() if name in shared},
        **dict(discriminator),
    }
    torch.manual_seed(0)
    return twin.Generator(**generator), twin.Discriminator(**other), twin.Generator(**generator)


def write(folder, networks, protocol=4):
    path = folder / "network-snapshot-000024.pkl"
    names = {name: network for name, network in zip(("G", "D", "Gs"), networks, strict=True) if network is not None}
    path.write_bytes(dumped({"dataset_args": {"resolution": WIDTH, "ratio": 1.0}, **names}, protocol))
    return path


def imported(folder, networks, protocol=4):
    out = folder / "out"
    snapshot.import_snapshot(write(folder, networks, protocol), out)
    learner, record = restore(out / "run.json")
    return learner, record, out


STYLEGAN2 = {
    "k": 1,
    "mapping": {"transformer": False, "ltnt2ltnt": False, "resnet": False},
    "synthesis": {"transformer": False, "architecture": "skip", "kmeans": False},
}
VARIANTS = {
    "default": {},
    "clevr": {"synthesis": {"style": False}, "mapping": {"ltnt2ltnt": False}},
    "no k-means": {"synthesis": {"kmeans": False}},
    "no k-means, 3 iterations": {"synthesis": {"kmeans": False, "kmeans_iters": 3}},
    "3 iterations": {"synthesis": {"kmeans_iters": 3}},
    "2 heads": {"synthesis": {"num_heads": 2}, "mapping": {"num_heads": 2}},
    "2 heads, 2 iterations": {"synthesis": {"num_heads": 2, "kmeans_iters": 2}, "mapping": {"num_heads": 2}},
    "2 heads, no k-means": {"synthesis": {"num_heads": 2, "kmeans": False}, "mapping": {"num_heads": 2}},
    "add": {"synthesis": {"integration": "add"}},
    "both": {"synthesis": {"integration": "both"}},
    "add without norm": {"synthesis": {"integration": "add", "norm": None}},
    "instance norm": {"synthesis": {"norm": "instance"}},
    "instance norm, add": {"synthesis": {"norm": "instance", "integration": "add"}},
    "batch norm": {"synthesis": {"norm": "batch"}},
    "skip": {"synthesis": {"architecture": "skip"}, "discriminator": {"architecture": "skip"}},
    "orig": {"synthesis": {"architecture": "orig"}, "discriminator": {"architecture": "orig"}},
    "plain mapping": {"mapping": {"resnet": False, "num_layers": 3}},
    "odd mapping": {"mapping": {"num_layers": 5}},
    "converted from TensorFlow": {"mapping": {"normalize_global": False}},
    "no positions": {"synthesis": {"use_pos": False}, "mapping": {"use_pos": False}},
    "no positions or k-means": {"synthesis": {"use_pos": False, "kmeans": False}, "mapping": {"use_pos": False}},
    "image gate": {"synthesis": {"img_gate": True}},
    "image gate, 2 heads": {"synthesis": {"img_gate": True, "num_heads": 2}, "mapping": {"num_heads": 2}},
    "both gates": {
        "synthesis": {"img_gate": True, "ltnt_gate": True, "channel_max": SIZE},
        "mapping": {"ltnt_gate": True, "ltnt2ltnt": False},
        "discriminator": {"channel_max": SIZE},
    },
    "component gate without positions": {
        "synthesis": {"ltnt_gate": True, "channel_max": SIZE, "use_pos": False, "kmeans": False},
        "mapping": {"ltnt2ltnt": False, "use_pos": False},
        "discriminator": {"channel_max": SIZE},
    },
    "no noise": {"synthesis": {"local_noise": False}},
    "4 directions": {"synthesis": {"pos_directions_num": 4}},
    "linear": {"synthesis": {"pos_type": "linear"}},
    "trainable": {"synthesis": {"pos_type": "trainable"}},
    "trainable2d": {"synthesis": {"pos_type": "trainable2d"}},
    "all widths": {"synthesis": {"end_res": 8}},
    "from 8 on": {"synthesis": {"start_res": 3}},
    "only 4": {"synthesis": {"end_res": 3}},
    "narrow": {"synthesis": {"channel_base": 96}, "discriminator": {"channel_base": 96}},
    "grey": {"img_channels": 1},
    "stylegan2": STYLEGAN2,
    "stylegan2, residual mapping": {**STYLEGAN2, "mapping": {"transformer": False, "ltnt2ltnt": False}},
    "stylegan2 with labels": {**STYLEGAN2, "c_dim": 3},
}


def ours(z, latent_shape):
    """Return z [B, k, D] as a sampler of ours takes it, which has no latent without use."""
    return z[:, 0] if len(latent_shape) == 1 else z[:, : latent_shape[0]]


@pytest.mark.parametrize(("name", "protocol"), in_protocols(VARIANTS))
def test_images_and_logits_are_those_of_the_official_code(tmp_path, name, protocol):
    networks = built(**VARIANTS[name])
    _, discriminator, average = networks
    learner, record, out = imported(tmp_path, networks, protocol)
    classes = VARIANTS[name].get("c_dim", 0)
    z, labels = torch.randn(3, average._init_kwargs["k"], SIZE), one_hot(classes, 3)
    with torch.no_grad(), constant_noise(learner.sampler):
        for psi in (1.0, 0.7):
            w = learner.sampler.truncate(learner.sampler.map(ours(z, learner.sampler.latent_shape), labels), psi)
            assert relative_error(learner.sampler.synthesise(w), average(z, labels, psi)) < 1e-4
        # every layer has latents of its own, as in style mixing
        w = torch.randn(3, average.synthesis.num_ws, *z.shape[1:])
        expected = average.synthesis(w.unbind(1), average.pos)
        assert w.shape[1] == learner.sampler.synthesis.layers
        mixed = w[:, :, 0] if len(learner.sampler.latent_shape) == 1 else w
        assert relative_error(learner.sampler.synthesise(mixed), expected) < 1e-4
    assert record.imported.origin == "GANformer (PyTorch)"
    assert record.imported.notes == []
    logits = discriminator_of(learner, out, record)
    images, labels = torch.randn(8, average._init_kwargs["img_channels"], WIDTH, WIDTH), one_hot(classes, 8)
    with torch.no_grad():
        assert relative_error(logits([images], labels), discriminator(images, labels).squeeze(1)) < 1e-4


@pytest.mark.parametrize(("group", "compared"), [(None, "all"), (8, "8")])
def test_a_discriminator_that_compares_other_groups_is_left_out(tmp_path, group, compared):
    networks = built(discriminator={"epilogue_kwargs": {"mbstd_group_size": group}})
    found = snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert found.notes == (
        f"the discriminator is left out: it compares {compared} images of a batch (mbstd_group_size); here it is 4",
    )
    assert found.discriminator is None


def test_the_moving_average_suffices(tmp_path):
    learner, record, _ = imported(tmp_path, (None, None, built()[2]))
    assert record.imported.notes == ["without a discriminator, which it does not hold"]
    assert learner.sample(torch.zeros(2, 0), [1, 2]).shape == (2, 3, WIDTH, WIDTH)
