"""Plug-ins, found by their file name: models, image sources, pack formats, metrics, extractors, parsers.

The file name, with underscores written as hyphens, is the name used in the configuration. A plug-in is one file, or,
where its code needs torch, a folder with two: `settings.py` holds its `Config` and imports no torch, which takes longer
to import than all planning; `model.py` holds the rest. The `__init__.py` of such a folder is empty.
"""

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from functools import cache
from types import ModuleType

from ganformer.errors import ConfigError


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the parts in `package`, sorted; nothing is imported."""
    # A package is not imported for that, since it may hold more than its files.
    loaded = sys.modules.get(package) or importlib.util.find_spec(package)
    path = getattr(loaded, "__path__", None) or getattr(loaded, "submodule_search_locations", None)
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(path)))


def find(package: str, name: str) -> ModuleType:
    """Return the module that holds plug-in `name`; ConfigError with the known names if there is none."""
    return _module(package, name, "model")


def settings(package: str, name: str) -> ModuleType:
    """Return the module that holds the `Config` of plug-in `name`; ConfigError as `find` raises it."""
    return _module(package, name, "settings")


def _module(package: str, name: str, part: str) -> ModuleType:
    if name not in names(package):
        raise ConfigError(f"'{name}' is not in {package}; {choices(name, names(package))}")
    place = f"{package}.{name.replace('-', '_')}"
    module = importlib.import_module(place)
    is_folder = hasattr(module, "__path__")
    return importlib.import_module(f"{place}.{part}") if is_folder else module


def choices(wrong: str, allowed: Sequence[str]) -> str:
    """The tail of a message about a wrong name: a guess where one is close, else everything allowed."""
    close = difflib.get_close_matches(wrong, allowed, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "allowed: " + (", ".join(allowed) or "none")
