"""Exports: trained models in forms that other programs read."""

from dataclasses import replace
from pathlib import Path

import torch

from ganformer import artifacts, plugins
from ganformer.analysis import explorer
from ganformer.analysis.explorer import Explorer
from ganformer.config import Export
from ganformer.errors import ConfigError


def export(settings: Export, opened: Explorer, out: Path, threads: int = 1) -> None:
    """Write a run in another form to `out`, a file or, of some forms, a folder: everything or, after an error, nothing.

    Nothing that is there is replaced. Raises ConfigError if the model cannot have that form, a package is missing or
    something is in the way; CheckpointError if what was written is not the model.
    """
    if settings.needs is not None:
        explorer.require(opened.path, opened.record.kind, settings.needs)
    if settings.is_folder:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out}: is a file, and this form is a folder; choose another name")
    else:
        artifacts.check_file(out)
        if out.exists():
            raise ConfigError(f"{out}: is there already and would be lost; name another file, or delete it first")
    sampler, device = opened.learner.sampler, opened.device
    here = replace(opened, device=torch.device("cpu"), class_means={})
    try:
        sampler.to(here.device)  # programs are recorded there
        with explorer.looking(here, threads):
            notes = plugins.find("ganformer.exports", settings.kind).write(settings, here, out)
    finally:
        sampler.to(device)
    print(f"{out}: {settings.kind} of {opened.record.run}", flush=True)
    for note in notes:
        print(f"  note: {note}", flush=True)
