"""Runs exported for official code: that code makes the same images of them, and they are imported as they were."""

import pickle
import re
import types

import pytest
import torch

import ganformer
from ganformer.config import Spec
from ganformer.errors import CheckpointError, ConfigError
from ganformer.interop import imported, official, snapshot
from ganformer.interop.imported import Imported
from ganformer.nn.layers import constant_noise
from ganformer.training.checkpoint import build, restore
from ganformer.training.loop import train
from tests.interop import official_pytorch, official_stylegan2_ada
from tests.interop.official import _reconstruct_persistent_obj, official_modules
from tests.interop.parity import discriminator_of, one_hot, relative_error
from tests.training.tiny_runs import NAMES, final_state, tiny_spec, write_pack

WIDTH = 16
TINY = {"channel_base": 128, "channel_max": 16, "mapping_layers": 3}
STYLEGAN2 = {"kind": "stylegan2", "latent_size": 12, **TINY}
GANFORMER = {
    "kind": "ganformer",
    "attention": "centroid",
    "components": 4,
    "latent_size": 32,
    "latent_normalisation": "joint",
    **TINY,
}


def run(folder, model, classes=0, channels=3, *, judge=True, height=WIDTH):
    """Write a run with random weights into a folder, with or without its discriminator."""
    image = {"height": height, "width": WIDTH, "channels": channels, "classes": classes}
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": {}, "seed": 0})
    torch.manual_seed(0)
    learner = build(spec)
    for name, value in learner.network.named_parameters():
        if value.ndim < 2:  # biases and strengths of noise begin at 0
            value.data += 0.3 * torch.randn(value.shape) / (100 if "mapping" in name else 1)
    learner.sampler.load_state_dict(learner.network.generator.state_dict())
    learner.sampler.w_average.normal_()
    other = learner.network.discriminator.state_dict() if judge else None
    (folder / "origin").write_text("made by a test")
    made = Imported(model, spec.image, learner.sampler.state_dict(), other, "a test")
    imported.write(made, folder / "origin", folder / "run")
    return folder / "run"


def loaded(path, module, later=False):
    """Unpickle a snapshot as official code does: it executes the source in it, which imports that code's networks."""

    def reconstruct(meta):
        source = types.ModuleType("source")
        exec(meta["module_src"], vars(source))
        kind = vars(source)[meta["class_name"]]
        network = kind.__new__(kind)
        network.__setstate__(meta["state"])
        return network

    reconstruct.__qualname__, reconstruct.__module__ = _reconstruct_persistent_obj.__name__, "torch_utils.persistence"
    parts = {"Generator": module.Generator, "Discriminator": module.Discriminator}
    if later:
        parts = {"Generator": module.LaterGenerator, "Discriminator": module.LaterDiscriminator}
    networks = types.ModuleType("training.networks")
    vars(networks).update(parts)
    training = {"networks_stylegan2": networks} if later else {"networks": networks}
    modules = {"torch_utils": {}, "torch_utils.persistence": {"_reconstruct_persistent_obj": reconstruct}}
    with official_modules(**modules, training=training):
        return pickle.loads(path.read_bytes())


ADA = {
    "default": {},
    "labels": {"classes": 3, "discriminator_labels": "projection"},
    "resnet and skip": {"generator_architecture": "resnet", "discriminator_architecture": "skip"},
    "orig": {"generator_architecture": "orig", "discriminator_architecture": "orig"},
    "a clamp that matters": {"activation_clamp": 0.7},
    "grey, no noise": {"channels": 1, "noise": False},
    "another rate of the mapping network": {"mapping_learning_rate_multiplier": 0.1},
}
PYTORCH = {
    "centroid": {},
    "residual mapping": {"mapping_architecture": "resnet", "mapping_layers": 4},
    "simplex, 2 heads": {"attention": "simplex", "heads": 2},
    "3 iterations": {"iterations": 3},
    "a grid of positions": {"positions": "trainable-2d"},
    "four directions": {"positions": "sinusoidal", "position_directions": 4},
    "add, instance": {"integration": "add", "normalisation": "instance"},
    "add without norm": {"integration": "add", "normalisation": "none"},
    "gated": {"image_gate": True},
    "no style, no attention of latents": {"global_style": False, "latent_self_attention": False},
    "some resolutions": {"start_resolution": 8, "end_resolution": 16, "generator_architecture": "skip"},
    "finest": {"end_resolution": 32, "latent_normalisation": "joint-local"},
    "stylegan2": {"kind": "stylegan2"},
    "stylegan2, labels": {"kind": "stylegan2", "classes": 3},
    "stylegan2, residual mapping": {"kind": "stylegan2", "mapping_architecture": "resnet", "mapping_layers": 4},
}


def exported(tmp_path, base, settings, kind):
    """Return the folder of a run with these settings, and the snapshot that was made of it."""
    settings = dict(settings)
    shape = {name: settings.pop(name) for name in ("classes", "channels") if name in settings}
    folder = run(tmp_path, {**base, **settings}, **shape)
    path = tmp_path / "network-snapshot.pkl"
    ganformer.load_run(folder).export(kind, path)
    return folder, path


def same(folder, networks, average):
    """Compare images and logits of official networks with those of a run."""
    learner, record = restore(folder / "run.json")
    sampler, classes = learner.sampler, record.image.classes
    shape, labels = sampler.latent_shape, one_hot(classes, 3)
    z = torch.randn(3, *shape)
    given = z[:, None] if average == "Gs" and z.ndim == 2 else z
    if record.model.get("global_style") is False:
        given = torch.cat([z, torch.randn(3, 1, shape[1])], dim=1)  # one that is there without effect
    with torch.no_grad(), constant_noise(sampler):
        for psi in (1.0, 0.7):
            w = sampler.truncate(sampler.map(z, labels), psi)
            assert relative_error(networks[average](given, labels, psi), sampler.synthesise(w)) < 1e-4
    images = torch.randn(8, record.image.channels, WIDTH, WIDTH)
    judge = discriminator_of(learner, folder, record)
    with torch.no_grad():
        logits = networks["D"](images, one_hot(classes, 8)).squeeze(1)
        assert relative_error(logits, judge([images], one_hot(classes, 8))) < 1e-4


def equal(folder, path):
    """Compare a run with its snapshot, imported: bit for bit."""
    snapshot.import_snapshot(path, path.parent / "back")
    ours, theirs = states(folder), states(path.parent / "back")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def states(folder):
    """Return the values of the sampler and the discriminator of an imported run."""
    learner, record = restore(folder / "run.json")
    judge = discriminator_of(learner, folder, record).state_dict()
    return {**learner.sampler.state_dict(), **{f"judge {name}": value for name, value in judge.items()}}


@pytest.mark.parametrize("later", [False, True], ids=["StyleGAN2-ADA", "StyleGAN3"])
@pytest.mark.parametrize("name", ADA)
def test_stylegan2_ada_makes_the_same_images_and_logits(tmp_path, name, later):
    if later and name == "resnet and skip":
        later = False
    folder, path = exported(tmp_path, {**STYLEGAN2}, ADA[name], "stylegan2-ada")
    networks = loaded(path, official_stylegan2_ada, later)
    assert list(networks) == ["G", "D", "G_ema", "training_set_kwargs", "augment_pipe"]
    same(folder, networks, "G_ema")
    equal(folder, path)


@pytest.mark.parametrize("name", PYTORCH)
def test_ganformers_code_makes_the_same_images_and_logits(tmp_path, name):
    settings = PYTORCH[name]
    base = {**STYLEGAN2, "refine_colours": True} if settings.get("kind") == "stylegan2" else GANFORMER
    folder, path = exported(tmp_path, base, settings, "ganformer")
    networks = loaded(path, official_pytorch)
    assert networks["dataset_args"] == {"resolution": WIDTH, "ratio": 1.0}
    same(folder, networks, "Gs")
    equal(folder, path)


def test_a_loaded_network_is_one_of_the_official_class_and_not_trained(tmp_path):
    _, path = exported(tmp_path, STYLEGAN2, {}, "stylegan2-ada")
    networks = loaded(path, official_stylegan2_ada)
    for name, kind in (("G", "Generator"), ("D", "Discriminator"), ("G_ema", "Generator")):
        assert type(networks[name]) is getattr(official_stylegan2_ada, kind)
        assert not networks[name].training
        assert not any(value.requires_grad for value in networks[name].parameters())


def test_without_a_discriminator_a_module_that_does_nothing_stands_for_it(tmp_path, capsys):
    folder = run(tmp_path, STYLEGAN2, judge=False)
    ganformer.load_run(folder).export("stylegan2-ada", tmp_path / "a.pkl")
    assert "note: without a discriminator: none was kept\n" in capsys.readouterr().out
    assert type(loaded(tmp_path / "a.pkl", official_stylegan2_ada)["D"]) is torch.nn.Identity
    back = snapshot.read(tmp_path / "a.pkl")
    assert back.discriminator is None
    assert back.notes == ("without a discriminator, which it does not hold",)


def test_a_discriminator_that_the_code_does_not_have_is_left_out(tmp_path, capsys):
    folder = run(tmp_path, STYLEGAN2, classes=3)  # a logit for each class
    ganformer.load_run(folder).export("stylegan2-ada", tmp_path / "a.pkl")
    assert "note: without a discriminator: that code has none like it\n" in capsys.readouterr().out
    assert type(loaded(tmp_path / "a.pkl", official_stylegan2_ada)["D"]) is torch.nn.Identity


def test_a_discriminator_that_is_read_back_as_another_is_left_out(tmp_path, capsys):
    folder = run(tmp_path, {**STYLEGAN2, "activation_clamp": 256, "discriminator_architecture": "skip"})
    ganformer.load_run(folder).export("stylegan2-ada", tmp_path / "a.pkl")  # there its last layer has no limit
    assert "note: without a discriminator: that code has none like it\n" in capsys.readouterr().out
    assert type(loaded(tmp_path / "a.pkl", official_stylegan2_ada)["D"]) is torch.nn.Identity


REFUSED = {
    "kind": ("stylegan2-ada", GANFORMER, {}, 'kind is "ganformer", and that code has only "stylegan2"'),
    "refined": (
        "stylegan2-ada",
        STYLEGAN2,
        {"refine_colours": True},
        "refine_colours is true, and that code has only false",
    ),
    "plain": ("ganformer", STYLEGAN2, {}, "refine_colours is false, and that code has only true"),
    "duplex": (
        "ganformer",
        GANFORMER,
        {"attention": "duplex"},
        'attention is "duplex", and that code has only "simplex" or "centroid"',
    ),
    "each": (
        "ganformer",
        GANFORMER,
        {"latent_normalisation": "each", "integration": "both"},
        'latent_normalisation is "each", and that code has only "joint" or "joint-local"; '
        'integration is "both", and that code has only "mul" or "add"',
    ),
    "labels": ("ganformer", GANFORMER, {"classes": 2}, "classes is 2, and that code has only 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_the_code_does_not_have_are_named(tmp_path, name):
    kind, base, settings, message = REFUSED[name]
    with pytest.raises(
        ConfigError, match=rf"run\.json: cannot be exported for .*: {re.escape(message)}; the formats onnx, "
    ):
        exported(tmp_path, base, settings, kind)
    assert not (tmp_path / "network-snapshot.pkl").exists()


def test_oblong_images_are_refused(tmp_path):
    folder = run(tmp_path, STYLEGAN2, height=8)
    message = (
        r"cannot be exported for StyleGAN2-ADA \(PyTorch\): its images are 16×8, and that code makes squares; the "
        "formats onnx, torchscript and huggingface take the model as it is$"
    )
    with pytest.raises(ConfigError, match=message):
        ganformer.load_run(folder).export("stylegan2-ada", tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("name", "images"), [("mapping.w_avg", "0"), ("synthesis.b16.torgb.bias", r"[0-9.e+]+")], ids=["average", "colours"]
)
def test_a_snapshot_that_is_another_model_is_not_kept(tmp_path, monkeypatch, name, images):
    folder = run(tmp_path, STYLEGAN2, judge=False)
    unchanged = official._in_their_shapes

    def changed(values):
        return {**unchanged(values), name: values[name] + 1}

    monkeypatch.setattr(official, "_in_their_shapes", changed)
    ours = {"mapping.w_avg": "w_average", "synthesis.b16.torgb.bias": r"synthesis\.colours\.colours\.bias"}[name]
    message = rf"a\.pkl: read back it is another model \(images differ by {images}; other values: {ours}\), so nothing"
    with pytest.raises(CheckpointError, match=message):
        ganformer.load_run(folder).export("stylegan2-ada", tmp_path / "a.pkl")
    assert not (tmp_path / "a.pkl").exists()


def test_of_a_training_the_networks_are_those_of_its_end(tmp_path):
    spec = tiny_spec(4, **{**STYLEGAN2, "mapping_layers": 1})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"snapshots": 2})})
    train(spec, write_pack(tmp_path / "pack", 40), tmp_path / "run", names=NAMES, threads=1, gpus=0)
    ganformer.load_run(tmp_path / "run").export("stylegan2-ada", tmp_path / "end.pkl")
    networks = loaded(tmp_path / "end.pkl", official_stylegan2_ada)
    end = final_state(tmp_path / "run")["network"]
    for name, part in (("G", "generator"), ("G_ema", "sampler")):
        assert torch.equal(networks[name].synthesis.b8.conv1.bias, end[f"{part}.synthesis.blocks.0.second.bias"])
    assert torch.equal(networks["D"].b4.out.bias, end["discriminator.epilogue.head.layer.bias"])
    # Of the snapshot before, only the average is kept.
    ganformer.load_run(tmp_path / "run", 2).export("stylegan2-ada", tmp_path / "early.pkl")
    early = loaded(tmp_path / "early.pkl", official_stylegan2_ada)
    sampler = restore(tmp_path / "run" / "run.json", 2)[0].sampler.state_dict()
    for name in ("G", "G_ema"):
        assert torch.equal(early[name].synthesis.b8.conv1.bias, sampler["synthesis.blocks.0.second.bias"])
    assert type(early["D"]) is torch.nn.Identity


def test_a_training_that_has_not_ended_is_exported_from_its_checkpoint(tmp_path):
    train(
        tiny_spec(2, **STYLEGAN2), write_pack(tmp_path / "pack", 40), tmp_path / "run", names=NAMES, threads=1, gpus=0
    )
    (tmp_path / "run" / "run.json").unlink()
    ganformer.load_run(tmp_path / "run").export("stylegan2-ada", tmp_path / "now.pkl")
    networks = loaded(tmp_path / "now.pkl", official_stylegan2_ada)
    assert torch.equal(
        networks["D"].b4.out.bias, final_state(tmp_path / "run")["network"]["discriminator.epilogue.head.layer.bias"]
    )
