"""The published snapshots of GANformer, by the names that its code gives them; they lie in Google Drive."""

from collections.abc import Mapping
from pathlib import Path

import gdown

from ganformer import artifacts, plugins
from ganformer.errors import CheckpointError, ConfigError, DataError

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
    """The file of a snapshot: itself a path, or a name that begins with "gdrive:" and is fetched into `folder` once.

    Raises ConfigError where nothing is published by that name, DataError where it cannot be fetched, CheckpointError
    where something else than a snapshot came.
    """
    if not snapshot.startswith(PREFIX):
        return Path(snapshot)
    name = snapshot.removeprefix(PREFIX)
    if name not in FILES:
        raise ConfigError(f"'{snapshot}' is not published; {plugins.choices(name, list(FILES))}")
    path = folder / name
    if not path.exists():
        _fetch(FILES[name], path)
    return path


def _fetch(number: str, path: Path) -> None:
    url = f"https://drive.google.com/uc?id={number}"
    by_hand = f"download {url} on a machine with internet and put it there"
    with artifacts.atomic(path) as temporary:
        try:
            with temporary.open("wb") as file:
                gdown.download(id=number, output=file, use_cookies=False)
        except Exception as error:  # gdown's own, those of requests, and of the operating system
            reason = str(error).strip().partition("\n")[0]
            raise DataError(f"{path}: could not be fetched ({reason}); try again later, or {by_hand}") from error
        _check(temporary, path, by_hand)


def _check(temporary: Path, path: Path, by_hand: str) -> None:
    with temporary.open("rb") as file:
        begins_as_pickle = file.read(1) == PICKLE
    if not begins_as_pickle:
        raise CheckpointError(
            f"{path}: {temporary.stat().st_size} bytes came that are no pickle; Google Drive answers with a page where "
            f"a file was fetched too often: try again later, or {by_hand}"
        )
