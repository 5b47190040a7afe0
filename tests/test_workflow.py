"""Jobs find the project's commands and ask for what the machine has."""

import shutil
import sys
from pathlib import Path

import torch

from ganformer import workflow


def test_command_is_found_beside_this_python(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert shutil.which("ganformer") is None
    workflow.find_commands()
    assert Path(shutil.which("ganformer")).parent == Path(sys.executable).parent


def test_a_gpu_is_asked_for_where_there_is_one(monkeypatch):
    for present, asked in ((0, 0), (1, 1), (8, 1)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda present=present: present)
        assert workflow.gpus() == asked
