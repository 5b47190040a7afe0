"""Archives are unpacked only where nothing in them can reach outside the target folder."""

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def unsafe(name: str) -> str | None:
    """Why a member of this name is not unpacked or read, or None where there is nothing against it.

    Names have forward slashes; one at the end marks a folder. What the rules of Windows would make of a name counts on
    every system, so an archive is either good everywhere or nowhere.
    """
    reasons = {
        "has no name": not name,
        "its name has a NUL in it": "\0" in name,
        "its name has a backslash": "\\" in name,
        "its name is an absolute path": name.startswith("/"),
        "its name begins with a drive": _DRIVE.match(name) is not None,
        "its name leads out of the folder (..)": ".." in name.split("/"),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
