"""Parts of all figures: colours of models and components, pictures side by side, files without time stamps."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ganformer import artifacts
from ganformer.config import Experiment
from ganformer.records.exhibit import Exhibit
from ganformer.report import formatting

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

T = TypeVar("T")

DPI = 200
WIDTH = 10.0  # inches, about, of every figure
GAP = 4  # pixels between pictures
INK = "#1c2330"
COLOURS = {
    "gan": "#8a8f98",
    "kgan": "#e69f00",
    "sagan": "#cc79a7",
    "stylegan2": "#3d4451",
    "stylegan2released": "#7a5c3e",
    "msggan": "#8c6bb1",
    "vqgan": "#56b4e9",
    "simplex": "#0072b2",
    "duplex": "#d55e00",
    "centroid": "#009e73",
}
OTHER_COLOURS = ("#7f3c8d", "#b8860b", "#11719e", "#a5402d", "#4b7f1f", "#c2185b")
STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dfe3e8",
    "xtick.color": INK,
    "ytick.color": INK,
    "pdf.fonttype": 42,
}


def colours(models: Sequence[str]) -> Mapping[str, str]:
    """Return a colour for each model: its own in all figures if it is one of the paper's, else one by its place."""
    others = [model for model in models if formatting.plain(model) not in COLOURS]
    spare = {model: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, model in enumerate(others)}
    return {model: spare.get(model) or COLOURS[formatting.plain(model)] for model in models}


def component_colours(count: int) -> NDArray[np.float32]:
    """Return evenly spaced hues of one lightness and saturation, float32 [count, 3] in [0, 1], one a component."""
    hues = 0.01 + np.arange(count) / count
    return np.array([colorsys.hls_to_rgb(hue % 1, 0.6, 0.65) for hue in hues], np.float32)


def under_components(
    picture: NDArray[np.uint8], numbers: NDArray[np.uint8], count: int, alpha: float
) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] under the colours, of weight `alpha`, of components numbered [H, W], of `count`."""
    colours = component_colours(count)[numbers] * 255
    return np.round(alpha * colours + (1 - alpha) * picture).astype(np.uint8)


def resized(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] at `width` pixels: smaller ones with hard pixels, larger ones smoothed."""
    from PIL import Image

    height = round(image.shape[0] * width / image.shape[1])
    method = Image.Resampling.NEAREST if image.shape[1] <= width else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((width, height), method))


def batched(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in batches of `size`; the last one may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def mosaic(rows: Sequence[Sequence[NDArray[np.uint8]]], width: int) -> NDArray[np.uint8]:
    """Return images [H, W, 3] in rows, each resized to `width` pixels, with white between and around them."""
    tiles = [[resized(image, width) for image in row] for row in rows]
    height = max(tile.shape[0] for row in tiles for tile in row)
    columns = max(map(len, tiles))
    shape = (len(tiles) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            top, left = i * (height + GAP) + (height - len(tile)) // 2, j * (width + GAP)
            canvas[top : top + len(tile), left : left + width] = tile
    return canvas


class Sheet:
    """Figure that is filled from top to bottom in pixels, so that pictures keep their pixels.

    It is at least `WIDTH` wide, so that text has the same size in all figures on a page.
    """

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = max(width, round(WIDTH * DPI)), height
        self.figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI)

    def image(self, pixels: NDArray[np.uint8], left: int, top: int) -> None:
        """Put pixels [h, w, 3] with their corner at (left, top)."""
        height, width = pixels.shape[:2]
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()

    def text(self, text: str, left: float, top: float, **style: Any) -> None:
        """Write a line whose top is at `top`; `style` is passed to matplotlib."""
        self.figure.text(left / self.width, 1 - top / self.height, text, va="top", **style)


def figure(height: float) -> Figure:
    """Return an empty figure of the usual width, `height` inches high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


TILE = 128  # pixels, at least, of one picture


def tile(size: int) -> int:
    """Return the width of a picture of `size` pixels enlarged by a whole number to about `TILE`."""
    return size * max(1, round(TILE / size))


def write_class(sheet: Sheet, name: str, left: float, top: float) -> None:
    """Write the class of an image on its corner at (left, top)."""
    sheet.text(
        name, left + 3, top + 3, size=5, bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6}
    )


def label(experiment: Experiment, run: pd.Series) -> tuple[str, str]:
    """Return the name of a run in a figure, and its colour."""
    seed = f", seed {run['seed']}" if len(experiment.seeds) > 1 else ""
    return f"{formatting.model(run['model'])}{seed}", colours(experiment.models)[run["model"]]


@contextmanager
def style() -> Iterator[None]:
    """Let matplotlib draw in our style inside, whatever the user's own settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes each time."""
    with artifacts.atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def write(figure: Figure, out: Path, *, title: str, caption: str, alt: str) -> None:
    """Write `out`.png, .pdf (the same bytes each time) and .json (for the report page)."""
    write_png(figure, out.with_name(f"{out.name}.png"))
    with artifacts.atomic(out.with_name(f"{out.name}.pdf")) as temporary:
        figure.savefig(temporary, format="pdf", dpi=DPI, metadata={"CreationDate": None})
    page = Exhibit(exhibit="figure", target=out.name, title=title, caption=caption, alt=alt)
    page.write(out.with_name(f"{out.name}.json"))
