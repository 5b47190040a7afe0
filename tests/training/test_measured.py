"""The Fréchet distance that is measured while a run trains."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganformer.config import Evaluation, Logging
from ganformer.config.logs import Measuring
from ganformer.data.dataset import Images
from ganformer.errors import DataError
from ganformer.metrics import while_training
from ganformer.metrics.compare import compare
from ganformer.metrics.while_training import Distance
from ganformer.training import loop, writer
from ganformer.training.adversarial import Adversarial
from ganformer.training.loop import Measured
from ganformer.training.writer import Measurement, RunWriter
from tests.training.tiny_runs import NAMES, InterruptionError, final_state, interrupt, same, tiny_spec

pytestmark = pytest.mark.slow
WHEN = Measured(kimg=0.02, images=40)  # every 5 steps of 4 images


def train(pack: Path, out: Path, measured: Measured | None, minutes: float = 5.0) -> None:
    loop.train(tiny_spec(), pack, out, names=NAMES, threads=1, gpus=0, checkpoint_minutes=minutes, measured=measured)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def measured_in(out: Path) -> dict[int, float]:
    return {line["step"]: line["fd_random_vgg16"] for line in lines(out) if "fd_random_vgg16" in line}


@pytest.mark.parametrize(
    ("kimg", "steps"),
    [(0.02, [5, 10]), (0.0081, [3, 5, 7, 9, 11]), (0.004, list(range(1, 13))), (0.05, []), (0.001, list(range(1, 13)))],
)
def test_it_is_measured_at_the_first_step_with_every_multiple(kimg: float, steps: list[int]) -> None:
    measurement = Measurement("x", kimg, lambda _: 0.0)
    assert [step for step in range(1, 13) if measurement.is_due(tiny_spec(), step)] == steps


def test_multiples_that_no_float_is_are_met() -> None:
    spec = tiny_spec(1000, batch=100)  # 0.1 kimg a step
    measurement = Measurement("x", 0.3, lambda _: 0.0)
    assert [step for step in range(1, 31) if measurement.is_due(spec, step)] == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


def test_the_settings_of_logs_have_it_measured_unless_the_call_does(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Measured | None] = []
    monkeypatch.setattr(loop, "_measurement", lambda job, steps, threads: asked.append(job.measured))
    logging = Logging.model_validate({"evaluation": {"every_kimg": 0.02, "images": 40}})
    for number, measured in enumerate((None, Measured(0.01, 7))):
        out = tmp_path / str(number)
        given = {"names": NAMES, "threads": 1, "gpus": 0, "measured": measured, "logging": logging}
        loop.train(tiny_spec(1), pack, out, **given)
    loop.train(tiny_spec(1), pack, tmp_path / "none", names=NAMES, threads=1, gpus=0, logging=Logging())
    assert asked == [WHEN, Measured(0.01, 7), None]
    assert Logging.model_validate({"evaluation": {"every_kimg": 5}}).evaluation == Measuring(every_kimg=5, images=1000)


def test_it_is_logged_and_changes_no_weight_and_no_record(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(pack, tmp_path / "plain", None)
    train(pack, tmp_path / "measured", WHEN)
    plain, out = tmp_path / "plain", tmp_path / "measured"
    assert (out / "weights.safetensors").read_bytes() == (plain / "weights.safetensors").read_bytes()
    assert same(final_state(out), final_state(plain))
    records = [json.loads((folder / "run.json").read_text()) for folder in (plain, out)]
    costs = {"wall_seconds", "seconds_per_kimg", "peak_memory_mb", "started", "finished", "stretches"}
    for each in records:
        for name in costs:
            del each[name]
    assert records[0] == records[1]
    assert list(measured_in(out)) == [5, 10]
    assert measured_in(plain) == {}
    assert [line["step"] for line in lines(out)] == [4, 5, 8, 10, 12]
    assert [line["step"] for line in lines(plain)] == [4, 8, 10, 12]
    assert lines(out)[1].keys() == {"run", "step", "kimg", "fd_random_vgg16"}
    (events,) = (out / "tensorboard").iterdir()
    board = EventAccumulator(str(events)).Reload()
    assert {event.step: event.value for event in board.Scalars("fd_random_vgg16")} == pytest.approx(measured_in(out))
    value = measured_in(out)[5]
    assert f"train noise/tiny seed 0: fd_random_vgg16 {value:.4g} at step 5 (0.02 kimg)" in capsys.readouterr().out


def test_the_value_is_that_of_evaluate(pack: Path, tmp_path: Path) -> None:
    train(pack, tmp_path, Measured(kimg=0.048, images=40))
    evaluation = Evaluation.model_validate({**while_training.EVALUATION, "images": 40})
    found = compare(evaluation, str(pack), str(tmp_path), threads=1, gpus=0)
    assert measured_in(tmp_path) == {12: found.values["fd"].value}


def test_real_images_are_looked_at_once(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look_at = while_training.look_at

    def noted(looks: Any, images: Any, *rest: Any) -> Any:
        looked.append(images.title)
        return look_at(looks, images, *rest)

    monkeypatch.setattr(while_training, "look_at", noted)
    train(pack, tmp_path, WHEN)
    (kept,) = tmp_path.glob("state/*/random-vgg16-*.npz")
    assert looked == [str(pack), "samples", "samples"]
    looked.clear()
    loop.train(tiny_spec(), pack, tmp_path, names=NAMES, threads=1, gpus=0, restart=True, measured=WHEN)
    assert looked == ["samples", "samples"]
    kept.write_bytes(b"damaged")
    learner = loop.build(tiny_spec())
    Distance(Images(pack), 40, kept.parent, 1, torch.device("cpu")).measure(learner)
    assert looked[2:] == [str(pack), "samples"]


def test_random_numbers_of_the_training_stay(pack: Path, tmp_path: Path) -> None:
    learner, distance = loop.build(tiny_spec()), Distance(Images(pack), 40, tmp_path, 1, torch.device("cpu"))
    before = torch.get_rng_state()
    assert distance.measure(learner) == distance.measure(learner) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None and not parameter.is_inference() for parameter in learner.network.parameters())


def test_resumed_it_has_every_value_once(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(pack, tmp_path / "whole", WHEN)
    interrupt(monkeypatch, 7)
    with pytest.raises(InterruptionError):
        train(pack, tmp_path / "parts", WHEN, minutes=0)
    train(pack, tmp_path / "parts", WHEN)
    assert measured_in(tmp_path / "parts") == measured_in(tmp_path / "whole")


def test_its_time_is_not_that_of_training(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 1 second here, a measurement 100."""
    now = [0.0]
    step = RunWriter.after

    def a_second_later(self: RunWriter, *arguments: Any, **options: Any) -> None:
        now[0] += 1
        step(self, *arguments, **options)

    def measure(self: Distance, learner: Any) -> float:
        now[0] += 100
        return 3.5

    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(RunWriter, "after", a_second_later)
    monkeypatch.setattr(Distance, "measure", measure)
    train(pack, tmp_path, WHEN)
    assert json.loads((tmp_path / "run.json").read_text())["wall_seconds"] == 12
    assert [line["seconds"] for line in lines(tmp_path) if "seconds" in line] == [4, 8, 10, 12]
    assert [line["images_per_second"] for line in lines(tmp_path) if "seconds" in line] == [4, 4, 4, 4]
    assert measured_in(tmp_path) == {5: 3.5, 10: 3.5}


def test_what_cannot_be_measured_is_said_and_training_goes_on(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = Adversarial.sample
    monkeypatch.setattr(
        Adversarial, "sample", lambda self, labels, seeds, truncation=1.0: sample(self, labels, seeds) * float("nan")
    )
    train(pack, tmp_path, WHEN)
    said = capsys.readouterr().out
    assert "train noise/tiny seed 0: step 5: not measured. samples: generated images hold NaN or infinity" in said
    assert measured_in(tmp_path) == {}
    assert (tmp_path / "run.json").exists()
    with pytest.raises(DataError, match="samples: generated images hold NaN"):
        Distance(Images(pack), 40, tmp_path, 1, torch.device("cpu")).measure(loop.build(tiny_spec()))
