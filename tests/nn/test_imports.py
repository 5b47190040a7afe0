"""`nn` holds what several models share, and knows neither a model nor the training."""

import ast
from functools import cache
from pathlib import Path

import pytest

import ganformer
from ganformer import plugins

ROOT = Path(ganformer.__file__).parent
SHARED = sorted(path.stem for path in (ROOT / "nn").glob("[a-z]*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Return names of all modules and their members that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def shared_by(files: list[Path]) -> set[str]:
    """Return modules of `nn` that these files import, and those that these import in turn."""
    found: set[str] = set()
    while files:
        names = {name for name in SHARED for file in files if f"ganformer.nn.{name}" in imported(file)} - found
        found |= names
        files = [ROOT / "nn" / f"{name}.py" for name in names]
    return found


@pytest.mark.parametrize("name", SHARED)
def test_at_least_two_models_share_every_module(name: str) -> None:
    users = []
    for kind in plugins.names("ganformer.models"):
        folder = ROOT / "models" / kind.replace("-", "_")
        if name in shared_by(list(folder.rglob("*.py"))):
            users.append(kind)
    assert len(users) >= 2, f"only {users} import ganformer.nn.{name}; it belongs into the folder of that model"


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("above", ["ganformer.models", "ganformer.training"])
def test_no_arrow_runs_upwards(name: str, above: str) -> None:
    assert [each for each in imported(ROOT / "nn" / f"{name}.py") if f"{each}.".startswith(f"{above}.")] == []
