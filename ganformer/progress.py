"""Progress of long work as lines that stay readable beside lines of jobs that run at the same time.

A line at most every few seconds instead of one that is rewritten: Snakemake runs several jobs in one terminal,
and logs of clusters are files.
"""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

BAR = 20
SETTLED = 3.0  # seconds after which the speed says something


class Progress:
    """Counts finished items and prints lines such as `train scenes/duplex ████░░░░ 42% 6.7/16 kimg 118 img/s ETA 0:52`.

    `label`: name of the work; `total`: number of items; `done`: number of items done before (a resumed run);
    `unit`: name of an item. Printed on standard error: at once, every `every` seconds, and at the end; not at all where
    it `is_silent`, as one of several processes that do the same.
    """

    def __init__(
        self,
        label: str,
        total: int,
        *,
        unit: str = "images",
        done: int = 0,
        every: float | None = None,
        is_silent: bool = False,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self.done_before = done
        self.is_silent = is_silent
        self.every = every if every is not None else (5.0 if sys.stderr.isatty() else 15.0)
        self.values: dict[str, float] = {}
        self.started = time.monotonic()
        self.printed = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.printed > float("-inf"):
            self._print()

    def update(self, count: int, values: Mapping[str, float] | None = None) -> None:
        """`count` more items are done; `values` are shown behind them, e.g. losses."""
        self.done += count
        if values:
            self.values = dict(values)
        if not self.is_silent and time.monotonic() - self.printed >= self.every:
            self._print()

    @property
    def rate(self) -> float:
        """Items a second since the start of this process."""
        return (self.done - self.done_before) / max(time.monotonic() - self.started, 1e-9)

    def line(self) -> str:
        """Return the line that would be printed now."""
        part = self.done / self.total if self.total else 1.0
        bar = "█" * round(BAR * part) + "░" * (BAR - round(BAR * part))
        rate = self.rate
        remaining = self.total - self.done
        is_settled = time.monotonic() - self.started >= SETTLED and rate > 0
        left = clock(remaining / rate) if remaining and is_settled else "?" if remaining else "0:00"
        shown = " ".join(f"{name} {value:.3g}" for name, value in self.values.items())
        words = [
            self.label,
            bar,
            f"{part:4.0%}",
            f"{self.done:,}/{self.total:,} {self.unit}",
            f"{rate:,.0f}/s",
            f"ETA {left}",
        ]
        return " ".join([*words, shown] if shown else words)

    def _print(self) -> None:
        print(self.line(), file=sys.stderr, flush=True)
        self.printed = time.monotonic()


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, `0:52`, or with hours before them, `1:02:05`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
