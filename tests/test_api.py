"""The Python interface: what it returns is what the command line writes, in a few lines."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganformer
from ganformer import api
from ganformer.analysis.generate import Request, generate
from ganformer.config import Logging
from ganformer.errors import CheckpointError, ConfigError, DataError

pytestmark = pytest.mark.slow

TINY = {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 16}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> ganformer.Pack:
    folder = tmp_path_factory.mktemp("packs")
    settings = {"kind": "scenes", "images": 16, "min_objects": 2, "max_objects": 3}
    return ganformer.pack(settings, folder / "scenes", resolution=16, classes=2)


@pytest.fixture(scope="module")
def run(packed: ganformer.Pack, tmp_path_factory: pytest.TempPathFactory) -> ganformer.Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {"loss": "hinge", "r1_gamma": 2.0}
    return ganformer.train(TINY, packed, out, kimg=0.016, batch=8, snapshots=2, adversarial=settings)


def test_a_pack_is_a_sequence_of_images(packed: ganformer.Pack) -> None:
    assert len(packed) == 16
    assert packed[3].shape == (16, 16, 3)
    assert packed[3].dtype == np.uint8
    assert np.array_equal(packed[2:5][1], packed[3])
    assert np.array_equal(packed[-1], packed[15])
    assert packed.labels is not None
    assert packed.labels.tolist() == [int(count) for count in packed.labels]
    assert set(packed.labels) <= {0, 1}
    assert np.array_equal(ganformer.load_pack(packed.folder)[0], packed[0])
    with pytest.raises(IndexError):
        packed[16]


def test_a_folder_of_pictures_is_packed(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "pictures" / "a.png")
    packed = ganformer.pack(tmp_path / "pictures", tmp_path / "pack", resolution=8)
    assert np.array_equal(packed[0], pixels)
    assert packed.labels is None
    assert packed.class_names == []


def test_settings_reach_the_run(run: ganformer.Run) -> None:
    assert run.spec.model.kind == "stylegan2"
    assert run.spec.model.model_dump()["adversarial"]["loss"] == "hinge"
    assert run.spec.model.model_dump()["adversarial"]["r1_gamma"] == 2.0
    assert run.snapshots == [1, 2]
    assert run.record.run.content() == {"dataset": "scenes", "model": "stylegan2", "seed": 0}


def test_samples_are_those_of_the_command_line(run: ganformer.Run, tmp_path: Path) -> None:
    request = Request(count=5, seed=3, batch=8, truncation=0.7, label="1", is_noisy=True)
    generate(run.path, request, tmp_path / "images", as_grid=False, as_npz=True, threads=1, gpus=0)
    with np.load(tmp_path / "images" / "images.npz") as file:
        expected = file["arr_0"]
    assert np.array_equal(run.sample(range(3, 8), truncation=0.7, label=1), expected)
    assert np.array_equal(run.sample([7, 3, 4], truncation=0.7, label="1"), expected[[4, 0, 1]])
    assert run.sample([]).shape == (0, 16, 16, 3)
    assert not np.array_equal(run.sample(range(8), label=0), run.sample(range(8)))


def test_a_snapshot_is_another_network(run: ganformer.Run) -> None:
    early = ganformer.load_run(run.path.parent, step=1)
    assert not np.array_equal(early.sample([0]), run.sample([0]))
    assert early.record.weights_sha256 == run.record.snapshots[0].sha256 != run.record.weights_sha256
    assert (early.record.steps, early.snapshots) == (1, [1, 2])
    assert sum(p.numel() for p in early.network.parameters()) == run.record.parameters["generator"]
    with pytest.raises(CheckpointError, match="no snapshot of step 7; the record has 1, 2"):
        ganformer.load_run(run.path, step=7)


def test_a_run_is_exported_with_the_options_of_the_command(run: ganformer.Run, tmp_path: Path) -> None:
    run.export("huggingface", tmp_path / "hub", licence="mit")
    assert "license: mit\n" in (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"export\.batch: unknown key; allowed: kind, metrics, licence"):
        run.export("huggingface", tmp_path / "hub", batch=2)
    with pytest.raises(ConfigError, match=r"export: kind 'onxx' is unknown; did you mean 'onnx'"):
        run.export("onxx", tmp_path / "model.onnx")


def test_what_cannot_be_sampled_is_refused(run: ganformer.Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"label 9: .* has no such class; its classes are 0 to 1"):
        run.sample([0], label=9)
    with pytest.raises(ConfigError, match=r"seeds -1 to 0: are not all from 0 to 4294967295"):
        run.sample([0, -1, 0])
    with pytest.raises(ConfigError, match=r"truncation ψ -1: is not from 0"):
        run.sample([0], truncation=-1)
    with pytest.raises(ConfigError, match=r"there is no run\.json here"):
        ganformer.load_run(tmp_path)
    with pytest.raises(DataError, match="no complete pack"):
        ganformer.load_pack(tmp_path)


def test_wrong_settings_are_refused(packed: ganformer.Pack, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'gam' is not in ganformer\.models; did you mean 'gan'"):
        ganformer.train("gam", packed, tmp_path / "run")
    with pytest.raises(ConfigError, match="training: 1 problem\n  kmig: unknown key; did you mean 'kimg'"):
        ganformer.train(TINY, packed, tmp_path / "run", kmig=1)
    with pytest.raises(ConfigError, match="adversarial: a model of kind 'vqgan' has no such settings"):
        ganformer.train("vqgan", packed, tmp_path / "run", adversarial={"loss": "hinge"})
    with pytest.raises(ConfigError, match="pack: 1 problem\n  resolution: 17 is not a power of two"):
        ganformer.pack({"kind": "scenes"}, tmp_path / "pack", resolution=17)
    with pytest.raises(ConfigError, match="model: channel_base 4 leaves no features at width 16"):
        ganformer.train({**TINY, "channel_base": 4}, packed, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_training_is_started_as_it_was_asked_for(
    packed: ganformer.Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(api.loop, "train", lambda *given, **more: calls.append((*given, more)))
    monkeypatch.setattr(api, "Run", lambda *given, **more: (*given, more))
    training = {"kimg": 0.016, "batch": 8, "snapshots": 2}
    names = {"dataset": "scenes", "model": "stylegan2"}
    assert api.train(TINY, packed, tmp_path, **training) == (tmp_path, {"gpus": 0, "threads": 1})
    found = api.train(TINY, packed, tmp_path, **training, seed=5, mirror=True, gpus=2, threads=3)
    assert found == (tmp_path, {"gpus": 2, "threads": 3})
    own = {**TINY, "adversarial": {"r1_gamma": 3}}
    api.train(own, packed, tmp_path, **training, adversarial={"r1_gamma": 1, "beta2": 0.9})
    settings = calls.pop()[0].model.adversarial
    assert (settings.r1_gamma, settings.beta2) == (3, 0.9)
    wandb = {"project": "faces", "mode": "offline"}
    api.train(TINY, packed, tmp_path, **training, logging={"wandb": wandb})
    assert calls.pop()[3]["logging"].wandb.model_dump() == {**wandb, "entity": None}
    monkeypatch.chdir(packed.folder)
    api.train(TINY, ".", tmp_path, **training)
    assert calls.pop()[3]["names"] == names
    for spec, *_ in calls:
        assert (spec.image.height, spec.image.width, spec.image.classes) == (16, 16, 2)
        assert (spec.training.kimg, spec.training.batch, spec.training.snapshots) == (0.016, 8, 2)
    assert [(spec.seed, spec.mirror) for spec, *_ in calls] == [(0, False), (5, True)]
    assert [call[1:] for call in calls] == [
        (packed.manifest, tmp_path, {"names": names, "threads": 1, "gpus": 0, "logging": Logging()}),
        (packed.manifest, tmp_path, {"names": names, "threads": 3, "gpus": 2, "logging": Logging()}),
    ]


def test_sets_are_measured(run: ganformer.Run, packed: ganformer.Pack) -> None:
    settings = {"metrics": ["frechet"], "extractor": {"kind": "random-vgg16"}}
    assert ganformer.evaluate(packed, packed.folder, **settings) == {"fd_random_vgg16": pytest.approx(0, abs=1e-6)}
    (value,) = ganformer.evaluate(packed, run, images=16, **settings).values()
    assert value > 1
    with pytest.raises(CheckpointError, match="no snapshot of step 7"):
        ganformer.evaluate(packed, run, step=7, images=16, **settings)


def test_training_again_returns_the_same_run(run: ganformer.Run, packed: ganformer.Pack) -> None:
    settings = {"loss": "hinge", "r1_gamma": 2.0}
    again = ganformer.train(TINY, packed, run.path.parent, kimg=0.016, batch=8, snapshots=2, adversarial=settings)
    assert np.array_equal(again.sample(range(2)), run.sample(range(2)))


def test_restoring_a_run_needs_no_optimiser(run: ganformer.Run) -> None:
    """The first optimiser of a process imports torch._dynamo, which takes longer than sampling a small run."""
    sample = f"import ganformer, sys; ganformer.load_run({str(run.path)!r}).sample([0])"
    program = f"{sample}; print('torch._dynamo' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_importing_the_package_imports_no_torch() -> None:
    program = "import sys, ganformer; dir(ganformer); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
    with pytest.raises(AttributeError, match="module 'ganformer' has no attribute 'load_rum'"):
        ganformer.load_rum  # noqa: B018


@pytest.mark.parametrize("seeds", [[1.5], ["1"], 5])
def test_seeds_that_are_no_whole_numbers_are_refused(run: ganformer.Run, seeds: Any) -> None:
    with pytest.raises(ConfigError, match=r"seeds .*: are no whole numbers; give a list or a range"):
        run.sample(seeds)


def test_a_number_of_threads_or_processes_is_at_least_one(packed: ganformer.Pack, run: ganformer.Run) -> None:
    with pytest.raises(ConfigError, match="threads 0: is less than 1; give the number of processor threads"):
        ganformer.load_run(run.path, threads=0).sample([1])
    with pytest.raises(ConfigError, match="workers 0: is less than 1; give the number of processes that load images"):
        ganformer.pack(packed.folder, packed.folder / "again", workers=0)
    assert not (packed.folder / "again").exists()


def test_a_model_without_its_kind_is_refused(packed: ganformer.Pack, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model: 'kind' is missing; give one of gan, ganformer, kgan"):
        ganformer.train({"channel_base": 64}, packed, tmp_path / "run")


def test_an_extractor_is_named_by_its_kind_alone(packed: ganformer.Pack) -> None:
    by_name = ganformer.evaluate(packed, packed, extractor="inception-random", metrics=["frechet"])
    assert list(by_name) == ["fd_inception_random"]
    usual = ganformer.evaluate(packed, packed, metrics=["frechet"])
    assert list(usual) == ["fd_random_vgg16"]


def test_a_run_is_looked_into(run: ganformer.Run) -> None:
    view = run.look("interpolation", seeds=[0, 3], steps=2, truncation=0.5)
    assert view.columns == ["0", "0.5", "1"]
    assert np.array_equal(view.cells[0, [0, 2]], run.look("latents", seeds=[0, 3], truncation=0.5).cells[0])
    with pytest.raises(
        ConfigError, match=r"look: 1 problem\n  look: kind 'interpolate' is unknown; did you mean 'inter"
    ):
        run.look("interpolate")


def test_latents_of_a_picture_are_found(run: ganformer.Run, tmp_path: Path) -> None:
    Image.fromarray(run.sample([4])[0]).save(tmp_path / "a.png")
    small = {"steps": 3, "starts": 1, "distance": {"kind": "random-vgg16", "channels": 4}}
    one, several = run.project(str(tmp_path / "a.png"), **small), run.project([tmp_path / "a.png"], **small)
    assert one[0].distance == several[0].distance
    assert one[0].picture.shape == (16, 16, 3)
    with pytest.raises(ConfigError, match="images: ndarray is no path; name files or folders of pictures"):
        run.project([np.zeros((16, 16, 3))])  # type: ignore[list-item]
