import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganformer import plugins
from ganformer.config import Spec
from tests.plug_ins import TINY, install
from tests.training.tiny_runs import PROGRAM, write_pack


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide folder with an installed package that adds the kind of model `tiny`."""
    return install(TINY, tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def _tiny_is_a_kind(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Find the kind of model `tiny` while a test runs."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(site)
        plugins.forget()
        yield
    plugins.forget()


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack of 40 images 8×8."""
    return write_pack(tmp_path_factory.mktemp("noise"), 40)


@pytest.fixture
def start(pack: Path, site: Path) -> Iterator[Callable[[Spec, Path, float], "subprocess.Popen[str]"]]:
    """Yield a function that starts a training in a process: (spec, out, minutes between checkpoints)."""
    started = []

    def popen(spec: Spec, out: Path, checkpoint_minutes: float) -> "subprocess.Popen[str]":
        arguments = [str(site), spec.json(), str(pack), str(out), str(checkpoint_minutes)]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()
