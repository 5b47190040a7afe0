"""Processes that make the same file or folder take turns."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from ganformer import artifacts


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Exclude other processes from making `path`; wait for one that does, and say so.

    Makes missing parent folders, and leaves an empty file `.NAME.lock` beside `path`: removing it would let two in.
    The lock ends with the process, however that ends. Raises DataError if the folder cannot be written.
    """
    waiting = f"{path}: another process is making it; waiting for that to end"
    with artifacts.may_write(path):
        lock = acquired(path.with_name(f".{path.name}.lock"), waiting, sys.stderr)
    with lock:
        yield


def acquired(path: Path, waiting: str, stream: TextIO) -> AbstractContextManager[object]:
    """Hold the lock at `path` until the context is left; print `waiting` while another process has it.

    Makes missing parent folders. Raises OSError if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        print(waiting, file=stream, flush=True)
        return lock.acquire()


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock at `path`; the file is not changed, and nobody has to wait.

    False if there is no such file, or none that may be read.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
