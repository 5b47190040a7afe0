"""Figure of pictures in rows and columns with titles."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganformer.report import drawing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

INDENT = 11  # pixels for each character of the longest title of a row
LINE = 26  # pixels of a line of titles
LABEL = 50  # pixels of the label
WIDEST = 4000  # pixels of a figure; pictures of more columns are made smaller


@dataclass(frozen=True)
class Part:
    """Pictures uint8 [rows, columns, H, W, 3] with titles, under a label, which may be empty."""

    label: str
    cells: NDArray[np.uint8]
    rows: Sequence[str]
    columns: Sequence[str]

    @property
    def left(self) -> int:
        """Pixels of the titles of rows."""
        return 20 + INDENT * max(map(len, self.rows))

    @property
    def tile(self) -> int:
        """Width of a picture in pixels."""
        width, count = self.cells.shape[3], self.cells.shape[1]
        wanted: int = drawing.tile(width) if width <= drawing.TILE else drawing.TILE * 2
        most: int = (WIDEST - self.left) // count - drawing.GAP
        return min(wanted, max(32, most))

    @property
    def size(self) -> int:
        """Size of the titles of columns in points."""
        return 7 if self.tile >= drawing.TILE else 5

    def titles(self) -> list[str]:
        """Return the titles of columns in lines that fit their pictures, broken between words."""
        most = max(4, int(self.tile / (self.size * 1.7)))
        return [textwrap.fill(title, most, break_long_words=False) for title in self.columns]


def draw(parts: Sequence[Part]) -> Figure:
    """Return a figure of all parts below each other, within `drawing.style`."""
    mosaics = [drawing.mosaic([list(row) for row in part.cells], part.tile) for part in parts]
    heads = [
        (LABEL if part.label else 0) + LINE * (1 + max(title.count("\n") for title in part.titles())) + 8
        for part in parts
    ]
    height = sum(head + len(pixels) for head, pixels in zip(heads, mosaics, strict=True)) + LABEL * (len(parts) - 1)
    sheet = drawing.Sheet(max(part.left + pixels.shape[1] for part, pixels in zip(parts, mosaics, strict=True)), height)
    top = 0
    for part, pixels, head in zip(parts, mosaics, heads, strict=True):
        if part.label:
            sheet.text(part.label, 4, top + 6, weight="bold", size=10)
        for number, title in enumerate(part.titles()):
            place = part.left + number * (part.tile + drawing.GAP) + part.tile / 2
            sheet.text(title, place, top + (LABEL if part.label else 0), ha="center", size=part.size)
        step = (len(pixels) + drawing.GAP) / len(part.cells)
        for number, title in enumerate(part.rows):
            sheet.text(title, 6, top + head + (number + 0.5) * step - 12, size=7)
        sheet.image(pixels, part.left, top + head)
        top += head + len(pixels) + LABEL
    return sheet.figure
