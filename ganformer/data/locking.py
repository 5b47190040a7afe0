"""Processes that make the same file or folder take turns."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ganformer import artifacts


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Inside, no other process makes `path`; waits for one that does, and says so.

    Makes missing parent folders, and leaves an empty file `.NAME.lock` beside `path`: removing it would let two in.
    The lock ends with the process, however that ends. Raises DataError where the folder cannot be written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with artifacts.may_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            print(f"{path}: another process is making it; waiting for that to end", file=sys.stderr, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
