"""Errors that a user can fix. The library raises them; only the command line prints and exits.

Every message names the error, its place, the allowed values and the remedy.
"""

from collections.abc import Iterable


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return the first names as a message has them: `a, b and 7 more`."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class UserError(Exception):
    """Base of all errors that end a command with one clear message instead of a traceback."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, out of range or does not fit another one."""


class DataError(UserError):
    """Images, packs or statistics are missing, unreadable, changed or too few."""


class CheckpointError(UserError):
    """Weights or training state are missing, damaged or belong to another run."""


class TrainingError(UserError):
    """Training cannot continue, e.g. a loss is no longer finite."""


class StoppedError(TrainingError):
    """Work was stopped before its end and saved; the same call goes on from there."""


class DivergedError(TrainingError):
    """A loss, gradient or score is no longer finite after `step` finished steps."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class DeviceError(UserError):
    """A GPU, or compiled operations, that were asked for are not there or cannot be used."""
