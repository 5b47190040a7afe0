"""Diversity of samples, and the line that warns of a collapse."""

import json
import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from ganformer.training import diversity, loop
from ganformer.training.adversarial import Adversarial
from ganformer.training.diversity import mean_distance, of, warning
from tests.training.tiny_runs import NAMES, tiny_spec


def images(*levels: float) -> Tensor:
    """Return an image 1×2 of one channel for each level."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 1, 2)


def test_the_mean_distance_is_over_all_pairs() -> None:
    # Distances √2 · (0.5, 1, 0.5) of three images of two pixels.
    assert mean_distance(images(0.0, 0.5, 1.0)) == pytest.approx(math.sqrt(2) * 2 / 3)


def test_pixels_are_clipped() -> None:
    assert mean_distance(images(-7.0, 9.0)) == pytest.approx(2 * math.sqrt(2))


def test_one_image_differs_from_none() -> None:
    assert mean_distance(images(0.3)) == 0.0


def test_diversity_is_relative_to_real_images() -> None:
    reals = mean_distance(images(-1.0, 1.0))
    assert of(images(-0.25, 0.25), reals) == {"sample_diversity": pytest.approx(0.25)}
    assert of(images(0.5, 0.5), reals) == {"sample_diversity": 0.0}


def test_without_a_number_there_is_none() -> None:
    assert of(images(0.0, 1.0), 0.0) == {}  # the real images are all alike
    assert of(images(0.0, math.nan), 1.0) == {}


def test_only_low_diversity_warns() -> None:
    assert warning({}) == warning({"sample_diversity": 0.2}) == ""
    assert warning({"sample_diversity": 0.1234}) == (
        "samples differ 0.12 times as much as real images (sample_diversity; usual is about 1), so the generator may "
        "have collapsed; look at the pictures in samples/. If the next ones are no better, start again with a larger "
        "r1_gamma, a smaller learning rate, or augmentation"
    )


@pytest.mark.slow
def test_it_is_logged_at_snapshots(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop.train(tiny_spec(20), pack, tmp_path, names=NAMES, threads=1, gpus=0)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = {line["step"]: line["sample_diversity"] for line in lines if "sample_diversity" in line}
    assert list(found) == [7, 13, 20]
    assert all(diversity.WARNING < value < 2 for value in found.values())
    (events,) = (tmp_path / "tensorboard").iterdir()
    board = EventAccumulator(str(events)).Reload()
    assert [event.value for event in board.Scalars("sample_diversity")] == pytest.approx(list(found.values()))
    assert "samples differ" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_collapse_is_said_and_changes_no_weight(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.train(tiny_spec(), pack, tmp_path / "as it is", names=NAMES, threads=1, gpus=0)
    capsys.readouterr()
    monkeypatch.setattr(Adversarial, "sample", lambda self, labels, seeds: torch.zeros(len(seeds), 3, 8, 8))
    loop.train(tiny_spec(), pack, tmp_path / "alike", names=NAMES, threads=1, gpus=0)
    said = capsys.readouterr().out
    assert [f"train noise/tiny seed 0: step {step}: samples differ 0 times" in said for step in (4, 8, 12)] == [
        True
    ] * 3
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("as it is", "alike"))
    assert one == other
