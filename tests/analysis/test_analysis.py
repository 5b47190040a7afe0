"""Stored images and attention maps are what the run makes, and say where they came from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganformer import artifacts, devices
from ganformer.analysis.attention_maps import attend
from ganformer.analysis.stored_images import reals, sample
from ganformer.data.dataset import Images
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.training.checkpoint import restore
from ganformer.training.samples import BLOCK

pytestmark = pytest.mark.slow

Runs = dict[str, Path]


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("provenance"))), arrays


def test_reals_are_spread_over_the_pack(pack: Path, tmp_path: Path) -> None:
    reals(pack, 4, tmp_path / "reals.npz")
    provenance, arrays = read(tmp_path / "reals.npz")
    assert provenance["run"] is None
    assert provenance["data_sha256"] == Images(pack).digest
    expected = Images(pack).read(np.array([0, 2, 5, 7])).transpose(0, 2, 3, 1)
    assert np.array_equal(arrays["images"], expected)


def test_all_reals_of_a_pack(pack: Path, tmp_path: Path) -> None:
    reals(pack, 10, tmp_path / "reals.npz")
    _, arrays = read(tmp_path / "reals.npz")
    assert np.array_equal(arrays["images"], Images(pack).read(np.arange(10)).transpose(0, 2, 3, 1))


def test_more_reals_than_there_are(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.json: has 10 images, 11 were asked for; ask for at most 10"):
        reals(pack, 11, tmp_path / "reals.npz")
    assert not list(tmp_path.iterdir())


def test_samples_are_those_of_the_learner(runs: Runs, tmp_path: Path) -> None:
    sample(runs["duplex"], 5, tmp_path / "a.npz", threads=1, gpus=0)
    provenance, arrays = read(tmp_path / "a.npz")
    learner, record = restore(runs["duplex"])
    with devices.reproducible(threads=1):  # sums of several threads are rounded differently, and those of small batches
        images = learner.sample(torch.zeros(BLOCK, 0), range(BLOCK))[:5]
    expected = (images * 127.5 + 128).clamp(0, 255).floor().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    assert np.array_equal(arrays["images"], expected)
    assert arrays["images"].dtype == np.uint8
    assert arrays["images"].std() > 0
    assert provenance["run"] == {"dataset": "noise", "model": "duplex", "seed": 3}
    for key in ("spec_sha256", "weights_sha256", "kimg"):
        assert provenance[key] == getattr(record, key)
    assert provenance["data_sha256"] == record.data.data_sha256


def test_samples_again_are_the_same_bytes(runs: Runs, tmp_path: Path) -> None:
    for name in "ab":
        sample(runs["stylegan2"], 3, tmp_path / f"{name}.npz", threads=1, gpus=0)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_portions_make_up_the_count(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganformer.training.samples.BATCH", 2)
    sample(runs["simplex"], 5, tmp_path / "a.npz", threads=1, gpus=0)
    attend(runs["simplex"], 5, tmp_path / "b.npz", threads=1, gpus=0)
    assert len(read(tmp_path / "a.npz")[1]["images"]) == 5
    assert {len(array) for array in read(tmp_path / "b.npz")[1].values()} == {5}


@pytest.mark.parametrize("model", ["simplex", "duplex"])
def test_attention_of_every_layer(runs: Runs, tmp_path: Path, model: str) -> None:
    attend(runs[model], 3, tmp_path / "a.npz", threads=1, gpus=0)
    provenance, arrays = read(tmp_path / "a.npz")
    images = arrays.pop("images")
    assert images.shape == (3, 16, 16, 3)
    assert provenance["run"]["model"] == model
    assert list(arrays) == [f"maps_{i}" for i in range(len(arrays))]
    sizes = [layer.shape[-1] for layer in arrays.values()]
    assert sizes == sorted(sizes)
    assert set(sizes) == {4, 8}
    for layer in arrays.values():
        assert layer.dtype == np.float16
        assert layer.shape[:3] == (3, 2, 4)
        assert np.allclose(layer.astype(np.float32).sum(axis=2), 1, atol=4e-3)


def test_attention_again_is_the_same_bytes(runs: Runs, tmp_path: Path) -> None:
    for name in "ab":
        attend(runs["duplex"], 2, tmp_path / f"{name}.npz", threads=1, gpus=0)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_attention_of_a_model_without(runs: Runs, tmp_path: Path) -> None:
    message = r"run\.json: models of kind 'stylegan2' have no attention maps; take a run of ganformer"
    with pytest.raises(ConfigError, match=message):
        attend(runs["stylegan2"], 2, tmp_path / "a.npz", threads=1, gpus=0)


def test_changed_weights_are_refused(runs: Runs, tmp_path: Path) -> None:
    record = artifacts.read_json(runs["simplex"])
    artifacts.write_json(tmp_path / "run.json", record)
    (tmp_path / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"weights do not fit their run\.json"):
        sample(tmp_path / "run.json", 2, tmp_path / "a.npz", threads=1, gpus=0)
    assert not (tmp_path / "a.npz").exists()
