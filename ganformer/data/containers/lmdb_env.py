"""LMDB environments for reading: each opened once in a process, as LMDB demands, and shared by all who read it.

An environment has one database without a name, and perhaps others: the name of such a one is a key of the first.
"""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb

BATCH_KEYS = 10_000  # an environment is open for as many
ALREADY_OPEN = "is already open in this process"
CLOSING_SECONDS = 5.0  # seconds to wait for its closing
MAX_DATABASES = 100  # named databases that are found, at most
RECORD = 48  # bytes that LMDB keeps of a named database, as the value of its name

_OPEN: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()
_LOCK = threading.Lock()


def environment(path: Path) -> lmdb.Environment:
    """Return the environment at `path`: a folder with a `data.mdb`, or the file itself. Threads may share it.

    Nothing is written, no lock file either. It is closed when the last one who holds it lets go, so keep it as long as
    it is read (transactions keep it too). A forked process keeps what was open: without locks nothing in it
    belongs to one process. A spawned one calls this again.

    Raises OSError if the file is missing or may not be read, ValueError with the reason where it is not whole.
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


@contextmanager
def reading(path: Path, name: bytes | None = None) -> Iterator[Any]:
    """Yield a transaction of the database `name`, None: the one without a name; it keeps the environment open.

    Keys and values are parts of the map, and last as long as the transaction.

    Raises like `environment`, and lmdb.Error if there is no such database.
    """
    opened = environment(path)
    database = _database(opened, name)
    with opened.begin(db=database, buffers=True) as transaction:
        yield transaction


def keys(path: Path, name: bytes | None = None) -> Iterator[bytes]:
    """Return all keys of a database in their order. Raises like `reading`."""
    return (key for key, _ in sizes(path, name))


def sizes(path: Path, name: bytes | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield all keys of a database in their order, each with the number of bytes of its value, which are not read.

    Touched pages of a map count as memory of the process until it is closed, in the end the whole file; so it is opened
    again and again. Raises like `reading`.
    """
    last = None
    while batch := _behind(path, name, last):
        yield from batch
        last = batch[-1][0]


def _behind(path: Path, name: bytes | None, last: bytes | None) -> list[tuple[bytes, int]]:
    with reading(path, name) as transaction, transaction.cursor() as cursor:
        is_there = cursor.first() if last is None else cursor.set_range(last) and cursor.next_nodup()
        found = itertools.islice(cursor.iternext_nodup(values=True), BATCH_KEYS) if is_there else ()
        return [(bytes(key), len(value)) for key, value in found]


def names(path: Path) -> list[bytes]:
    """Return names of the databases that have one, at most `MAX_DATABASES`. Raises like `environment`."""
    found: list[bytes] = []
    for key, size in sizes(path):
        # Not opened for all of them: touched pages count as memory until it is closed.
        if size == RECORD and len(found) < MAX_DATABASES and _is_name(environment(path), key):
            found.append(key)
    return found


def has_several_values(path: Path, name: bytes | None = None) -> bool:
    """Return whether a database may have several values for one key. Raises like `reading`."""
    opened = environment(path)
    with opened.begin() as transaction:
        return bool(_database(opened, name).flags(transaction).get("dupsort"))


def check(path: Path, name: bytes | None = None) -> None:
    """Raise OSError or ValueError like `environment`, also where the tree of keys is damaged; values are not read.

    All keys are walked in another process, as LMDB ends the process that comes upon a damaged page.
    """
    environment(path)
    program = f"import sys; from {__name__} import walk; walk(*sys.argv[1:])"
    walked = subprocess.run(
        [sys.executable, "-c", program, path, *([] if name is None else [name.hex()])],
        stderr=subprocess.PIPE,
        errors="replace",
        check=False,
    )
    if walked.returncode:
        raise ValueError(walked.stderr.strip().rpartition("\n")[2] or f"ended by signal {-walked.returncode}")


def walk(path: str, name: str | None = None) -> None:
    """Visit all keys of a database, its name in hexadecimal; ValueError if their number is not the one noted."""
    database = None if name is None else bytes.fromhex(name)
    found = sum(1 for _ in keys(Path(path), database))
    with reading(Path(path), database) as transaction:
        recorded = transaction.stat(_database(environment(Path(path)), database))["entries"]
    if found != recorded:
        raise ValueError(f"{found} of {recorded} entries can be found")


def _database(opened: lmdb.Environment, name: bytes | None) -> Any:
    with _LOCK:  # databases must not be opened by two threads at once
        return opened.open_db(name, create=False)


def _is_name(opened: lmdb.Environment, key: bytes) -> bool:
    try:
        _database(opened, key)
    except (lmdb.IncompatibleError, lmdb.NotFoundError):
        return False
    return True


def _opened(file: Path, size: int) -> lmdb.Environment:
    if not size:
        raise ValueError("is empty")
    opened = _open_once_closed(file)
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    if size < needed:  # touching a page that is not there would end the process
        raise ValueError(f"is cut short: {size} bytes of {needed}")
    return opened


def _open_once_closed(file: Path) -> lmdb.Environment:
    """Wait where another thread that has let it go is not done with closing it."""
    patience = time.monotonic() + CLOSING_SECONDS
    while True:
        try:
            # Values are many pages long, so reading ahead helps in any order.
            return lmdb.open(
                str(file), subdir=False, readonly=True, create=False, lock=False, readahead=True, max_dbs=MAX_DATABASES
            )
        except lmdb.Error as error:
            if ALREADY_OPEN not in str(error) or time.monotonic() > patience:
                raise ValueError(str(error).removeprefix(f"{file}: ")) from error
            time.sleep(0.001)
