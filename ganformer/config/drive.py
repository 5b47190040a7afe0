"""Snapshots in Google Drive: the published ones of GANformer, by the names that its code gives them; others by id."""

import re
from collections.abc import Mapping
from pathlib import Path

from ganformer import plugins
from ganformer.errors import ConfigError

PREFIX = "gdrive:"
FILES: Mapping[str, str] = {
    "clevr-snapshot.pkl": "1sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa9",
    "cityscapes-snapshot.pkl": "1iL8S26IYCNAQmUS-6GYCVheKFtCE4ktQ",
    "ffhq-snapshot.pkl": "1-b0vwevUQs6LI_EybdO8XJ5uYSx63vEa",
    "bedrooms-snapshot.pkl": "1lrB4t3hOOpn8YiwHEduIZYzndHrsKX8z",
    "ffhq-snapshot-1024.pkl": "1OcsibUthk2y8y0slf2lQnrYBAtmdJYCQ",
    "cityscapes-snapshot-2048.pkl": "1lJlbIuxF89-owG7vQSBYXc8y2RqqP_bP",
}
"""Numbers in Google Drive, as of the last commit of dorarad/gansformer (June 2022); checksums were not published."""
IMPORTED = Path("results/imported")  # as settings name it
CACHE = Path("results/weights")

_ID = re.compile(r"[-0-9A-Za-z_]{25,}")


def is_one(snapshot: object) -> bool:
    """Return whether a path, or its text, names a file in Google Drive."""
    return str(snapshot).startswith(PREFIX)


def found(snapshot: str) -> tuple[str, str]:
    """Return the name of the file and its id in Google Drive; ConfigError if it is neither published nor an id."""
    name = snapshot.removeprefix(PREFIX)
    if name in FILES:
        return name, FILES[name]
    if _ID.fullmatch(name):
        return name, name
    raise ConfigError(
        f"'{snapshot}' is neither a published snapshot nor the id of a file in Google Drive, which has 25 letters, "
        f"digits, - and _ or more; {plugins.choices(name, list(FILES))}"
    )


def folder(snapshot: str) -> Path:
    """Return the folder, as settings name it, into which a snapshot in Google Drive is imported to train on from.

    Raises ConfigError as `found` does.
    """
    return IMPORTED / found(snapshot)[0]
