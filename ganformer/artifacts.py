"""Files that are either whole or absent, and their origin."""

import errno
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
from ganformer.errors import DataError, UserError

CHUNK = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # a disk, a quota or a limit that takes no more
RESULTS = "GANFORMER_RESULTS"  # variable of the environment, which processes of several GPUs inherit
_TEMPORARY = re.compile(r"\.(.+)\.\d+\.tmp", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def may_write(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a DataError that names `path`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); choose an output folder that you may write to"
        ) from error


def check_file(path: Path) -> None:
    """Check that a file can be written at `path`, before the work that it is for; leaves nothing behind.

    DataError if something else than a file is there, or where the folder, or the nearest one above it that there is,
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
            raise DataError(f"{path}: is a folder, but a file is to be written; name one, in this folder for example")
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is a device or a pipe, which no file may replace; name a file")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving without an error the file is flushed and renamed to `path`.

    The old file stays whole until then, and nothing is left behind after an error. Missing parent folders are made. The
    file has the mode that the process's umask gives, whatever a library makes of the temporary one. Raises DataError
    where the folder cannot be written, something else than a file is there, or a disk has no room or refuses the file,
    in whatever way a library says so.
    """
    _refuse_other_than_file(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with may_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    mode = temporary.stat().st_mode
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except UserError:
        raise
    except Exception as error:
        if reason := _refusal(error, temporary):
            raise DataError(
                f"{path}: cannot be written ({reason}); make room there, or choose another output folder, and run again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def refusal(error: BaseException) -> str | None:
    """Return reason that a disk gave for taking no more; None if the error is another one."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(error, OSError) and number in FULL else None


def _refusal(error: Exception, temporary: Path) -> str | None:
    """Return the reason of a write error that a library (torch, safetensors, HDF5, LMDB) raised, by writing on."""
    if reason := refusal(error):
        return reason
    try:
        with temporary.open("ab") as file:
            file.write(bytes(CHUNK))
            file.flush()
            os.fsync(file.fileno())
    except OSError as found:
        return refusal(found)
    return None


def placed(path: Path) -> Path:
    """Return the path of a file in settings: `results/…` is relative to the folder of the option --results, if given.

    So settings and their digests stay the same wherever a workflow keeps its results.
    """
    results = os.environ.get(RESULTS)
    return Path(results, *path.parts[1:]) if results and path.parts[:1] == ("results",) else path


def of_temporary(name: str) -> str | None:
    """Return name of the file that a temporary one of `atomic` called so was to become; None for other files."""
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, keys in the order given. Non-finite numbers are refused (ValueError).

    Paths of bytes that are not UTF-8 keep them: what cannot be written as UTF-8 is escaped, as JSON has it.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(
            f"{path}: is not valid JSON ({error}); name the file that is meant, or make it again"
        ) from error


def agrees(found: Any, expected: Any) -> bool:
    """Return whether JSON content has everything that is expected; of mappings, it may hold more."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(agrees(found.get(key), value) for key, value in expected.items())
    return bool(found == json.loads(json.dumps(expected)))


def is_kept(out: Path, found: Any, origin: Mapping[str, Any], *, is_silent: bool = False) -> bool:
    """Return whether the file `out`, whose record is `found`, was made of the same as what `origin` names.

    Then it stays, with its date and provenance, and a printed line says so, unless `is_silent`.
    """
    if found is None or not agrees(found, origin):
        return False
    if not is_silent:
        say_kept(out)
    return True


def say_kept(out: Path) -> None:
    """Say that a file stays, since it was made of the same as is to be made now."""
    print(f"{out}: is of these weights, images and settings already and stays; delete it to make it again", flush=True)


def read_existing(path: Path) -> Any:
    """Return content of a JSON file; None if there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def canonical(value: Any) -> str:
    """Return one JSON text per value, whatever the order its keys were written in."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """Return sha256 (hex) of a file, read in chunks; `progress` receives the bytes read each time."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
            progress(len(chunk))
    return sha.hexdigest()


def code_version() -> Mapping[str, Any]:
    """Return version of this package and, where it is run from a checkout of its own, `commit` and `dirty`.

    `dirty`: whether files of the checkout differ from the commit. A repository that merely surrounds an installed
    package says nothing about it.
    """
    root = Path(__file__).resolve().parent.parent
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")) != root:
            return {"ganformer": __version__}
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        is_dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {"ganformer": __version__}
    return {"ganformer": __version__, "commit": commit, "dirty": is_dirty}


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()


def hardware() -> Mapping[str, Any]:
    """Return a description of the machine without importing torch: processor, cores, system, Python."""
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
