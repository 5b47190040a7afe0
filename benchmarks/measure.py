"""Time and memory of a piece of work, each time in a process of its own, the sides of a comparison in turn."""

import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Does its preparation when called, and gives back the work to be measured; that returns how many items it has done.
Side = Callable[[], Callable[[], int]]


@dataclass(frozen=True)
class Result:
    """Medians over all repeats."""

    seconds: float
    rate: float
    """Items in a second."""
    memory: float
    """Megabytes by which the process grew at most; pages of mapped files count, other processes do not."""


def in_turn(sides: Mapping[str, Side], repeats: int, *, cores: int = 1) -> dict[str, Result]:
    """Measure every side `repeats` times, one side after another, each on the same `cores` cores of the machine."""
    runs: dict[str, list[Result]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            runs[name].append(in_process(partial(_measured, side), cores))
    return {name: _median(of_side) for name, of_side in runs.items()}


def _median(runs: Sequence[Result]) -> Result:
    seconds, rates, memory = zip(*((run.seconds, run.rate, run.memory) for run in runs), strict=True)
    return Result(statistics.median(seconds), statistics.median(rates), statistics.median(memory))


def in_process(call: Callable[[], T], cores: int = 1) -> T:
    """Return what `call` returns in a process of its own, on `cores` cores; SystemExit if that process fails."""
    # Forked, so that every side starts with the same libraries in memory, and what it leaves there is gone after it.
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(call, cores, sender))
    process.start()
    sender.close()
    try:
        result: T = receiver.recv()
    except EOFError:
        raise SystemExit("a measurement failed; its own words stand above") from None
    finally:
        process.join()
    return result


def import_optimisers() -> None:
    """Import the modules that torch imports with the first optimiser of a process, which neither side should count."""
    import torch

    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def _run(call: Callable[[], Any], cores: int, sender: Connection) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sender.send(call())


def _measured(side: Side) -> Result:
    work = side()
    before, start = peak_from_here(), time.perf_counter()
    items = work()
    seconds = time.perf_counter() - start
    return Result(seconds, items / seconds, peak() - before)


def peak_from_here() -> float:
    """Return the present size of this process in megabytes, from which `peak` counts from now on."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> float:
    """Return most memory this process has had, in megabytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6
