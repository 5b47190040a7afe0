"""Snapshots of GANformer's TensorFlow code, as published, give the same images and logits here."""

import pytest
import torch

from ganformer.errors import CheckpointError
from ganformer.interop import snapshot
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import restore
from tests.interop import official_tensorflow as twin
from tests.interop.official import in_protocols
from tests.interop.parity import discriminator_of, relative_error

pytestmark = pytest.mark.slow

WIDTH, COMPONENTS, SIZE = 16, 4, 8
OLD = {"size": "latent_size", "base": "fmap_base", "most": "fmap_max", "layers": "mapping_layersnum"}
NEW = {"size": "z_dim", "base": "channel_base", "most": "channel_max", "layers": "mapping_num_layers"}
DEFAULT = {
    "components_num": COMPONENTS,
    "resolution": WIDTH,
    "num_channels": 3,
    "transformer": True,
    "architecture": "resnet",
    "mapping_resnet": True,
    "mapping_ltnt2ltnt": True,
    "mapping_lrmul": 0.01,
    "mapping_dim": None,
    "mapping_shared_dim": 0,
    "style": True,
    "latent_stem": False,
    "local_noise": True,
    "fused_modconv": True,
    "tanh": False,
    "norm": "layer",
    "integration": "mul",
    "ltnt_gate": False,
    "img_gate": False,
    "iterative": False,
    "kmeans": True,
    "kmeans_iters": 1,
    "use_pos": True,
    "num_heads": 1,
    "pos_dim": None,
    "pos_type": "sinus",
    "pos_init": "uniform",
    "pos_directions_num": 2,
    "merge": False,
    "merge_layer": -1,
    "start_res": 0,
    "end_res": 4,
    "ltnt2ltnt": False,
    "img2img": 0,
    "img2ltnt": False,
    "style_mixing": 0.9,
    "component_dropout": 0.0,
    "attention_dropout": 0.12,
    "truncation_psi": 0.75,
    "crop_ratio": None,
}


def built(names=NEW, discriminator=(), st_spread=0.0, layers=4, **options):
    """Return the official G, D and Gs with these options instead of those of the default."""
    sizes = {names["base"]: 64, names["most"]: 16}
    latents = {names["size"]: SIZE, {"z_dim": "w_dim"}.get(names["size"], "dlatent_size"): SIZE}
    generator = {**DEFAULT, **sizes, **latents, names["layers"]: layers, **options}
    shared = {name: generator[name] for name in ("resolution", "num_channels", "components_num", "use_pos")}
    other = {**sizes, **shared, "architecture": "resnet", "transformer": False, "mbstd_group_size": 4}
    torch.manual_seed(0)
    return (
        twin.Generator(generator, names, st_spread),
        twin.Discriminator({**other, **dict(discriminator)}, names),
        twin.Generator(generator, names, st_spread),
    )


def write(folder, networks, protocol=4):
    path = folder / "clevr-snapshot.pkl"
    path.write_bytes(twin.dumped(networks, protocol))
    return path


STYLEGAN2 = {
    "components_num": 1,
    "transformer": False,
    "architecture": "skip",
    "mapping_resnet": False,
    "mapping_ltnt2ltnt": False,
    "kmeans": False,
}
VARIANTS = {
    "default": {},
    "old names": {"names": OLD},
    "clevr": {"style": False, "mapping_ltnt2ltnt": False},
    "no k-means": {"kmeans": False},
    "3 iterations": {"kmeans_iters": 3},
    "2 heads": {"num_heads": 2},
    "2 heads, no k-means, 2 iterations": {"num_heads": 2, "kmeans": False, "kmeans_iters": 2},
    "add without norm": {"integration": "add", "norm": None},
    "both, instance": {"integration": "both", "norm": "instance"},
    "skip": {"architecture": "skip", "discriminator": {"architecture": "skip"}},
    "orig": {"architecture": "orig", "discriminator": {"architecture": "orig"}},
    "plain mapping": {"mapping_resnet": False},
    "odd mapping": {"layers": 5},
    "no positions": {"use_pos": False},
    "no positions or k-means": {"use_pos": False, "kmeans": False},
    "both gates": {"img_gate": True, "ltnt_gate": True, "mapping_ltnt2ltnt": False, "num_heads": 2},
    "component gate without positions": {"ltnt_gate": True, "mapping_ltnt2ltnt": False, "use_pos": False},
    "no noise": {"local_noise": False},
    "linear": {"pos_type": "linear"},
    "trainable": {"pos_type": "trainable"},
    "trainable2d": {"pos_type": "trainable2d"},
    "no extra layer": {"end_res": 3},
    "another resolution": {"resolution": 32, "end_res": 4},
    "stylegan2": STYLEGAN2,
    "stylegan2, residual mapping": {**STYLEGAN2, "mapping_resnet": True},
    "stylegan2, old names, resnet": {**STYLEGAN2, "names": OLD, "architecture": "resnet"},
}


@pytest.mark.parametrize(("name", "protocol"), in_protocols(VARIANTS))
def test_images_and_logits_are_those_of_the_official_code(tmp_path, name, protocol):
    networks = built(**VARIANTS[name])
    _, discriminator, average = networks
    snapshot.import_snapshot(write(tmp_path, networks, protocol), tmp_path / "out")
    learner, record = restore(tmp_path / "out" / "run.json")
    sampler, labels = learner.sampler, torch.zeros(3, 0)
    z = torch.randn(3, average.k, SIZE)
    z[:, -1] *= 3  # the global latent is not normalised
    shape = sampler.latent_shape
    with torch.no_grad(), constant_noise(sampler):
        for psi in (1.0, 0.75):
            w = sampler.truncate(sampler.map(z[:, 0] if len(shape) == 1 else z[:, : shape[0]], labels), psi)
            assert relative_error(sampler.synthesise(w), average(z, psi)) < 1e-4
        # every layer has latents of its own; the first is that of no layer, the extra layer has no own one
        ws = torch.randn(average.num_ws, 3, *z.shape[1:])
        used = [*ws[1:-1], *([ws[-2]] if record.model["refine_colours"] else []), ws[-1]]
        mixed = torch.stack(used, dim=1)
        mixed = mixed[:, :, 0] if len(shape) == 1 else mixed
        assert relative_error(sampler.synthesise(mixed), average.synthesise(list(ws))) < 1e-4
    assert record.imported.origin == "GANformer (TensorFlow)"
    assert record.imported.notes == []
    images = torch.randn(8, 3, average.o["resolution"], average.o["resolution"])
    found = discriminator_of(learner, tmp_path / "out", record)
    with torch.no_grad():
        assert relative_error(found([images], torch.zeros(8, 0)), discriminator(images).squeeze(1)) < 1e-4


def test_iterations_with_weights_of_their_own_are_refused(tmp_path):
    path = write(tmp_path, built(kmeans_iters=2, st_spread=0.3))
    with pytest.raises(CheckpointError, match=r"iterations of k-means have different weights .*iter_1/st_weights"):
        snapshot.import_snapshot(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


UNSUPPORTED = {
    "tanh": True,
    "merge": True,
    "img2ltnt": True,
    "ltnt2ltnt": True,
    "img2img": 5,
    "local_attention": 4,
    "mapping_dim": 12,
    "mapping_shared_dim": 32,
    "c_dim": 3,
    "label_size": 3,
    "latent_stem": True,
    "z_dim": 12,
    "crop_ratio": 0.5,
    "iterative": True,
    "fmap_decay": 1.5,
    "nonlinearity": "relu",
    "mapping_nonlinearity": "relu",
    "normalize_latents": False,
    "pos_dim": 12,
    "resample_kernel": [1, 2, 1],
}


@pytest.mark.parametrize("option", UNSUPPORTED)
def test_what_no_model_here_does_is_refused_by_name(tmp_path, option):
    networks = built()
    networks[2].options = {**networks[2].options, option: UNSUPPORTED[option]}
    with pytest.raises(CheckpointError, match=f"its option {option} is "):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_of_other_code_are_refused(tmp_path):
    networks = built()
    networks[2].options = {name: value for name, value in networks[2].options.items() if name != "components_num"}
    with pytest.raises(CheckpointError, match="of other TensorFlow code than GANformer's; they have no components_num"):
        snapshot.import_snapshot(write(tmp_path, networks), tmp_path / "out")


def test_a_discriminator_that_attends_is_left_out(tmp_path):
    found = snapshot.import_snapshot(write(tmp_path, built(discriminator={"transformer": True})), tmp_path / "out")
    assert found.notes == ("the discriminator is left out: it attends (transformer)",)
