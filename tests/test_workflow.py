"""Jobs find the project's commands and ask for what the machine has."""

import shlex
import shutil
import sys
from pathlib import Path

import torch
from snakemake.cli import parse_config

from ganformer import workflow


def test_command_is_found_beside_this_python(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert shutil.which("ganformer") is None
    workflow.find_commands()
    assert Path(shutil.which("ganformer")).parent == Path(sys.executable).parent


def test_the_call_that_makes_something_again_is_taken_as_it_is_meant(tmp_path, monkeypatch):
    """Configuration files come last, as every word behind --configfile is one, and values are read as they were."""
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "my own.yaml", Path("/elsewhere/b.yaml")]
    told = workflow.command(files, {"training": {"kimg": 1.5, "microbatch": None}, "best_by": "is"})
    words = shlex.split(told)
    assert words[:7] == ["snakemake", "--cores", "all", "{}", "--configfile", "my own.yaml", "/elsewhere/b.yaml"]
    assert words[7] == "--config"
    values = parse_config(words[8:])
    assert values == {"training": {"kimg": "1.5", "microbatch": "null"}, "best_by": "is"}
    assert workflow.command([], {}) == "snakemake --cores all {}"


def test_a_gpu_is_asked_for_where_there_is_one(monkeypatch):
    for present, asked in ((0, 0), (1, 1), (8, 1)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda present=present: present)
        assert workflow.gpus() == asked
