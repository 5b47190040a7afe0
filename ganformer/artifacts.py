"""Files that are either whole or absent, and where they came from."""

import hashlib
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganformer import __version__
from ganformer.errors import DataError

CHUNK = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def may_write(path: Path) -> Iterator[None]:
    """Inside, an operating system's refusal to write becomes a DataError that names `path`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); choose an output folder that you may write to"
        ) from error


def check_file(path: Path) -> None:
    """Checks that a file can be written at `path`, before the work that it is for; leaves nothing behind.

    DataError where something else than a file is there, or where the folder, or the nearest one above it that there is,
    does not let files be made in it.
    """
    _refuse_other_than_file(path)
    with may_write(path):
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass


def _refuse_other_than_file(path: Path) -> None:
    with may_write(path):
        if path.is_dir():
            raise DataError(f"{path}: is a folder, but what is written is a file; name one, in this folder for example")
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is a device or a pipe, which no file may replace; name a file")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on leaving without an error the file is flushed and renamed to `path`.

    The old file stays whole until then, and nothing is left behind after an error. Missing parent folders are made.
    Raises DataError where the folder cannot be written, or where something else than a file is there.
    """
    _refuse_other_than_file(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with may_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically, keys in the order given. Non-finite numbers are refused (ValueError).

    Paths of bytes that are not UTF-8 keep them: what cannot be written as UTF-8 is escaped, as JSON has it.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file; DataError where it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}); delete it and run again") from error


def canonical(value: Any) -> str:
    """One JSON text per value, whatever the order its keys were written in."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """sha256 (hex) of a file, read in chunks; `progress` is told the bytes read each time."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
            progress(len(chunk))
    return sha.hexdigest()


def code_version() -> Mapping[str, str]:
    """Version of this package, and the commit it was run from where it is run from a checkout."""
    root = Path(__file__).resolve().parent.parent
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return {"ganformer": __version__}
    return {"ganformer": __version__, "commit": commit}


def hardware() -> Mapping[str, Any]:
    """What this process runs on, without importing torch: processor, cores it may use, system, Python."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
