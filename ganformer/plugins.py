"""Plug-ins, found by their file name: models, sources, metrics, extractors, exhibits, looks and others.

The file name, with underscores written as hyphens, is the name used in the configuration. A plug-in is one file, or,
where its code needs torch, a folder with two: `settings.py` holds its `Config` and imports no torch, which takes longer
to import than all planning; `model.py` holds the rest. The `__init__.py` of such a folder is empty.

Another installed package adds plug-ins by entry points, e.g. in its pyproject.toml:

    [project.entry-points."ganformer.models"]
    my-model = "my_package.my_model"

The groups are `ganformer.` and the last word of the folder: ganformer.models, ganformer.sources, ganformer.formats,
ganformer.measures, ganformer.extractors, ganformer.parsers, ganformer.exhibits, ganformer.looks, ganformer.exports. The
value is a module: a file or a folder as described above.
"""

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from ganformer.errors import ConfigError


@cache
def names(package: str) -> tuple[str, ...]:
    """Return the names of the plug-ins in `package`, sorted; nothing is imported.

    Raises ConfigError if an installed package offers a name that is taken.
    """
    return tuple(sorted(_places(package)))


def find(package: str, name: str) -> ModuleType:
    """Return the module that holds plug-in `name`; ConfigError with the known names if there is none."""
    return _module(package, name, "model")


def settings(package: str, name: str) -> ModuleType:
    """Return the module that holds the `Config` of plug-in `name`; ConfigError as `find` raises it."""
    return _module(package, name, "settings")


def forget() -> None:
    """Look for installed packages anew when they are asked for the next time."""
    for cached in (names, _places, _all_installed):
        cached.cache_clear()


@cache
def _places(package: str) -> Mapping[str, str | EntryPoint]:
    """Return the place of every plug-in by its name: its module in this package, or an entry point of another."""
    # The package is not imported for that, since it may hold more than its files.
    loaded = sys.modules.get(package) or importlib.util.find_spec(package)
    path = getattr(loaded, "__path__", None) or getattr(loaded, "submodule_search_locations", None)
    places: dict[str, str | EntryPoint] = {
        module.name.replace("_", "-"): f"{package}.{module.name}" for module in pkgutil.iter_modules(path)
    }
    for found in _installed(f"ganformer.{package.rpartition('.')[2]}"):
        if found.name in places:
            raise ConfigError(
                f"{_described(found)}: the name is taken by {_described(places[found.name])}; rename the entry point "
                "or uninstall its package"
            )
        places[found.name] = found
    return places


def _installed(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group that installed packages offer."""
    found: Iterable[EntryPoint] = _all_installed().select(group=group)
    return found


@cache
def _all_installed() -> Any:  # a class that differs between versions of Python; all of them have `select`
    return entry_points()


def _module(package: str, name: str, part: str) -> ModuleType:
    if name not in names(package):
        raise ConfigError(f"'{name}' is not in {package}; {choices(name, names(package))}")
    place = _places(package)[name]
    if isinstance(place, str):
        return _part(place, part)
    try:
        return _part(place.value, part)
    except ImportError as error:
        raise ConfigError(f"{_described(place)}: {place.value} cannot be imported ({error})") from error


def _part(place: str, part: str) -> ModuleType:
    module = importlib.import_module(place)
    is_folder = hasattr(module, "__path__")
    return importlib.import_module(f"{place}.{part}") if is_folder else module


def _described(place: str | EntryPoint) -> str:
    if isinstance(place, str):
        return place
    package = place.dist.name if place.dist is not None else "an unknown package"
    return f"entry point '{place.name}' of group {place.group} in the installed package {package}"


def choices(wrong: str, allowed: Sequence[str]) -> str:
    """Return the end of a message about a wrong name: a guess if one is close, else all allowed names."""
    close = difflib.get_close_matches(wrong, allowed, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "allowed: " + (", ".join(allowed) or "none")
