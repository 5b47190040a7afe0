"""The comparisons of `data.py`: pictures, packs of them, and tables."""

import contextlib
import io
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import rivals
import torch
from measure import Result, Side, in_turn
from PIL import Image

from ganformer.config import Dataset, ImageSpec
from ganformer.data.batches import batch
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.data.shuffle import Order
from ganformer.scenes import source as scenes

FORMATS = ("npy", "hdf5", "lmdb", "png")
BATCH = 32
READ = 5  # how often every image is read in a measurement
MANY = 3_000_000  # LSUN bedrooms
MARGIN = 0.125
MIRRORED, WINDOWS = "ganformer, npy, mirrored", "ganformer, npy, mirrored random windows"
PHOTOS = Path(__file__).resolve().parents[2] / "shared/data"
NO_PYSPNG = "pyspng is not installed (pip install -e '.[bench]')"


class Bench:
    """All comparisons, on pictures and packs in a folder. `official`: a checkout of GANformer's code, or None."""

    def __init__(self, folder: Path, images: int, repeats: int, resolution: int, official: Path | None) -> None:
        self.folder, self.images, self.repeats = folder, images, repeats
        self.resolution, self.official = resolution, official
        self.large, self.small = folder / "large", folder / "small"
        origin = save_pictures(self.large, images, 2 * resolution)
        rivals.least_tool(self.large, self.small, resolution)
        print(f"{images} pictures of {2 * resolution} × {2 * resolution} pixels from {origin}, {repeats} repeats")

    def print_all(self) -> None:
        """Print a table for each comparison."""
        for table in (self.reading, self.converting, self.shuffling, self.packing_more):
            print()
            table()

    def reading(self) -> None:
        """Shuffled batches, one core."""
        zipped = self.folder / "stylegan2-ada.zip"
        rivals.write_stylegan2_ada_zip(self.small, zipped)
        packs = {f"ganformer, {layout}": self.folder / f"read-{layout}" for layout in FORMATS}
        in_turn({layout: partial(self._packing, layout, 1, out=packs[f"ganformer, {layout}"]) for layout in FORMATS}, 1)
        augmented = {MIRRORED: packs["ganformer, npy"], WINDOWS: self.folder / "read-larger"}
        in_turn({WINDOWS: partial(self._packing, "npy", 1, out=augmented[WINDOWS], crop_margin=MARGIN)}, 1)
        pillow, same, own = "folder of PNGs, Pillow", "StyleGAN2-ADA, our png pack", "StyleGAN2-ADA, a zip of its own"
        files = {**packs, **augmented, pillow: self.small, same: packs["ganformer, png"], own: zipped}
        sides: dict[str, Side] = {name: partial(self._ours, out, _plain) for name, out in packs.items()}
        sides |= {name: partial(self._ours, out, _augmented) for name, out in augmented.items()}
        sides[pillow] = partial(self._theirs, partial(rivals.FolderOfPngs, self.small))
        if rivals.HAS_PYSPNG:
            for name, path in ((same, files[same] / "images-00000.zip"), (own, zipped)):
                sides[name] = partial(self._theirs, partial(rivals.StyleGan2AdaZip, path))
        results = in_turn(sides, self.repeats)
        rows = []
        for name, path in files.items():
            if name in results:
                ratios = {
                    f"× {short}": _ratio(results, name, other) for short, other in (("Pillow", pillow), ("ADA", same))
                }
                size = f"{_bytes(path) / self.images / 1000:.0f}"
                rows.append(_row(name, results[name]) | ratios | {"kB an image": size} | _memory(results[name]))
            else:
                rows.append({"": name, "images/s": NO_PYSPNG})
        print_table(
            f"Reading shuffled batches of {BATCH}, {self.resolution} × {self.resolution}, uint8, one core", rows
        )

    def converting(self) -> None:
        """Pictures to packs of half their size, two cores."""
        sides: dict[str, Side] = {
            f"ganformer, {layout}, {workers} process{'es' * (workers > 1)}": partial(self._packing, layout, workers)
            for layout, workers in itertools.product(("npy", "png"), (1, 2))
        }
        official = "official dataset_tool" if self.official else "steps of the official dataset_tool"
        least = "only those for the size wanted"
        sides[official] = self._official
        sides[least] = lambda: partial(rivals.least_tool, self.large, self._fresh(), self.resolution)
        results = in_turn(sides, self.repeats, cores=2)
        rows = [
            _row(name, result)
            | {"× official": _ratio(results, name, official), "× wanted size": _ratio(results, name, least)}
            | _memory(result)
            for name, result in results.items()
        ]
        print_table(f"Making packs of {self.resolution} × {self.resolution} from PNGs twice as large, two cores", rows)

    def shuffling(self) -> None:
        """Return start-up."""

        def ours() -> int:
            Order(MANY, seed=0).indices(0, BATCH)
            return 1

        def theirs() -> int:
            np.random.default_rng(0).permutation(MANY)
            return 1

        sides: dict[str, Side] = {"ganformer, Order": lambda: ours, "numpy.random, permutation": lambda: theirs}
        results = in_turn(sides, self.repeats)
        rows = [
            {"": name, "ms": f"{1000 * result.seconds:.2f}"}
            | {"× numpy": _ratio(results, name, "numpy.random, permutation")}
            | _memory(result)
            for name, result in results.items()
        ]
        print_table(f"First {BATCH} of {MANY:,} images in shuffled order, one core", rows)

    def packing_more(self) -> None:
        """Memory."""
        few = self.images // 10
        sides: dict[str, Side] = {
            f"ganformer, {layout}, {count} images": partial(self._packing, layout, 1, count)
            for layout, count in itertools.product(FORMATS, (few, 10 * few))
        }
        results = in_turn(sides, self.repeats)
        print_table(
            "Memory of packing ten times as many, one process",
            [_row(name, result) | _memory(result) for name, result in results.items()],
        )

    def _ours(self, folder: Path, read: Callable[[Images, Order, int], object]) -> Callable[[], int]:
        torch.set_num_threads(1)
        images = Images(folder)
        order = Order(len(images), seed=0)
        read(images, order, 0)  # opens the shard

        def work() -> int:
            for position in range(0, READ * len(images), BATCH):
                read(images, order, position)
            return READ * len(images)

        return work

    def _theirs(self, opened: Callable[[], rivals.Pictures]) -> Callable[[], int]:
        count = self.images
        images = opened()
        images[0]

        def work() -> int:
            done = 0
            for epoch in range(READ):
                order = np.random.default_rng(epoch).permutation(count)
                for start in range(0, count, BATCH):
                    done += len(np.stack([images[index] for index in order[start : start + BATCH].tolist()]))
            return done

        return work

    def _packing(
        self, layout: str, workers: int, count: int | None = None, out: Path | None = None, crop_margin: float = 0
    ) -> Callable[[], int]:
        settings = {
            "source": {"kind": "folder", "path": self.large},
            "resolution": self.resolution,
            "format": layout,
            "shard_images": self.images,
            "max_images": count,
            "crop_margin": crop_margin,
        }
        dataset, folder = Dataset.model_validate(settings), out or self._fresh()

        def work() -> int:
            with contextlib.redirect_stderr(io.StringIO()):  # progress
                return pack(dataset, folder, workers).count

        return work

    def _official(self) -> Callable[[], int]:
        out = self._fresh()
        if self.official:
            return rivals.OfficialCheckout(self.official, self.large, out)
        return partial(rivals.official_tool, self.large, out)

    def _fresh(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="out-", dir=self.folder))


def _plain(images: Images, order: Order, position: int) -> object:
    """Return a batch as it is stored."""
    return images.read(order.indices(position, BATCH))


def _augmented(images: Images, order: Order, position: int) -> object:
    """Return a batch as training takes it: mirrored, and of larger images a random window."""
    return batch(images, order, position, BATCH, images.image.canvas, mirror=True)


def save_pictures(folder: Path, count: int, side: int) -> str:
    """Save PNGs of `side` × `side` pixels; returns what they show: photographs, or scenes where none are near."""
    folder.mkdir()
    paths = sorted(path for name in ("coco_ccby", "clevr_samples") for path in (PHOTOS / name).rglob("*.*g"))
    if paths:
        pictures, origin = _windows(paths, side), "photographs and CLEVR"
    else:
        pictures, origin = _scenes(count, side), "the built-in scenes"
    for number, picture in enumerate(itertools.islice(pictures, count)):
        picture.save(folder / f"{number:06d}.png")
    return origin


def _windows(paths: Sequence[Path], side: int) -> Iterator[Image.Image]:
    """Yield random square windows of the pictures, without end."""
    generator = np.random.default_rng(0)
    for path in itertools.cycle(paths):
        with Image.open(path) as picture:
            size = int(min(picture.size) * generator.uniform(0.7, 1))
            left, top = (int(generator.integers(0, length - size + 1)) for length in picture.size)
            window = picture.convert("RGB").crop((left, top, left + size, top + size))
        yield window.resize((side, side), Image.Resampling.LANCZOS)


def _scenes(count: int, side: int) -> Iterator[Image.Image]:
    source = scenes.open_source(scenes.Config(kind="scenes", images=count), ImageSpec(height=side, width=side))
    return (Image.fromarray(sample.pixels) for sample in source.load(list(source.keys())))


def print_table(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that map columns to cells as a Markdown table; the first row that is whole names the columns."""
    whole = max(rows, key=len)
    columns = list(whole)
    widths = {column: max(len(column), *(len(row.get(column, "")) for row in rows)) for column in columns}
    lines = [{column: column for column in columns}, {column: "-" * widths[column] for column in columns}, *rows]
    print(f"### {title}\n")
    for row in lines:
        cells = (
            row.get(column, "").rjust(widths[column]) if column else row[""].ljust(widths[""]) for column in columns
        )
        print("| " + " | ".join(cells) + " |")


def _row(name: str, result: Result) -> dict[str, str]:
    return {"": name, "images/s": f"{result.rate:,.0f}"}


def _memory(result: Result) -> dict[str, str]:
    return {"memory MB": f"{result.memory:.1f}"}


def _ratio(results: Mapping[str, Result], name: str, other: str) -> str:
    """Return how many times as fast as the other one."""
    return f"{results[other].seconds / results[name].seconds:.2f}" if other in results else "–"


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
