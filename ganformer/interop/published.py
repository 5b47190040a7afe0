"""Snapshots in Google Drive: the published ones of GANformer, by the names that its code gives them; others by id."""

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
BEGINNINGS = (b"\x80", b"PK\x03\x04")  # of a pickle, and of the zip archives of torch.save
IMPORTED = Path("results/imported")  # as settings name it
CACHE = Path("results/weights")

_ID = re.compile(r"[-0-9A-Za-z_]{25,}")


def located(snapshot: str, folder: Path) -> Path:
    """Return the path of a snapshot: a path, or "gdrive:" and a published name or an id, fetched into `folder` once.

    Raises ConfigError if it is neither published nor an id, DataError if it cannot be fetched, CheckpointError if
    something other than a snapshot came.
    """
    if re.match(r"[a-z0-9+]+://", snapshot):
        raise ConfigError(
            f"'{snapshot}' is an address; fetch the file, e.g. with a browser, and name it, or name a published one, "
            f"e.g. {PREFIX}{next(iter(FILES))}"
        )
    if not snapshot.startswith(PREFIX):
        return Path(snapshot)
    name, url = _found(snapshot)
    path = download.fetch(download.Remote(name, (url,)), folder)
    _check(path, download.address(url))
    return path


def address(snapshot: str) -> str:
    """Return the page of a snapshot in Google Drive; "" for a path. ConfigError as `located` raises it."""
    return download.address(_found(snapshot)[1]) if snapshot.startswith(PREFIX) else ""


def folder(snapshot: str) -> Path:
    """Return the folder, as settings name it, into which a snapshot in Google Drive is imported to train on from.

    Raises ConfigError as `located` does.
    """
    return IMPORTED / _found(snapshot)[0]


def _found(snapshot: str) -> tuple[str, str]:
    """Return the name of the file and its url in Google Drive; ConfigError if it is neither published nor an id."""
    name = snapshot.removeprefix(PREFIX)
    if name in FILES:
        return name, download.DRIVE_PREFIX + FILES[name]
    if _ID.fullmatch(name):
        return name, download.DRIVE_PREFIX + name
    raise ConfigError(
        f"'{snapshot}' is neither a published snapshot nor the id of a file in Google Drive, which has 25 letters, "
        f"digits, - and _ or more; {plugins.choices(name, list(FILES))}"
    )


def _check(path: Path, address: str) -> None:
    with path.open("rb") as file:
        beginning = file.read(max(map(len, BEGINNINGS)))
    if not beginning.startswith(BEGINNINGS):
        size = path.stat().st_size
        path.unlink()
        raise CheckpointError(
            f"{path}: {size} bytes came that are neither a pickle nor a zip archive, so no snapshot; check the id, try "
            f"again later, or download {address} on another machine and put it there"
        )
