"""Both ways in which operations are computed on the CPU."""

import pytest

from ganformer.ops import compiled


@pytest.fixture(params=["python", "compiled"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compute with operators of PyTorch, and with the compiled operations."""
    if request.param == "python":
        monkeypatch.setattr(compiled, "library", lambda: None)
    elif compiled.library() is None:
        pytest.skip("needs a C++ compiler")
    return str(request.param)


@pytest.fixture
def has_compiler() -> None:
    """Skip tests of the compiled operations alone where they cannot be built."""
    if compiled.library() is None:
        pytest.skip("needs a C++ compiler")
