"""LMDB environments for reading: each opened once in a process, as LMDB demands, and shared by all who read it."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb

KEYS = 10_000  # an environment is open for as many
ALREADY_OPEN = "is already open in this process"
PATIENCE = 5.0  # seconds to wait for its closing

_OPEN: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()
_LOCK = threading.Lock()


def environment(path: Path) -> lmdb.Environment:
    """The environment at `path`: a folder with a `data.mdb`, or the file itself. Threads may share it.

    Nothing is written, no lock file either. It is closed when the last one who holds it lets go, so keep it as long as
    it is read (transactions keep it too). A forked process goes on with what was open: without locks nothing in it
    belongs to one process. A spawned one calls this again.

    Raises OSError where the file is missing or may not be read, ValueError with the reason where it is not whole.
    """
    file = path / "data.mdb" if path.is_dir() else path
    with file.open("rb"):  # says why a file cannot be read better than LMDB does
        status = file.stat()
    identity = (status.st_dev, status.st_ino)
    with _LOCK:
        shared = _OPEN.get(identity)
        if shared is None:
            shared = _OPEN[identity] = _opened(file, status.st_size)
    return shared


def keys(path: Path) -> Iterator[bytes]:
    """All keys in their order.

    Touched pages of a map count as memory of the process until it is closed, in the end the whole file; so it is opened
    again and again. Raises like `environment`.
    """
    last = None
    while portion := _keys_behind(path, last):
        yield from portion
        last = portion[-1]


def _keys_behind(path: Path, last: bytes | None) -> list[bytes]:
    with environment(path).begin() as transaction, transaction.cursor() as cursor:
        is_there = cursor.first() if last is None else cursor.set_range(last) and cursor.next()
        return list(itertools.islice(cursor.iternext(values=False), KEYS)) if is_there else []


def check(path: Path) -> None:
    """Raises OSError or ValueError like `environment`, also where the tree of keys is damaged; values are not read.

    All keys are walked in another process, as LMDB ends the process that comes upon a damaged page.
    """
    environment(path)
    program = f"import sys; from {__name__} import walk; walk(sys.argv[1])"
    walked = subprocess.run(
        [sys.executable, "-c", program, path], stderr=subprocess.PIPE, errors="replace", check=False
    )
    if walked.returncode:
        raise ValueError(walked.stderr.strip().rpartition("\n")[2] or f"ended by signal {-walked.returncode}")


def walk(path: str) -> None:
    """Visits all keys; raises ValueError where they are not as many as there should be."""
    found, recorded = sum(1 for _ in keys(Path(path))), environment(Path(path)).stat()["entries"]
    if found != recorded:
        raise ValueError(f"{found} of {recorded} entries can be found")


def _opened(file: Path, size: int) -> lmdb.Environment:
    if not size:
        raise ValueError("is empty")
    opened = _open_once_closed(file)
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    if size < needed:  # touching a page that is not there would end the process
        raise ValueError(f"is cut short: {size} bytes of {needed}")
    return opened


def _open_once_closed(file: Path) -> lmdb.Environment:
    """Waits where another thread that has let it go is not done with closing it."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            # Values are many pages long, so reading ahead helps in any order. One name may be tried (`max_dbs`).
            return lmdb.open(
                str(file), subdir=False, readonly=True, create=False, lock=False, readahead=True, max_dbs=1
            )
        except lmdb.Error as error:
            if ALREADY_OPEN not in str(error) or time.monotonic() > patience:
                raise ValueError(str(error).removeprefix(f"{file}: ")) from error
            time.sleep(0.001)
