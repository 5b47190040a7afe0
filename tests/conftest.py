"""Fixtures for tests of every part."""

from pathlib import Path

import pytest

from tests import pictures

SHARED = Path(__file__).resolve().parents[2] / "shared"
VARIANTS = ("generated", "real") if (SHARED / "data").is_dir() else ("generated",)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: compressed ones hold the time, and processes must agree on the names of tests."""
    return argname if isinstance(val, bytes) else None


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
