"""Grids and logs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer.data.pictures import grid
from ganformer.training.logger import RunLogger, bring_back
from ganformer.training.samples import pixels
from ganformer.training.writer import RunningMean


def test_a_grid_shows_every_level_and_clips() -> None:
    levels = torch.arange(256) / 127.5 - 1
    assert grid(pixels(levels.view(1, 1, 16, 16))).reshape(-1).tolist() == list(range(256))
    assert grid(pixels(torch.tensor([-3.0, 3.0]).view(1, 1, 1, 2))).reshape(-1).tolist() == [0, 255]


def test_a_grid_goes_row_by_row_and_ends_in_black() -> None:
    images = torch.arange(10).div(127.5).sub(1).view(10, 1, 1, 1).expand(10, 3, 2, 4)
    picture = grid(pixels(images))
    assert picture.shape == (4, 32, 3)
    assert picture[::2, ::4, 0].tolist() == [list(range(8)), [8, 9, 0, 0, 0, 0, 0, 0]]
    assert np.array_equal(picture[..., 0], picture[..., 2])


def test_pictures_of_one_channel_are_grey(tmp_path: Path) -> None:
    with RunLogger(tmp_path, "run", 0) as logger:
        logger.show("samples", "grey", 1, torch.zeros(1, 1, 4, 4))
    with Image.open(tmp_path / "samples" / "grey.png") as picture:
        assert (picture.mode, picture.size) == ("L", (4, 4))


def test_lines_of_other_runs_and_of_steps_to_come_go(tmp_path: Path) -> None:
    lines = [{"run": "a", "step": 1}, {"run": "b", "step": 1}, {"run": "a", "step": 2}, {"run": "a", "step": 3}]
    unknown = '3\n{"run": "a"}\n{"run": "a", "step": null}\n{"run": "a", "st'
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + unknown)
    with RunLogger(tmp_path, "a", 2) as logger:
        logger.log(5, {"loss": 0.5})
        written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]  # not kept back
    assert written == [{"run": "a", "step": 1}, {"run": "a", "step": 2}, {"run": "a", "step": 5, "loss": 0.5}]


def test_lines_of_another_run_are_kept_in_its_state_and_come_back(tmp_path: Path) -> None:
    """Also beside bytes that are no text, which a full disk may leave."""
    lines = {run: [json.dumps({"run": run, "step": step}) + "\n" for step in (1, 2, 3)] for run in "ab"}
    log = tmp_path / "log.jsonl"
    log.write_bytes("".join([*lines["a"], *lines["b"]]).encode() + b"\xff\xfe\n")
    aside = {run: tmp_path / "state" / run / "log.jsonl" for run in "ab"}
    assert bring_back(tmp_path, "a", 2) == log
    assert log.read_text() == "".join(lines["a"][:2])
    assert aside["b"].read_text() == "".join(lines["b"])
    assert not aside["a"].exists()
    bring_back(tmp_path, "b", 3)
    assert (log.read_text(), aside["a"].read_text()) == ("".join(lines["b"]), "".join(lines["a"][:2]))
    bring_back(tmp_path, "new", 0)
    assert log.read_text() == ""


def test_a_value_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with RunLogger(tmp_path, "a", 0) as logger, pytest.raises(ValueError, match="not JSON compliant"):
        logger.log(1, {"loss": float("nan")})
    assert (tmp_path / "log.jsonl").read_text() == ""


def test_a_meter_averages_what_came_since_the_last_line() -> None:
    means = RunningMean()
    means.add({"loss": torch.tensor(1.0), "r1": torch.tensor(8.0)}, 4)
    means.add({"loss": torch.tensor(3.0)}, 4)
    values = means.take()
    assert values.pop("images_per_second") > 0
    assert values == means.shown == {"loss": 2.0, "r1": 8.0}
    means.add({"loss": torch.tensor(5.0)}, 4)
    assert means.take()["loss"] == 5.0
