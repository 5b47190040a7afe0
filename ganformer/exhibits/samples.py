"""Figure of real images, and images of each model from the same seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import PositiveInt

from ganformer.config import Config as Configuration
from ganformer.config import Experiment
from ganformer.errors import DataError
from ganformer.report import drawing, formatting, pictures, records

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


class Config(Experiment):
    """Settings of the figure of real images, and images of each model from the same seeds."""

    kind: Literal["samples"] = "samples"
    place = 30
    shape = "figure"
    forms = ("png", "pdf")

    count: PositiveInt = 32
    """Images of each model."""

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return real images of every data set, and generated ones of every run."""
        return [
            *(Path("results/data", dataset, f"reals-{self.count}.npz") for dataset in self.datasets),
            *self.of_runs(f"samples-{self.count}.npz"),
        ]


def draw(experiment: Config, images: Sequence[Path], out: Path) -> None:
    """Draw real images above images of each model: `out`.png, .pdf and .json.

    `images`: npz files of real images of every data set and of generated ones of every run; files of other runs are
    left out. Raises DataError if one is missing.
    """
    drawn = records.needed(pictures.generated(images), experiment, "generated images")
    real = pictures.real(images)
    strips = []
    for dataset in experiment.datasets:
        here = drawn[drawn["dataset"] == dataset]
        count, reals = experiment.count, _reals(real, here, experiment)
        strips.append(Strip(f"{dataset}: real images", drawing.INK, reals["images"][:count], reals["classes"][:count]))
        strips += [
            Strip(*drawing.label(experiment, row), row["images"][:count], row["classes"][:count])
            for row in pictures.in_order(experiment, here)
        ]
    with drawing.style():
        figure = _strips(strips)
        caption = (
            "Real images, and images of each model at the end of training. They are the first ones drawn, neither "
            "picked nor truncated, and from the same latents where models have latents of one shape."
        )
        names = formatting.listing([formatting.model(model) for model in experiment.models])
        alt = f"Rows of real images of {formatting.listing(list(experiment.datasets))}, and of images of {names}."
        drawing.write(figure, out, title=experiment.title, caption=caption, alt=alt)


class Strip(NamedTuple):
    """Images uint8 [n, H, W, 3] under a label in a colour; `classes`: names of their classes, if any."""

    label: str
    colour: str
    images: NDArray[np.uint8]
    classes: Sequence[str]


def _reals(real: Mapping[str, Mapping[str, Any]], drawn: pd.DataFrame, experiment: Config) -> Mapping[str, Any]:
    """Return real images of the pack that the runs were trained on."""
    data, file = drawn[["data", "file"]].iloc[0]
    if data not in real:
        raise DataError(
            f"'{experiment.title}' needs real images of the pack that {file} was trained on "
            f"(data {data[:12]}…); pass the file of real images of that pack"
        )
    return real[data]


def _strips(strips: Sequence[Strip]) -> Figure:
    """Draw labelled strips of images below each other, with their classes on the images."""
    size = strips[0].images.shape[2]
    columns, tile = (16, drawing.tile(size)) if size <= drawing.TILE else (8, 2 * drawing.TILE)
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
            drawing.write_class(sheet, name, column * (tile + drawing.GAP), top + head + row * step)
        top += pixels.shape[0] + head + space
    return sheet.figure
