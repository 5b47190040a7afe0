"""What the Snakefile asks of the machine it runs on."""

import os
import sys
from pathlib import Path

import torch


def gpus() -> int:
    """What a job asks for here: 1 where there is a GPU, else 0. Profiles of clusters set the resource themselves."""
    return int(torch.cuda.device_count() > 0)


def find_commands() -> None:
    """Lets jobs find the command `ganformer` beside this Python, also where its environment is not activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
