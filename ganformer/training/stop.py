"""Requests to stop: by a scheduler whose time is up, by Ctrl-C, or by the end of a time that was set."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
"""Signals at which work is saved and ends: Slurm and others send SIGTERM or SIGUSR1, closed terminals SIGHUP."""


class Stop:
    """Context in which signals are remembered instead of ending the process; a second SIGINT ends it.

    A SIGHUP that is ignored, as under nohup, stays so. `until`: time of `time.monotonic` from which on there is a
    reason to stop, too, and its name.
    """

    def __init__(self, until: tuple[float, str] | None = None) -> None:
        self._signal: str | None = None
        self._until = until
        self._before: dict[int, Any] = {}

    @property
    def name(self) -> str | None:
        """Reason to stop: the signal that came last, or the time; None: there is none."""
        if self._signal is None and self._until is not None and time.monotonic() >= self._until[0]:
            return self._until[1]
        return self._signal

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals belong to the main thread; within a server nobody else may take them
        for number in heard():
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])


def heard() -> list[signal.Signals]:
    """Return the signals to stop at, without a SIGHUP that this process was started to ignore."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
