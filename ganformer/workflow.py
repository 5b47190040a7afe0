"""What the Snakefile asks of the machine it runs on."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch


def gpus() -> int:
    """What a job asks for here: 1 where there is a GPU, else 0. Profiles of clusters set the resource themselves."""
    return int(torch.cuda.device_count() > 0)


def command(configfiles: Iterable[Path], values: Mapping[str, Any]) -> str:
    """The call that makes something again as this one does; `{}` stands for the name of the target.

    `configfiles` and `values`: those given by --configfile and --config. They come last, since Snakemake takes every
    word behind --configfile for another file.
    """
    words = ["snakemake", "--cores", "all", "{}"]
    if files := [shlex.quote(_from_here(file)) for file in configfiles]:
        words += ["--configfile", *files]
    if values:
        words += ["--config", *(shlex.quote(f"{key}={json.dumps(value)}") for key, value in values.items())]
    return " ".join(words)


def published_numbers() -> str:
    """Path of the table of published numbers, which comes with the package."""
    return _from_here(Path(__file__).with_name("report") / "published.csv")


def _from_here(file: Path) -> str:
    """A path relative to the working folder, where it lies below that."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def find_commands() -> None:
    """Lets jobs find the command `ganformer` beside this Python, also where its environment is not activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
