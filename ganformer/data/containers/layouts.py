"""Images in one array of a file: how they are in it, which array it is, and the labels beside it.

H rows, W columns, C channels: 1 (grey), 3 (RGB) or 4 (RGBA), N images or labels.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator

from ganformer.config import ImageSpec, Source
from ganformer.data import decoding
from ganformer.data.containers.labels import MAX_LABEL
from ganformer.data.containers.limits import Limits
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import CHANNELS, Picture, read_array
from ganformer.data.source import ImageSource, Rejection, Sample
from ganformer.errors import DataError

OTHERS = "other arrays"
LABELS = "labels"  # the array with labels, where none is named
MAX_LISTED_ARRAYS = 20  # arrays that a message names

# Layouts by number of axes, of row-major arrays and of MATLAB's, whose files have the axes in opposite order.
_IN_ROWS = {4: ("NHWC", "NCHW"), 3: ("HWC", "CHW")}
_IN_COLUMNS = {4: ("NCWH", "CWHN"), 3: ("CWH",)}
_OF_ONE = {"NHWC": "HWC", "NCHW": "CHW"}
# Numbers of grey images that could as well be channels; MATLAB's own colours are H×W×3, so 3 are none there.
_DOUBTFUL = {"CHW": (3, 4), "CWH": (4,)}
_ALLOWED = (
    "[N, H, W, C], [N, C, H, W], [H, W, C] and [C, H, W] with C 1, 3 or 4, and [N, H, W] of grey images, or another "
    "order that is stated in layout; uint8, uint16, or other numbers whose limits are stated"
)
_EXAMPLES = {"NHW": "N grey images", "CHW": "one image, channels first", "HWC": "one image, channels last"}


def _is_layout(layout: str) -> str:
    if not ({"H", "W"} <= set(layout) <= set("NHWC") and len(set(layout)) == len(layout)):
        raise ValueError(
            f"'{layout}' is no order of axes: write H and W once each, and N (images) and C (channels) where the array "
            "has them, as in NHWC, CHW, NHW or HWCN"
        )
    return layout


Layout = Annotated[str, AfterValidator(_is_layout)]


class ArraySettings(Source):
    """Settings of sources whose images are an array."""

    path: Path
    """The file; a relative path starts at the working directory."""
    layout: Layout | None = None
    """The axes in their order: N images, H rows, W columns, C channels, as NHWC, NCHW, NHW, HWC, CHW, HW, and NCWH or
    HWCN, say, where columns come first or images last. NHWC and NCHW also mean one image, HWC and CHW. None: found by
    the shape."""
    limits: Limits | None = None
    """The values of black and white where the array holds other numbers than uint8, e.g. [0, 1], [-1, 1] or [0, 4095].
    Default for uint16: 0 and 65535."""
    labels: str | None = None
    """Name of the array of labels: whole numbers [N] or one-hot rows [N, classes]. An empty name: none are used."""


class Candidate(NamedTuple):
    """Facts of an array that may hold images, known before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_columns: bool = False
    """Tells whether the file has the axes in opposite order, as MATLAB writes them."""
    is_encoded: bool = False
    """Tells whether each value is an encoded picture."""
    remark: str = ""
    """Reason why it cannot be read."""


@dataclass(frozen=True)
class Stack:
    """Order of images in an array. `axes` is an order of N, H, W and C; without N the array is one image."""

    name: str
    """Prefix of the names of its images, `name[0]`, `name[1]` and so on."""
    shape: tuple[int, ...]
    axes: str
    limits: tuple[float, float] | None

    @property
    def is_single(self) -> bool:
        """True if the array is one image."""
        return "N" not in self.axes

    @property
    def channels(self) -> Literal[1, 3] | None:
        """1 of grey images, 3 of colours; None if that depends on the opacity."""
        length = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        return {1: 1, 3: 3}.get(length)  # type: ignore[return-value]

    def __len__(self) -> int:
        return 1 if self.is_single else self.shape[self.axes.index("N")]

    def at(self, number: int) -> tuple[int | slice, ...]:
        """Return index of an image in the array."""
        return tuple(number if axis == "N" else slice(None) for axis in self.axes)

    def upright(self, item: NDArray[Any]) -> NDArray[Any]:
        """Return one image as it is in the array, as [H, W] or [H, W, C] with values of this machine's byte order."""
        native = item.astype(item.dtype.newbyteorder("="), copy=False)
        axes = self.axes.replace("N", "")
        return native.transpose([axes.index(axis) for axis in "HWC" if axis in axes])


def stack(array: Candidate, name: str, settings: ArraySettings, where: str) -> Stack:
    """Return the layout of the images in an array, `where` names it. DataError with allowed layouts if it has none.

    The one rule of shapes. An axis can hold channels if its length is 1, 3 or 4. Four axes are NHWC or NCHW, three are
    one image, HWC or CHW: whichever has a possible axis of channels. Three axes neither of which can hold channels are
    grey images NHW, and 3 or 4 of these could be CHW as well. If there are several possibilities, `layout` must say
    which. Arrays of MATLAB, whose axes are in opposite order, are H×W×C×N, N×H×W×C, H×W×C or H×W×N there.
    """
    shape = array.shape
    axes = _axes(shape, settings.layout, array.in_columns)
    if len(axes) > 1:
        raise DataError(f"{where}: shape {list(shape)} can be {axes[0]} and {axes[1]}; {_choice(axes)}")
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


def _choice(axes: Sequence[str]) -> str:
    """Return advice which layout to set."""
    if {*axes} in ({"NHWC", "NCHW"}, {"HWC", "CHW"}):
        return (
            "set layout: NHWC where the channels are the last axis, or layout: NCHW where they come before rows and "
            "columns"
        )
    return "set " + ", or ".join(
        f"layout: {layout}" + (f" for {_EXAMPLES[layout]}" if layout in _EXAMPLES else "") for layout in axes
    )


def choose(
    arrays: Mapping[str, Candidate], settings: ArraySettings, wanted: str | None, setting: str, where: str
) -> str:
    """Return name of an array: the one wanted, else the only one there is or that can be images; labels never are.

    Raises DataError with what there is otherwise; `setting` is where to name one.
    """
    if wanted is not None and wanted in arrays:
        return wanted
    listed = ", ".join(f"'{name}' {describe(arrays[name])}" for name in list(arrays)[:MAX_LISTED_ARRAYS])
    listed += f" and {len(arrays) - MAX_LISTED_ARRAYS} more" if len(arrays) > MAX_LISTED_ARRAYS else ""
    if wanted is not None:
        raise DataError(f"{where}: has no array '{wanted}'; correct {setting}. There is {listed or 'none'}")
    possible = _possible(arrays, settings)
    if len(possible) == 1:
        return possible[0]
    if possible:
        raise DataError(f"{where}: several arrays can be images; name one in {setting}. There is {listed}")
    readable = [name for name, array in arrays.items() if not array.remark]
    if len(arrays) == len(readable) == 1:
        return readable[0]  # `stack` says what is wrong with it
    raise DataError(f"{where}: no array can be images; allowed are {_ALLOWED}. There is {listed or 'none'}")


def _possible(arrays: Mapping[str, Candidate], settings: ArraySettings) -> list[str]:
    """Return names of the arrays that can be images. Rare types count only if there is nothing better."""
    labels = {LABELS, settings.labels}
    shaped = [
        name
        for name, array in arrays.items()
        if not array.remark
        and name not in labels
        and name.rpartition("/")[2] != LABELS
        and _can_be_images(array, settings)
    ]
    usual = [name for name in shaped if settings.limits is not None or _is_usual(arrays[name])]
    return usual or shaped


def _can_be_images(array: Candidate, settings: ArraySettings) -> bool:
    is_number = array.dtype.kind in "fuib"
    return array.is_encoded or (is_number and bool(_axes(array.shape, settings.layout, array.in_columns)))


def _is_usual(array: Candidate) -> bool:
    """Return whether images of this type are common: up to 16 bits without a sign, and floats, which need limits."""
    dtype = array.dtype
    return array.is_encoded or dtype.kind == "f" or (dtype.kind == "u" and dtype.itemsize <= 2)


def describe(array: Candidate) -> str:
    """Return type and shape, for messages."""
    kind = "encoded pictures" if array.is_encoded else str(array.dtype)
    return f"{kind} {list(array.shape)}" + (f" ({array.remark})" if array.remark else "")


def _axes(shape: Sequence[int], layout: str | None, in_columns: bool) -> list[str]:
    """Return the ways to read an array of this shape as images."""
    if layout is not None:
        stated = layout if len(layout) == len(shape) else _OF_ONE.get(layout, "")
        return [stated] if len(stated) == len(shape) and _has_channels(shape, stated) else []
    known = _IN_COLUMNS if in_columns else _IN_ROWS
    possible = [axes for axes in known.get(len(shape), ()) if _has_channels(shape, axes)]
    if len(shape) != 3:
        return possible
    grey = "NWH" if in_columns else "NHW"
    if not possible:
        return [grey]
    is_doubtful = len(possible) == 1 and shape[0] in _DOUBTFUL.get(possible[0], ())
    return [*possible, grey] if is_doubtful else possible


def _has_channels(shape: Sequence[int], axes: str) -> bool:
    return "C" not in axes or shape[axes.index("C")] in CHANNELS


def _check_values(array: Candidate, settings: ArraySettings, where: str) -> None:
    """Refuse values that no image has, as `read_array` would refuse every single one."""
    dtype = array.dtype
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects, which are never loaded; save a plain array of numbers")
    if dtype.kind not in "fuib":
        raise DataError(f"{where}: {dtype} values are no pixels of images; allowed are {_ALLOWED}")
    if dtype in (np.uint8, np.bool_) and settings.limits is not None:
        raise DataError(f"{where}: limits are for other numbers, but the values are {dtype}; leave limits out")
    try:
        decoding.to_8_bit(np.zeros((1, 1, 1), dtype), settings.limits)
    except UnreadableImageError as error:
        if settings.limits is None:
            raise DataError(
                f"{where}: {dtype} values have no agreed range; state the values of black and white in limits, "
                "e.g. limits: [0, 1] or limits: [-1, 1]"
            ) from error


# ------------------------------------------------------------------------------------------------ labels


class Labels(NamedTuple):
    """The class of each image."""

    numbers: NDArray[np.int32]  # N
    classes: int


def read_labels(array: Candidate, batches: Iterable[NDArray[Any]], count: int, where: str) -> Labels:
    """Return labels of `count` images from an array, `where` names it, that comes in batches of its rows.

    Raises DataError if it is anything but whole numbers from 0, [N] or [N, 1], or one-hot rows [N, classes].
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
    numbers = np.concatenate([of_rows(rows, where) for rows in batches])
    return Labels(numbers, columns if columns > 1 else int(numbers.max()) + 1)


def _whole_numbers(rows: NDArray[Any], where: str) -> NDArray[np.int32]:
    if rows.min() < 0 or rows.max() > MAX_LABEL:
        raise DataError(
            f"{where}: labels from {rows.min()} to {rows.max()}, but classes count from 0 to at most {MAX_LABEL}"
        )
    return rows.reshape(-1).astype(np.int32)


def _one_hot(rows: NDArray[Any], where: str) -> NDArray[np.int32]:
    if not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise DataError(
            f"{where}: rows that are not one-hot (a single 1, else 0) are no labels; name another array in labels, "
            "or set labels to an empty name to use none"
        )
    labels: NDArray[np.int32] = rows.argmax(axis=1).astype(np.int32)
    return labels


# ---------------------------------------------------------------------------------------------- a source


class ArrayKey(NamedTuple):
    """Number of the image in the array, its class where it has one, and its bytes where they cannot be read at will."""

    number: int
    label: int | None = None
    content: bytes | None = None


class NumberedImages(ImageSource[ArrayKey]):
    """Images `name[0]`, `name[1]`, … A key brings the label, so that only the process that makes keys reads labels."""

    name: str

    def __init__(self, image: ImageSpec) -> None:
        self.image = image

    @property
    @abstractmethod
    def labels(self) -> Labels | None:
        """The class of each image if there are labels."""

    @abstractmethod
    def picture(self, key: ArrayKey) -> Picture:
        """Return one image, prepared. Raises UnreadableImageError if that cannot be."""

    @property
    def classes(self) -> int:
        """Number of classes: columns of one-hot rows, or one more than the highest label."""
        return self.labels.classes if self.labels is not None else 0

    def keys(self) -> Iterator[ArrayKey]:
        labels = self.labels if self.image.classes else None
        for number in range(len(self)):
            yield ArrayKey(number, None if labels is None else int(labels.numbers[number]))

    def load(self, keys: Sequence[ArrayKey]) -> Iterator[Sample | Rejection]:
        for key in keys:
            name = f"{self.name}[{key.number}]"
            try:
                yield Sample.of(name, self.picture(key), key.label)
            except UnreadableImageError as error:
                yield Rejection(name, str(error))


class ArrayImages(NumberedImages):
    """Images in one array."""

    def __init__(self, layout: Stack, image: ImageSpec) -> None:
        super().__init__(image)
        self.stack, self.name = layout, layout.name

    @abstractmethod
    def item(self, key: ArrayKey) -> NDArray[Any]:
        """Return one image as it is in the array. Raises UnreadableImageError if its bytes are damaged."""

    @property
    def channels(self) -> Literal[1, 3, 4] | None:
        """Channels of the array; None if opacity has to be looked at."""
        return self.stack.channels

    def __len__(self) -> int:
        return len(self.stack)

    def picture(self, key: ArrayKey) -> Picture:
        return read_array(self.stack.upright(self.item(key)), self.image, self.stack.limits)
