"""Compiled operations: built with ninja when first needed, kept in a cache, and loaded into torch.

The sources in `cpu/` are compiled for the processor at hand (`-march=native`). The cache has a folder for every
combination of sources, torch, compiler and processor, so a home directory that several machines share holds one for
each kind. GANFORMER_OPS chooses: `auto` (default: compiled where possible, else PyTorch after a printed line),
`compiled` (DeviceError instead of that line) or `python`.
"""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from ganformer.errors import DeviceError

SOURCES = Path(__file__).parent / "cpu"
CHOICES = ("auto", "compiled", "python")
TYPES = (torch.float32, torch.float64, torch.bfloat16)
LIBRARY, FAILURE = "ganformer_ops.so", "failure.txt"
FLAGS = (
    "-std=c++20",
    "-O3",
    "-march=native",
    "-fopenmp-simd",
    # These let loops be vectorised; what is not a number stays so.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-DTORCH_TARGET_VERSION=0x020b000000000000",  # the oldest torch that is allowed, 2.11
    "-shared",
    "-fPIC",
    *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []),
)


def serves(x: Tensor) -> bool:
    """Return whether the compiled operations take `x`: on the CPU, of one of `TYPES`, and not traced by a compiler."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype in TYPES
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def as_computed(value: Tensor | None, x: Tensor) -> Tensor | None:
    """Return `value`, contiguous, in the type that operations on `x` compute with: of bfloat16 float32."""
    if value is None:
        return None
    return value.to(torch.float32 if x.dtype == torch.bfloat16 else x.dtype).contiguous()


def backend() -> str:
    """Return "compiled" or "python": which operations this process uses on the CPU."""
    return "python" if library() is None else "compiled"


@functools.cache
def library() -> Any:
    """Return the loaded operations, building them if no process has yet; None if PyTorch is to be used instead.

    Raises DeviceError if GANFORMER_OPS is none of its values, or is `compiled` and they cannot be built.
    """
    choice = os.environ.get("GANFORMER_OPS", "auto")
    if choice not in CHOICES:
        raise DeviceError(f"GANFORMER_OPS is '{choice}'; allowed are {', '.join(CHOICES)}")
    if choice == "python":
        return None
    try:
        torch.ops.load_library(_built(says_so=choice == "auto"))
    except _CannotBuildError as error:
        if choice == "compiled":
            raise DeviceError(
                f"GANFORMER_OPS is 'compiled', but operations cannot be built: {error}; install a C++ compiler (CXX "
                "names another than c++), or set it to 'auto' or 'python'"
            ) from error
        return None
    return torch.ops.ganformer


class _CannotBuildError(Exception):
    """Operations cannot be built on this machine."""


def _built(*, says_so: bool) -> Path:
    """Return the library, built by this process unless another one has; processes take turns.

    A failure is kept beside where the library would be, so that it costs time and is printed once.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise _failed(f"there is no C++ compiler '{compiler}'", says_so=says_so)
    folder = cache_folder() / _key(compiler)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if (folder / LIBRARY).exists():
                return folder / LIBRARY
            if (folder / FAILURE).exists():
                raise _CannotBuildError((folder / FAILURE).read_text(encoding="utf-8"))
            try:
                _build(compiler, folder)
            except subprocess.CalledProcessError as error:
                reason = f"'{compiler}' fails ({_last_line(error.output)})"
                (folder / FAILURE).write_text(reason, encoding="utf-8")
                raise _failed(reason, says_so=says_so) from error
    except OSError as error:
        raise _failed(
            f"{folder} cannot be used ({error.strerror}); XDG_CACHE_HOME names another", says_so=says_so
        ) from error
    return folder / LIBRARY


def cache_folder() -> Path:
    """Return the folder of all builds: `ganformer/ops` in XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganformer" / "ops"


def _key(compiler: str) -> str:
    """Return a digest of everything that a build depends on.

    The macros that the compiler defines tell its version and the processor's instructions.
    """
    macros = subprocess.run(
        [compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, check=False
    ).stdout
    digest = hashlib.sha256(macros)
    for part in (compiler, torch.__version__, *FLAGS, *_texts()):
        digest.update(part.encode())
    return digest.hexdigest()[:20]


def _texts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir()) if path.suffix in (".cpp", ".h")]


def _build(compiler: str, folder: Path) -> None:
    """Compile all sources side by side and link them; the library appears at once, whole."""
    import ninja

    torch_folder = Path(torch.__file__).parent
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        (Path(temporary) / "build.ninja").write_text(_rules(compiler, torch_folder), encoding="utf-8")
        notice = "building compiled operations, once for this machine (GANFORMER_OPS=python does without)"
        print(notice, file=sys.stderr, flush=True)
        subprocess.run(
            [Path(ninja.BIN_DIR) / "ninja", "-C", temporary],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        (Path(temporary) / LIBRARY).replace(folder / LIBRARY)


def _rules(compiler: str, torch_folder: Path) -> str:
    sources = sorted(SOURCES.glob("*.cpp"))
    objects = [f"{source.stem}.o" for source in sources]
    compiling = f"{_quoted([compiler, *FLAGS, f'-I{torch_folder}/include'])} -MD -c $in -o $out"
    linking = f"{_quoted([compiler, *FLAGS])} $in -o $out {_quoted([f'-L{torch_folder}/lib', '-ltorch_cpu', '-lc10'])}"
    lines = [f"rule compile\n  command = {compiling}", f"rule link\n  command = {linking}"]
    lines += [f"build {out}: compile {_escaped(source)}" for out, source in zip(objects, sources, strict=True)]
    return "\n".join([*lines, f"build {LIBRARY}: link {' '.join(objects)}", ""])


def _quoted(words: Sequence[str]) -> str:
    """Return words of a command for ninja, which has $ as its own sign and gives the rest to the shell."""
    return " ".join(f"'{word}'" if " " in word else word for word in words).replace("$", "$$")


def _escaped(path: Path) -> str:
    """Return a path as ninja's build lines have it."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _failed(reason: str, *, says_so: bool) -> _CannotBuildError:
    if says_so:
        print(f"operations run in PyTorch, slower, as {reason}", file=sys.stderr, flush=True)
    return _CannotBuildError(reason)


def _last_line(output: str) -> str:
    """Return the line of a compiler's output that says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "no output")
