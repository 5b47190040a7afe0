"""A `.npy` file that grows item by item, so that memory does not."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class ArrayFile:
    """Writes uint8 items of one shape one after another; the file is a plain array [count, *item] once it is closed."""

    def __init__(self, path: Path, item: Sequence[int]) -> None:
        self._item, self._count = tuple(item), 0
        self._file = path.open("wb")
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()  # of the same length: numpy leaves room for a longer first axis

    def append(self, items: NDArray[np.uint8]) -> None:
        """Add `items`, uint8 [n, *item]."""
        assert items.dtype == np.uint8 and items.shape[1:] == self._item
        self._file.write(np.ascontiguousarray(items).data)
        self._count += len(items)

    def _write_header(self) -> None:
        shape = (self._count, *self._item)
        npy.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
