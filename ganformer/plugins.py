"""Parts that are found by their file name: a model, an image source, a pack format, a metric, an extractor.

The file name, with underscores written as hyphens, is the name used in the configuration.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from types import ModuleType

from ganformer.errors import ConfigError


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the parts in `package`, sorted; nothing but the package itself is imported."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(path)))


def find(package: str, name: str) -> ModuleType:
    """The module that holds part `name`; ConfigError with the names there are where there is none."""
    if name not in names(package):
        raise ConfigError(f"'{name}' is not in {package}; {choices(name, names(package))}")
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def choices(wrong: str, allowed: Sequence[str]) -> str:
    """The tail of a message about a wrong name: a guess where one is close, else everything allowed."""
    close = difflib.get_close_matches(wrong, allowed, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "allowed: " + (", ".join(allowed) or "none")
