"""Jobs find the project's commands and ask for what the machine has."""

import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from snakemake.cli import parse_config

from ganformer import workflow


def test_command_is_found_beside_this_python(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert shutil.which("ganformer") is None
    workflow.find_commands()
    assert Path(shutil.which("ganformer")).parent == Path(sys.executable).parent


def test_the_command_of_this_python_comes_before_others(monkeypatch, tmp_path):
    (tmp_path / "ganformer").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
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


def test_the_own_configuration_has_its_name_also_from_the_cache_of_snakemake():
    cache = Path("/cache/run1")
    files = ["/mine/b.yaml", str(cache / "file/clone/workflow/../config.yaml")]
    assert workflow.settings_files(files, cache) == "/mine/b.yaml + config.yaml"
    assert workflow.settings_files(["config.yaml"], cache) == "config.yaml"
    assert workflow.settings_files([], cache) == "config.yaml"


class Driver:
    """NVIDIA's library, as far as it is asked how many GPUs there are."""

    def __init__(self, gpus: int, version: int = 13000, fault: int = 0) -> None:
        self.gpus, self.version, self.fault = gpus, version, fault

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.fault

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.gpus
        return 0


@pytest.mark.parametrize(
    ("cuda", "driver", "asked"),
    [
        ("13.0", Driver(0), 0),
        ("13.0", Driver(1), 1),
        ("13.0", Driver(8), 1),
        ("13.0", Driver(1, version=13020), 1),
        ("13.2", Driver(1), 1),
        ("13.0", Driver(1, version=12080), 0),
        ("13.0", Driver(1, fault=100), 0),
        ("13.0", None, 0),
        (None, Driver(1), 0),
    ],
)
def test_a_gpu_is_asked_for_where_torch_can_use_one(monkeypatch, cuda, driver, asked):
    def load(name):
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError
        return driver

    monkeypatch.setattr(workflow, "_platforms", lambda: (cuda, None))
    monkeypatch.setattr(workflow.ctypes, "CDLL", load)
    assert workflow.gpus.__wrapped__() == asked


@pytest.mark.parametrize("is_there", [False, True])
def test_of_gpus_of_amd_torch_is_asked(monkeypatch, is_there):
    monkeypatch.setattr(workflow, "_platforms", lambda: (None, "6.2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    assert workflow.gpus.__wrapped__() == is_there


def test_captions_lie_beside_the_rules():
    assert workflow.caption("cost") == "../report/cost.rst"


def test_a_kind_of_another_package_has_its_caption_beside_its_file(tmp_path, monkeypatch):
    asked = []
    module = SimpleNamespace(__file__=str(tmp_path / "my_kind.py"))
    monkeypatch.setattr(workflow.plugins, "settings", lambda *given: asked.append(given) or module)
    assert workflow.caption("my-kind") == "../report/my-kind.rst"
    (tmp_path / "my-kind.rst").touch()
    assert workflow.caption("my-kind") == str(tmp_path / "my-kind.rst")
    assert asked == [("ganformer.exhibits", "my-kind")] * 2


def test_what_torch_is_built_for_is_read_without_it():
    assert workflow._platforms() == (torch.version.cuda, torch.version.hip)
    assert workflow.gpus.__wrapped__() == int(torch.cuda.is_available())
