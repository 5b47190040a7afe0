"""The published snapshots of GANformer, by the names that its code gives them; they are in Google Drive."""

import re
from collections.abc import Mapping
from pathlib import Path

from ganformer import plugins
from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, ConfigError

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
PICKLE = b"\x80"  # how a pickle begins


def located(snapshot: str, folder: Path) -> Path:
    """Return the path of a snapshot: a path, or a name that begins with "gdrive:" and is fetched into `folder` once.

    Raises ConfigError if nothing is published by that name, DataError if it cannot be fetched, CheckpointError if
    something other than a snapshot came.
    """
    if re.match(r"[a-z0-9+]+://", snapshot):
        raise ConfigError(
            f"'{snapshot}' is an address; fetch the file, e.g. with a browser, and name it, or name a published one, "
            f"e.g. {PREFIX}{next(iter(FILES))}"
        )
    if not snapshot.startswith(PREFIX):
        return Path(snapshot)
    name = snapshot.removeprefix(PREFIX)
    if name not in FILES:
        raise ConfigError(f"'{snapshot}' is not published; {plugins.choices(name, list(FILES))}")
    url = download.DRIVE_PREFIX + FILES[name]
    path = download.fetch(download.Remote(name, (url,)), folder)
    _check(path, download.address(url))
    return path


def _check(path: Path, address: str) -> None:
    with path.open("rb") as file:
        begins_as_pickle = file.read(1) == PICKLE
    if not begins_as_pickle:
        size = path.stat().st_size
        path.unlink()
        raise CheckpointError(
            f"{path}: {size} bytes came that are no pickle; try again later, or download {address} on another machine "
            "and put it there"
        )
