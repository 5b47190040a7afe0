"""Export a generator as a TorchScript program, which torch runs without this project, also from C++."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganformer.config.export import ProgramExport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganformer.analysis.explorer import Explorer

FACTS = "ganformer.json"
"""File in the program with the facts about its run."""


class Config(ProgramExport):
    """TorchScript: a program for any number of images, run by torch."""

    kind: Literal["torchscript"] = "torchscript"


def write(settings: Config, opened: Explorer, path: Path) -> Sequence[str]:
    """Write the program to `path`, after comparing its images with the model's."""
    import json

    import torch

    from ganformer import artifacts
    from ganformer.analysis import program

    made = program.program(opened, settings.truncation_mean)
    with program.silent(), artifacts.atomic(path) as temporary:
        traced = torch.jit.trace(made, made.example(program.EXAMPLES), check_trace=False)
        content = json.dumps(program.facts(opened))
        torch.jit.save(traced, str(temporary), _extra_files={FACTS: content})
        worst = program.check(made, torch.jit.load(str(temporary)), None, str(path))
    return [f"takes {', '.join(made.inputs)}", f"differs from the model by {worst:.1g} at most"]
