"""Figure of samples with the regions that their components attend to, one colour a component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import PositiveInt

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.report import drawing, formatting, pictures, records, requirements

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PANELS = 3  # side by side
MAP_WEIGHT = 0.7  # of the map where it lies over its image, as in the official code's visualisation
LAYERS = 3  # resolutions of attention maps in a figure, the finest ones


class Config(Experiment):
    """Settings of the figure of samples and attention maps, one colour a component."""

    kind: Literal["attention"] = "attention"
    place = 40
    shape = "figure"
    forms = ("png", "pdf")

    count: PositiveInt = 6
    """Images of each model."""

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield models without attention maps."""
        return requirements.ability("attention maps", self.models, configuration)

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return images and attention maps of every run."""
        return self.of_runs(f"attention-{self.count}.npz")


def draw(experiment: Config, maps: Sequence[Path], out: Path) -> None:
    """Draw samples, the component that each position attends to, and both laid over: `out`.png, .pdf and .json.

    `maps`: npz files with attention maps of every run; other runs are left out. Raises DataError if one is missing
    or has no maps.
    """
    drawn = records.needed(pictures.generated(maps), experiment, "attention maps")
    for _, row in drawn.iterrows():
        if not row["maps"]:
            raise DataError(f"{row['file']}: holds images only; make it with `ganformer step analyse attention`")
    lines = [
        line
        for dataset in experiment.datasets
        for line in drawing.batched(pictures.in_order(experiment, drawn[drawn["dataset"] == dataset]), PANELS)
    ]
    with drawing.style():
        figure = _beside([[_block(experiment, row) for row in line] for line in lines])
        names = formatting.listing([formatting.model(model) for model in experiment.models])
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
    """Part of the attention figure that shows one run."""

    label: str
    colour: str
    headings: Sequence[str]
    rows: Sequence[Sequence[NDArray[np.uint8]]]
    classes: Sequence[str]
    """Classes of the rows' images, if there are classes."""


def _block(experiment: Config, row: pd.Series) -> Block:
    label, colour = drawing.label(experiment, row)
    label = f"{label}, {row['dataset']}" if len(experiment.datasets) > 1 else label
    images: NDArray[np.uint8] = row["images"][: experiment.count]
    finest = list({layer.shape[-1]: layer for layer in row["maps"]}.values())[::-1][:LAYERS]
    maps = [_coloured(layer) for layer in finest]
    headings = ["sample", "overlaid", *(f"{layer.shape[-2]}×{layer.shape[-1]}" for layer in finest)]
    rows = [[image, _overlaid(image, maps[0][i]), *(layer[i] for layer in maps)] for i, image in enumerate(images)]
    return Block(label, colour, headings, rows, row["classes"][: experiment.count])


def _coloured(layer: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Return colours uint8 [n, h, w, 3] of the most attended component of attention [n, heads, components, h, w]."""
    strongest = layer.astype(np.float32).mean(axis=1).argmax(axis=1)
    colours: NDArray[np.uint8] = np.round(drawing.component_colours(layer.shape[2])[strongest] * 255).astype(np.uint8)
    return colours


def _overlaid(image: NDArray[np.uint8], coloured: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a map [h, w, 3] stretched over its image [H, W, 3]."""
    over = drawing.resized(coloured, image.shape[1]).astype(np.float32)
    return np.round(MAP_WEIGHT * over + (1 - MAP_WEIGHT) * image).astype(np.uint8)


def _beside(lines: Sequence[Sequence[Block]]) -> Figure:
    """Draw lines of blocks side by side."""
    size = lines[0][0].rows[0][0].shape[1]
    tile = drawing.tile(size) if size <= drawing.TILE else drawing.TILE
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
                drawing.write_class(sheet, name, left, top + head + k * step)
    return sheet.figure
