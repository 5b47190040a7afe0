"""Parts that are found by their file name: a model, an image source, a pack format, a metric, an extractor.

The file name, with underscores written as hyphens, is the name used in the configuration.
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
    """The module that holds part `name`; ConfigError with the names there are where there is none."""
    if name not in names(package):
        raise ConfigError(f"'{name}' is not in {package}; {choices(name, names(package))}")
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def settings(package: str, name: str) -> ModuleType:
    """The module that holds the `Config` of part `name`: its own in `ganformer/settings`, else that of the part.

    Those in `ganformer/settings` are of parts that need torch, which takes longer to import than all planning.
    """
    place = f"ganformer.settings.{package.rpartition('.')[2]}"
    if importlib.util.find_spec(place) is not None and name in names(package) and name in names(place):
        return find(place, name)
    return find(package, name)


def choices(wrong: str, allowed: Sequence[str]) -> str:
    """The tail of a message about a wrong name: a guess where one is close, else everything allowed."""
    close = difflib.get_close_matches(wrong, allowed, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "allowed: " + (", ".join(allowed) or "none")
