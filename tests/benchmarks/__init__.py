"""Tests of the benchmarks, whose programs import each other as scripts of one folder do."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def programs(*names: str) -> dict[str, ModuleType]:
    """Return modules of the folder `benchmarks` by their names."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
