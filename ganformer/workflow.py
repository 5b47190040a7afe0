"""Facts of this machine that the workflow plans with, and paths of its captions."""

import ctypes
import importlib.util
import json
import os
import runpy
import shlex
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ganformer import plugins


@cache
def gpus() -> int:
    """Return the GPUs of a job on this machine: 1 if torch can use a visible one, else 0.

    Found without torch, whose import takes longer than all planning: by the CUDA version that it is built for and the
    driver, which must be as new. Of a torch for AMD's GPUs by torch itself.
    """
    cuda, hip = _platforms()
    if hip is not None:
        import torch

        return int(torch.cuda.is_available())
    if cuda is None:
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    version, count = ctypes.c_int(), ctypes.c_int()
    is_usable = (
        driver.cuInit(0) == 0
        and driver.cuDriverGetVersion(ctypes.byref(version)) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    )
    return int(is_usable and version.value >= 1000 * int(cuda.partition(".")[0]) and count.value > 0)


def _platforms() -> tuple[str | None, str | None]:
    """Return the versions of CUDA and of HIP that torch is built for; None without torch."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None, None
    facts = runpy.run_path(str(Path(torch.origin).with_name("version.py")))
    return facts.get("cuda"), facts.get("hip")


def command(configfiles: Iterable[Path], values: Mapping[str, Any]) -> str:
    """Return the call that makes a target again as this one does; `{}` stands for its name.

    `configfiles` and `values`: those given by --configfile and --config. They come last, since Snakemake takes every
    word behind --configfile for another file.
    """
    words = ["snakemake", "--cores", "all", "{}"]
    if files := [shlex.quote(str(from_here(file))) for file in configfiles]:
        words += ["--configfile", *files]
    if values:
        words += ["--config", *(shlex.quote(f"{key}={json.dumps(value)}") for key, value in values.items())]
    return " ".join(words)


def from_here(file: Path) -> Path:
    """Return a path relative to the working folder if it is below that, else the path itself."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def settings_files(configfiles: Iterable[str | Path], cache: Path) -> str:
    """Return the names of the configuration files, as a message names them.

    Outside the clone Snakemake reads the workflow's own file from a copy in its cache, which nobody should edit.
    """
    files = map(Path, configfiles)
    return " + ".join(file.name if file.is_relative_to(cache) else str(file) for file in files) or "config.yaml"


def caption(kind: str) -> str:
    """Return the caption of a kind of table or figure, relative to the rules.

    A kind that is not in this package brings its caption beside its file, as KIND.rst.
    """
    own = Path(str(plugins.settings("ganformer.exhibits", kind).__file__)).with_name(f"{kind}.rst")
    return str(own) if own.exists() else f"../report/{kind}.rst"


def find_commands() -> None:
    """Let jobs find the command `ganformer` beside this Python, also if its environment is not activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
