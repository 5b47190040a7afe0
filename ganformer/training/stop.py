"""Requests to stop: by a scheduler whose time is up, or by Ctrl-C."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Stop:
    """Context in which SIGTERM and SIGINT are remembered instead of ending the process; a second SIGINT ends it."""

    def __init__(self) -> None:
        self.name: str | None = None
        """Name of the signal that came last; None before."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals belong to the main thread; within a server nobody else may take them
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
