"""Which kind of source a path or a name is."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganformer import plugins
from ganformer.data import catalogue, manifest
from ganformer.data.sources.folder import is_folder
from ganformer.errors import ConfigError

TFDS = "tfds:"
SUFFIXES = {
    "archive": (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz"),
    "arrays": (".npy", ".npz"),
    "hdf5": (".h5", ".hdf5"),
    "lmdb": (".mdb", ".lmdb"),
}


def recognise(source: str) -> Mapping[str, Any]:
    """Settings of the source that is meant: a path, a name of the catalogue (as "clevr"), "tfds:NAME", or JSON.

    A path that exists wins over a name. Raises ConfigError, with what is possible, where nothing fits.
    """
    if source.lstrip().startswith("{"):
        try:
            settings: Mapping[str, Any] = json.loads(source)
        except ValueError as error:
            raise ConfigError(f"--source: is not valid JSON ({error})") from error
        return settings
    path = Path(source)
    if path.is_dir():
        return {"kind": _kind_of_folder(path), "path": source}
    if path.exists():
        return {"kind": _kind_of_file(path), "path": source}
    if source.startswith(TFDS):
        name, _, split = source.removeprefix(TFDS).partition(":")
        return {"kind": "tfds", "name": name, **({"split": split} if split else {})}
    if source in catalogue.names():
        return catalogue.named(source).model_dump(mode="json", exclude_unset=True)
    raise ConfigError(
        f"--source: '{source}' is neither a file or folder nor a known data set "
        f"({plugins.choices(source, catalogue.names())}) nor {TFDS}NAME"
    )


def _kind_of_folder(path: Path) -> str:
    if (path / manifest.NAME).is_file():
        return "pack"
    if (path / "data.mdb").is_file():
        return "lmdb"
    return "tfrecords" if _has_records(path) else "folder"


def _has_records(folder: Path, is_top: bool = True) -> bool:
    """Whether there are TFRecords in a folder or right below it; pathlib would keep all that is there in memory."""
    try:
        with os.scandir(folder) as entries:
            return any(
                ".tfrecords" in entry.name or (is_top and is_folder(entry) and _has_records(Path(entry.path), False))
                for entry in entries
            )
    except OSError:  # what reads the folder says it better
        return False


def _kind_of_file(path: Path) -> str:
    if path.name == manifest.NAME:
        return "pack"
    if ".tfrecords" in path.name:
        return "tfrecords"
    for kind, suffixes in SUFFIXES.items():
        if path.name.lower().endswith(suffixes):
            return kind
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise ConfigError(
        f"--source: {path} is a file of no known kind; allowed are {known}, .tfrecords, and folders of images"
    )
