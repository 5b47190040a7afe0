"""Parts of the loop: what is checked, announced and handed on, and what a stopped run leaves and its next part adds."""

import gc
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganformer import artifacts
from ganformer.config import ImageSpec, Spec
from ganformer.data.dataset import Images
from ganformer.errors import DataError, StoppedError, TrainingError
from ganformer.records.checkpoint import History
from ganformer.records.run import Stretch
from ganformer.seeds import mix
from ganformer.training import distribution, logger, loop, writer
from ganformer.training import stop as stop_module
from ganformer.training.adversarial import Adversarial
from ganformer.training.checkpoint import Checkpoints, Identity
from ganformer.training.stop import Stop
from ganformer.training.writer import RunningMean
from tests.training.tiny_runs import NAMES, tiny_spec


def spec_of(steps: int = 4, *, seed: int = 0, batch: int = 4, **training: Any) -> Spec:
    spec = tiny_spec(steps, seed=seed, batch=batch)
    return spec.model_copy(update={"training": spec.training.model_copy(update=training)})


def checkpoints_of(folder: Path, *steps: int) -> Checkpoints:
    """Return checkpoints of a training, of which there are empty files for these steps."""
    for step in steps:
        (folder / f"checkpoint-{step:08d}.pt").touch()
    return Checkpoints(folder, Identity("", ""))


# ----------------------------------------------------------------------------------------- checks and messages


def test_a_batch_may_be_as_large_as_the_pack(pack: Path) -> None:
    loop._check_images(Images(pack), spec_of(batch=40), pack)


def test_shapes_are_named_width_first() -> None:
    assert loop._shape(ImageSpec(height=16, width=32, classes=5)) == "32×16 pixels, 3 channels, 5 classes"


def test_the_newest_checkpoint_tells_how_far_a_run_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loop._continued(spec_of(12, snapshots=2), checkpoints_of(tmp_path, 8, 12), "train") == 6
    assert "the weights of step 6 were not kept when this run was trained to step 12" in capsys.readouterr().out


def test_a_restart_forgets_checkpoints_and_snapshots(tmp_path: Path) -> None:
    checkpoints = checkpoints_of(tmp_path, 8, 12)
    for name in ("step-00000004.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    loop._forget(checkpoints)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_mean_is_of_the_steps_that_logged_the_value() -> None:
    means = RunningMean()
    for scalars in ({"loss": 1.0}, {"loss": 3.0, "penalty": 5.0}):
        means.add({name: torch.tensor(value) for name, value in scalars.items()}, 4)
    assert {name: value for name, value in means.take().items() if name in {"loss", "penalty"}} == means.shown
    assert means.shown == {"loss": 2.0, "penalty": 5.0}


@pytest.mark.parametrize(
    ("threads", "precision", "expected"), [(8, "float32", (2, False)), (8, "tf32", (2, True)), (2, "tf32", (1, True))]
)
def test_processes_of_several_gpus_divide_the_threads(
    threads: int,
    precision: str,
    expected: tuple[int, bool],
    pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    @contextmanager
    def reproducible(threads: int, *, tf32: bool) -> Iterator[None]:
        asked.append((threads, tf32))
        raise TrainingError("far enough")
        yield

    monkeypatch.setattr(loop.devices, "reproducible", reproducible)
    monkeypatch.setattr(distribution, "ranks", lambda: 4)
    job = loop.Job(
        spec_of(precision=precision), pack, tmp_path, Identity("", ""), NAMES, "train", threads, 60, False, 4
    )
    with pytest.raises(TrainingError, match="far enough"):
        loop.train_rank(job, torch.device("cpu"))
    assert asked == [expected]


def test_of_several_errors_the_one_of_the_lowest_rank_is_raised() -> None:
    errors: SimpleQueue[tuple[int, Exception]] = SimpleQueue()
    for rank in (2, 0, 1):
        errors.put((rank, DataError(f"error of rank {rank}")))
    with pytest.raises(DataError, match="error of rank 0"):
        distribution._raise_first(errors, [])


def test_ranks_that_died_are_named_with_their_exit_status() -> None:
    processes: Any = [SimpleNamespace(exitcode=status) for status in (0, -9, 7)]
    message = re.escape("the processes of ranks [1, 2] failed (exit status [-9, 7]); their messages are above")
    with pytest.raises(TrainingError, match=message):
        distribution._raise_first(SimpleQueue(), processes)


class Process:
    """A process that runs until it is killed, or one that has failed."""

    def __init__(self, exitcode: int | None) -> None:
        self.exitcode, self.sentinel = exitcode, object()
        self.calls: list[str] = []

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self) -> None:
        self.calls.append("join")

    def kill(self) -> None:
        self.exitcode = -9

    def terminate(self) -> None:
        self.calls.append("terminate")


def test_processes_that_would_wait_for_one_that_failed_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    processes: Any = [Process(None), Process(1)]

    def wait(sentinels: list[object]) -> list[object]:
        ended = [each.sentinel for each in processes if each.sentinel in sentinels and each.exitcode is not None]
        assert ended, "nobody would end the others"
        return ended

    monkeypatch.setattr(distribution, "wait", wait)
    distribution._wait(processes)
    assert [process.exitcode for process in processes] == [-9, 1]
    assert [process.calls for process in processes] == [["join"], ["join"]]


def test_signals_go_to_the_processes_that_run_and_are_taken_back() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    processes: Any = [Process(None), Process(0)]
    with distribution._passing_signals(processes):
        for number in numbers:
            signal.raise_signal(number)
    assert [process.calls for process in processes] == [["terminate"] * 4, []]
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let interruptions raise KeyboardInterrupt, which processes in the background of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_a_second_interruption_ends_the_process_and_a_first_one_and_terminations_do_not() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with Stop() as stop:
        assert stop.name is None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.raise_signal(number)
            assert stop.name == number.name
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_closed_terminal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts a program
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.name is None
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_end_of_a_time_is_a_reason_after_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(stop_module.time, "monotonic", lambda: now[0])
    with Stop((12.0, "--max-minutes 3")) as stop:
        names = []
        for now[0] in (11.9, 12.0, 13.0):
            names.append(stop.name)
        assert names == [None, "--max-minutes 3", "--max-minutes 3"]
        signal.raise_signal(signal.SIGTERM)
        assert stop.name == "SIGTERM"


def test_a_training_whose_time_is_over_saves_and_is_continued(pack: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    loop.train(spec_of(3), pack, whole, names=NAMES, threads=1, gpus=0)
    for step in (1, 2):
        with pytest.raises(StoppedError, match=f"^stopped by --max-minutes 0 at step {step}; run again to resume$"):
            loop.train(spec_of(3), pack, parts, names=NAMES, threads=1, gpus=0, max_minutes=0)
        assert [path.name for path in parts.glob("state/*/checkpoint-*.pt")][-1:] != []
    loop.train(spec_of(3), pack, parts, names=NAMES, threads=1, gpus=0, max_minutes=0)  # whose last step is done anyway
    assert (parts / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    loop.train(spec_of(3), pack, tmp_path / "long", names=NAMES, threads=1, gpus=0, max_minutes=60)
    assert (tmp_path / "long" / "run.json").exists()


def test_the_time_of_a_continued_run_counts_what_was_before() -> None:
    times: Any = {"started": "", "ended": "", "code": {}, "libraries": {}, "hardware": {}}
    kept = writer.RunWriter.__new__(writer.RunWriter)
    kept._before = History(step=2, stretches=(Stretch(first=0, last=2, wall_seconds=1000, **times),))
    kept._started = time.monotonic()
    assert 1000 <= kept._seconds() < 1100
    found: list[tuple[History, int]] = []
    parts: Any = SimpleNamespace(
        network=torch.nn.Linear(1, 1), save=lambda learner, history, keep: found.append((history, keep))
    )
    kept.spec, kept._saved, kept._origin = spec_of(4), 0.0, {name: times[name] for name in times if name != "ended"}
    kept.learner = kept.checkpoints = parts
    for step in (3, 4):
        kept._save(step)
    assert all(1000 <= history.wall_seconds < 1100 for history, _ in found)
    assert [keep for _, keep in found] == [2, 1]  # of a finished run only the last
    assert time.monotonic() - kept._saved < 100


# ------------------------------------------------------------------------------------------------------- steps


def steps_of(pack: Path, folder: Path, **options: Any) -> loop.Steps:
    return loop.Steps(spec_of(**options), Images(pack), checkpoints_of(folder), 4, torch.device("cpu"))


def test_the_order_of_the_images_follows_the_seed(pack: Path, tmp_path: Path) -> None:
    for seed in (0, 3):
        order = steps_of(pack, tmp_path, seed=seed).order
        assert (order.count, order.seed) == (40, mix(seed, "data"))


def test_ranks_share_only_the_buffers_that_a_step_changed(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking over the values of the first rank is no change."""
    shared = []

    def share(buffers: Any) -> None:
        shared.append([buffer.add_(1) for buffer in buffers])

    steps = steps_of(pack, tmp_path)
    monkeypatch.setattr(steps.learner, "step", lambda reals, step: {})
    monkeypatch.setattr(distribution, "ranks", lambda: 2)
    monkeypatch.setattr(distribution, "share", share)
    assert len(list(steps)) == 4
    assert shared[0]
    assert shared[1:] == [[], [], []]


def test_the_speed_counts_all_images_since_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    means = RunningMean()
    for images, seconds, speed in ((4, 2.0, 4.0), (6, 1.0, 12.0)):
        means.add({}, images)
        means.add({}, images)
        now[0] += seconds
        assert means.take() == {"images_per_second": speed}


# --------------------------------------------------------------------------------------------- stopped runs


def test_a_signal_in_the_last_step_lets_the_run_end(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = []
    monkeypatch.setattr(distribution, "any_rank", lambda is_so, device: frozen.append(gc.get_freeze_count()) is None)
    loop.train(spec_of(1), pack, tmp_path, names=NAMES, threads=1, gpus=0)
    assert artifacts.read_json(tmp_path / "run.json")["steps"] == 1
    assert frozen[0] > 0  # objects that were there before are not looked at in steps
    assert gc.get_freeze_count() == 0


class Board:
    """Takes the place of TensorBoard's writer, and notes its calls."""

    made: list["Board"]

    def __init__(self, folder: str, purge_step: int) -> None:
        self.purge_step, self.is_closed = purge_step, False
        self.scalars: list[tuple[str, int]] = []
        self.images: list[tuple[str, int]] = []
        Board.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, step))

    def add_image(self, tag: str, picture: Any, step: int, dataformats: str) -> None:
        self.images.append((tag, step))

    def close(self) -> None:
        self.is_closed = True


class Bar:
    """Takes the place of the progress line, and notes its calls."""

    made: list["Bar"]

    def __init__(self, label: str, total: int, *, done: int) -> None:
        self.given = (label, total, done)
        self.counts: list[int] = []
        Bar.made.append(self)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int, values: Mapping[str, float]) -> None:
        self.counts.append(count)


def test_a_stopped_run_is_continued_where_it_was(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs, progress, pictures and the record go on from the step of the stop, and nothing is shown twice."""
    Board.made, Bar.made, met, memory, sampled = (
        [],
        [],
        [],
        iter([{"peak_memory_mb": 5.0}, {"peak_memory_mb": 3.0}]),
        [],
    )
    sample = Adversarial.sample
    monkeypatch.setattr(logger, "SummaryWriter", Board)
    monkeypatch.setattr(writer, "Progress", Bar)
    monkeypatch.setattr(distribution, "meet", lambda: met.append(list(tmp_path.glob("state/*/checkpoint-*.pt"))))
    monkeypatch.setattr(writer.record, "peak_memory", lambda device: next(memory))
    monkeypatch.setattr(
        Adversarial, "sample", lambda self, labels, seeds: sampled.append(len(seeds)) or sample(self, labels, seeds)
    )
    stops, ask = iter([False, True]), distribution.any_rank
    monkeypatch.setattr(distribution, "any_rank", lambda is_so, device: next(stops, ask(is_so, device)))
    spec = spec_of(4, microbatch=2)  # snapshots at steps 1, 3 and 4
    with pytest.raises(TrainingError, match="stopped by a signal at step 2; run again to resume"):
        loop.train(spec, pack, tmp_path, names=NAMES, threads=1, gpus=0)
    ((checkpoint,),) = met
    halves = [folder / ".half.1.tmp" for folder in (tmp_path, tmp_path / "samples", checkpoint.parent)]
    for half in halves:
        half.touch()
    loop.train(spec, pack, tmp_path, names=NAMES, threads=1, gpus=0)

    assert not any(half.exists() for half in halves)
    assert [bar.given[1:] for bar in Bar.made] == [(16, 0), (16, 8)]
    assert [bar.counts for bar in Bar.made] == [[4, 4], [4, 4]]
    assert [board.purge_step for board in Board.made] == [1, 3]
    assert [board.images for board in Board.made] == [[("reals", 0), ("samples", 1)], [("samples", 3), ("samples", 4)]]
    assert [{step for _, step in board.scalars} for board in Board.made] == [{1}, {3, 4}]
    assert all(board.is_closed for board in Board.made)
    assert sampled == [2] * 48
    names = {"reals.png", "kimg000000.004.png", "kimg000000.012.png", "kimg000000.016.png"}
    assert {path.name for path in (tmp_path / "samples").iterdir()} == names
    record = artifacts.read_json(tmp_path / "run.json")
    assert record["peak_memory_mb"] == 5.0
    assert [(each["first"], each["last"]) for each in record["stretches"]] == [(0, 2), (2, 4)]
