"""The keyword arguments that an official network was built with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ganformer.errors import CheckpointError

T = TypeVar("T")
MAX_INTEGER = 1 << 20  # of any whole number in the arguments of a network


class Options:
    """Reads arguments by all the names they had; those that nothing here is equal to are refused by name.

    Names that are not asked for do not matter: the official networks, too, pass over those they do not know.
    """

    def __init__(self, values: Any, where: Path) -> None:
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{where}: cannot be imported: it does not say how its networks were built")
        self._values, self._where = values, where

    def part(self, name: str) -> "Options":
        """Return the arguments of a part of the network; none if it has none."""
        return Options(self._values.get(name, {}), self._where)

    def first(self, *names: str) -> Any:
        """Return the value of the first name that is given with another than None, unchecked; None if none is."""
        return next((self._values[name] for name in names if self._values.get(name) is not None), None)

    def get(self, default: T, *names: str) -> T:
        """Return a value of the type of `default`, which stands in where no name, or only None, is given."""
        value = self.first(*names)
        return default if value is None else self._checked(" or ".join(names), value, default)

    def _checked(self, name: str, value: Any, default: T) -> T:
        if type(default) is float and type(value) is int:
            value = float(value)
        is_sane = not isinstance(value, int) or 0 <= value <= MAX_INTEGER
        if type(value) is type(default) and is_sane:
            return value
        raise CheckpointError(f"{self._where}: cannot be imported: its option {name} is {_shown(value)}")

    def given(self, name: str) -> list[Any]:
        """Return the argument, unchecked, which may be None; nothing if it is not given."""
        return [self._values[name]] if name in self._values else []

    def flat(self, name: str) -> "Options":
        """Merge the options of a part of the network with the network's own, which the code hands on to the part."""
        return Options({**self._values, **self.part(name)._values}, self._where)

    def only(self, allowed: Any, *names: str) -> None:
        """Raise CheckpointError if one of the names is given with another value than `allowed`, or than None."""
        for name in names:
            value = self._values.get(name)
            if value is not None and value != allowed:
                raise CheckpointError(
                    f"{self._where}: cannot be imported: its option {name} is {_shown(value)}, and no model here is "
                    f"equal to that; only {_shown(allowed)} can be imported"
                )


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(entry, int | float) for entry in value):
        return str(value)[:50]
    return repr(value)[:50] if isinstance(value, bool | float | str) or type(value) is int else type(value).__name__
