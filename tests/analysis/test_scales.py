"""Samples at every scale are what the run makes of the seeds, small and enlarged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganformer.analysis import scales
from ganformer.analysis.scales import sample_scales
from ganformer.analysis.stored_images import sample
from ganformer.config import Spec
from ganformer.errors import ConfigError
from ganformer.training.loop import train


@pytest.fixture(scope="module")
def run(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """run.json of MSG-GAN after two steps."""
    folder = tmp_path_factory.mktemp("msggan")
    model = {"kind": "msggan", "channel_base": 64, "channel_max": 8, "latent_size": 8}
    training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
    image = {"height": 16, "width": 16}
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": training, "seed": 3})
    train(spec, pack, folder, names={"dataset": "noise", "model": "msggan"}, threads=1, gpus=0)
    return folder / "run.json"


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("provenance"))), arrays


def test_scales_of_the_very_samples(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(run, 5, tmp_path / "samples.npz", threads=1, gpus=0)
    images = read(tmp_path / "samples.npz")[1]["images"]
    monkeypatch.setattr("ganformer.training.samples.batches.__defaults__", (2,))
    sample_scales(run, 5, tmp_path / "scales.npz", threads=1, gpus=0)
    provenance, arrays = read(tmp_path / "scales.npz")
    assert {name: array.shape for name, array in arrays.items()} == {
        "scale_0": (5, 4, 4, 3),
        "scale_1": (5, 8, 8, 3),
        "scale_2": (5, 16, 16, 3),
    }
    assert np.abs(arrays["scale_2"].astype(int) - images).max() <= 1  # batches of other sizes are rounded differently
    assert all(array.std() > 0 for array in arrays.values())
    assert provenance["run"] == {"dataset": "noise", "model": "msggan", "seed": 3}


def test_two_scales_are_enough(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = scales._scales
    monkeypatch.setattr(scales, "_scales", lambda *given: every(*given)[-2:])
    sample_scales(run, 2, tmp_path / "scales.npz", threads=1, gpus=0)
    assert set(read(tmp_path / "scales.npz")[1]) == {"scale_0", "scale_1"}
    monkeypatch.setattr(scales, "_scales", lambda *given: every(*given)[-1:])
    with pytest.raises(ConfigError, match="make images of one scale only"):
        sample_scales(run, 2, tmp_path / "scales.npz", threads=1, gpus=0)


def test_picture_has_a_row_a_sample_and_a_column_a_scale(run: Path, tmp_path: Path) -> None:
    sample_scales(run, 3, tmp_path / "scales.npz", threads=1, gpus=0)
    arrays = read(tmp_path / "scales.npz")[1]
    picture = np.asarray(Image.open(tmp_path / "scales.png"))
    assert picture.shape == (3 * 16, 3 * 16, 3)
    for row in range(3):
        for column, factor in enumerate((4, 2, 1)):
            tile = picture[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            assert np.array_equal(tile[::factor, ::factor], arrays[f"scale_{column}"][row])
            assert np.array_equal(tile[factor - 1 :: factor, factor - 1 :: factor], arrays[f"scale_{column}"][row])


def test_the_same_bytes_again(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        sample_scales(run, 2, tmp_path / f"{name}.npz", threads=1, gpus=0)
    for suffix in ("npz", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_models_of_one_scale_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    words = r"run\.json: models of kind 'stylegan2' make images of one scale only; take a run of MSG-GAN"
    with pytest.raises(ConfigError, match=words):
        sample_scales(runs["stylegan2"], 2, tmp_path / "scales.npz", threads=1, gpus=0)
    assert not list(tmp_path.iterdir())
