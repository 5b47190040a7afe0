"""Fetching of snapshots from Google Drive."""

import re
from pathlib import Path

from ganformer.config import drive
from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, ConfigError

BEGINNINGS = (b"\x80", b"PK\x03\x04")  # of a pickle, and of the zip archives of torch.save


def located(snapshot: str, folder: Path) -> Path:
    """Return the path of a snapshot: a path, or "gdrive:" and a published name or an id, fetched into `folder` once.

    Raises ConfigError if it is neither published nor an id, DataError if it cannot be fetched, CheckpointError if
    something other than a snapshot came.
    """
    if re.match(r"[a-z0-9+]+://", snapshot):
        raise ConfigError(
            f"'{snapshot}' is an address; fetch the file, e.g. with a browser, and name it, or name a published one, "
            f"e.g. {drive.PREFIX}{next(iter(drive.FILES))}"
        )
    if not drive.is_one(snapshot):
        return Path(snapshot)
    name, number = drive.found(snapshot)
    url = download.DRIVE_PREFIX + number
    path = download.fetch(download.Remote(name, (url,)), folder)
    _check(path, download.address(url))
    return path


def address(snapshot: str) -> str:
    """Return the page of a snapshot in Google Drive; "" for a path. ConfigError as `located` raises it."""
    return download.address(download.DRIVE_PREFIX + drive.found(snapshot)[1]) if drive.is_one(snapshot) else ""


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
