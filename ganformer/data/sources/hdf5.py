"""Images in a dataset of an HDF5 file."""

import importlib
import io
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data import decoding
from ganformer.data.containers import layouts
from ganformer.data.containers.layouts import (
    ArrayImages,
    ArrayKey,
    ArraySettings,
    Candidate,
    Labels,
    NumberedImages,
    Stack,
)
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import Picture, read_image
from ganformer.errors import DataError

BATCH_ROWS = 1 << 16  # labels read in one go
CHUNK_BYTES = 1 << 28  # of chunks in memory, at most; a compressed one can only be read whole
PLUGIN = "hdf5plugin"  # a package with more filters
LINKS = "links"
VIRTUAL = "virtual: its values are in other files, which are not opened"
EXTERNAL = "external: its values are in other files, which are not opened"


class Config(ArraySettings):
    """A dataset of an HDF5 file: a batch of images or one image, of 1, 3 or 4 channels, or a batch of grey ones.

    It may be one of MATLAB's -v7.3, which has the axes in opposite order. A dataset [N] of encoded pictures is read,
    too: of uint8 of variable length, or of byte strings. Labels are a dataset of the same file; where none is named, it
    is `labels` beside the images.
    """

    kind: Literal["hdf5"] = "hdf5"
    dataset: str | None = None
    """Name of the dataset with its groups, e.g. train/images. None: the only one that can be images."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)


@dataclass(frozen=True)
class Place:
    """Location of images (file and dataset), and of their labels."""

    config: Config
    name: str
    axis: int | None = 0
    """The axis of the images; None if the dataset is one image."""

    @property
    def title(self) -> str:
        """Name of the images."""
        return self.name.rpartition("/")[2]


class Opened:
    """A dataset that this process has opened."""

    def __init__(self, place: Place) -> None:
        with _explained(place.config.path):
            dataset = _file(place.config.path)[place.name]
            _import_filters(dataset)
            self.dtype = _outline(dataset).dtype
            self.dataset = _cached(dataset, place.axis)
            self._is_written = _is_written(self.dataset)

    def read(self, index: tuple[int | slice, ...]) -> Any:
        """Return values at an index. Raises UnreadableImageError if their bytes are damaged or were never written."""
        try:
            if not self._is_written and self._has_gaps(index):
                raise UnreadableImageError("was never written: the file has a gap in place of its values")
            return self.dataset[index]
        except (OSError, RuntimeError, ValueError) as error:
            raise UnreadableImageError(str(error)) from error

    def _has_gaps(self, index: tuple[int | slice, ...]) -> bool:
        """Return whether a chunk that holds values at an index is missing, or all are."""
        dataset = self.dataset
        if dataset.chunks is None:
            return True
        starts = [
            range(0, size, chunk) if isinstance(at, slice) else [at // chunk * chunk]
            for at, size, chunk in zip(index, dataset.shape, dataset.chunks, strict=True)
        ]
        return any(
            dataset.id.get_chunk_info_by_coord(corner).byte_offset is None for corner in itertools.product(*starts)
        )


class Hdf5Images(NumberedImages):
    """Images of a dataset; every process opens the file itself."""

    def __init__(self, place: Place, image: ImageSpec) -> None:
        super().__init__(image)
        self.place, self.name = place, place.title
        self._opened: dict[int, Opened] = {}

    @cached_property
    def labels(self) -> Labels | None:
        with _opened(self.place.config.path) as file:
            name = _labels(file, self.place.config, self.place.name)
            if name is None:
                return None
            labels = _dataset(file, name)
            _import_filters(labels)
            batches = (labels[start : start + BATCH_ROWS] for start in range(0, len(self), BATCH_ROWS))
            return layouts.read_labels(_outline(labels), batches, len(self), _where(file, name))

    @cached_property
    def left_out(self) -> Mapping[str, int]:
        """Other datasets of the file, and links, which are not followed."""
        with _opened(self.place.config.path) as file:
            labels = _labels(file, self.place.config, self.place.name) if self.image.classes else None
            found = Counter[str]()
            for name, kind in _entries(file).items():
                found[kind] += name not in (self.place.name, labels)
        return +found

    @property
    def opened(self) -> Opened:
        """The dataset in this process: a forked one does not use its parent's."""
        process = os.getpid()
        if process not in self._opened:
            self._opened[process] = Opened(self.place)
        return self._opened[process]


class Hdf5Array(ArrayImages, Hdf5Images):
    """Images that are numbers."""

    def __init__(self, place: Place, layout: Stack, image: ImageSpec) -> None:
        Hdf5Images.__init__(self, place, image)
        self.stack = layout

    def __reduce__(self) -> tuple[type["Hdf5Array"], tuple[Place, Stack, ImageSpec]]:
        return Hdf5Array, (self.place, self.stack, self.image)

    def item(self, key: ArrayKey) -> NDArray[Any]:
        values = np.asarray(self.opened.read(self.stack.at(key.number)))
        return values.astype(self.opened.dtype, copy=False)


class EncodedImages(Hdf5Images):
    """Encoded pictures, each a value of a dataset [N]."""

    def __init__(self, place: Place, count: int, image: ImageSpec) -> None:
        super().__init__(place, image)
        self._count = count

    def __reduce__(self) -> tuple[type["EncodedImages"], tuple[Place, int, ImageSpec]]:
        return EncodedImages, (self.place, self._count, self.image)

    def __len__(self) -> int:
        return self._count

    def picture(self, key: ArrayKey) -> Picture:
        content = _content(self.opened.read((key.number,)), self.opened.dataset.dtype)
        if not content:
            raise UnreadableImageError("holds nothing: it was never written, or is empty")
        return read_image(io.BytesIO(content), self.image, self.place.config.limits)


def open_source(config: Config, image: ImageSpec) -> Hdf5Images:
    """Return the images; DataError if the file is missing or damaged, or has no dataset of images as described.

    Labels are looked at when they are first asked for, and then may be a DataError. Only data in the file itself are
    read: links, and datasets that are in other files, are refused.
    """
    with _opened(config.path) as file:
        name = _find(file, config, config.dataset, "dataset")
        dataset, where = _dataset(file, name), _where(file, name)
        _check_chunks(dataset, where)
        if _holds_bytes(dataset) and dataset.ndim == 1:
            if not len(dataset):
                raise DataError(f"{where}: has no pictures; name another one")
            return EncodedImages(Place(config, name), len(dataset), image)
        layout = layouts.stack(_outline(dataset), name.rpartition("/")[2], config, where)
        return Hdf5Array(Place(config, name, None if layout.is_single else layout.axes.index("N")), layout, image)


def is_hdf5(path: Path) -> bool:
    """Return whether a file has HDF5's signature at one of the allowed offsets: 0, 512, 1024, 2048, and so on."""
    return bool(h5py.is_hdf5(path))


def _labels(file: h5py.File, config: Config, images: str) -> str | None:
    """Return name of the dataset of labels, where one is named or there is one."""
    if config.labels is not None:
        return _find(file, config, config.labels, "labels") if config.labels else None
    beside = images.rpartition("/")[0] + "/" + layouts.LABELS
    return beside.strip("/") if _is_dataset(file, beside.strip("/")) else None


def _find(file: h5py.File, config: Config, wanted: str | None, setting: str) -> str:
    """Return name of the dataset that is wanted, without slashes around it, or of the only one that can be images."""
    if wanted is not None and _is_dataset(file, wanted.strip("/")):
        return wanted.strip("/")
    found: dict[str, Candidate] = {}

    def visit(name: str | bytes, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            outline = _outline(item)
            # h5py has bytes for names that are not UTF-8, and opens nothing by their printable form.
            remark = outline.remark or ("its name is not UTF-8" if isinstance(name, bytes) else "")
            found[_text(name)] = outline._replace(remark=remark)

    file.visititems(visit)  # which follows no links
    return layouts.choose(found, config, wanted, setting, file.filename)


def _entries(file: h5py.File) -> dict[str, str]:
    """Return kind of each dataset and link of a file by its name; groups are none."""
    found: dict[str, str] = {}

    def visit(name: str | bytes, link: Any) -> None:
        if not isinstance(link, h5py.HardLink):
            found[_text(name)] = LINKS
        elif file.get(name, getclass=True) is h5py.Dataset:
            found[_text(name)] = layouts.OTHERS

    try:
        file.visititems_links(visit)
    except (SystemError, UnicodeDecodeError):  # h5py's own, where a name is not UTF-8; there is at least that one
        found[""] = layouts.OTHERS
    return found


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _outline(dataset: h5py.Dataset) -> Candidate:
    """Describe a dataset; asks nothing that makes HDF5 open other files."""
    shape, dtype = dataset.shape or (), dataset.dtype
    remark = VIRTUAL if dataset.is_virtual else EXTERNAL if dataset.external is not None else ""
    if dataset.shape is None or "MATLAB_empty" in dataset.attrs:
        remark = "empty"
    kind = _matlab_class(dataset)
    if kind == "logical":
        dtype = np.dtype(np.bool_)
    elif kind == "char":
        dtype = np.dtype("U1")
    is_encoded = not remark and len(shape) == 1 and _holds_bytes(dataset) and _begins_as_picture(dataset)
    return Candidate(tuple(map(int, shape)), dtype, kind is not None, is_encoded, remark)


def _matlab_class(dataset: h5py.Dataset) -> str | None:
    """Return the type of a variable of MATLAB; None if it is none."""
    kind = dataset.attrs.get("MATLAB_class")
    return kind.decode("ascii", "replace") if isinstance(kind, bytes) else None if kind is None else str(kind)


def _holds_bytes(dataset: h5py.Dataset) -> bool:
    """Return whether each value is a string of bytes, which may be an encoded picture."""
    dtype = dataset.dtype
    is_variable = h5py.check_vlen_dtype(dtype) == np.uint8
    return is_variable or dtype.kind == "S" or (dtype.kind == "V" and dtype.names is None and dtype.subdtype is None)


def _begins_as_picture(dataset: h5py.Dataset) -> bool:
    """Return whether the first value begins as a picture; where it cannot be read, loading says so."""
    try:
        _import_filters(dataset)
        return (
            len(dataset) > 0 and decoding.recognise(_content(dataset[0], dataset.dtype)[: decoding.START]) is not None
        )
    except OSError:
        return False


def _content(value: Any, dtype: np.dtype[Any]) -> bytes:
    """Return the bytes of a value, with the zeros that NumPy strips from the end of fixed-length strings."""
    content = value.tobytes() if isinstance(value, np.ndarray | np.void) else bytes(value)
    return content.ljust(dtype.itemsize, b"\0") if dtype.kind == "S" else content


def _is_dataset(file: h5py.File, name: str) -> bool:
    """Return whether `name` is a dataset of this file. DataError if its path has a link, perhaps to another file."""
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


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset whose values are in this file. Raises DataError if they do not, and if there are none."""
    dataset = file[name]
    remark = _outline(dataset).remark
    if remark in (VIRTUAL, EXTERNAL):
        raise DataError(f"{_where(file, name)}: is {remark}; copy them into one file, e.g. with h5repack")
    if remark:
        raise DataError(f"{_where(file, name)}: is {remark}; name another one")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise DataError(
            f"{_where(file, name)}: holds references, as cells of MATLAB do; name one of the datasets that they lead to"
        )
    return dataset


def _check_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Refuse chunks that this HDF5 cannot decompress, or only into too much memory."""
    _import_filters(dataset)
    if missing := _missing_filters(dataset):
        code, name = missing[0]
        advice = "pip install hdf5plugin" if not _has_plugin() else "the package hdf5plugin, which is there, lacks it"
        raise DataError(
            f"{where}: is compressed by filter {code} ({name or 'unnamed'}), which is not installed; install it "
            f"({advice}) or store the dataset with gzip"
        )
    if dataset.id.get_create_plist().get_nfilters() and _chunk_bytes(dataset) > CHUNK_BYTES:
        raise DataError(
            f"{where}: is compressed in chunks of {_chunk_bytes(dataset):,} bytes, which can only be read whole; store "
            f"it in chunks of at most {CHUNK_BYTES:,}, e.g. with h5repack --layout"
        )


def _missing_filters(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """Return number and name of each filter that HDF5 does not have."""
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    return [(code, name.decode(errors="replace")) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]


def _import_filters(dataset: h5py.Dataset) -> None:
    """Import more filters where some are missing: the package registers its own when it is imported, not before."""
    if _missing_filters(dataset):
        _has_plugin()


def _has_plugin() -> bool:
    try:
        importlib.import_module(PLUGIN)
    except ImportError:
        return False
    return True


def _is_written(dataset: h5py.Dataset) -> bool:
    """Return whether all values were written, as far as the index of the file shows."""
    if dataset.chunks is not None:
        chunks = [-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
        return bool(dataset.id.get_num_chunks() == math.prod(chunks))
    is_contiguous = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    return not is_contiguous or dataset.id.get_offset() is not None


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    size: int = math.prod(dataset.chunks) * dataset.dtype.itemsize
    return size


def _cached(dataset: h5py.Dataset, axis: int | None) -> h5py.Dataset:
    """Return the dataset with room for all chunks that an image is in, which often hold parts of many images.

    `axis`: axis of the images, None if it is one image.
    """
    if dataset.chunks is None:
        return dataset
    counts = [-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    chunks = math.prod(counts) // (counts[axis] if axis is not None else 1)
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
    except (OSError, RuntimeError, KeyError, ValueError, SystemError) as error:  # what h5py raises on damaged files
        raise DataError(f"{path}: is no whole HDF5 file ({error}); get or save it again") from error
