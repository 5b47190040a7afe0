"""Ways in which operations are computed on the CPU."""

import pytest

from ganformer.ops import compiled
from tests.ops import serial

GPU = pytest.param("gpu", marks=pytest.mark.slow)


def use(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute with operators of PyTorch, with the compiled operations, or with the kernels for GPUs run serially."""
    if name == "python":
        monkeypatch.setattr(compiled, "library", lambda *_: None)
    elif compiled.library("cpu") is None:
        pytest.skip("needs a C++ compiler")
    elif name == "gpu":
        found = serial.library()
        monkeypatch.setattr(compiled, "library", lambda *_: found)
    return name


@pytest.fixture(params=["python", "compiled"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute with operators of PyTorch, and with the compiled operations."""
    return use(request.param, monkeypatch)


@pytest.fixture(params=["python", "compiled", GPU])
def every_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute with these two, and with the kernels for GPUs."""
    return use(request.param, monkeypatch)


@pytest.fixture(params=["compiled", GPU])
def compiled_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute with the compiled operations, and with the kernels for GPUs."""
    return use(request.param, monkeypatch)


@pytest.fixture
def has_compiler() -> None:
    """Skip tests of the compiled operations alone where they cannot be built."""
    if compiled.library("cpu") is None:
        pytest.skip("needs a C++ compiler")
