"""Fixtures for tests of every part."""

from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from ganformer.progress import Progress
from tests import pictures

SHARED = Path(__file__).resolve().parents[2] / "shared"
# These read the same finished checkout.
FINISHED = {f"tests/workflow/test_{name}.py" for name in ("graph", "imports", "new_kind")}
VARIANTS = ("generated", "real") if (SHARED / "data").is_dir() else ("generated",)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: compressed ones hold the time, and processes must agree on the names of tests."""
    return argname if isinstance(val, bytes) else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keep the tests of a file on one worker, since they share what is costly to make, and so do some files.

    Groups by a mark (`--dist loadgroup`) are not seen with pytest 9.2 and pytest-xdist 3.8.
    """

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "finished" if file in FINISHED else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide generated pictures, containers and published numbers, laid out as the real ones."""
    return pictures.write_all(tmp_path_factory.mktemp("generated"))


@pytest.fixture(params=VARIANTS)
def shared(request: pytest.FixtureRequest) -> Path:
    """Provide generated files and, if the folder `shared` is beside the checkout, also the real ones."""
    if request.param == "real":
        return SHARED
    folder: Path = request.getfixturevalue("generated")
    return folder


@pytest.fixture(autouse=True)
def _progress_ends_at_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no work end whose progress has not counted each item once, but for shares of others and broken transfers."""
    leave = Progress.__exit__

    def checked(self: Progress, kind: type[BaseException] | None, *error: Any) -> None:
        leave(self, kind, *error)
        if kind is None and not self.is_silent and not self.label.startswith("fetch "):
            assert self.done == self.total, f"{self.label}: {self.done} of {self.total} {self.unit} are counted"

    monkeypatch.setattr(Progress, "__exit__", checked)
