"""Images in a dataset of an HDF5 file."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data import layouts
from ganformer.data.images import UnreadableImageError
from ganformer.data.layouts import ArrayImages, ArrayKey, ArraySettings, Labels, Stack
from ganformer.errors import DataError

PORTION = 1 << 16  # labels read in one go
CHUNK_BYTES = 1 << 28  # of chunks in memory, at most; a compressed one can only be read whole


class Config(ArraySettings):
    """A dataset of an HDF5 file: a batch of images or one image, of 1, 3 or 4 channels, or a batch of grey ones.

    Labels are a dataset of the same file; where none is named, it is `labels` beside the images.
    """

    dataset: str | None = None
    """Name of the dataset with its groups, e.g. train/images. None: the only one that can be images."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)


class Hdf5Images(ArrayImages):
    """Images of a dataset; every process opens the file itself."""

    def __init__(self, path: Path, dataset: str, labels: str | None, layout: Stack, image: ImageSpec) -> None:
        super().__init__(layout, image)
        self._path, self._dataset, self._labels = path, dataset, labels
        self._opened: dict[int, h5py.Dataset] = {}

    def __reduce__(self) -> tuple[type["Hdf5Images"], tuple[Path, str, str | None, Stack, ImageSpec]]:
        return Hdf5Images, (self._path, self._dataset, self._labels, self.stack, self.image)

    @cached_property
    def labels(self) -> Labels | None:
        if self._labels is None:
            return None
        with _opened(self._path) as file:
            labels = _dataset(file, self._labels)
            portions = (labels[start : start + PORTION] for start in range(0, len(self), PORTION))
            return layouts.read_labels(labels, portions, len(self), _where(file, self._labels))

    def item(self, key: ArrayKey) -> NDArray[Any]:
        try:
            return np.asarray(self._values[() if self.stack.is_single else key.number])
        except OSError as error:
            raise UnreadableImageError(str(error)) from error

    @property
    def _values(self) -> h5py.Dataset:
        process = os.getpid()
        if process not in self._opened:  # nor does a forked process use its parent's
            with _explained(self._path):
                self._opened[process] = _cached(_file(self._path)[self._dataset])
        return self._opened[process]


def open_source(config: Config, image: ImageSpec) -> Hdf5Images:
    """Raises DataError where the file is missing or damaged, or has no dataset of images as described.

    Labels are looked at when they are first asked for, and then may be a DataError. Only what is in the file itself is
    read: links, and datasets that lie in other files, are refused.
    """
    with _opened(config.path) as file:
        name = _find(file, config.dataset, "dataset")
        dataset = _dataset(file, name)
        layout = layouts.stack(dataset, name.rpartition("/")[2], config, _where(file, name))
        _check_chunks(dataset, _where(file, name))
        return Hdf5Images(config.path, name, _labels(file, config, name), layout, image)


def _labels(file: h5py.File, config: Config, images: str) -> str | None:
    """Name of the dataset of labels, where one is named or there is one."""
    if config.labels is not None:
        return _find(file, config.labels, "labels") if config.labels else None
    beside = images.rpartition("/")[0] + "/" + layouts.LABELS
    return beside.strip("/") if _is_dataset(file, beside.strip("/")) else None


def _find(file: h5py.File, wanted: str | None, setting: str) -> str:
    """Name of the dataset wanted, or of the only one that can be images, without a slash at its start."""
    if wanted is not None and _is_dataset(file, wanted.strip("/")):
        return wanted.strip("/")
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and _is_inside(item) and item.shape is not None:
            found[name] = item

    file.visititems(visit)  # which follows no links
    return layouts.choose(found, wanted, setting, file.filename)


def _is_dataset(file: h5py.File, name: str) -> bool:
    """Whether `name` is a dataset of this file. DataError where the way to it is a link, perhaps to another file."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:depth]), getlink=True)
        if link is None:
            return False
        if not isinstance(link, h5py.HardLink):
            raise DataError(
                f"{_where(file, '/'.join(parts[:depth]))}: is a link, which is not followed as it may lead to other "
                "files; name the dataset itself"
            )
    return isinstance(file[name], h5py.Dataset)


def _is_inside(dataset: h5py.Dataset) -> bool:
    """Whether the values lie in this file; asks nothing that makes HDF5 open others."""
    return not dataset.is_virtual and dataset.external is None


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file[name]
    if not _is_inside(dataset):
        raise DataError(
            f"{_where(file, name)}: its values lie in other files, which are not opened; copy them into one file, "
            "e.g. with h5repack"
        )
    if dataset.shape is None:
        raise DataError(f"{_where(file, name)}: is empty; name another one")
    return dataset


def _check_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Refuses chunks that this HDF5 cannot decompress, or only into too much memory."""
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    for code, _, _, name in filters:
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{where}: is compressed by filter {code} ({name.decode(errors='replace') or 'unnamed'}), which is not "
                "installed; install it (e.g. the package hdf5plugin) or store the dataset with gzip"
            )
    if filters and _chunk_bytes(dataset) > CHUNK_BYTES:
        raise DataError(
            f"{where}: is compressed in chunks of {_chunk_bytes(dataset):,} bytes, which can only be read whole; store "
            f"it in chunks of at most {CHUNK_BYTES:,}, e.g. with h5repack --layout"
        )


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    return math.prod(dataset.chunks) * dataset.dtype.itemsize


def _cached(dataset: h5py.Dataset) -> h5py.Dataset:
    """The dataset with room for all chunks that an image lies in, which often hold parts of many images."""
    if dataset.chunks is None:
        return dataset
    chunks = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
    room = min(chunks * _chunk_bytes(dataset), CHUNK_BYTES)  # a larger chunk is uncompressed, and read in parts
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(100 * min(chunks, 10_000) + 1, room, 1.0)
    return h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))


def _where(file: h5py.File, name: str) -> str:
    return f"{file.filename}: dataset '{name}'"


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with _explained(path), _file(path) as file:
        yield file


def _file(path: Path) -> h5py.File:
    return h5py.File(path, "r", locking=False)  # a lock would need a file system that can, and protects no reader


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: this HDF5 file does not exist; correct the source's path") from error
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises on damaged files
        raise DataError(f"{path}: is no whole HDF5 file ({error}); get or save it again") from error
