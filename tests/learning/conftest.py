import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ganformer.models
from ganformer import plugins
from ganformer.config import Spec
from tests.learning.tiny_runs import KINDS, PROGRAM, write_pack


@pytest.fixture(autouse=True)
def _tiny_is_a_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts the test-only kind of model `tiny` among the models."""
    with monkeypatch.context() as patch:
        patch.setattr(ganformer.models, "__path__", [*ganformer.models.__path__, str(KINDS)])
        _rebuild()
        yield
    _rebuild()


def _rebuild() -> None:
    plugins.names.cache_clear()
    Spec.model_rebuild(force=True)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 40 images 8×8."""
    return write_pack(tmp_path_factory.mktemp("noise"), 40)


@pytest.fixture
def start(pack: Path) -> Iterator[Callable[[Spec, Path, float], "subprocess.Popen[str]"]]:
    """Starts a training in a process of its own: (spec, out, minutes between checkpoints)."""
    started = []

    def popen(spec: Spec, out: Path, checkpoint_minutes: float) -> "subprocess.Popen[str]":
        arguments = [str(KINDS), spec.json(), str(pack), str(out), str(checkpoint_minutes)]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()
