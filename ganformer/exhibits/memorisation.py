"""Figure of samples beside the training images nearest to them, and of their distances beside held-out images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import PositiveInt, model_validator

from ganformer import artifacts, plugins
from ganformer.config import Config as Configuration
from ganformer.config import Experiment, Name, of_one_shape
from ganformer.records.npz import Copies
from ganformer.report import drawing, formatting, records, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLUMNS = 8  # pairs side by side
TILE = 128  # pixels, about, of a picture
# Pixels of parts of a block.
GUTTER, HEAD, LABEL, SPACE, GAP, BETWEEN = 150, 50, 40, 20, 150, 60
PLOT_WIDTH, PLOT_HEIGHT, AXIS, LINE, MARGIN = 750, 310, 95, 31, 30
COLUMN = 140  # pixels from the end of one column of numbers to the end of the next
VISIBLE_SHARE = 0.995  # of the distances lie within the limits of a plot
SHARES = {
    "nearer": "nearer than the median held-out image",
    "much_nearer": "nearer than the nearest 1 % of them",
    "preference": "nearest of both kinds: a training image",
}
PERCENT = 100
KINDS = ("sample", "training\nimage")


class Config(Experiment):
    """Settings of the figure of samples beside the training images nearest to them, and of their distances."""

    kind: Literal["memorisation"] = "memorisation"
    place = 60
    shape = "figure"
    forms = ("csv", "png", "pdf")

    count: PositiveInt = 8
    """Pairs of each run: so many samples that are nearest to a training image, and as many first ones."""
    images: PositiveInt = 1000
    """Images of each run that are searched for copies."""
    held_out: Mapping[Name, Name] = {}
    """For data sets, another one with images of the same kind that nothing was trained on."""

    def inputs(self, name: str, configuration: Configuration) -> Iterable[Path]:
        """Return the training images nearest to images of every run."""
        return self.of_runs(f"copies-{name}.npz")

    @model_validator(mode="after")
    def _has_enough_images(self) -> Self:
        if self.count > self.images:
            raise ValueError(
                f"count {self.count} is more than images {self.images}; ask for fewer pairs or more images"
            )
        return self

    def problems(self, configuration: Configuration) -> Iterable[tuple[str, str]]:
        """Yield held-out images of unknown data sets, or of other shapes."""
        for name, other in self.held_out.items():
            if name not in self.datasets:
                yield f"held_out.{name}", f"'{name}' is not in datasets; {plugins.choices(name, self.datasets)}"
            elif other not in configuration.datasets:
                known = list(configuration.datasets)
                yield f"held_out.{name}", f"'{other}' is not an entry of datasets; {plugins.choices(other, known)}"
            else:
                yield from of_one_shape(configuration, f"held_out.{name}", name, other)


def draw(experiment: Config, files: Sequence[Path], out: Path) -> None:
    """Draw pairs of samples and training images, and their distances: `out`.png, .pdf, .csv and .json.

    `files`: what `analyse copies` wrote of every run; other runs are left out. A block for each run. The csv has a row
    for each number, unrounded, with its value expected without memorisation. Raises DataError if a run is missing or
    given twice, a file cannot be read, or runs of one data set were measured in different ways.
    """
    found = records.needed(_read_all(files), experiment, "nearest training images")
    for dataset in experiment.datasets:
        records.recipe(found, dataset)  # refuses different ones
    found = _in_order(experiment, found)
    table.write_numbers(_numbers(found), out)
    with drawing.style():
        figure = _figure(experiment, found)
        drawing.write(figure, out, title=experiment.title, caption=_caption(found), alt=_in_words(found))


# ------------------------------------------------------------------------------------------------- files


def _read_all(paths: Sequence[Path]) -> pd.DataFrame:
    """Return one row a file: dataset, model, seed, kimg, recipe, file, `record` (all of it), `arrays`."""
    import pandas as pd

    rows = [_read(path) for path in paths]
    columns = [*records.RUN, "kimg", "recipe", "file", "record", "arrays"]
    frame = pd.DataFrame(rows, columns=columns)
    records.refuse_doubles(frame, records.RUN)
    return frame


def _read(path: Path) -> Mapping[str, Any]:
    record, arrays = Copies.read(path)
    return {
        **record.run.content(),
        "kimg": record.kimg,
        "recipe": artifacts.canonical(record.recipe),
        "file": str(path),
        "record": record,
        "arrays": arrays,
    }


def _in_order(experiment: Config, found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the experiment's order of data sets, models, seeds."""
    order = {run: place for place, run in enumerate(experiment.runs())}
    places = [order[run] for run in zip(found["dataset"], found["model"], found["seed"], strict=True)]
    return found.iloc[np.argsort(places)].reset_index(drop=True)


def _numbers(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row a number: dataset, model, seed, kimg, metric, name, value, expected (NaN if unknown)."""
    import pandas as pd

    rows = [
        [*row[[*records.RUN, "kimg"]], metric, entry.name, entry.value, row["record"].expected.get(metric)]
        for _, row in found.iterrows()
        for metric, entry in row["record"].values.items()
    ]
    return pd.DataFrame(rows, columns=[*records.RUN, "kimg", "metric", "name", "value", "expected"])


# --------------------------------------------------------------------------------------------- the figure


class Strip(NamedTuple):
    """Mosaic of pairs in `rows` rows: samples, training images and so on."""

    pixels: NDArray[np.uint8]
    rows: int


@dataclass(frozen=True)
class Block:
    """Part of the figure that shows one run."""

    label: str
    colour: str
    strips: Mapping[str, Strip]
    """Pairs by which ones they are."""
    samples: NDArray[np.floating[Any]]
    held_out: NDArray[np.floating[Any]] | None
    """Distances."""
    limit: float
    """The largest distance of the plot."""
    features: str
    lines: Sequence[tuple[str, str, str]]
    """Table of names, values and expected values."""

    @property
    def height(self) -> int:
        """Height in pixels."""
        pictures: int = sum(LABEL + strip.pixels.shape[0] + SPACE for strip in self.strips.values()) - SPACE
        return HEAD + max(pictures, PLOT_HEIGHT + AXIS + LINE * len(self.lines))


def _figure(experiment: Config, found: pd.DataFrame) -> Figure:
    limits = {dataset: _limit(rows) for dataset, rows in found.groupby("dataset")}
    blocks = [_block(experiment, row, limits[row["dataset"]]) for _, row in found.iterrows()]
    widest = max(strip.pixels.shape[1] for block in blocks for strip in block.strips.values())
    left = GUTTER + widest + GAP
    sheet = drawing.Sheet(left + PLOT_WIDTH, sum(block.height + BETWEEN for block in blocks) - BETWEEN)
    top = 0
    for block in blocks:
        sheet.text(block.label, 2, top + 6, color=block.colour, weight="bold", size=10)
        _pairs(sheet, block, top + HEAD)
        _plot(sheet, block, left, top + HEAD)
        top += block.height + BETWEEN
    return sheet.figure


def _block(experiment: Config, row: pd.Series, limit: float) -> Block:
    arrays, record = row["arrays"], row["record"]
    images = formatting.count(record.how.images)
    strips = {
        title: _strip(arrays[f"{name}_samples"], arrays[f"{name}_training"])
        for name, title in (("nearest", f"the nearest of {images} samples"), ("first", "the first samples"))
    }
    seed = f", seed {row['seed']}" if len(experiment.seeds) > 1 else ""
    dataset = f", {row['dataset']}" if len(experiment.datasets) > 1 else ""
    return Block(
        f"{formatting.model(row['model'])}{dataset}{seed}",
        drawing.colours(experiment.models)[row["model"]],
        strips,
        arrays["samples_to_training"],
        arrays.get("held_out_to_training"),
        limit,
        record.how.network,
        _lines(record),
    )


def _strip(samples: NDArray[np.uint8], training: NDArray[np.uint8]) -> Strip:
    """Return rows of samples, each above the row of their training images."""
    from ganformer.data.images import in_colours

    width = samples.shape[2] * max(1, round(TILE / samples.shape[2])) if samples.shape[2] <= TILE else TILE
    chunks = zip(
        *(drawing.batched(list(in_colours(images, axis=-1)), COLUMNS) for images in (samples, training)), strict=True
    )
    rows = [row for chunk in chunks for row in chunk]
    return Strip(drawing.mosaic(rows, width), len(rows))


def _limit(rows: pd.DataFrame) -> float:
    """Return a distance within which nearly all of each curve lies."""
    names = ("samples_to_training", "held_out_to_training")
    return max(
        float(np.quantile(arrays[name], VISIBLE_SHARE)) for arrays in rows["arrays"] for name in names if name in arrays
    )


def _pairs(sheet: drawing.Sheet, block: Block, top: int) -> None:
    for title, (pixels, rows) in block.strips.items():
        sheet.text(title, GUTTER, top, size=8)
        top += LABEL
        sheet.image(pixels, GUTTER, top)
        for i in range(rows):
            middle = 1 - (top + pixels.shape[0] * (i + 0.5) / rows) / sheet.height
            sheet.figure.text((GUTTER - 14) / sheet.width, middle, KINDS[i % 2], size=7, ha="right", va="center")
        top += pixels.shape[0] + SPACE


def _plot(sheet: drawing.Sheet, block: Block, left: int, top: int) -> None:
    from matplotlib.ticker import PercentFormatter

    box = (
        left / sheet.width,
        1 - (top + PLOT_HEIGHT) / sheet.height,
        (sheet.width - left - MARGIN) / sheet.width,
        PLOT_HEIGHT / sheet.height,
    )
    axes = sheet.figure.add_axes(box)
    _curves(axes, block)
    axes.set_xlim(0, block.limit)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize=7)
    axes.set_xlabel(f"distance to the nearest training image ({block.features} features)", size=8)
    axes.set_ylabel("images within it", size=8)
    for i, (what, *values) in enumerate(block.lines):
        line = top + PLOT_HEIGHT + AXIS + LINE * i
        sheet.text(what, left, line, size=7)
        for value, end in zip(values, (COLUMN, 0), strict=True):
            sheet.text(value, sheet.width - MARGIN - end, line, size=7, ha="right")


def _curves(axes: Axes, block: Block) -> None:
    axes.ecdf(block.samples, color=block.colour, lw=1.8, label="samples")
    if block.held_out is not None:
        axes.ecdf(block.held_out, color=drawing.INK, lw=1.2, ls="--", label="held-out images")
        axes.axvline(float(np.median(block.held_out)), color=drawing.INK, lw=0.6, ls=":")
    axes.legend(loc="lower right", fontsize=7, frameon=False)


# --------------------------------------------------------------------------------------------------- words


def _lines(record: Copies) -> list[tuple[str, str, str]]:
    values = {key: entry.value for key, entry in record.values.items()}
    if not values:
        return [("no held-out images to compare with", "", "")]
    shares = [
        (what, _share(values[key], values[f"{key}_std"]), _share(record.expected[key])) for key, what in SHARES.items()
    ]
    distances = [
        (f"FD from {kind} images", f"{formatting.quantity(values[key])} ± {values[f'{key}_std']:.2g}", formatting.NONE)
        for key, kind in (("fd_training", "training"), ("fd_held_out", "held-out"))
    ]
    return [
        ("samples", "measured", "expected"),
        *shares,
        ("Z of Mann and Whitney", _signed(values["copying_z"]), _signed(record.expected["copying_z"])),
        *distances,
    ]


def _share(value: float, spread: float | None = None) -> str:
    more = "" if spread is None else f" ± {PERCENT * spread:.1f}"
    return f"{PERCENT * value:.1f}{more} %"


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "−") if number else "0"


def _caption(found: pd.DataFrame) -> str:
    is_mirrored = any(record.how.mirrored for record in found["record"])
    mirrored = ", or its mirror image, which was trained on as well" if is_mirrored else ""
    told = (
        f"Each sample stands above the training image whose features are nearest to its own{mirrored}: for the samples "
        "that are nearest to one, and for the first ones, which nobody picked. Curves: share of images that have a "
        "training image within a distance."
    )
    if all(record.values for record in found["record"]):
        told += (
            " A model that repeats training images is nearer to them than held-out images are, and its curve lies to "
            "the left of theirs. So does the curve of a model of bland images, and noisy copies escape: whether "
            "samples are nearest to a training image, among equally many training and held-out ones, does not depend "
            "on that."
        )
    return told


def _in_words(found: pd.DataFrame) -> str:
    told = "Pairs of samples and nearest training images beside curves of their distances."
    said = [
        f"{formatting.model(row['model'])} on {row['dataset']} {PERCENT * row['record'].values['nearer'].value:.0f} %"
        for _, row in found.iterrows()
        if row["record"].values
    ]
    return f"{told} Samples nearer than the median held-out image: {formatting.listing(said)}." if said else told
