"""Figures of pictures: samples, attention maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ganformer.config import Attention, Samples
from ganformer.errors import DataError
from ganformer.report import drawing, pictures, records, words

PANELS = 3  # side by side
TILE = 128  # pixels, at least, of one picture
MAP_WEIGHT = 0.7  # of the map where it lies over its image, as in the official code's visualisation
LAYERS = 3  # resolutions of attention maps in a figure, the finest ones

Row = Sequence[NDArray[np.uint8]]


# ------------------------------------------------------------------------------------------------ samples


def samples(experiment: Samples, images: Sequence[Path], out: Path) -> None:
    """Draws real images above those of each model: `out`.png, .pdf and .json.

    `images`: npz files of real images of every data set and of generated ones of every run; those of other runs are
    left out. Raises DataError where one is missing.
    """
    drawn = records.needed(pictures.generated(images), experiment, "generated images")
    real = pictures.real(images)
    strips = []
    for dataset in experiment.datasets:
        here = drawn[drawn["dataset"] == dataset]
        count, reals = experiment.count, _reals(real, here, experiment)
        strips.append(Strip(f"{dataset}: real images", drawing.INK, reals["images"][:count], reals["classes"][:count]))
        strips += [
            Strip(*_label(experiment, row), row["images"][:count], row["classes"][:count])
            for row in _in_order(experiment, here)
        ]
    with drawing.style():
        figure = _strips(strips)
        caption = (
            "Real images, and images of each model at the end of training. They are the first ones drawn, neither "
            "picked nor truncated, and from the same latents where models have latents of one shape."
        )
        names = words.listing([words.model(model) for model in experiment.models])
        alt = f"Rows of real images of {words.listing(list(experiment.datasets))}, and of images of {names}."
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


class Strip(NamedTuple):
    """Images uint8 [n, H, W, 3] under a label in a colour; `classes`: what those of the images are called, if any."""

    label: str
    colour: str
    images: NDArray[np.uint8]
    classes: Sequence[str]


def _reals(real: Mapping[str, Mapping[str, Any]], drawn: pd.DataFrame, experiment: Samples) -> Mapping[str, Any]:
    """Real images of the very pack that the runs were trained on."""
    data, file = drawn[["data", "file"]].iloc[0]
    if data not in real:
        raise DataError(
            f"'{experiment.title}' needs real images of the pack that {file} was trained on "
            f"(data {data[:12]}…); pass the file of real images of that pack"
        )
    return real[data]


def _in_order(experiment: Samples | Attention, drawn: pd.DataFrame) -> list[pd.Series]:
    """Rows in the experiment's order of models, then seeds."""
    rows = [row for _, row in drawn.iterrows()]
    return sorted(rows, key=lambda row: (experiment.models.index(row["model"]), experiment.seeds.index(row["seed"])))


def _label(experiment: Samples | Attention, row: pd.Series) -> tuple[str, str]:
    """How a run is called in a figure, and its colour."""
    seed = f", seed {row['seed']}" if len(experiment.seeds) > 1 else ""
    return f"{words.model(row['model'])}{seed}", drawing.colours(experiment.models)[row["model"]]


def _strips(strips: Sequence[Strip]) -> Figure:
    """Labelled strips of images below each other; classes stand on the images."""
    size = strips[0].images.shape[2]
    columns, tile = (16, _tile(size)) if size <= TILE else (8, 2 * TILE)
    mosaics = [drawing.mosaic(drawing.batched(list(strip.images), columns), tile) for strip in strips]
    head, space = 44, 26
    width = max(pixels.shape[1] for pixels in mosaics)
    sheet = drawing.Sheet(width, sum(pixels.shape[0] + head + space for pixels in mosaics) - space)
    top = 0
    for strip, pixels in zip(strips, mosaics, strict=True):
        sheet.text(strip.label, 2, top + 6, color=strip.colour, weight="bold", size=10)
        sheet.image(pixels, 0, top + head)
        step = (pixels.shape[0] + drawing.GAP) / -(-len(strip.images) // columns)
        for number, name in enumerate(strip.classes):
            row, column = divmod(number, columns)
            _name(sheet, name, column * (tile + drawing.GAP), top + head + row * step)
        top += pixels.shape[0] + head + space
    return sheet.figure


def _name(sheet: drawing.Sheet, name: str, left: float, top: float) -> None:
    """Writes what the class of an image is called on its corner at (left, top)."""
    sheet.text(
        name, left + 3, top + 3, size=5, bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6}
    )


def _tile(size: int) -> int:
    """The width of a picture of `size` pixels enlarged by a whole number to about `TILE`."""
    return size * max(1, round(TILE / size))


# ---------------------------------------------------------------------------------------------- attention


def attention(experiment: Attention, maps: Sequence[Path], out: Path) -> None:
    """Draws samples, the component that each position attends to, and both laid over: `out`.png, .pdf and .json.

    `maps`: npz files with attention maps of every run; other runs are left out. Raises DataError where one is missing
    or has no maps.
    """
    drawn = records.needed(pictures.generated(maps), experiment, "attention maps")
    for _, row in drawn.iterrows():
        if not row["maps"]:
            raise DataError(f"{row['file']}: holds images only; make it with `ganformer attend`")
    lines = [
        line
        for dataset in experiment.datasets
        for line in drawing.batched(_in_order(experiment, drawn[drawn["dataset"] == dataset]), PANELS)
    ]
    with drawing.style():
        figure = _beside([[_block(experiment, row) for row in line] for line in lines])
        names = words.listing([words.model(model) for model in experiment.models])
        drawing.write(
            figure,
            out,
            title=experiment.title,
            caption=(
                "Each row is one sample: the image, the finest attention map laid over it, and maps of layers from "
                "fine to coarse. A colour is a component; each position has the colour of the component that it "
                "attends to most, over the mean of all heads."
            ),
            alt=f"For {names}: samples beside maps that colour every region by the component it attends to.",
        )


@dataclass(frozen=True)
class Block:
    """The part of the attention figure that shows one run."""

    label: str
    colour: str
    headings: Sequence[str]
    rows: Sequence[Row]
    classes: Sequence[str]
    """Classes of the rows' images, if there are classes."""


def _block(experiment: Attention, row: pd.Series) -> Block:
    label, colour = _label(experiment, row)
    label = f"{label}, {row['dataset']}" if len(experiment.datasets) > 1 else label
    images: NDArray[np.uint8] = row["images"][: experiment.count]
    finest = list({layer.shape[-1]: layer for layer in row["maps"]}.values())[::-1][:LAYERS]
    maps = [_coloured(layer) for layer in finest]
    headings = ["sample", "overlaid", *(f"{layer.shape[-2]}×{layer.shape[-1]}" for layer in finest)]
    rows = [[image, _overlaid(image, maps[0][i]), *(layer[i] for layer in maps)] for i, image in enumerate(images)]
    return Block(label, colour, headings, rows, row["classes"][: experiment.count])


def _coloured(layer: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Attention [n, heads, components, h, w] → uint8 [n, h, w, 3]: the colour of the most attended component."""
    strongest = layer.astype(np.float32).mean(axis=1).argmax(axis=1)
    return np.round(drawing.component_colours(layer.shape[2])[strongest] * 255).astype(np.uint8)


def _overlaid(image: NDArray[np.uint8], coloured: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map [h, w, 3] stretched over its image [H, W, 3]."""
    over = drawing.resized(coloured, image.shape[1]).astype(np.float32)
    return np.round(MAP_WEIGHT * over + (1 - MAP_WEIGHT) * image).astype(np.uint8)


def _beside(lines: Sequence[Sequence[Block]]) -> Figure:
    """Lines of blocks side by side."""
    size = lines[0][0].rows[0][0].shape[1]
    tile = _tile(size) if size <= TILE else TILE
    mosaics = [[drawing.mosaic(block.rows, tile) for block in line] for line in lines]
    tallest, widest = (max(pixels.shape[axis] for line in mosaics for pixels in line) for axis in (0, 1))
    head, space = 88, 40
    width = max(map(len, lines)) * (widest + space) - space
    sheet = drawing.Sheet(width, len(lines) * (tallest + head + space) - space)
    for i, line in enumerate(lines):
        for j, block in enumerate(line):
            left, top = j * (widest + space), i * (tallest + head + space)
            sheet.text(block.label, left + 2, top + 6, color=block.colour, weight="bold", size=10)
            for k, heading in enumerate(block.headings):
                sheet.text(heading, left + k * (tile + drawing.GAP) + tile / 2, top + 52, ha="center", size=8)
            sheet.image(mosaics[i][j], left, top + head)
            step = (mosaics[i][j].shape[0] + drawing.GAP) / len(block.rows)
            for k, name in enumerate(block.classes):
                _name(sheet, name, left, top + head + k * step)
    return sheet.figure
