"""Images in one array of a file: how they lie in it, which array it is, and the labels beside it.

H rows, W columns, C channels: 1 (grey), 3 (RGB) or 4 (RGBA), N images or labels.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import model_validator

from ganformer.config import ImageSpec, Source
from ganformer.data.images import CHANNELS, UnreadableImageError, read_array
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

LABELS = "labels"  # the array with labels, where none is named
HIGHEST_LABEL = 2**31 - 1  # packs keep labels as int32
SHOWN = 20  # arrays that a message names

Layout = Literal["NHWC", "NCHW"]

_CHANNEL_AXES = {4: ("NHWC", "NCHW"), 3: ("HWC", "CHW")}
_ALLOWED = (
    "[N, H, W, C], [N, C, H, W], [H, W, C] and [C, H, W] with C 1, 3 or 4, and [N, H, W] of grey images; "
    "uint8, uint16, or floats whose limits are stated"
)


class ArraySettings(Source):
    """Settings of sources whose images are an array."""

    path: Path
    """The file; a relative path starts at the working directory."""
    layout: Layout | None = None
    """Where the channels are: the last axis or the one before rows and columns. None: found by the shape."""
    limits: tuple[float, float] | None = None
    """The values of black and white where the array holds floats, e.g. [0, 1] or [-1, 1]."""
    labels: str | None = None
    """Name of the array of labels: whole numbers [N] or one-hot rows [N, classes]. An empty name: none are used."""

    @model_validator(mode="after")
    def _limits_ascend(self) -> Self:
        if self.limits is not None and self.limits[0] >= self.limits[1]:
            raise ValueError("limits {:g} and {:g} are not the values of black and white".format(*self.limits))
        return self


class Described(Protocol):
    """An array, or what is known of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""


@dataclass(frozen=True)
class Stack:
    """How images lie in an array. `axes` is NHWC, NCHW or NHW, or HWC or CHW where the array is one image."""

    name: str
    """What the images are called: theirs are `name[0]`, `name[1]`, …"""
    shape: tuple[int, ...]
    axes: str
    limits: tuple[float, float] | None

    @property
    def is_single(self) -> bool:
        """Whether the array is one image."""
        return self.axes[0] != "N"

    def __len__(self) -> int:
        return 1 if self.is_single else self.shape[0]

    def upright(self, item: NDArray[Any]) -> NDArray[Any]:
        """One image as it lies in the array, as [H, W] or [H, W, C] with values of this machine's byte order."""
        native = item.astype(item.dtype.newbyteorder("="), copy=False)
        return native.transpose(1, 2, 0) if self.axes.endswith("CHW") else native


def stack(array: Described, name: str, settings: ArraySettings, where: str) -> Stack:
    """Says how the images lie in an array, `where` names it. Raises DataError with what would do where they do not.

    The one rule of shapes. An axis can hold channels if its length is 1, 3 or 4. Four axes are NHWC or NCHW, three are
    one image, HWC or CHW: whichever has a possible axis of channels. Where both have, `layout` must say which. Three
    axes neither of which can hold channels are grey images NHW.
    """
    shape = tuple(map(int, array.shape))
    axes = _axes(shape, settings.layout)
    if len(axes) > 1:
        raise DataError(
            f"{where}: shape {list(shape)} can be {axes[0]} and {axes[1]}; set layout: NHWC where the channels are the "
            "last axis, or layout: NCHW where they come before rows and columns"
        )
    if not axes:
        stated = f" with layout: {settings.layout}" if settings.layout else ""
        raise DataError(f"{where}: shape {list(shape)} is not one of images{stated}; allowed are {_ALLOWED}")
    height, width = (shape[axes[0].index(axis)] for axis in "HW")
    if not math.prod(shape):
        raise DataError(f"{where}: shape {list(shape)} has no images; choose an array that is not empty")
    if Image.MAX_IMAGE_PIXELS and height * width > Image.MAX_IMAGE_PIXELS:
        raise DataError(
            f"{where}: images of {height} × {width} pixels are more than the {Image.MAX_IMAGE_PIXELS} that an image "
            "may have; store smaller ones"
        )
    _check_values(array, settings, where)
    return Stack(name, shape, axes[0], settings.limits)


def choose(arrays: Mapping[str, Described], wanted: str | None, setting: str, where: str) -> str:
    """Name of an array: the one wanted, else the only one there is or that can be images.

    Raises DataError with what there is otherwise; `setting` is where to name one.
    """
    if wanted is not None and wanted in arrays:
        return wanted
    listed = ", ".join(f"'{name}' {describe(arrays[name])}" for name in list(arrays)[:SHOWN])
    listed += f" and {len(arrays) - SHOWN} more" if len(arrays) > SHOWN else ""
    if wanted is not None:
        raise DataError(f"{where}: has no array '{wanted}'; correct {setting}. There is {listed or 'none'}")
    possible = [name for name, array in arrays.items() if _is_of_images(array.dtype) and _axes(array.shape, None)]
    if len(possible) == 1 or len(arrays) == 1:
        return possible[0] if possible else next(iter(arrays))  # of which `stack` says what is wrong
    if possible:
        raise DataError(f"{where}: several arrays can be images; name one in {setting}. There is {listed}")
    raise DataError(f"{where}: no array can be images; allowed are {_ALLOWED}. There is {listed or 'none'}")


def describe(array: Described) -> str:
    """Type and shape, for messages."""
    return f"{array.dtype} {list(array.shape)}"


def _axes(shape: Sequence[int], layout: Layout | None) -> list[str]:
    """What an array of this shape can be."""
    possible = [axes for axes in _CHANNEL_AXES.get(len(shape), ()) if shape[axes.index("C")] in CHANNELS]
    if len(shape) == 3 and not possible:
        return ["NHW"]
    return [axes for axes in possible if layout is None or layout.endswith(axes)]


def _check_values(array: Described, settings: ArraySettings, where: str) -> None:
    """Refuses values that no image has, as `read_array` would refuse every single one."""
    is_float = array.dtype.kind == "f"
    if array.dtype.hasobject:
        raise DataError(f"{where}: holds Python objects, which are never loaded; save a plain array of numbers")
    if not _is_of_images(array.dtype):
        raise DataError(f"{where}: {array.dtype} values are not those of images; allowed are {_ALLOWED}")
    if is_float and settings.limits is None:
        raise DataError(
            f"{where}: {array.dtype} values have no agreed range; state those of black and white in limits, "
            "e.g. limits: [0, 1] or limits: [-1, 1]"
        )
    if not is_float and settings.limits is not None:
        raise DataError(f"{where}: limits are for floats, but the values are {array.dtype}; leave limits out")


def _is_of_images(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (dtype.kind == "u" and dtype.itemsize <= 2)


# ------------------------------------------------------------------------------------------------ labels


class Labels(NamedTuple):
    """The class of each image."""

    numbers: NDArray[np.int32]  # N
    classes: int


def read_labels(array: Described, portions: Iterable[NDArray[Any]], count: int, where: str) -> Labels:
    """Labels of `count` images from an array, `where` names it, that comes in portions of its rows.

    Raises DataError where it is anything but whole numbers from 0, [N] or [N, 1], or one-hot rows [N, classes].
    """
    whole, columns = array.dtype.kind in "iu", math.prod(array.shape[1:])
    if not 1 <= len(array.shape) <= 2 or not (whole or (array.dtype.kind in "fb" and columns > 1)) or not columns:
        raise DataError(
            f"{where}: {describe(array)} are no labels; allowed are whole numbers [N] and one-hot rows [N, classes]. "
            "Name another array in labels, or set labels to an empty name to use none"
        )
    if array.shape[0] != count:
        raise DataError(f"{where}: {array.shape[0]} labels do not fit {count} images; name another array in labels")
    of_rows = _whole_numbers if columns == 1 else _one_hot
    numbers = np.concatenate([of_rows(rows, where) for rows in portions])
    return Labels(numbers, columns if columns > 1 else int(numbers.max()) + 1)


def _whole_numbers(rows: NDArray[Any], where: str) -> NDArray[np.int32]:
    if rows.min() < 0 or rows.max() > HIGHEST_LABEL:
        raise DataError(
            f"{where}: labels from {rows.min()} to {rows.max()}, but classes count from 0 to at most {HIGHEST_LABEL}"
        )
    return rows.reshape(-1).astype(np.int32)


def _one_hot(rows: NDArray[Any], where: str) -> NDArray[np.int32]:
    if not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise DataError(
            f"{where}: rows that are not one-hot (a single 1, else 0) are no labels; name another array in labels, "
            "or set labels to an empty name to use none"
        )
    return rows.argmax(axis=1).astype(np.int32)


# ---------------------------------------------------------------------------------------------- a source


class ArrayKey(NamedTuple):
    """Number of the image in the array, its class where it has one, and its bytes where they cannot be read at will."""

    number: int
    label: int | None = None
    content: bytes | None = None


class ArrayImages(ImageSource[ArrayKey]):
    """Images in one array. A key brings the label, so that only the process that makes keys reads the labels."""

    def __init__(self, layout: Stack, image: ImageSpec) -> None:
        self.stack, self.image = layout, image

    @property
    @abstractmethod
    def labels(self) -> Labels | None:
        """The class of each image where there are labels."""

    @abstractmethod
    def item(self, key: ArrayKey) -> NDArray[Any]:
        """One image as it lies in the array. Raises UnreadableImageError where its bytes are damaged."""

    @property
    def classes(self) -> int:
        """As many as the labels name: columns of one-hot rows, or one more than the highest number."""
        return self.labels.classes if self.labels is not None else 0

    def __len__(self) -> int:
        return len(self.stack)

    def keys(self) -> Iterator[ArrayKey]:
        labels = self.labels
        for number in range(len(self)):
            yield ArrayKey(number, None if labels is None else int(labels.numbers[number]))

    def load(self, keys: Sequence[ArrayKey]) -> Iterator[Sample | Rejection]:
        for key in keys:
            name = f"{self.stack.name}[{key.number}]"
            try:
                pixels = read_array(self.stack.upright(self.item(key)), self.image, self.stack.limits)
                yield Sample(name, pixels, label=key.label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))
