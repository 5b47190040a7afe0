"""Compiled operations: built with ninja when first needed, kept in a cache, and loaded into torch.

The sources in `cpu/` are compiled for the processor at hand (`-march=native`), those in `cuda/` for the GPUs at hand.
The cache has a folder for every combination of sources, torch, compiler and processor or GPUs, so a home directory that
several machines share holds one for each kind. GANFORMER_OPS chooses: `auto` (default: compiled on the CPU where
possible, else PyTorch after a printed line; PyTorch on GPUs), `compiled` (on both, DeviceError instead of that line) or
`python`.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from ganformer.errors import DeviceError
from ganformer.ops.gradients import is_recorded

FOLDER = Path(__file__).parent
CHOICES = ("auto", "compiled", "python")
DEVICES = ("cpu", "cuda")
TYPES = (torch.float32, torch.float64, torch.bfloat16)
LIBRARY, FAILURE = "ganformer_ops.so", "failure.txt"
OLDEST_GPU = (7, 5)
COMMON_FLAGS = (
    "-std=c++20",
    "-O3",
    "-DTORCH_TARGET_VERSION=0x020b000000000000",  # the oldest torch that is allowed, 2.11
    "-shared",
)
FLAGS = (
    *COMMON_FLAGS,
    "-fPIC",
    "-march=native",
    "-fopenmp-simd",
    # These let loops be vectorised; what is not a number stays so.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []),
)
CUDA_FLAGS = (*COMMON_FLAGS, "-Xcompiler", "-fPIC", "-DUSE_CUDA", "--expt-relaxed-constexpr")


def serves(x: Tensor) -> bool:
    """Return whether compiled operations take `x`: on one of `DEVICES`, of one of `TYPES`, and not traced."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.device.type in DEVICES
        and x.dtype in TYPES
        and not torch.compiler.is_compiling()
        and not is_recorded()
        and library(x.device.type) is not None
    )


def as_computed(value: Tensor | None, x: Tensor) -> Tensor | None:
    """Return `value`, contiguous, in the type that operations on `x` compute with: of bfloat16 float32."""
    if value is None:
        return None
    return value.to(torch.float32 if x.dtype == torch.bfloat16 else x.dtype).contiguous()


def backend(device: str) -> str:
    """Return "compiled" or "python": which operations this process uses on "cpu" or "cuda"."""
    return "python" if library(device) is None else "compiled"


def operations(x: Tensor) -> Any:
    """Return the compiled operations, which serve `x`."""
    return library(x.device.type)


@functools.cache
def library(device: str) -> Any:
    """Return the operations with those for "cpu" or "cuda" loaded; None if PyTorch is to be used instead.

    Builds them if no process has yet. Raises DeviceError if GANFORMER_OPS is none of its values, or is `compiled` and
    they cannot be built.
    """
    choice = os.environ.get("GANFORMER_OPS", "auto")
    if choice not in CHOICES:
        raise DeviceError(f"GANFORMER_OPS is '{choice}'; allowed are {', '.join(CHOICES)}")
    if choice == "python" or (choice == "auto" and device == "cuda"):
        return None
    if device == "cuda":
        library("cpu")  # defines the operations that those for GPUs implement
    remedy = ""
    try:
        build = cpu_build() if device == "cpu" else cuda_build(_capabilities())
        remedy = build.remedy
        _load(_built(build, says_so=choice == "auto"), says_so=choice == "auto")
    except _CannotBuildError as error:
        if choice == "compiled":
            raise DeviceError(
                f"GANFORMER_OPS is 'compiled', but operations cannot be built: {error}; {remedy}set it to 'auto' or "
                "'python'"
            ) from error
        return None
    return torch.ops.ganformer


@dataclass(frozen=True)
class Build:
    """Compiler, flags and sources of the operations of one kind of device."""

    language: str
    compiler: str
    flags: tuple[str, ...]
    sources: tuple[Path, ...]
    libraries: tuple[str, ...]
    macros: tuple[str, ...]
    """Arguments with which the compiler prints its macros: they tell its version and the processor's instructions."""
    remedy: str
    """Beginning of advice to a user for whom the compiler fails."""


def cpu_build() -> Build:
    """Return how operations for this processor are built."""
    return Build(
        language="C++",
        compiler=_cxx(),
        flags=FLAGS,
        sources=tuple(sorted((FOLDER / "cpu").glob("*.cpp"))),
        libraries=("-ltorch_cpu", "-lc10"),
        macros=("-march=native", "-dM", "-E", "-x", "c++"),
        remedy="install a C++ compiler (CXX names another than c++), or ",
    )


def cuda_build(capabilities: Sequence[tuple[int, int]]) -> Build:
    """Return how operations for GPUs of these compute capabilities are built."""
    host = ("-ccbin", _cxx())
    kinds = [f"{major}{minor}" for major, minor in sorted(set(capabilities))]
    return Build(
        language="CUDA",
        compiler=os.environ.get("CUDACXX", "nvcc"),
        flags=(*CUDA_FLAGS, *host, *(f"-gencode=arch=compute_{kind},code=sm_{kind}" for kind in kinds)),
        sources=tuple(sorted((FOLDER / "cuda").glob("*.cu"))),
        libraries=("-ltorch_cuda", "-ltorch_cpu", "-lc10"),
        macros=(*host, "-Xcompiler", "-dM", "-E", "-x", "cu"),
        remedy="install the CUDA toolkit (CUDACXX names another compiler than nvcc), or ",
    )


def _cxx() -> str:
    return os.environ.get("CXX", "c++")


def _capabilities() -> list[tuple[int, int]]:
    """Return the compute capabilities of all visible GPUs."""
    found = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
    if (least := min(found, default=OLDEST_GPU)) < OLDEST_GPU:
        raise _CannotBuildError(
            f"a GPU has compute capability {least[0]}.{least[1]}, and they need {OLDEST_GPU[0]}.{OLDEST_GPU[1]}"
        )
    return found


class _CannotBuildError(Exception):
    """Operations cannot be built on this machine."""


def _built(build: Build, *, says_so: bool) -> Path:
    """Return the library, built by this process unless another one has; processes take turns.

    A failure is kept beside where the library would be, so that it costs time and is printed once.
    """
    if shutil.which(build.compiler) is None:
        raise _failed(f"there is no {build.language} compiler '{build.compiler}'", says_so=says_so)
    folder = cache_folder() / _key(build)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if (folder / LIBRARY).exists():
                return folder / LIBRARY
            if (folder / FAILURE).exists():
                raise _CannotBuildError((folder / FAILURE).read_text(encoding="utf-8"))
            try:
                _build(build, folder)
            except subprocess.CalledProcessError as error:
                reason = f"'{build.compiler}' fails ({_last_line(error.output)})"
                (folder / FAILURE).write_text(reason, encoding="utf-8")
                raise _failed(reason, says_so=says_so) from error
    except OSError as error:
        raise _failed(
            f"{folder} cannot be used ({error.strerror}); XDG_CACHE_HOME names another", says_so=says_so
        ) from error
    return folder / LIBRARY


def _load(path: Path, *, says_so: bool) -> None:
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise _failed(
            f"{path} cannot be loaded ({error}); delete its folder to build it anew", says_so=says_so
        ) from error


def cache_folder() -> Path:
    """Return the folder of all builds: `ganformer/ops` in XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganformer" / "ops"


def _key(build: Build) -> str:
    """Return a digest of everything that a build depends on."""
    macros = subprocess.run([build.compiler, *build.macros, os.devnull], capture_output=True, check=False).stdout
    digest = hashlib.sha256(macros)
    for part in (build.compiler, torch.__version__, *build.flags, *build.libraries, *_texts(build)):
        digest.update(part.encode())
    return digest.hexdigest()[:20]


def _texts(build: Build) -> list[str]:
    """Return the sources and all headers that they may include."""
    folders = [FOLDER, *sorted({source.parent for source in build.sources})]
    headers = [path for folder in folders for path in sorted(folder.glob("*.h"))]
    return [path.read_text(encoding="utf-8") for path in (*build.sources, *headers)]


def _build(build: Build, folder: Path) -> None:
    """Compile all sources side by side and link them; the library appears at once, whole."""
    import ninja

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        (Path(temporary) / "build.ninja").write_text(_rules(build), encoding="utf-8")
        notice = "building compiled operations, once for this machine (GANFORMER_OPS=python does without)"
        print(notice, file=sys.stderr, flush=True)
        subprocess.run(
            [Path(ninja.BIN_DIR) / "ninja", "-C", temporary],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
        (Path(temporary) / LIBRARY).replace(folder / LIBRARY)


def _rules(build: Build) -> str:
    torch_folder = Path(torch.__file__).parent
    objects = [f"{source.stem}.o" for source in build.sources]
    command = [build.compiler, *build.flags]
    compiling = f"{_quoted([*command, f'-I{torch_folder}/include'])} -c $in -o $out"
    linking = f"{_quoted(command)} $in -o $out {_quoted([f'-L{torch_folder}/lib', *build.libraries])}"
    lines = [f"rule compile\n  command = {compiling}", f"rule link\n  command = {linking}"]
    lines += [f"build {out}: compile {_escaped(source)}" for out, source in zip(objects, build.sources, strict=True)]
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
    found = (line for line in lines if "error" in line or "fatal" in line)
    return next(found, lines[-1] if lines else "no output")
