"""Detection of the kind of source that a path or a name stands for."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganformer.data import decoding
from ganformer.data.fetching import catalogue
from ganformer.data.sources import hdf5, tfrecords, webdataset
from ganformer.data.sources.archive import is_archive
from ganformer.data.sources.folder import has_suffix_of_picture, is_folder
from ganformer.errors import ConfigError
from ganformer.records import manifest

TFDS = "tfds:"
TARS = webdataset.SUFFIXES
URLS = ("http://", "https://", "ftp://", "s3://", "gs://", "gdrive:", "hf://")
SUFFIXES = {
    "archive": (".zip", *TARS),
    "arrays": (".npy", ".npz"),
    "hdf5": (".h5", ".hdf5", ".hdf", ".he5"),
    "lmdb": (".mdb", ".lmdb"),
    "parquet": (".parquet",),
}
MATLAB_5 = b"MATLAB 5.0 MAT-file"


def recognise(source: str, option: str = "--source") -> Mapping[str, Any]:
    """Return settings of the source that is meant: a path, a name of the catalogue (as "clevr"), "tfds:NAME", or JSON.

    A path that exists wins over a name. Files are recognised by their content if possible, else by their names. Raises
    ConfigError with the possibilities if nothing fits; `option`: option that names the source.
    """
    if source.lstrip().startswith("{") and not source.rstrip().endswith(TARS):
        try:
            settings: Mapping[str, Any] = json.loads(source)
        except ValueError as error:
            raise ConfigError(f"{option}: is not valid JSON ({error})") from error
        return settings
    if not source.strip():
        raise ConfigError(f"{option}: is empty; name a file, a folder or a data set")
    path = Path(source)
    if path.is_dir():
        return {"kind": _kind_of_folder(path, option), "path": source}
    if path.exists():
        return {"kind": _kind_of_file(path, option), "path": source}
    if source.startswith(TFDS):
        name, _, split = source.removeprefix(TFDS).partition(":")
        return {"kind": "tfds", "name": name, **({"split": split} if split else {})}
    if source in catalogue.names():
        return catalogue.named(source).model_dump(mode="json", exclude_unset=True)
    if "{" in source:
        return {"kind": "webdataset", "path": source}
    raise ConfigError(_nowhere(source, option))


def _nowhere(source: str, option: str) -> str:
    """Return why nothing of that name is a source."""
    if source.startswith(URLS):
        return f"{option}: '{source}' is an address, and only data sets of the catalogue are fetched; download it first"
    if "/" in source or Path(source).suffix:
        return f"{option}: '{source}': there is no such file or folder; correct the path"
    close = difflib.get_close_matches(source, catalogue.names(), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"`ganformer data download` lists those, {TFDS}NAME has others"
    return f"{option}: '{source}': there is no such file or folder, and no data set of this name; {hint}"


def _kind_of_folder(path: Path, option: str) -> str:
    of_pack = manifest.files_of_pack(path)
    if of_pack is not None:
        if any(has_suffix_of_picture(name) for name in _names(path) if name not in of_pack and name[0] != "."):
            raise ConfigError(
                f"{option}: {path} holds a pack and pictures beside it; for the pack name {path / manifest.NAME}, for "
                f'the pictures give {{"kind": "folder", "path": "{path}"}}'
            )
        return "pack"
    kind = _container_in(path)
    if kind and (picture := next(_pictures(path), None)):
        raise ConfigError(
            f"{option}: {path} holds files of kind {kind} and pictures, such as {picture}; say which are meant: "
            f'{{"kind": "{kind}", "path": "{path}"}} or {{"kind": "folder", "path": "{path}"}}'
        )
    return kind or "folder"


def _container_in(path: Path) -> str | None:
    """Return kind of the files in a folder, or right below it, that hold many pictures each."""
    if (path / "data.mdb").is_file():
        return "lmdb"
    if _has(path, tfrecords.is_name):
        return "tfrecords"
    if webdataset.looks_like(path):
        return "webdataset"
    return "parquet" if _has(path, lambda name: name.lower().endswith(SUFFIXES["parquet"])) else None


def _pictures(folder: Path) -> Iterator[str]:
    """Yield paths of files below a folder that are called pictures."""
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        yield from (f"{top}/{name}" for name in files if name[0] != "." and has_suffix_of_picture(name))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names, no paths
    except OSError:  # what reads the folder says it better
        return []


def _has(folder: Path, is_meant: Any, is_top: bool = True) -> bool:
    """Return whether a folder holds such a file, directly or one level down, without listing all of it in memory."""
    try:
        with os.scandir(folder) as entries:
            return any(
                is_meant(entry.name) or (is_top and is_folder(entry) and _has(Path(entry.path), is_meant, False))
                for entry in entries
            )
    except OSError:  # what reads the folder says it better
        return False


def _kind_of_file(path: Path, option: str) -> str:
    if not path.is_file():  # whose reader would wait for ever
        raise ConfigError(f"{option}: {path} is neither a file nor a folder; name one of these")
    if path.name == manifest.NAME:
        return "pack"
    start = _start(path)
    if start.startswith(MATLAB_5):
        raise ConfigError(
            f"{option}: {path} is a MATLAB file of version 5, which is not read; save it with -v7.3, or its pictures "
            "as npy"
        )
    if decoding.recognise(start[: decoding.START]):
        raise ConfigError(
            f"{option}: {path} is a single picture; name the folder it is in, or a folder of its own for it"
        )
    if start and (kind := _kind_by_content(path, start)):
        return kind
    if tfrecords.is_name(path.name):
        return "tfrecords"
    for kind, suffixes in SUFFIXES.items():
        if path.name.lower().endswith(suffixes):
            return kind
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise ConfigError(
        f"{option}: {path} is a file of no known kind; allowed are {known}, .tfrecords, and folders of images"
    )


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError:  # what reads the file says it better
        return b""


def _kind_by_content(path: Path, start: bytes) -> str | None:
    """Return the kind of a file by its content, whatever its name."""
    if start.startswith(b"\x93NUMPY") or path.name.lower().endswith(".npz"):
        return "arrays"
    if start.startswith(b"PAR1"):
        return "parquet"
    if hdf5.is_hdf5(path):
        return "hdf5"
    if is_archive(start):
        return "webdataset" if webdataset.looks_like(path) else "archive"
    return None
