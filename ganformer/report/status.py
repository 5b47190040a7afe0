"""Progress of runs, read from their files while they train: a line for each."""

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ganformer.errors import DataError
from ganformer.locking import is_held
from ganformer.progress import clock
from ganformer.records.run import LOCK, LOG_FILE, RUN_FILE, STATE, Run
from ganformer.records.training import SPEC_FILE, TrainingRecord, trainings
from ganformer.report import formatting

TAIL_BYTES = 1 << 16  # of a log, which may be long
LINES = 10  # last lines of a log that the speed is a mean of
NONE = "–"


@dataclass(frozen=True)
class Status:
    """Progress of one run; None for what its files do not tell."""

    folder: str
    run: str | None
    """Data set, model and seed."""
    state: str
    """`done`, `imported`, `training` (a process holds its lock), `stopped`, or `diverged` (and kept as it was)."""
    step: int | None
    steps: int | None
    kimg: float | None
    images_per_second: float | None
    eta_seconds: float | None
    last_line_seconds: float | None
    """Age of the last line of its log."""


def show(folders: Sequence[Path], *, as_json: bool = False, every: float | None = None) -> None:
    """Print the progress of all runs below some folders; with `every` again and again, after so many seconds.

    Raises DataError if a folder is not there.
    """
    while True:
        found = [status(folder) for folder in runs_below(folders)]
        print(_as_json(found) if as_json else table(found, folders), flush=True)
        if every is None:
            return
        time.sleep(every)
        print(flush=True)


def runs_below(folders: Iterable[Path]) -> list[Path]:
    """Return folders of runs, finished or not, in the order of their names."""
    found = []
    for top in folders:
        if not top.is_dir():
            raise DataError(f"{top}: is no folder; name one with runs in it")
        for place, inside, files in os.walk(top):
            folder = Path(place)
            if RUN_FILE in files or (STATE in inside and trainings(folder)):
                found.append(folder)
                inside.clear()
            inside.sort()
    return list(dict.fromkeys(found))


def status(folder: Path) -> Status:
    """Return the progress of the run in a folder."""
    record, states = Run.find(folder / RUN_FILE), trainings(folder)
    is_training = is_held(folder / STATE / LOCK)
    if record is not None and not is_training and not _is_outdated(folder, states):
        return _finished(folder, record)
    return _unfinished(folder, states[0] if states else None, "training" if is_training else "stopped")


def _is_outdated(folder: Path, states: Sequence[Path]) -> bool:
    """Return whether a training began after the run that the folder holds was finished, and has not ended."""
    begun = states[0] / SPEC_FILE if states else folder
    return begun.is_file() and begun.stat().st_mtime > (folder / RUN_FILE).stat().st_mtime


def _finished(folder: Path, record: Run) -> Status:
    state = "done" if record.diverged_kimg is None else "diverged"
    return Status(
        folder=str(folder),
        run=f"{record.run} seed {record.run.seed}",
        state="imported" if record.imported else state,
        step=record.steps,
        steps=record.steps,
        kimg=record.kimg,
        images_per_second=1000 / record.seconds_per_kimg if record.seconds_per_kimg else None,
        eta_seconds=None,
        last_line_seconds=_age(folder / LOG_FILE),
    )


def _unfinished(folder: Path, training: Path | None, state: str) -> Status:
    """Return the progress of a training by its log and its checkpoints; `training`: the folder of its state."""
    known = None if training is None else TrainingRecord.find(training / SPEC_FILE)
    lines = [] if training is None else _last_lines(folder / LOG_FILE, training.name)
    step, kimg = _reached(training, lines, known)
    rate = speed(lines)
    left = None if known is None or step is None else (known.steps - step) * known.spec["training"]["batch"]
    return Status(
        folder=str(folder),
        run=None if known is None else f"{known.run} seed {known.run.seed}",
        state=state,
        step=step,
        steps=None if known is None else known.steps,
        kimg=kimg,
        images_per_second=rate,
        eta_seconds=left / rate if left is not None and rate and state == "training" else None,
        last_line_seconds=_age(folder / LOG_FILE) if lines else None,
    )


def _reached(
    training: Path | None, lines: Sequence[Mapping[str, Any]], known: TrainingRecord | None
) -> tuple[int | None, float | None]:
    """Return the step and thousands of images that a log or a checkpoint names, whichever is further."""
    saved = [] if training is None else [int(path.stem[-8:]) for path in training.glob("checkpoint-*.pt")]
    logged = lines[-1]["step"] if lines else 0
    if lines and logged >= max(saved, default=0):
        return logged, lines[-1]["kimg"]
    if not saved:
        return (0, 0.0) if known else (None, None)
    return max(saved), max(saved) * known.spec["training"]["batch"] / 1000 if known else None


def speed(lines: Sequence[Mapping[str, Any]]) -> float | None:
    """Return images a second between the first and the last line; of one line the speed that it names."""
    if not lines:
        return None
    seconds = lines[-1]["seconds"] - lines[0]["seconds"]
    if seconds > 0:
        return float((lines[-1]["kimg"] - lines[0]["kimg"]) * 1000 / seconds)
    return float(lines[-1]["images_per_second"])


def _last_lines(log: Path, run: str) -> list[Mapping[str, Any]]:
    """Return the last lines on the progress of a run in a log, whose end may be half-written."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return list(_progress(text.splitlines(), run))[-LINES:]


def _progress(lines: Iterable[str], run: str) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("run") == run and "images_per_second" in found:
            yield found


def _age(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


# ------------------------------------------------------------------------------------------------ printed


def _as_json(found: Sequence[Status]) -> str:
    return json.dumps([asdict(each) for each in found], allow_nan=False, ensure_ascii=False)


HEADINGS = ("run", "state", "step", "kimg", "images/s", "ETA", "last line")


def table(found: Sequence[Status], folders: Sequence[Path]) -> str:
    """Return a line for each run in columns, below a line of headings."""
    if not found:
        return f"no runs below {', '.join(map(str, folders))}"
    rows = [HEADINGS, *map(_cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _cells(each: Status) -> tuple[str, ...]:
    step = NONE if each.step is None else f"{each.step:,}"
    return (
        each.folder,
        each.state,
        f"{step}/{'?' if each.steps is None else f'{each.steps:,}'}",
        NONE if each.kimg is None else formatting.kimg(each.kimg),
        NONE if each.images_per_second is None else f"{each.images_per_second:,.1f}",
        NONE if each.eta_seconds is None or not math.isfinite(each.eta_seconds) else clock(each.eta_seconds),
        NONE if each.last_line_seconds is None else f"{clock(each.last_line_seconds)} ago",
    )
