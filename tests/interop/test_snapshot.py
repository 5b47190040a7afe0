"""Importing is all or nothing: what is no snapshot is refused by one message, what is one becomes a run."""

import bz2
import copy
import gzip
import io
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ganformer import artifacts
from ganformer.artifacts import file_digest
from ganformer.data.fetching import download
from ganformer.data.fetching.download import Remote
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.interop import published, snapshot
from ganformer.interop.snapshot import import_snapshot
from ganformer.training.checkpoint import restore
from tests.interop import official, official_pytorch, official_tensorflow
from tests.interop import test_pytorch_snapshots as pytorch_snapshots
from tests.interop import test_stylegan2_ada_snapshots as ada_snapshots
from tests.interop import test_tensorflow_snapshots as tensorflow_snapshots


@pytest.fixture(scope="module")
def networks():
    return pytorch_snapshots.built()


@pytest.fixture(scope="module")
def whole(networks, tmp_path_factory):
    """Provide a file that can be imported."""
    return pytorch_snapshots.write(tmp_path_factory.mktemp("whole"), networks)


def command(*words, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "ganformer", "import", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment)


# ------------------------------------------------------------------------------------------- what is written


def test_an_imported_snapshot_is_a_run_that_samples(whole, tmp_path):
    out = tmp_path / "some" / "run"
    import_snapshot(whole, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "discriminator.safetensors",
        "run.json",
        "weights.safetensors",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    learner, record = restore(out / "run.json")
    assert record.imported.content() == {
        "file": whole.name,
        "sha256": file_digest(whole),
        "origin": "GANformer (PyTorch)",
        "notes": [],
    }
    assert record.run.content() == {"dataset": "imported", "model": whole.stem, "seed": 0}
    assert (record.steps, record.kimg, len(record.snapshots)) == (0, 0.0, 1)
    assert (record.data.count, record.snapshots[0].step, record.snapshots[0].kimg) == (0, 0, 0.0)
    networks = {"generator": learner.sampler, "discriminator": learner.network.discriminator}
    assert record.parameters == {name: sum(p.numel() for p in part.parameters()) for name, part in networks.items()}
    first, again = (learner.sample(torch.zeros(2, 0), seeds, truncation=0.7) for seeds in ([3, 4], [3, 4]))
    assert first.shape == (2, 3, 16, 16)
    assert torch.equal(first, again)


def test_importing_again_leaves_what_is_there(whole, tmp_path, monkeypatch, capsys):
    """Under another commit too; where a file was lost, all are written anew."""
    out = tmp_path / "run"
    import_snapshot(whole, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(artifacts, "code_version", lambda: {"ganformer": "9"})
    monkeypatch.setattr(np, "__version__", "9")
    import_snapshot(whole, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert f"{out}: holds this import already and stays" in capsys.readouterr().out
    (out / "weights.safetensors").unlink()
    import_snapshot(whole, out)
    assert (out / "weights.safetensors").read_bytes() == before["weights.safetensors"]
    assert artifacts.read_json(out / "run.json")["code"] == {"ganformer": "9"}
    assert artifacts.read_json(out / "run.json")["libraries"] == {"torch": torch.__version__, "numpy": "9"}
    (out / "discriminator.safetensors").write_bytes(b"damaged")
    import_snapshot(whole, out)
    assert {path.name: path.read_bytes() for path in out.glob("*.safetensors")} == {
        name: content for name, content in before.items() if name != "run.json"
    }


def test_the_record_is_written_last(whole, tmp_path, monkeypatch):
    moved, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, other: [moved.append(path.name), replace(path, other)])
    import_snapshot(whole, tmp_path / "run")
    assert sorted(moved[-3:]) == ["discriminator.safetensors", "run.json", "weights.safetensors"]
    assert moved[-1] == "run.json"


def test_a_discriminator_of_an_earlier_import_does_not_stay(whole, tmp_path, networks):
    import_snapshot(whole, tmp_path / "run")
    generator, _, average = networks
    other = official_pytorch.Discriminator(img_resolution=16, img_channels=3, channel_base=64, channel_max=16)
    import_snapshot(pytorch_snapshots.write(tmp_path, (generator, other, average)), tmp_path / "run")
    assert not (tmp_path / "run" / "discriminator.safetensors").exists()


def test_a_trained_run_is_not_overwritten(whole, tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1, "steps": 100}')
    with pytest.raises(
        CheckpointError,
        match=r"/run\.json: is the record of a run that was trained; choose another folder to import into",
    ):
        import_snapshot(whole, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", ["weights.safetensors", "discriminator.safetensors"])
def test_files_that_no_import_wrote_stay(whole, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=rf"{name}: is there already, and no import wrote it by what run\.json"):
        import_snapshot(whole, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"mine"}


def test_a_discriminator_beside_an_import_without_one_stays(networks, tmp_path):
    path = pytorch_snapshots.write(tmp_path, (None, None, networks[2]))
    out = tmp_path / "run"
    import_snapshot(path, out)
    import_snapshot(path, out)
    (out / "discriminator.safetensors").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=r"discriminator\.safetensors: is there already"):
        import_snapshot(path, out)
    assert (out / "discriminator.safetensors").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_named(whole, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        import_snapshot(whole, tmp_path / "file" / "run")


# -------------------------------------------------------------------------------------------------- bad files


def zipped(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "content")
    return buffer.getvalue()


def saved(value, is_zip=True):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def arrays():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(2))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(2))
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("snapshot.pkl"))
    return buffer.getvalue()


class Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def with_payload(path, target):
    """Return a snapshot in which one of the networks is a call instead."""
    return pickle.dumps({"G": 1, "D": 2, "Gs": Evil(target)})


BAD = {
    "nothing": (b"", "is empty; fetch it again"),
    "a page": (
        b"\n<!DOCTYPE html><html><title>Quota exceeded</title>",
        "is a web page, as servers send where a file is not to be had",
    ),
    "a zip": (zipped("readme.txt"), "is a zip archive without a snapshot; unpack it"),
    "half a zip": (zipped("readme.txt")[:40], "is a damaged zip archive"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), r"is a picture \(PNG\), and no file of weights"),
    "another picture": (b"\xff\xd8\xff\xe0" + bytes(100), r"is a picture \(JPEG\), and no file of weights"),
    "another pickle": (pickle.dumps({"state_dict": 1}), "is a pickle, but no snapshot of GANformer"),
    "weights of another network": (saved({"weight": torch.zeros(2)}), "holds weight, and no snapshot of GANformer"),
    "an older file of weights": (saved({"weight": torch.zeros(2)}, is_zip=False), "holds weight, and no snapshot of"),
    "a checkpoint of another network": (
        saved({"state_dict": {f"layer{i}.weight": torch.zeros(2) for i in range(5)}}),
        "holds a state_dict with layer0.weight, layer1.weight, layer2.weight and 2 more, and no snapshot of GANformer",
    ),
    "a list of weights": (saved([torch.zeros(2)]), "holds a list, and no snapshot of"),
    "no weights": (saved({}), "holds nothing, and no snapshot of"),
    "arrays": (arrays(), r"holds arrays of numpy \(npz\), and no snapshot"),
    "a program": (zipped("archive/constants.pkl"), "is a program of TorchScript, not a snapshot of"),
    "gzip": (gzip.compress(pickle.dumps({"G": 1})), "is compressed by gzip; unpack it first, e.g. with gunzip"),
    "xz": (lzma.compress(pickle.dumps({"G": 1})), "is compressed by xz; unpack it first, e.g. with unxz"),
    "bzip2": (bz2.compress(pickle.dumps({"G": 1})), "is compressed by bzip2; unpack it first, e.g. with bunzip2"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "is compressed by zstd; unpack it first"),
    "a tar": (tarred(), "is a tar archive; unpack it and name what is in it"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, as Keras writes weights"),
    "an array": (npy(), r"is an array of numpy \(npy\), and no file of weights"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "is a pointer of Git LFS in place of the file itself; get that, e.g. with git lfs pull",
    ),
    "safetensors": (
        safetensors.torch.save({"weight": torch.zeros(2)}),
        "is a safetensors file; no network that can be imported is published in one, so no such file is read",
    ),
    "safetensors of torch": (
        safetensors.torch.save({"weight": torch.zeros(2)}, {"format": "pt"}),
        "is a safetensors file; no network that can be imported is published in one, so no such file is read",
    ),
    "a header of the greatest length": (
        (100 << 20).to_bytes(8, "little") + b"{}",
        "is a safetensors file that ends too early; copy or fetch it again",
    ),
    "a header of a greater length": (((100 << 20) + 1).to_bytes(8, "little") + b"{}", "is damaged or no pickle"),
    **{
        f"a header that is {content!r}": (
            len(content).to_bytes(8, "little") + content,
            "is a safetensors file that ends too early; copy or fetch it again",
        )
        for content in (b"{", b'{"a": 3}', b'{"a": {}}', b'{"a": {"data_offsets": [0]}}')
    },
    "half a safetensors file": (
        safetensors.torch.save({"weight": torch.zeros(200)})[:-9],
        "is a safetensors file that ends too early; copy or fetch it again",
    ),
    "numbers": (pickle.dumps((1, 2, 3)), "where a dnnlib.tflib Network should be, there is something else"),
    "no networks": (pickle.dumps({"G": 1, "D": 2, "Gs": 3}), "where a Generator should be, there is something else"),
    "no networks of ADA": (pickle.dumps({"G": 1, "D": 2, "G_ema": 3}), "where a Generator should be"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_snapshot_is_refused(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_snapshot(path, tmp_path / "out")
    assert str(caught.value).startswith(str(path))
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.pkl"]


def test_a_graph_is_no_snapshot(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch")
    message = (
        r"model\.onnx: is an ONNX graph, which cannot be turned into a network; import the snapshot that it was made"
    )
    with pytest.raises(CheckpointError, match=message):
        import_snapshot(tmp_path / "model.onnx", tmp_path / "out")


def test_a_truncated_snapshot_is_damaged(whole, tmp_path):
    content = whole.read_bytes()
    for length in (len(content) // 3, len(content) - 1):
        path = tmp_path / "snapshot.pkl"
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="is damaged or no pickle"):
            import_snapshot(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_payload_ends_the_command_with_one_message(tmp_path):
    target, path = tmp_path / "pwned", tmp_path / "snapshot.pkl"
    path.write_bytes(with_payload(path, target))
    said = command(path, "--out", tmp_path / "out", cwd=tmp_path)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "snapshot.pkl: refused, it asks for" in said.stderr
    assert ".system', which no snapshot needs; nothing in it was executed" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.pkl"]


def test_a_checksum_is_compared_before_anything_is_read(tmp_path):
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(b"no pickle")
    with pytest.raises(
        CheckpointError,
        match=f"its sha256 is {file_digest(path)}, expected {'0' * 64}; fetch it again, or correct --sha256",
    ):
        import_snapshot(path, tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()
    snapshot.check_digest(path, file_digest(path).upper())


@pytest.mark.slow
def test_the_command_says_what_it_imported(whole, tmp_path):
    said = command(whole, "--out", "out", "--sha256", file_digest(whole).upper(), cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout == "out: GANformer (PyTorch), images of 16×16 pixels\n"
    assert (tmp_path / "out" / "run.json").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pkl: cannot be read \(No such file"):
        import_snapshot(tmp_path / "absent.pkl", tmp_path / "out")


def test_an_address_is_refused(tmp_path):
    message = (
        r"^'https://host/a\.pkl' is an address; fetch the file, e\.g\. with a browser, and name it, or name a "
        r"published one, e\.g\. gdrive:clevr-snapshot\.pkl$"
    )
    with pytest.raises(ConfigError, match=message):
        published.located("https://host/a.pkl", tmp_path)


def test_a_run_is_told_from_a_snapshot(whole, tmp_path):
    import_snapshot(whole, tmp_path / "run")
    for name, words in {
        "": "is the folder of a run, which needs no import; name it where weights are asked for, e.g. --weights",
        "weights.safetensors": "holds weights of a run, which needs no import; name its folder as --weights: "
        f"{tmp_path / 'run'}",
        "discriminator.safetensors": "holds weights of a run, which needs no import; name its folder",
    }.items():
        path = tmp_path / "run" / name
        with pytest.raises(CheckpointError) as caught:
            import_snapshot(path, tmp_path / "out")
        assert str(caught.value).startswith(f"{path}: {words}")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"which needs no import but its run\.json; put that beside it and name"):
        import_snapshot(tmp_path / "run" / "weights.safetensors", tmp_path / "out")
    with pytest.raises(CheckpointError, match="run: is a folder; name a file in it"):
        import_snapshot(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------- snapshots of other kinds


def stand_in(module, name, state=None):
    """Return an object of a class that only the other program has, as it pickles it by its name."""
    kind = type(name, (), {"__module__": module})
    made = kind()
    vars(made).update(state or {})
    return {module: {name: kind}}, made


def strange(modules, content, protocol):
    with official.official_modules(**modules):
        return pickle.dumps(content, protocol=protocol)


def of_projected_gan(protocol, backbones=()):
    state = {"backbones": list(backbones)} if backbones else {"feature_network": 1}
    modules, judge = stand_in("pg_modules.discriminator", "ProjectedDiscriminator", state)
    return strange({"pg_modules": {}, **modules}, {"G": 1, "D": judge, "G_ema": 1}, protocol)


def of_r3gan(protocol):
    inner, network = stand_in("R3GAN.Networks", "Generator")
    outer, generator = stand_in("training.networks", "Generator", {"Model": network})
    return strange({"R3GAN": {}, "training": {}, **inner, **outer}, {"G": generator, "G_ema": generator}, protocol)


def of_stylegan3(protocol, source=official.NEVER):
    waves = official.persistent("SynthesisInput", EMPTY)
    synthesis = official.persistent("SynthesisNetwork", {**EMPTY, "_modules": {"input": waves}})
    state = {**EMPTY, "_init_kwargs": {"z_dim": 8, "w_dim": 8}, "_modules": {"synthesis": synthesis}}
    return official.dumped({"G_ema": official.persistent("Generator", state, source)}, protocol)


EMPTY = {"_parameters": {}, "_buffers": {}, "_modules": {}}
STRANGERS = (
    ("StyleGAN3", of_stylegan3),
    ("R3GAN", of_r3gan),
    ("Projected GAN", of_projected_gan),
    ("StyleGAN-XL", lambda protocol: of_projected_gan(protocol, ["deit_base_distilled_patch16_224"])),
    ("StyleGAN-XL", lambda protocol: of_stylegan3(protocol, "class SuperresGenerator(torch.nn.Module): ...")),
    ("lucidrains' stylegan2-pytorch", lambda _: saved({"GAN": {"S.net.0.weight": torch.ones(2)}, "version": "1.8.9"})),
    ("lucidrains' lightweight-gan or a relative", lambda _: saved({"GAN": {"G.a": torch.ones(2)}, "version": "1"})),
)


@pytest.mark.parametrize("protocol", official.PROTOCOLS)
@pytest.mark.parametrize(("program", "write"), STRANGERS)
def test_other_programs_are_refused_by_their_names(tmp_path, program, write, protocol):
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(write(protocol))
    with pytest.raises(CheckpointError) as caught:
        import_snapshot(path, tmp_path / "out")
    assert str(caught.value).startswith(
        f"{path}: is of {program}, and no model here is equal to its networks; importable "
    )
    assert str(caught.value).endswith("Taming Transformers. Nothing in it was executed")
    assert not (tmp_path / "out").exists()


def changed(networks, generator=(), mapping=(), synthesis=(), discriminator=()):
    """Return networks that say they were built with other arguments."""
    generator_network, other, average = networks
    average, other = copy.deepcopy(average), copy.deepcopy(other)
    average._init_kwargs.update(generator)
    average._init_kwargs["mapping_kwargs"].update(mapping)
    average._init_kwargs["synthesis_kwargs"].update(synthesis)
    other._init_kwargs.update(discriminator)
    return generator_network, other, average


OTHERS = {
    "resolution 48": ({"generator": {"img_resolution": 48}}, "width 48 of the images is not a power of two"),
    "resolution 4": ({"generator": {"img_resolution": 4}}, "width 4 of the images is not a power of two from 8"),
    "a huge resolution": ({"generator": {"img_resolution": 1 << 20}}, "leaves no features at width 1048576"),
    "another resolution": ({"generator": {"img_resolution": 32}}, r"missing: synthesis\.b32\.conv0\.bias"),
    "no resolution": ({"generator": {"img_resolution": "large"}}, "its option img_resolution is 'large'"),
    "a negative resolution": ({"generator": {"img_resolution": -16}}, "its option img_resolution is -16"),
    "other widths": ({"synthesis": {"channel_max": 24}}, "mis-shaped: .*instead of"),
    "other latents": ({"generator": {"z_dim": 12}}, "its option z_dim is 12, and no model here is equal to that"),
    "labels": ({"generator": {"c_dim": 3}}, "its labels enter the mapping network of the global latent only"),
    "attention at no width": (
        {"synthesis": {"start_res": 5}},
        "there is no attention: start_resolution 32 is not below 16",
    ),
    "an unknown architecture": ({"synthesis": {"architecture": "dense"}}, "generator_architecture: .*'dense'"),
    "an unknown integration": ({"synthesis": {"integration": "xor"}}, "integration: .*'xor'"),
    "an unknown norm": ({"synthesis": {"norm": "group"}}, "normalisation: .*'group'"),
    "unknown positions": ({"synthesis": {"pos_type": "rotary"}}, "positions: .*'rotary'"),
    "centroids carried on": ({"synthesis": {"iterative": True}}, "its option iterative is True"),
    "a latent stem": ({"synthesis": {"latent_stem": True}}, "its option latent_stem is True"),
    "shared mapping": ({"mapping": {"shared": True}}, "its option shared is True"),
    "wide mapping": ({"mapping": {"layer_dim": 64}}, "its option layer_dim is 64"),
    "another activation": ({"mapping": {"act": "swish"}}, "its option act is 'swish'"),
    "another filter": ({"synthesis": {"resample_kernel": [1, 1]}}, r"its option resample_kernel is \[1, 1\]"),
    "cropped": ({"synthesis": {"crop_ratio": 0.4}}, "its option crop_ratio is 0.4"),
    "directions": ({"synthesis": {"pos_directions_num": 4}}, r"grid_pos are not the positions of 4 directions"),
    "mapping heads": ({"mapping": {"num_heads": 2}}, "its option num_heads is 2"),
    "no style without attention": (
        {"synthesis": {"transformer": False, "style": False}, "mapping": {"transformer": False}},
        "its option k is 5",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_model_here_is_equal_to_is_refused_by_name(networks, tmp_path, name):
    differences, message = OTHERS[name]
    path = pytorch_snapshots.write(tmp_path, changed(networks, **differences))
    with pytest.raises(CheckpointError, match=message):
        import_snapshot(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_filter_that_was_saved_is_looked_at(networks, tmp_path):
    networks = changed(networks)
    networks[2].synthesis.b8.conv0.resample_kernel[0, 0] = 1
    with pytest.raises(CheckpointError, match=r"b8\.conv0\.resample_kernel is not the filter \[1, 3, 3, 1\]"):
        import_snapshot(pytorch_snapshots.write(tmp_path, networks), tmp_path / "out")


def test_a_value_too_many_is_refused(networks, tmp_path):
    networks = changed(networks)
    networks[2].synthesis.extra = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(CheckpointError, match=r"not known: synthesis\.extra"):
        import_snapshot(pytorch_snapshots.write(tmp_path, networks), tmp_path / "out")


@pytest.mark.parametrize(
    ("snapshots", "option", "message"),
    [
        (ada_snapshots, {"z_dim": 8}, "its option z_dim is 8"),
        (ada_snapshots, {"mapping_kwargs": {"layer_features": 32}}, "its option layer_features is 32"),
        (ada_snapshots, {"synthesis_kwargs": {"activation": "relu"}}, "its option activation is 'relu'"),
        (ada_snapshots, {"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "its option resample_filter is"),
        (ada_snapshots, {"synthesis_kwargs": 3}, "does not say how its networks were built"),
    ],
)
def test_options_of_other_code_are_refused_by_name(tmp_path, snapshots, option, message):
    networks = snapshots.built()
    networks[2]._init_kwargs.update(option)
    with pytest.raises(CheckpointError, match=message):
        import_snapshot(snapshots.write(tmp_path, networks), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_version_of_the_format_is_named(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "VERSION", 7)
    path = pytorch_snapshots.write(tmp_path, networks)
    with pytest.raises(
        CheckpointError, match=r"Generator is of version 7 of torch_utils\.persistence; only version 6 "
    ):
        import_snapshot(path, tmp_path / "out")


def test_another_version_of_tensorflow_networks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(official_tensorflow, "VERSION", 3)
    path = tensorflow_snapshots.write(tmp_path, tensorflow_snapshots.built())
    with pytest.raises(CheckpointError, match="its networks are of version 3; only version 4 can be read"):
        import_snapshot(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "its networks were built"),
        ({"_init_kwargs": {}}, "KeyError: '_modules'"),
        ({"_init_kwargs": {}, "_parameters": 3, "_buffers": {}, "_modules": {}}, "AttributeError"),
        (
            {"_init_kwargs": {"img_channels": 0}, "_parameters": {}, "_buffers": {}, "_modules": {}},
            "channels: 0 is not 1, 3 or 4",
        ),
        ({"_init_args": (3,), "_init_kwargs": {}}, "its Generator was built with arguments without names"),
    ],
)
def test_networks_without_what_they_should_hold_are_refused(tmp_path, state, message):
    network = official.persistent("Generator", state)
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(official.dumped({"G": network, "D": network, "Gs": network}))
    with pytest.raises(CheckpointError, match=message) as caught:
        import_snapshot(path, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_network_that_is_a_part_of_itself_is_refused(tmp_path):
    state = {"_init_kwargs": {}, "_parameters": {}, "_buffers": {}, "_modules": {}}
    network = official.persistent("Generator", state)
    state["_modules"]["part"] = official.persistent("Generator", state)
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(official.dumped({"G": network, "D": network, "Gs": network}))
    with pytest.raises(CheckpointError, match="RecursionError"):
        import_snapshot(path, tmp_path / "out")


# ------------------------------------------------------------------------------------------- published ones


@pytest.fixture
def drive(monkeypatch):
    """Provide what Google Drive holds, in place of it; tests/data/test_download.py shows how files come from there."""

    def fetch(remote, folder):
        asked.append(remote)
        folder.mkdir(exist_ok=True)
        if not (folder / remote.name).exists():
            (folder / remote.name).write_bytes(files[remote.urls])
        return folder / remote.name

    files, asked = {}, []
    monkeypatch.setattr(download, "fetch", fetch)
    return files, asked


def test_a_published_snapshot_is_fetched(drive, tmp_path):
    files, asked = drive
    urls = ("gdrive:1sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa9",)
    files[urls] = pickle.dumps({})
    path = published.located("gdrive:clevr-snapshot.pkl", tmp_path / "cache")
    assert path == tmp_path / "cache" / "clevr-snapshot.pkl"
    assert path.read_bytes() == files[urls]
    assert asked == [Remote("clevr-snapshot.pkl", urls)]


@pytest.mark.parametrize("content", [b"PK", b""])
def test_what_is_no_snapshot_is_said_and_removed(drive, tmp_path, content):
    drive[0]["gdrive:1-b0vwevUQs6LI_EybdO8XJ5uYSx63vEa",] = content
    message = (
        rf"^{tmp_path}/ffhq-snapshot\.pkl: {len(content)} bytes came that are neither a pickle nor a zip archive, so "
        r"no snapshot; check the id, try again later, or download "
        r"https://drive\.google\.com/uc\?id=1-b0vwevUQs6LI_EybdO8XJ5uYSx63vEa on another machine and put it there$"
    )
    with pytest.raises(CheckpointError, match=message):
        published.located("gdrive:ffhq-snapshot.pkl", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_told_the_published_ones(tmp_path):
    message = (
        r"^'gdrive:clever-snapshot\.pkl' is neither a published snapshot nor the id of a file in Google Drive, which "
        r"has 25 letters, digits, - and _ or more; did you mean 'clevr-snapshot\.pkl'\?$"
    )
    with pytest.raises(ConfigError, match=message):
        published.located("gdrive:clever-snapshot.pkl", tmp_path)


def test_another_file_is_fetched_by_its_id(drive, tmp_path):
    files, asked = drive
    name = "1AbC-_" + 19 * "x"
    files[f"gdrive:{name}",] = b"PK\x03\x04"
    assert published.located(f"gdrive:{name}", tmp_path) == tmp_path / name
    assert asked == [Remote(name, (f"gdrive:{name}",))]


@pytest.mark.parametrize(
    ("snapshot", "address"),
    [
        ("clevr.pkl", ""),
        ("gdrive:clevr-snapshot.pkl", "https://drive.google.com/uc?id=1sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa9"),
        ("gdrive:" + 25 * "x", "https://drive.google.com/uc?id=" + 25 * "x"),
    ],
)
def test_the_address_of_a_snapshot(snapshot, address):
    assert published.address(snapshot) == address


@pytest.mark.parametrize("name", [24 * "x", 25 * "x" + "/y", 25 * "é"])
def test_what_is_no_id_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="is neither a published snapshot nor the id of a file in Google Drive"):
        published.located(f"gdrive:{name}", tmp_path)


def test_a_file_is_left_where_it_is(tmp_path):
    assert published.located(str(tmp_path / "snapshot.pkl"), tmp_path / "cache") == tmp_path / "snapshot.pkl"
